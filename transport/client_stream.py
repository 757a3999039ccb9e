"""What the Python client hands out: decoded frames, and the stream of events."""

import asyncio
from collections import deque
from dataclasses import dataclass

from liveglass.engine.errors import LiveglassError
from liveglass.engine.frame import FrameKind, Pixels
from liveglass.transport import codecs
from liveglass.transport.header import HEADER_BYTES, Codec, FrameHeader
from liveglass.transport.messages import ServerEvent

_EVENTS_KEPT = 1000


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """One frame of the output, decoded.

    Attributes:
        slot: its place on the output grid; a gap is a slot that was not sent.
        kind: what it is; `generated` only when inference has just made it.
        pixels: uint8 [H, W, 3], RGB.
        version: the control version that made its generated base.
        source_us: publisher's clock, microseconds, of the newest camera frame that shaped it; 0 if none.
        age_us: microseconds from there back to the camera frame that its base was made from.
        holds_camera: whether camera pixels are in it.
        motion_age_ms: from the camera frame that it moves with to its arrival here, where this client publishes;
            else None, for the clocks differ.
        content_age_ms: the same for the camera frame that its content was generated from.
    """

    slot: int
    kind: FrameKind
    pixels: Pixels
    version: int
    source_us: int
    age_us: int
    holds_camera: bool
    motion_age_ms: float | None
    content_age_ms: float | None

    @classmethod
    def decode(cls, message: bytes, now_us: float | None) -> "LiveFrame":
        """Decode a binary message of the server; any thread.

        Args:
            now_us: microseconds on the publisher's clock; None where this client has another.

        Raises:
            MalformedFrame: not a frame of this protocol.
            MalformedPicture: its payload is damaged.
        """
        header = FrameHeader.unpack(message)
        payload = message[HEADER_BYTES:]
        raw = header.codec is Codec.RAW
        age_ms = None if now_us is None or not header.source_us else (now_us - header.source_us) / 1e3
        return cls(
            slot=header.seq,
            kind=header.kind.frame_kind or FrameKind.STANDBY,
            pixels=codecs.decode_raw(payload) if raw else codecs.decode_jpeg(payload),
            version=header.version,
            source_us=header.source_us,
            age_us=header.age_us,
            holds_camera=header.holds_camera,
            motion_age_ms=age_ms,
            content_age_ms=None if age_ms is None else age_ms + header.age_us / 1e3,
        )


class EventStream:
    """The events of one `Live.events()`. Keeps the last thousand for a reader that is slow."""

    def __init__(self) -> None:
        self._waiting: deque[ServerEvent] = deque(maxlen=_EVENTS_KEPT)
        self._changed = asyncio.Event()
        self._over = False
        self._error: LiveglassError | None = None

    def put(self, event: ServerEvent) -> None:
        """Another event came."""
        self._waiting.append(event)
        self._changed.set()

    def end(self, error: LiveglassError | None) -> None:
        """No more will come."""
        self._over, self._error = True, error
        self._changed.set()

    def __aiter__(self) -> "EventStream":
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._waiting:
            if self._over:
                raise self._error or StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()
