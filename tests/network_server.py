"""A real server in a made network, and the two kinds of viewer that tests and benchmarks put beside each other.

The server is a process of its own in the server's namespace, bound to that address as an operator would bind it: with
an operator token. Viewers count what reaches them; they decode nothing.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from e2e.server import samples
from network import Namespace, Network
from websockets.asyncio.client import connect as open_socket

from liveglass.engine.frame import Size
from liveglass.engine.stream.sample import Sample
from liveglass.transport.client import connect

OPERATOR = "operator-of-a-made-network"
PORT = 8787
FPS = 24
READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
_HEADER_SEQ = slice(4, 8)


class NetworkServer:
    """`liveglass serve` in the server's namespace.

    Attributes:
        url: its address, as the clients see it.
        process: the server's process.
    """

    def __init__(self, net: Network, process: asyncio.subprocess.Process, url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log
        self._net = net

    async def ask(self, method: str, path: str, *, token: str = OPERATOR, body: object = None) -> httpx.Response:
        """One request, from the server's own machine: no bad cable is in its way."""

        def request() -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=self.url, timeout=30, trust_env=False) as http:
                return http.request(method, path, json=body, headers=headers)

        return await self._net.server.call(request)

    @asynccontextmanager
    async def session(self, side: int = 512) -> AsyncIterator[dict[str, Any]]:
        """A session of that size whose camera may be seen: what the server says of it. Ends with the block."""
        body = {"camera_visible": "all", "size": {"width": side, "height": side}}
        answer = await self.ask("POST", "/v1/sessions", body=body)
        assert answer.status_code == 201, answer.text
        opened: dict[str, Any] = answer.json()
        try:
            yield opened
        finally:
            await self.ask("DELETE", f"/v1/sessions/{opened['id']}", token=opened["token"])

    async def metrics(self) -> dict[str, float]:
        """Every sample of `/metrics` by its name and labels."""
        return samples((await self.ask("GET", "/metrics")).text)


@asynccontextmanager
async def network_server(net: Network, folder: Path, *options: str) -> AsyncIterator[NetworkServer]:
    """Start one with its state in `folder`; it has to become ready, and to end when it is asked to."""
    liveglass = str(Path(sys.executable).with_name("liveglass"))
    words = ("serve", "--no-open", "--host", net.server.address, "--port", str(PORT), "--model", "null")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LIVEGLASS_")}
    log = folder / "server.log"
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            *net.server.command(liveglass, *words, "--state-dir", str(folder / "state"), *options),
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment | {"LIVEGLASS_OPERATOR_TOKEN": OPERATOR},
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            line = (await process.stdout.readline()).decode()
        prefix = "liveglass ready at "
        assert line.startswith(prefix), f"The server did not get ready: {line!r}\n{log.read_text()[-3000:]}"
        yield NetworkServer(net, process, line.removeprefix(prefix).strip(), log)
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class SocketViewer:
    """What one viewer got over its WebSocket.

    Attributes:
        slots: the slot of each frame, in order of arrival.
        events: every event.
    """

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.events: list[dict[str, Any]] = []

    async def watch(
        self, where: Namespace, session: dict[str, Any], until: Callable[["SocketViewer"], bool], *, within_s: float
    ) -> None:
        """View `session` from a client's machine, acknowledging each frame, until `until(self)`.

        Raises:
            TimeoutError: it did not come to that.
        """
        url = f"{session['urls']['socket']}?view=1"
        subprotocols: Any = [f"liveglass.token.{session['viewer_token']}"]

        async def body() -> None:
            async with (
                asyncio.timeout(within_s),
                open_socket(url, subprotocols=subprotocols, compression=None, proxy=None, close_timeout=1) as socket,
            ):
                async for message in socket:
                    if isinstance(message, bytes):
                        self.slots.append(int.from_bytes(message[_HEADER_SEQ], "big"))
                        await socket.send(json.dumps({"type": "frame.ack", "seq": self.slots[-1]}))
                    else:
                        self.events.append(json.loads(message))
                    if until(self):
                        return

        await where.run(body)


async def publish(where: Namespace, session: dict[str, Any], stop: threading.Event, *, side: int = 512) -> None:
    """A camera over the socket from one machine, until `stop`: the sample's photograph, swaying."""
    sample = Sample(Size(side, side))
    pictures = [sample.picture(n / FPS) for n in range(2 * FPS)]
    base = f"http://{session['urls']['socket'].split('/')[2]}"

    async def body() -> None:
        loop = asyncio.get_running_loop()
        joined = connect(base, session=session["id"], token=session["token"], publish=True, view=False)
        async with joined as live:
            began, count = loop.time(), 0
            while not stop.is_set():
                await live.publish(pictures[count % len(pictures)])
                count += 1
                await asyncio.sleep(max(0.0, began + count / FPS - loop.time()))

    await where.run(body)


@asynccontextmanager
async def publishing(where: Namespace, session: dict[str, Any]) -> AsyncIterator[None]:
    """`publish` for as long as the block runs."""
    stop = threading.Event()
    task = asyncio.create_task(publish(where, session, stop))
    try:
        yield
    finally:
        stop.set()
        await task
