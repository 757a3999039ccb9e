"""Sends what was encoded once to one peer: RTP on the session's grid, retransmission, and what the link can carry.

Takes the place of aiortc's own sender, which would encode for each peer, hide its RTP origin and keep 128 packets for
retransmission. A slot's time stamp follows from the slot alone, and sender reports pair it with the grid, not with the
moment of sending. Event loop.
"""

import asyncio
import math
import random
import struct
from collections import deque
from collections.abc import Callable

import msgspec
from aiortc import RTCDtlsTransport, RTCRtpSender
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    unpack_remb_fci,
)

from liveglass.engine.clock import Clock, wall
from liveglass.engine.frame import FrameKind
from liveglass.engine.stream.grid import TICKS_PER_SECOND, Grid
from liveglass.transport.webrtc.congestion import LinkReport
from liveglass.transport.webrtc.encoding import VideoCodec
from liveglass.transport.webrtc.recent import Recent
from liveglass.transport.webrtc.renditions import VideoPacket
from liveglass.transport.webrtc.tasks import Crash, Tasks

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
MID = "urn:ietf:params:rtp-hdrext:sdes:mid"

HISTORY = 2048
"""Packets kept for retransmission: over 3 s at 4 Mbit/s, and a keyframe of 2 MB."""
MOST_WAITING = 12
BURST = 10
_PACED_SHARE = 0.7
_RESEND_AFTER_S = 0.01
_REPAIR_SHARE = 0.4
_LEAST_REPAIRS = 8_000
"""Bytes a second."""
_ASKED_WITHIN_S = 0.3
_ENOUGH_PACKETS = 16
_REPORT_EVERY_S = 1.0
_AT_ONCE = bytes([0x00, 0x00, 0x00])
"""Playout delay from 0 to 0 ms: every picture is shown as soon as it is decoded."""
_AS_LINK_NEEDS = bytes([0x00, 0x10, 0x14])
"""From 10 to 200 ms, as the receiver measures that repairs take: pictures come evenly, and none is passed over."""
_LOSSY_S = 5.0
_NTP_EPOCH_S = 2_208_988_800
_CLOCK_SPAN = 2**30
_MASK16, _MASK32 = 0xFFFF, 0xFFFF_FFFF


class _Sent(msgspec.Struct):
    sequence: int
    timestamp: int
    is_last: bool
    payload: bytes
    sent_at: float
    was_asked_for: bool = False


class SlotSender(RTCRtpSender):
    """The sending half of one peer's video line.

    Attributes:
        started: set when the transport is up and the codec is known.
        codec: what was negotiated; None before.
        heard_at: when its peer last sent any RTCP, seconds on the server's clock.
        rtp_origin, slot0: the time stamp of slot `slot0` is `rtp_origin`.
        dropped: slots not sent because too many waited.
    """

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        grid: Callable[[], Grid],
        clock: Clock,
        on_keyframe_needed: Callable[[], None],
        on_report: Callable[[LinkReport], None],
        on_crash: Crash,
    ) -> None:
        super().__init__("video", transport)
        self.started = asyncio.Event()
        self.codec: VideoCodec | None = None
        self.heard_at = clock.now()
        self.rtp_origin = random.getrandbits(32)
        self.slot0 = max(0, grid().slot_at(clock.now()))
        self.dropped = 0
        self.round_trip_s: float | None = None
        self._grid = grid
        self._clock = clock
        self._on_keyframe_needed = on_keyframe_needed
        self._on_report = on_report
        self._ticks = TICKS_PER_SECOND // grid().fps
        self._queue: deque[VideoPacket] = deque()
        self._wake = asyncio.Event()
        self._awaits_keyframe = True
        self._tasks = Tasks(on_crash)
        self._history: dict[int, _Sent] = {}
        self._sequence = random.getrandbits(15)  # the lower half: no early wrap, which upsets SRTP (RFC 3711, 3.3.1)
        self._rtx_sequence = random.getrandbits(15)
        self._payload_type = 0
        self._rtx_payload_type: int | None = None
        self._extensions = _Extensions()
        self._cname = ""
        self._packets = 0
        self._octets = 0
        self._reports: dict[int, float] = {}
        self._sent_bytes = Recent(1.0)
        self._resent_bytes = Recent(1.0)
        self._sent_packets = Recent(_ASKED_WITHIN_S)
        self._asked_packets = Recent(_ASKED_WITHIN_S)
        self._useful_from = self._sequence
        self._estimate_bps: int | None = None
        self._loss = 0.0
        self._lossy_until = -math.inf

    # --- for the peer -----------------------------------------------------------------------------------------------

    def put(self, packet: VideoPacket) -> bool:
        """Send a slot after those that wait; False if it is not sent.

        Where even half a second of slots waits, the peer gets a keyframe later instead.
        """
        if not self.started.is_set() or not self._enabled:
            return False
        if self._awaits_keyframe and not packet.is_keyframe:
            return False
        self._awaits_keyframe = False
        if len(self._queue) >= MOST_WAITING:
            self.dropped += len(self._queue) + 1
            self.start_anew()
            return False
        self._queue.append(packet)
        self._wake.set()
        return True

    def start_anew(self) -> None:
        """Forget what waits and send nothing until a keyframe comes, which is asked for."""
        self._queue.clear()
        self._awaits_keyframe = True
        self._on_keyframe_needed()

    def flush(self) -> None:
        """Forget what waits, unless it is the safe picture."""
        if any(packet.kind is not FrameKind.STANDBY for packet in self._queue):
            self.start_anew()

    def timestamp(self, slot: int) -> int:
        """The RTP time stamp of `slot`, 90 kHz, modulo 2³²."""
        return (self.rtp_origin + (slot - self.slot0) * self._ticks) & _MASK32

    def moved_origin(self, slot: int) -> bool:
        """Bring the origin near `slot` before the difference could wrap; True if it moved."""
        if (slot - self.slot0) * self._ticks < _CLOCK_SPAN:
            return False
        self.rtp_origin, self.slot0 = self.timestamp(slot), slot
        return True

    # --- what aiortc calls ------------------------------------------------------------------------------------------

    async def send(self, parameters: RTCRtpSendParameters) -> None:
        """Start; called when DTLS is up."""
        if self._tasks:
            return
        chosen = parameters.codecs[0]
        self.codec = VideoCodec(chosen.name.upper())
        self._payload_type = chosen.payloadType or 0
        self._rtx_payload_type = next(
            (c.payloadType for c in parameters.codecs if is_rtx(c) and c.parameters.get("apt") == chosen.payloadType),
            None,
        )
        self._cname = parameters.rtcp.cname or ""
        self._extensions = _Extensions.of(parameters)
        self.transport._register_rtp_sender(self, parameters)
        self._tasks.start(self._send_slots(), self._send_reports())
        self.started.set()

    async def stop(self) -> None:
        """Stop for good and say goodbye (RFC 3550, 6.6)."""
        if not self._tasks:
            return
        self.transport._unregister_rtp_sender(self)
        await self._tasks.end()
        await self._send_rtcp([RtcpByePacket(sources=[self._ssrc])])

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        self.heard_at = self._clock.now()
        if isinstance(packet, RtcpRrPacket | RtcpSrPacket):
            for report in packet.reports:
                if report.ssrc == self._ssrc:
                    self._loss = report.fraction_lost / 256
                    self._measure_round_trip(report.lsr, report.dlsr)
                    self._report()
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            self._lossy_until = self.heard_at + _LOSSY_S
            for sequence in packet.lost:
                await self._send_again(sequence)
            self._report()
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt in {RTCP_PSFB_PLI, RTCP_PSFB_FIR}:
            self._on_keyframe_needed()
        elif isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_APP:
            self._read_estimate(packet.fci)

    # --- the way out ------------------------------------------------------------------------------------------------

    async def _send_slots(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                try:
                    await self._send_slot(self._queue.popleft())
                except ConnectionError:
                    return  # the peer's own watch sees that, too, and ends it

    async def _send_slot(self, packet: VideoPacket) -> None:
        """One slot in one burst, or, where it is large, in several across the slot: queues on the way are short."""
        timestamp = self.timestamp(packet.slot)
        last = len(packet.payloads) - 1
        bursts = last // BURST
        pause = min(0.005, _PACED_SHARE * self._grid().period / bursts) if bursts else 0.0
        if packet.is_keyframe:
            self._useful_from = self._sequence
        for i, payload in enumerate(packet.payloads):
            if i and i % BURST == 0:
                await asyncio.sleep(pause)
            sent = _Sent(self._sequence, timestamp, i == last, payload, self._clock.now())
            self._history[self._sequence % HISTORY] = sent
            self._sequence = (self._sequence + 1) & _MASK16
            self._sent_packets.add(sent.sent_at, 1)
            await self._send_packet(self._payload_type, sent.sequence, self._ssrc, sent, payload)

    async def _send_again(self, sequence: int) -> None:
        """Retransmit, in its own stream where that was negotiated (RFC 4588).

        Not what came before the newest keyframe, which nobody needs any more, and not more than a share of what is sent
        anyway: on a link that is too thin, repairs would take the place of the pictures.
        """
        sent = self._history.get(sequence % HISTORY)
        now = self._clock.now()
        if sent is None or sent.sequence != sequence:
            return
        if not sent.was_asked_for:
            sent.was_asked_for = True
            self._asked_packets.add(now, 1)
        most = max(_LEAST_REPAIRS, _REPAIR_SHARE * self._sent_bytes.total(now))
        is_useless = (sequence - self._useful_from) & _MASK16 > _MASK16 // 2
        if is_useless or now - sent.sent_at < _RESEND_AFTER_S or self._resent_bytes.total(now) >= most:
            return
        self._resent_bytes.add(now, len(sent.payload))
        sent.sent_at = now
        if self._rtx_payload_type is None:
            await self._send_packet(self._payload_type, sequence, self._ssrc, sent, sent.payload)
            return
        payload = struct.pack("!H", sequence) + sent.payload
        await self._send_packet(self._rtx_payload_type, self._rtx_sequence, self._rtx_ssrc, sent, payload)
        self._rtx_sequence = (self._rtx_sequence + 1) & _MASK16

    async def _send_packet(self, payload_type: int, sequence: int, ssrc: int, sent: _Sent, payload: bytes) -> None:
        now = self._clock.now()
        marked = payload_type | (0x80 if sent.is_last else 0)
        delay = _AS_LINK_NEEDS if now < self._lossy_until else _AT_ONCE
        header = struct.pack("!BBHLL", 0x90, marked, sequence, sent.timestamp, ssrc) + self._extensions.pack(now, delay)
        self._packets += 1
        self._octets += len(payload)
        self._sent_bytes.add(now, len(header) + len(payload))
        await self.transport._send_rtp(header + payload)

    async def _send_reports(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_EVERY_S * (0.5 + random.random()))
            now = self._clock.now()
            grid = self._grid()  # it slides
            position = (now - grid.t0) * grid.fps - self.slot0
            ntp = int((wall() + _NTP_EPOCH_S) * 2**32)
            self._reports[(ntp >> 16) & _MASK32] = now
            if len(self._reports) > 8:
                del self._reports[next(iter(self._reports))]
            info = RtcpSenderInfo(
                ntp_timestamp=ntp,
                rtp_timestamp=(self.rtp_origin + round(position * self._ticks)) & _MASK32,
                packet_count=self._packets & _MASK32,
                octet_count=self._octets & _MASK32,
            )
            name = RtcpSourceInfo(ssrc=self._ssrc, items=[(1, self._cname.encode())])
            await self._send_rtcp([RtcpSrPacket(ssrc=self._ssrc, sender_info=info), RtcpSdesPacket(chunks=[name])])
            self._report()

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        try:
            await self.transport._send_rtp(b"".join(map(bytes, packets)))
        except ConnectionError:
            return  # it is over; nothing is left to say

    # --- what comes back --------------------------------------------------------------------------------------------

    def _measure_round_trip(self, last_report: int, delay: int) -> None:
        """RFC 3550, 6.4.1: now − when that report was sent − how long the peer kept it."""
        sent_at = self._reports.get(last_report)
        if sent_at is None:
            return
        trip = max(0.0, self._clock.now() - sent_at - delay / 65536)
        known = self.round_trip_s
        self.round_trip_s = trip if known is None else 0.75 * known + 0.25 * trip

    def _read_estimate(self, fci: bytes) -> None:
        try:
            bitrate, ssrcs = unpack_remb_fci(fci)
        except ValueError:
            return  # another application's message
        if self._ssrc in ssrcs:
            self._estimate_bps = bitrate
            self._report()

    def _report(self) -> None:
        now = self._clock.now()
        packets = self._sent_packets.total(now)
        asked = self._asked_packets.total(now) / packets if packets >= _ENOUGH_PACKETS else 0.0
        sent_bps = self._sent_bytes.total(now) * 8.0
        self._on_report(LinkReport(self._estimate_bps, self._loss, min(1.0, asked), sent_bps, self.round_trip_s))


class _Extensions(msgspec.Struct, frozen=True):
    """The RTP header extensions that were negotiated (RFC 8285, one-byte form), by their ids; 0 where not."""

    abs_send_time: int = 0
    playout_delay: int = 0
    fixed: bytes = b""

    @classmethod
    def of(cls, parameters: RTCRtpSendParameters) -> "_Extensions":
        ids = {extension.uri: extension.id for extension in parameters.headerExtensions if 1 <= extension.id <= 14}
        mid, name = ids.get(MID, 0), parameters.muxId.encode()
        fixed = bytes([mid << 4 | (len(name) - 1)]) + name if mid and 1 <= len(name) <= 16 else b""
        return cls(ids.get(ABS_SEND_TIME, 0), ids.get(PLAYOUT_DELAY, 0), fixed)

    def pack(self, now: float, playout_delay: bytes) -> bytes:
        """The extension block at `now`, seconds."""
        elements = self.fixed
        if self.playout_delay:
            elements += bytes([self.playout_delay << 4 | 2]) + playout_delay
        if self.abs_send_time:
            stamp = int(now * 2**18) & 0xFF_FFFF  # 6.18 fixed point seconds
            elements += bytes([self.abs_send_time << 4 | 2]) + stamp.to_bytes(3, "big")
        elements += bytes(-len(elements) % 4)
        return struct.pack("!HH", 0xBEDE, len(elements) // 4) + elements
