"""A real server process: started, asked over HTTP, signalled, and looked at from outside."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
_SAMPLE = re.compile(r"^(\w+(?:\{.*\})?) (\S+)$", re.MULTILINE)


class Server:
    """`liveglass serve`, and an HTTP client for it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self.http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)

    @classmethod
    async def start(cls, folder: Path, *options: str, port: int = 0) -> Self:
        """Start one with its state in `folder`; returns when it says that it is ready."""
        command = (str(Path(sys.executable).with_name("liveglass")), "serve", "--no-open", "--port", str(port))
        log = folder / "server.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                "--state-dir",
                str(folder / "state"),
                "--models-dir",
                str(folder / "models"),
                "--no-fetch-models",
                *options,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={key: value for key, value in os.environ.items() if not key.startswith("LIVEGLASS_")},
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                line = (await process.stdout.readline()).decode()
        except TimeoutError:
            process.kill()
            await process.wait()
            line = ""
        prefix = "liveglass ready at "
        assert line.startswith(prefix), f"The server did not get ready; it said {line!r} and\n{log.read_text()[-3000:]}"
        return cls(process, line.removeprefix(prefix).strip(), log)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        await self.http.aclose()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.exit_status()

    async def exit_status(self) -> int:
        """Wait for its end."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            raise AssertionError(f"The server did not end:\n{self.log.read_text()[-3000:]}") from None

    def children(self) -> list[psutil.Process]:
        """Every process that it started, and what those started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self) -> psutil.Process:
        """The process that holds the model."""
        [worker] = [child for child in self.children() if any("spawn_main" in part for part in child.cmdline())]
        return worker

    async def metrics(self) -> dict[str, float]:
        """Every sample of `/metrics` by its name and labels, as Prometheus writes them."""
        return samples((await self.http.get("/metrics")).text)

    async def open(self, **body: Any) -> dict[str, Any]:
        """Open a session; returns what the server says of it."""
        response = await self.http.post("/v1/sessions", json=body)
        assert response.status_code == 201, response.text
        opened: dict[str, Any] = response.json()
        return opened

    async def session(self, session: str, token: str) -> dict[str, Any]:
        """`GET /v1/sessions/{id}`."""
        response = await self.http.get(f"/v1/sessions/{session}", headers=bearer(token))
        assert response.status_code == 200, response.text
        view: dict[str, Any] = response.json()
        return view

    async def snapshot(self, session: str, token: str) -> httpx.Response:
        """`GET /v1/sessions/{id}/snapshot.jpg`, whatever it answers."""
        return await self.http.get(f"/v1/sessions/{session}/snapshot.jpg", headers=bearer(token))

    async def end(self, session: str, token: str) -> None:
        """End a session, if it has not ended."""
        response = await self.http.delete(f"/v1/sessions/{session}", headers=bearer(token))
        assert response.status_code in {204, 404}, response.text


def bearer(token: str) -> dict[str, str]:
    """The header that carries `token`."""
    return {"Authorization": f"Bearer {token}"}


def samples(text: str) -> dict[str, float]:
    """The samples in a text as Prometheus reads it, by name and labels."""
    return {name: float(value) for name, value in _SAMPLE.findall(text)}


def total(metrics: dict[str, float], name: str) -> float:
    """The sum of a metric over its labels."""
    return sum(value for key, value in metrics.items() if key.partition("{")[0] == name)
