"""A real TURN server for one test: coturn on loopback, on a free port, with a secret of its own.

    async with relay(tmp_path) as turn:
        settings = IceSettings(turn=(turn.url("udp"),), turn_secret=turn.secret)

What coturn says is kept, so that a test can wait for it. Ended by its process id when the block ends.
"""

import asyncio
import secrets
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

REALM = "liveglass"


class RelayUnavailable(AssertionError):
    """There is no TURN server here; the message says what to install. A failure, and no reason to skip."""


class Relay:
    """A running coturn.

    Attributes:
        secret: what it shares with who makes credentials (`static-auth-secret`).
        lines: all that it has said.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int, secret: str) -> None:
        self.port = port
        self.secret = secret
        self.lines: list[str] = []
        self._process = process
        self._said = asyncio.Condition()

    def url(self, transport: str) -> str:
        """Its address for clients that speak to it over `udp` or `tcp`."""
        return f"turn:127.0.0.1:{self.port}?transport={transport}"

    async def says(self, *words: str) -> str:
        """The first line with all those words in it, as soon as there is one."""
        async with self._said:
            while True:
                for line in self.lines:
                    if all(word in line for word in words):
                        return line
                await self._said.wait()

    async def kill(self) -> None:
        """End it without a word to its clients."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def listen(self) -> None:
        """Read what it says until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            async with self._said:
                self.lines.append(line.decode(errors="replace").rstrip())
                self._said.notify_all()


@asynccontextmanager
async def relay(folder: Path) -> AsyncIterator[Relay]:
    """Start coturn; its files lie in `folder`."""
    program = shutil.which("turnserver")
    if program is None:
        raise RelayUnavailable("There is no turnserver: run scripts/install-test-tools (it installs coturn).")
    port, secret = _free_port(), secrets.token_urlsafe(16)
    process = await asyncio.create_subprocess_exec(
        *(program, "-n", "--verbose", "--log-file", "stdout", "--simple-log", "--no-cli", "--cli-password", "unused"),
        *("--use-auth-secret", "--static-auth-secret", secret, "--realm", REALM, "--no-tls", "--no-dtls"),
        *("--listening-ip", "127.0.0.1", "--listening-port", str(port), "--relay-ip", "127.0.0.1"),
        # One thread: several share the port, and while they start a client's second request may meet another one.
        *(
            "--relay-threads",
            "1",
            "--allow-loopback-peers",
            "--pidfile",
            str(folder / "turn.pid"),
            "--db",
            str(folder / "turn.db"),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    turn = Relay(process, port, secret)
    listening = asyncio.create_task(turn.listen())
    try:
        ready = asyncio.create_task(turn.says("UDP listener opened on", str(port)))
        await asyncio.wait({ready, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            raise RelayUnavailable("turnserver ended at once:\n" + "\n".join(turn.lines[-20:]))
        yield turn
    finally:
        await turn.kill()
        await listening


def _free_port() -> int:
    """A port that neither UDP nor TCP has in use."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
