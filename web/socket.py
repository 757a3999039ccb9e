"""The WebSocket of a session: who may in, then everything is the transport's. Event loop.

A refusal after the handshake is an accepted connection that closes with its code, because browsers cannot read a
refused handshake.
"""

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from liveglass.engine.errors import (
    InvalidValue,
    LiveglassError,
    NoSuchSession,
    NotAllowed,
    NotAvailable,
    ServerClosing,
    TokenRefused,
    Unavailable,
)
from liveglass.engine.stream.session import Session
from liveglass.transport.channel import ChannelClosed
from liveglass.transport.fanout import Format
from liveglass.transport.framesocket import serve
from liveglass.web.auth import SUBPROTOCOL, Claim, need_controller, subprotocols
from liveglass.web.house import House

_CODES: tuple[tuple[type[LiveglassError], int], ...] = (
    (TokenRefused, 4401),
    (NoSuchSession, 4404),
    (NotAllowed, 4403),
    (ServerClosing, 1001),
    (Unavailable, 1013),
    (LiveglassError, 1008),
)
_COMING = frozenset({"h264", "webp"})
_MAX_REASON_BYTES = 120


class SocketRoutes:
    """`WS /v1/sessions/{id}/socket`."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[BaseRoute]:
        """The route."""
        return [WebSocketRoute("/v1/sessions/{id}/socket", self.serve)]

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, whole."""
        await websocket.accept(subprotocol=_echoed(subprotocols(websocket.headers)))
        channel = StarletteChannel(websocket)
        try:
            session, claim = self._house.enter(websocket)
            publish = _flag(websocket, "publish", default=False)
            view = _flag(websocket, "view", default=True)
            fmt = _format(websocket)
            if publish:
                need_controller(claim)
        except LiveglassError as error:
            self._house.engine.metrics.errors.labels(error.code).inc()
            await channel.close(_code(error), f"{error.code}: {error.message}")
            return
        await self._connect(channel, session, claim, publish=publish, view=view, fmt=fmt)

    async def _connect(
        self, channel: "StarletteChannel", session: Session, claim: Claim, *, publish: bool, view: bool, fmt: Format
    ) -> None:
        await serve(channel, session, claim.role, publish=publish, view=view, fmt=fmt, hub=self._house.hub)


class StarletteChannel:
    """A Starlette WebSocket as the transport's `Channel`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._closed = False

    async def receive(self) -> str | bytes:
        """The next message; raises ChannelClosed when the peer has closed."""
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            raise ChannelClosed
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise ChannelClosed(message.get("code"))
        text: str | None = message.get("text")
        if text is not None:
            return text
        data: bytes = message["bytes"]
        return data

    async def send_text(self, text: str) -> None:
        """Send an event; waits while the kernel's buffer is full. Raises ChannelClosed."""
        await self._send({"type": "websocket.send", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a frame; waits while the kernel's buffer is full. Raises ChannelClosed."""
        await self._send({"type": "websocket.send", "bytes": data})

    async def close(self, code: int, reason: str) -> None:
        """Close with a code; a second time, or after the peer, nothing happens."""
        if self._closed:
            return
        self._closed = True
        if self._websocket.client_state is WebSocketState.DISCONNECTED:
            return
        try:
            await self._websocket.close(code, _short(reason))
        except (WebSocketDisconnect, RuntimeError):
            return  # the peer was faster

    async def _send(self, message: dict[str, object]) -> None:
        if self._closed or self._websocket.client_state is WebSocketState.DISCONNECTED:
            raise ChannelClosed
        try:
            await self._websocket.send(message)
        except WebSocketDisconnect as gone:
            raise ChannelClosed(gone.code) from None


def _echoed(offered: list[str]) -> str | None:
    """The subprotocol to accept: a browser that offered some wants one of them back."""
    return next((name for name in offered if name.startswith(SUBPROTOCOL)), offered[0] if offered else None)


def _code(error: LiveglassError) -> int:
    return next(code for kind, code in _CODES if isinstance(error, kind))


def _short(reason: str) -> str:
    """A close reason has at most 123 bytes of UTF-8 (RFC 6455, 5.5)."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")


def _flag(websocket: WebSocket, name: str, *, default: bool) -> bool:
    value = websocket.query_params.get(name)
    if value is None:
        return default
    if value not in {"0", "1"}:
        raise InvalidValue(f"{name}={value[:40]!r} is neither 0 nor 1.", field=name)
    return value == "1"


def _format(websocket: WebSocket) -> Format:
    value = websocket.query_params.get("format", "jpeg")
    if value in _COMING:
        raise NotAvailable(f"format={value} is not in this version.", hint="Use format=jpeg.", field="format")
    if value not in set(Format):
        raise InvalidValue(f"There is no format {value[:40]!r}.", hint="Use jpeg or raw.", field="format")
    return Format(value)
