"""One peer's camera: RTP in, whole pictures to the decode pool, losses asked for again. Event loop.

Takes the place of aiortc's own receiver, which waits for the next picture before it gives one away, asks for a lost
packet once, rebases time stamps, queues without bound and joins its decoder's thread on the event loop. Here the newest
decoded picture wins and its raw RTP time stamp stays with it.
"""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor

from aiortc import RTCDtlsTransport, RTCRtpReceiver
from aiortc.codecs import depayload, is_rtx
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    unwrap_rtx,
)

from liveglass.engine.clock import Clock
from liveglass.engine.errors import LiveglassError
from liveglass.transport.webrtc.assembler import EncodedPicture, Fragment, PictureAssembler, starts_keyframe
from liveglass.transport.webrtc.color_space import ColorSpace
from liveglass.transport.webrtc.decoding import CameraDecoder, CameraPicture
from liveglass.transport.webrtc.encoding import VideoCodec
from liveglass.transport.webrtc.rate import LightEstimator
from liveglass.transport.webrtc.tasks import Crash, Tasks

MOST_WAITING = 60
"""Encoded pictures that may wait for the decoder, over 2 s of them; beyond that a keyframe is cheaper."""
_REPORT_EVERY_S = 1.0
_POLL_S = 0.02
_UNKNOWN_TRIP_S = 0.05


class CameraReceiver(RTCRtpReceiver):
    """The receiving half of one peer's video line.

    Attributes:
        heard_at: when its peer last sent any RTP or RTCP of the camera, seconds on the server's clock.
    """

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        clock: Clock,
        pool: Executor,
        decoder: CameraDecoder,
        round_trip_s: Callable[[], float | None],
        on_picture: Callable[[CameraPicture, float], None],
        on_replaced: Callable[[int], None],
        on_fault: Callable[[LiveglassError], None],
        on_crash: Crash,
    ) -> None:
        super().__init__("video", transport)
        self.heard_at = clock.now()
        self._clock = clock
        self._pool = pool
        self._decoder = decoder
        self._round_trip_s = round_trip_s
        self._on_picture = on_picture
        self._on_replaced = on_replaced
        self._on_fault = on_fault
        self._assembler = PictureAssembler()
        self._RTCRtpReceiver__remote_bitrate_estimator = None  # thousands of objects that nobody asks
        self._estimator = LightEstimator()
        self._codecs: dict[int, RTCRtpCodecParameters] = {}
        self._rtx: dict[int, int] = {}
        self._streams: dict[int, StreamStatistics] = {}
        self._last_reports: dict[int, tuple[int, float]] = {}
        self._own_ssrc = 0
        self._media_ssrc: int | None = None
        self._waiting: list[tuple[VideoCodec, EncodedPicture]] = []
        self._arrived = asyncio.Event()
        self._incomplete = asyncio.Event()
        self._tasks = Tasks(on_crash)

    # --- what aiortc calls ------------------------------------------------------------------------------------------

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        """Start; called when DTLS is up."""
        if self._tasks:
            return
        self._codecs = {codec.payloadType: codec for codec in parameters.codecs if codec.payloadType is not None}
        self._rtx = {encoding.rtx.ssrc: encoding.ssrc for encoding in parameters.encodings if encoding.rtx}
        self.transport._register_rtp_receiver(self, parameters)
        self._tasks.start(self._decode(), self._ask_for_missing(), self._send_reports())

    async def stop(self) -> None:
        """Stop for good; a picture that is being decoded is not waited for by anybody else."""
        if not self._tasks:
            return
        self.transport._unregister_rtp_receiver(self)
        await self._tasks.end()
        if self._track is not None:
            self._track.stop()

    def _set_rtcp_ssrc(self, ssrc: int) -> None:
        self._own_ssrc = ssrc

    def _handle_disconnect(self) -> None:
        """The transport is gone; `stop` clears up."""

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        self.heard_at = self._clock.now()
        if isinstance(packet, RtcpSrPacket):
            middle = (packet.sender_info.ntp_timestamp >> 16) & 0xFFFF_FFFF
            self._last_reports[packet.ssrc] = middle, self.heard_at

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now = self.heard_at = self._clock.now()
        if not self._enabled:
            return
        await self._estimate(packet, arrival_time_ms)
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return
        self._count(packet, codec)
        original = self._unwrapped(packet, codec)
        if original is None:
            return
        fragment = _fragment(*original, color_space=getattr(packet.extensions, "color_space", None))
        if fragment is None:
            return
        self._media_ssrc = original[0].ssrc
        pictures = self._assembler.add(fragment, now)
        if self._assembler.is_waiting:
            self._incomplete.set()
        if pictures:
            self._queue(VideoCodec(original[1].name.upper()), pictures)

    # --- packets ----------------------------------------------------------------------------------------------------

    async def _estimate(self, packet: RtpPacket, arrival_ms: int) -> None:
        """Tell the sender what the link seems to carry (REMB), from when packets were sent and when they came."""
        if packet.extensions.abs_send_time is None:
            return
        estimate = self._estimator.add(
            abs_send_time=packet.extensions.abs_send_time,
            arrival_time_ms=arrival_ms,
            payload_size=len(packet.payload) + packet.padding_size,
            ssrc=packet.ssrc,
        )
        if estimate is not None:
            fci = pack_remb_fci(*estimate)
            await self._send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=self._own_ssrc, media_ssrc=0, fci=fci))

    def _count(self, packet: RtpPacket, codec: RTCRtpCodecParameters) -> None:
        if packet.ssrc not in self._streams:
            if len(self._streams) >= 8:
                return  # a stranger who makes up sources
            self._streams[packet.ssrc] = StreamStatistics(codec.clockRate)
        self._streams[packet.ssrc].add(packet)

    def _unwrapped(
        self, packet: RtpPacket, codec: RTCRtpCodecParameters
    ) -> tuple[RtpPacket, RTCRtpCodecParameters] | None:
        """The media packet itself, out of its retransmission where it is one."""
        if not is_rtx(codec):
            return packet, codec
        ssrc, original = self._rtx.get(packet.ssrc, self._media_ssrc), codec.parameters.get("apt")
        if ssrc is None or len(packet.payload) < 2 or not isinstance(original, int) or original not in self._codecs:
            return None
        return unwrap_rtx(packet, payload_type=original, ssrc=ssrc), self._codecs[original]

    # --- pictures ---------------------------------------------------------------------------------------------------

    def _queue(self, codec: VideoCodec, pictures: list[EncodedPicture]) -> None:
        if len(self._waiting) + len(pictures) > MOST_WAITING:
            self._waiting.clear()
            self._assembler.keyframe_needed()
            self._incomplete.set()
            return
        self._waiting.extend((codec, picture) for picture in pictures)
        self._arrived.set()

    async def _decode(self) -> None:
        """Feed everything that came to the decoder, and pass on the newest picture of it."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if not self._waiting:
                continue
            codec = self._waiting[0][0]
            pictures = [picture for its_codec, picture in self._waiting if its_codec is codec]
            self._waiting = [entry for entry in self._waiting if entry[0] is not codec]
            if self._waiting:
                self._arrived.set()
            began = self._clock.now()
            try:
                picture = await loop.run_in_executor(self._pool, self._decoder.decode, codec, pictures)
            except LiveglassError as error:
                self._assembler.keyframe_needed()
                self._incomplete.set()
                self._on_fault(error)
                continue
            if len(pictures) > 1:
                self._on_replaced(len(pictures) - 1)
            if picture is not None:
                self._on_picture(picture, self._clock.now() - began)

    # --- what is told the sender ------------------------------------------------------------------------------------

    async def _ask_for_missing(self) -> None:
        while True:
            await self._incomplete.wait()
            self._incomplete.clear()
            while self._assembler.is_waiting and self._media_ssrc is not None:
                trip = self._round_trip_s()
                wishes = self._assembler.wishes(self._clock.now(), _UNKNOWN_TRIP_S if trip is None else trip)
                if wishes.missing:
                    nack = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=self._own_ssrc, media_ssrc=self._media_ssrc)
                    nack.lost = sorted(wishes.missing)
                    await self._send_rtcp(nack)
                if wishes.keyframe:
                    pli = RtcpPsfbPacket(fmt=RTCP_PSFB_PLI, ssrc=self._own_ssrc, media_ssrc=self._media_ssrc)
                    await self._send_rtcp(pli)
                await asyncio.sleep(_POLL_S)  # packets come by themselves; what does not come has no event

    async def _send_reports(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S * (0.5 + random.random()))
            now = self._clock.now()
            reports = []
            for ssrc, stream in self._streams.items():
                middle, at = self._last_reports.get(ssrc, (0, now))
                reports.append(
                    RtcpReceiverInfo(
                        ssrc=ssrc,
                        fraction_lost=stream.fraction_lost,
                        packets_lost=stream.packets_lost,
                        highest_sequence=stream.max_seq or 0,
                        jitter=stream.jitter,
                        lsr=middle,
                        dlsr=int(min(65535.0, max(0.0, now - at)) * 65536) if middle else 0,
                    )
                )
            if reports:
                await self._send_rtcp(RtcpRrPacket(ssrc=self._own_ssrc, reports=reports))

    async def _send_rtcp(self, packet: AnyRtcpPacket) -> None:
        try:
            await self.transport._send_rtp(bytes(packet))
        except ConnectionError:
            return  # the peer is gone; its own watch ends it


def _fragment(packet: RtpPacket, codec: RTCRtpCodecParameters, color_space: ColorSpace | None) -> Fragment | None:
    """One packet's share of a picture; None if it is none of any codec that was agreed on."""
    try:
        data = depayload(codec, packet.payload) if packet.payload else b""
    except (ValueError, IndexError):
        return None
    return Fragment(
        sequence=packet.sequence_number,
        timestamp=packet.timestamp,
        is_last=bool(packet.marker),
        data=data,
        starts_keyframe=starts_keyframe(codec.name.upper(), packet.payload),
        color_space=color_space,
    )
