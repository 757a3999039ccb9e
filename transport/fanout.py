"""One encode, many viewers: a slow viewer loses only its own frames.

A `FanOut` is a session's sink for one format. The OUTPUT THREAD asks whether anybody could take a frame, encodes it
once and hands it to the event loop; there every viewer has one place, and the newest wins. Nothing here waits for a
socket, and no frame with camera pixels leaves a session that hides its camera.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum

import msgspec

from liveglass.engine.clock import Clock
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.metrics import Metrics
from liveglass.engine.stream.session import Session
from liveglass.transport import codecs
from liveglass.transport.flow import ViewerWindow
from liveglass.transport.header import MAX_U32, Codec, Flags, FrameHeader, WireKind


class Format(StrEnum):
    """What a viewer asks for in `format=`."""

    JPEG = "jpeg"
    RAW = "raw"


class Packet(msgspec.Struct, frozen=True):
    """One encoded slot, header included, shared by all viewers of a format.

    Attributes:
        encoded_at: seconds on the server's clock.
    """

    slot: int
    kind: FrameKind
    message: bytes
    encoded_at: float


class Viewer:
    """One watcher's place: at most one packet waits in it, and a newer one replaces it.

    Belongs to the event loop; only `has_room` is read from the output thread.

    Attributes:
        dropped: frames that were not sent to this viewer.
    """

    def __init__(self, fps: int, wake: Callable[[], None]) -> None:
        self.window = ViewerWindow(fps)
        self.dropped = 0
        self._wake = wake
        self._waiting: Packet | None = None

    def has_room(self, now: float) -> bool:
        """Whether a frame encoded now could be sent to this viewer; any thread."""
        return self.window.has_room(now, waiting=0 if self._waiting is None else 1)

    def put(self, packet: Packet, now: float) -> bool:
        """Leave `packet` to be sent; False if that cost this viewer a frame."""
        if not self.has_room(now):
            self.dropped += 1
            return False
        replaced = self._waiting is not None
        self._waiting = packet
        self.dropped += replaced
        self._wake()
        return not replaced

    def take(self, now: float) -> Packet | None:
        """The packet to send now; from here on it counts as on its way."""
        packet, self._waiting = self._waiting, None
        if packet is not None:
            self.window.sent(packet.slot, now)
        return packet

    def flush(self) -> None:
        """Forget what waits, unless it is the safe picture."""
        if self._waiting is not None and self._waiting.kind is not FrameKind.STANDBY:
            self._waiting = None


class FanOut:
    """A session's sink for one format."""

    def __init__(
        self,
        session: Session,
        fmt: Format,
        *,
        clock: Clock,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._session = session
        self._fmt = fmt
        self._clock = clock
        self._metrics = metrics
        self._loop = loop
        # Replaced, never changed: the output thread reads it while viewers come and go.
        self._viewers: tuple[Viewer, ...] = ()

    @property
    def viewers(self) -> tuple[Viewer, ...]:
        """Who watches now."""
        return self._viewers

    def add(self, viewer: Viewer) -> None:
        """`viewer` watches from the next slot on."""
        self._viewers = (*self._viewers, viewer)

    def remove(self, viewer: Viewer) -> None:
        """`viewer` is gone."""
        self._viewers = tuple(other for other in self._viewers if other is not viewer)

    def flush(self) -> None:
        """Panic: nothing that was encoded before it is sent any more."""
        for viewer in self._viewers:
            viewer.flush()

    def wants(self) -> bool:
        """Whether any viewer could take a frame now; asked once for each slot, on the output thread."""
        viewers, now = self._viewers, self._clock.now()
        if any(viewer.has_room(now) for viewer in viewers):
            return True
        if viewers:
            self._loop.call_soon_threadsafe(self._nobody_could, viewers)
        return False

    def deliver(self, output: OutputFrame) -> None:
        """Encode `output` once and hand it to the event loop; on the output thread."""
        if not self._session.options.may_show(output):
            # The scheduler does not pick such a frame; if it ever does, it ends here.
            self._metrics.refused_camera.inc()
            return
        began = self._clock.now()
        message = encode_output(output, self._fmt)
        encoded_at = self._clock.now()
        self._session.record_stage("encode", encoded_at - began)
        self._metrics.encoded.labels(self._fmt.value).inc()
        self._metrics.encoded_bytes.labels(self._fmt.value).inc(len(message))
        packet = Packet(output.slot & MAX_U32, output.kind, message, encoded_at)
        self._loop.call_soon_threadsafe(self._hand_over, packet)

    def _hand_over(self, packet: Packet) -> None:
        if self._session.state.state == "panic" and packet.kind is not FrameKind.STANDBY:
            return
        now = self._clock.now()
        self._count(sum(not viewer.put(packet, now) for viewer in self._viewers))

    def _nobody_could(self, viewers: tuple[Viewer, ...]) -> None:
        for viewer in viewers:
            viewer.dropped += 1
        self._count(len(viewers))

    def _count(self, dropped: int) -> None:
        if dropped:
            self._metrics.dropped.inc(dropped)
            self._session.count_dropped(dropped)


def encode_output(output: OutputFrame, fmt: Format) -> bytes:
    """The binary message of one slot: header and payload."""
    header = FrameHeader(
        kind=WireKind.of(output.kind),
        codec=Codec.JPEG if fmt is Format.JPEG else Codec.RAW,
        flags=Flags.KEYFRAME | (Flags.CAMERA if output.holds_camera else Flags.NONE),
        seq=output.slot & MAX_U32,
        source_us=output.source_us,
        version=output.version & MAX_U32,
        age_us=min(MAX_U32, max(0, output.age_us)),
    )
    encode = codecs.encode_jpeg if fmt is Format.JPEG else codecs.encode_raw
    return header.pack() + encode(output.pixels)
