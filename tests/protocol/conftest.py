"""A real engine behind real WebSockets on loopback, without the web application around it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_sockets
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from liveglass.engine.clock import Clock
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import NoSuchSession
from liveglass.engine.frame import Pixels
from liveglass.engine.options import SessionRequest
from liveglass.engine.stream.session import Session
from liveglass.engine.validation import convert
from liveglass.transport import codecs
from liveglass.transport.channel import ChannelClosed
from liveglass.transport.fanout import Format
from liveglass.transport.framesocket import serve
from liveglass.transport.header import Codec, FrameHeader, WireKind
from liveglass.transport.hub import Hub
from liveglass.transport.messages import Role

PICTURE: Pixels = np.random.default_rng(7).integers(0, 256, (12, 16, 3), np.uint8).repeat(8, 0).repeat(8, 1)


class SocketChannel:
    """A connection of the websockets library as the transport's `Channel`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise ChannelClosed(closed.rcvd.code if closed.rcvd else None) from None

    async def send_text(self, text: str) -> None:
        await self._send(text)

    async def send_bytes(self, data: bytes) -> None:
        await self._send(data)

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ChannelClosed(closed.rcvd.code if closed.rcvd else None) from None


class Peer:
    """A client that says exactly what a test tells it to, and reads in order."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.frames: list[FrameHeader] = []
        self.events: list[dict[str, Any]] = []

    async def say(self, type_: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def ask(self, type_: str, **fields: object) -> dict[str, Any]:
        """Send a command and wait for what answers its id."""
        await self.say(type_, **fields)
        return await self.until(lambda event: event.get("id") == fields["id"])

    async def send_picture(self, seq: int, payload: bytes | None = None, **header: Any) -> None:
        fields: dict[str, Any] = {"kind": WireKind.CAMERA, "codec": Codec.JPEG, "source_us": 1000 * seq, **header}
        body = codecs.encode_jpeg(PICTURE) if payload is None else payload
        await self.socket.send(FrameHeader(seq=seq, **fields).pack() + body)

    async def read(self) -> dict[str, Any] | FrameHeader:
        message = await self.socket.recv()
        if isinstance(message, bytes):
            self.frames.append(FrameHeader.unpack(message))
            return self.frames[-1]
        self.events.append(json.loads(message))
        return self.events[-1]

    async def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next event that is `wanted`; what comes before it is kept in `frames` and `events`."""
        while True:
            read = await self.read()
            if isinstance(read, dict) and wanted(read):
                return read

    async def event(self, type_: str) -> dict[str, Any]:
        return await self.until(lambda event: event["type"] == type_)

    async def frame(self, wanted: Callable[[FrameHeader], bool] = lambda _: True, *, ack: bool = True) -> FrameHeader:
        while True:
            read = await self.read()
            if isinstance(read, FrameHeader):
                if ack:
                    await self.say("frame.ack", seq=read.seq)
                if wanted(read):
                    return read

    async def settle(self) -> None:
        """Return once the server has dealt with everything that was said before."""
        await self.say("ping", t=len(self.events))
        await self.event("pong")

    async def closed(self) -> tuple[int, str]:
        """Read to the end; the code and reason that the server closed with."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.until(lambda _: False)
        assert closed.value.rcvd
        return closed.value.rcvd.code, closed.value.rcvd.reason


class House:
    """An engine, a hub and a socket server."""

    def __init__(self, engine: Engine, hub: Hub, server: Server) -> None:
        self.engine = engine
        self.hub = hub
        self.server = server
        self.port: int = server.sockets[0].getsockname()[1]

    def open(self, **request: object) -> Session:
        defaults: dict[str, object] = {"size": {"width": 128, "height": 96}, "camera_visible": "all"}
        return self.engine.open(convert({**defaults, **request}, SessionRequest))

    def url(self, session: Session, role: str = "controller", **query: object) -> str:
        said = "&".join(f"{key}={value}" for key, value in query.items())
        return f"ws://127.0.0.1:{self.port}/v1/sessions/{session.id}/socket?{said}&role={role}"

    @asynccontextmanager
    async def peer(self, session: Session, role: str = "controller", **query: object) -> AsyncIterator[Peer]:
        async with open_socket(self.url(session, role, **query), compression=None, proxy=None) as socket:
            yield Peer(socket)


Start = Callable[..., Awaitable[House]]


def _role(request: Request, query: dict[str, list[str]]) -> Role:
    viewer = query.get("role") == ["viewer"] or request.headers.get("Authorization") == "Bearer viewer"
    return "viewer" if viewer else "controller"


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a house with a model and a clock for its connections; all of them are taken down after the test."""
    async with AsyncExitStack() as stack:

        async def begin(model: str = "null", clock: Clock | None = None) -> House:
            engine = Engine(EngineConfig(model=model, worker_mode="thread"))
            hub = Hub(engine.metrics, end=engine.end, clock=clock)

            async def answer(connection: ServerConnection) -> None:
                assert connection.request
                parts = urlsplit(connection.request.path)
                query = parse_qs(parts.query)
                channel = SocketChannel(connection)
                try:
                    session = engine.get(parts.path.split("/")[3])
                except NoSuchSession:
                    await channel.close(4404, "no such session")
                    return
                await serve(
                    channel,
                    session,
                    _role(connection.request, query),
                    publish=query.get("publish") == ["1"],
                    view=query.get("view") != ["0"],
                    fmt=Format(query.get("format", ["jpeg"])[0]),
                    hub=hub,
                )

            server = await serve_sockets(answer, "127.0.0.1", 0, compression=None, max_size=8 * 2**20)
            await engine.start()
            await engine.wait_ready()

            async def finish() -> None:
                await engine.close()
                server.close()
                await server.wait_closed()
                hub.close()

            stack.push_async_callback(finish)
            return House(engine, hub, server)

        async with asyncio.timeout(60):
            yield begin


@pytest.fixture
async def house(start: Start) -> House:
    return await start()
