"""One encode for each format and rendition, many peers: a session's sink for WebRTC.

The OUTPUT THREAD encodes a slot once for each rendition that anybody watches and hands it to the event loop, where
every peer's sender takes it. Encoders are made in the pool, where nobody waits for them. Keyframe requests are
gathered, so that no viewer can make the encoder send nothing else. No frame with camera pixels leaves a session that
hides its camera.
"""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

import av
import msgspec
import structlog
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from liveglass.engine.clock import Clock
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.metrics import Metrics
from liveglass.engine.stream.session import Session
from liveglass.transport.header import MAX_U32
from liveglass.transport.messages import FrameMeta, encode
from liveglass.transport.webrtc.encoding import TIME_BASE, Rendition, VideoCodec, VideoEncoder

log = structlog.get_logger()

JOINER_WAITS_S = 0.25
LOSER_WAITS_S = 1.0

RtpOf = Callable[[int], int | None]
"""The raw RTP time stamp of the camera picture that came at these microseconds; None if it came another way."""


class VideoPacket(msgspec.Struct, frozen=True):
    """One encoded slot, cut into RTP payloads, shared by all peers of a rendition.

    Attributes:
        meta: the `frame.meta` event about it, as JSON.
        encoded_at: seconds on the server's clock.
    """

    slot: int
    kind: FrameKind
    payloads: tuple[bytes, ...]
    is_keyframe: bool
    meta: str
    encoded_at: float


class VideoViewer(Protocol):
    """A peer that watches. `put` runs on the event loop; `rendition` is read from the output thread."""

    @property
    def rendition(self) -> Rendition:
        """Which one it gets now."""
        ...

    def put(self, packet: VideoPacket) -> None:
        """Take a slot; never waits."""
        ...

    def flush(self) -> None:
        """Forget what waits, unless it is the safe picture."""
        ...


class KeyframeRule:
    """When the next keyframe is due: a joiner gets one within 250 ms of the last, losses one a second; pure."""

    def __init__(self) -> None:
        self._joined = False
        self._lost = False
        self._last = -math.inf

    def join(self) -> None:
        """Somebody new has nothing to start from."""
        self._joined = True

    def lose(self) -> None:
        """Somebody lost a picture (PLI, FIR)."""
        self._lost = True

    def take(self, now: float) -> bool:
        """Whether the picture of `now` is to be a keyframe; if so, all requests so far are met."""
        since = now - self._last
        is_due = (self._joined and since >= JOINER_WAITS_S) or (self._lost and since >= LOSER_WAITS_S)
        if is_due:
            self._joined = self._lost = False
            self._last = now
        return is_due


class _Track:
    """One rendition: its encoder, its packetizer and its keyframes."""

    def __init__(self, codec: VideoCodec, rendition: Rendition, session: Session) -> None:
        options = session.options
        self.keyframes = KeyframeRule()
        self.keyframes.join()
        self.encoder = VideoEncoder(codec, rendition, options.size, options.fps)
        # aiortc cuts an encoded picture into payloads (RFC 6184, RFC 7741); it never encodes here.
        self.packetizer = get_encoder(RTCRtpCodecParameters(mimeType=f"video/{codec}", clockRate=90_000))

    def payloads(self, data: bytes, pts: int) -> tuple[bytes, ...]:
        """`data` in pieces that fit a packet."""
        packet = av.Packet(data)
        packet.pts = pts
        packet.time_base = TIME_BASE
        return tuple(self.packetizer.pack(packet)[0])


class VideoFanOut:
    """A session's sink for one video codec, in up to two renditions."""

    def __init__(
        self,
        session: Session,
        codec: VideoCodec,
        *,
        clock: Clock,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
        pool: Executor,
        rtp_of: RtpOf,
    ) -> None:
        self._session = session
        self._codec = codec
        self._clock = clock
        self._metrics = metrics
        self._loop = loop
        self._pool = pool
        self._rtp_of = rtp_of
        # Both are replaced, never changed: the output thread reads them while viewers come and go.
        self._viewers: tuple[VideoViewer, ...] = ()
        self._tracks: dict[Rendition, _Track] = {}
        self._opening: set[Rendition] = set()

    @property
    def viewers(self) -> tuple[VideoViewer, ...]:
        """Who watches now."""
        return self._viewers

    def add(self, viewer: VideoViewer) -> None:
        """`viewer` watches from the next slot on that is a keyframe."""
        self._viewers = (*self._viewers, viewer)
        self.follow(viewer)

    def remove(self, viewer: VideoViewer) -> None:
        """`viewer` is gone; a rendition that nobody watches any more costs nothing."""
        self._viewers = tuple(other for other in self._viewers if other is not viewer)
        self._forget_unwatched()

    def follow(self, viewer: VideoViewer) -> None:
        """`viewer` joined its present rendition: give it a picture to start from."""
        self._forget_unwatched()
        rendition = viewer.rendition
        track = self._tracks.get(rendition)
        if track is not None:
            track.keyframes.join()
        elif rendition not in self._opening:
            self._opening.add(rendition)
            self._pool.submit(self._open, rendition)

    def lost_picture(self, viewer: VideoViewer) -> None:
        """`viewer` cannot decode what it gets (PLI, FIR): the next keyframe is for it."""
        track = self._tracks.get(viewer.rendition)
        if track is not None:
            track.keyframes.lose()

    def flush(self) -> None:
        """Panic: nothing that was encoded before it is sent any more, and what follows needs nothing of it."""
        for viewer in self._viewers:
            viewer.flush()
        for track in self._tracks.values():
            track.keyframes.join()

    def wants(self) -> bool:
        """Whether anybody watches a rendition that is open; asked once for each slot, on the output thread."""
        return bool(self._tracks)

    def deliver(self, output: OutputFrame) -> None:
        """Encode `output` once for each rendition and hand it to the event loop; on the output thread."""
        if not self._session.options.may_show(output):
            # The scheduler does not pick such a frame; if it ever does, it ends here.
            self._metrics.refused_camera.inc()
            return
        meta = self._meta(output)
        for rendition, track in self._tracks.items():
            began = self._clock.now()
            encoded = track.encoder.encode(output.pixels, output.pts, keyframe=track.keyframes.take(began))
            payloads = track.payloads(encoded.data, output.pts)
            encoded_at = self._clock.now()
            self._session.record_stage("encode", encoded_at - began)
            name = f"{self._codec.lower()}-{rendition}"
            self._metrics.encoded.labels(name).inc()
            self._metrics.encoded_bytes.labels(name).inc(len(encoded.data))
            packet = VideoPacket(output.slot & MAX_U32, output.kind, payloads, encoded.is_keyframe, meta, encoded_at)
            self._loop.call_soon_threadsafe(self._hand_over, rendition, packet)

    def _hand_over(self, rendition: Rendition, packet: VideoPacket) -> None:
        if self._session.state.state == "panic" and packet.kind is not FrameKind.STANDBY:
            return
        for viewer in self._viewers:
            if viewer.rendition is rendition:
                viewer.put(packet)

    def _open(self, rendition: Rendition) -> None:
        """Make an encoder, in the pool: opening a codec takes longer than a slot may be late."""
        try:
            track = _Track(self._codec, rendition, self._session)
        except av.FFmpegError:
            log.exception("an encoder cannot be opened", codec=self._codec, rendition=rendition)
            return
        self._loop.call_soon_threadsafe(self._opened, rendition, track)

    def _opened(self, rendition: Rendition, track: _Track) -> None:
        self._opening.discard(rendition)
        self._tracks = {**self._tracks, rendition: track}
        self._forget_unwatched()

    def _forget_unwatched(self) -> None:
        watched = {viewer.rendition for viewer in self._viewers}
        if not watched.issuperset(self._tracks):
            self._tracks = {name: track for name, track in self._tracks.items() if name in watched}

    def _meta(self, output: OutputFrame) -> str:
        provenance = output.base.provenance if output.base is not None else None
        has_source = bool(output.source_us)
        return encode(
            FrameMeta(
                slot=output.slot & MAX_U32,
                kind=output.kind,
                version=output.version,
                progress=1.0 if provenance is None else provenance.progress,
                src_rtp=self._rtp_of(output.source_us) if has_source else None,
                base_rtp=self._rtp_of(output.source_us - output.age_us) if has_source else None,
                generated_ms=None if provenance is None else round(provenance.stages.model * 1000, 2),
                age_ms=round(output.age_us / 1000, 2) if has_source else None,
                pts=output.pts,
                camera=output.holds_camera,
            )
        )
