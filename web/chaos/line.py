"""A TCP line between a client and the server that can be cut, held up or made narrow while it is in use."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 4096


class Line:
    """Copies bytes both ways.

    Attributes:
        bytes_per_s: how much comes down from the server; None: as much as there is.
    """

    def __init__(self, host: str, port: int) -> None:
        self.bytes_per_s: float | None = None
        self._target = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving = 0
        self._idle = asyncio.Event()

    def cut(self) -> None:
        """End every connection at once, without a word; a new one works again."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Cut it, and wait until nobody is served any more."""
        self.cut()
        if self._serving:
            await self._idle.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        self._serving += 1
        self._idle.clear()
        try:
            await self._serve(reader, writer)
        finally:
            self._serving -= 1
            if not self._serving:
                self._idle.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            down, up = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up}
        try:
            await asyncio.gather(self._copy(reader, up, narrow=False), self._copy(down, writer, narrow=True))
        finally:
            for end in (writer, up):
                end.transport.abort()
            self._writers -= {writer, up}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, narrow: bool) -> None:
        with suppress(OSError):  # cut
            while data := await reader.read(_CHUNK):
                if narrow and self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def line_to(url: str, ear: socket.socket) -> AsyncIterator[Line]:
    """A line to the server at `url`, for who connects to `ear`."""
    parts = urlsplit(url)
    line = Line(parts.hostname or "127.0.0.1", parts.port or 80)
    async with await asyncio.start_server(line.serve, sock=ear, limit=_CHUNK):
        try:
            yield line
        finally:
            await line.close()


def ear() -> socket.socket:
    """A free port, to be told to the server before it starts: it refuses hosts that it does not know."""
    return socket.create_server(("127.0.0.1", 0))


def address(ear: socket.socket) -> str:
    """The address of `ear`."""
    return f"http://127.0.0.1:{ear.getsockname()[1]}"
