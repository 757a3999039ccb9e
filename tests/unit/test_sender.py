"""The sending half of a peer, on a transport that keeps what it is given."""

import pytest
from aiortc.rtcrtpparameters import (
    RTCRtcpParameters,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpSendParameters,
)
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpRtpfbPacket, RtpPacket, is_rtcp, unpack_header_extensions, unwrap_rtx

from liveglass.engine.clock import ManualClock
from liveglass.engine.frame import FrameKind
from liveglass.engine.stream.grid import Grid
from liveglass.transport.webrtc.renditions import VideoPacket
from liveglass.transport.webrtc.sender import MID, PLAYOUT_DELAY, SlotSender

VIDEO, RTX, DELAY_ID = 96, 97, 5
AT_ONCE, AS_LINK_NEEDS = (0, 0), (10, 200)


class Cable:
    """A transport that is always up."""

    state = "new"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def _send_rtp(self, data: bytes) -> None:
        if not is_rtcp(data):
            self.sent.append(data)

    def _register_rtp_sender(self, sender, parameters) -> None: ...

    def _unregister_rtp_sender(self, sender) -> None: ...

    def last(self) -> tuple[RtpPacket, tuple[int, int]]:
        """The last packet, and the playout delay that it asks for, from and to, milliseconds."""
        data = self.sent[-1]
        length = int.from_bytes(data[14:16], "big") * 4
        values = dict(unpack_header_extensions(int.from_bytes(data[12:14], "big"), data[16 : 16 + length]))
        both = int.from_bytes(values[DELAY_ID], "big")
        return RtpPacket.parse(data), ((both >> 12) * 10, (both & 0xFFF) * 10)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def cable(clock):
    return Cable()


@pytest.fixture
async def sender(cable, clock):
    grid = Grid(clock.now(), 24)
    crashes: list[BaseException] = []
    sender = SlotSender(
        cable,
        grid=lambda: grid,
        clock=clock,
        on_keyframe_needed=lambda: None,
        on_report=lambda report: None,
        on_crash=crashes.append,
    )
    codecs = [
        RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90_000, payloadType=VIDEO),
        RTCRtpCodecParameters(mimeType="video/rtx", clockRate=90_000, payloadType=RTX, parameters={"apt": VIDEO}),
    ]
    extensions = [RTCRtpHeaderExtensionParameters(1, MID), RTCRtpHeaderExtensionParameters(DELAY_ID, PLAYOUT_DELAY)]
    parameters = RTCRtpSendParameters(
        codecs=codecs, headerExtensions=extensions, muxId="0", rtcp=RTCRtcpParameters(cname="a")
    )
    await sender.send(parameters)
    yield sender
    await sender.stop()
    assert not crashes


async def send(sender, slot: int) -> None:
    packet = VideoPacket(slot, FrameKind.GENERATED, (b"one", b"two"), is_keyframe=True, meta="", encoded_at=0.0)
    await sender._send_slot(packet)


async def lose(sender, packet: RtpPacket) -> None:
    nack = RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=packet.ssrc)
    nack.lost = [packet.sequence_number]
    await sender._handle_rtcp_packet(nack)


async def test_a_lost_packet_is_sent_again_in_its_own_stream(sender, cable, clock) -> None:
    await send(sender, 1)
    packet, _ = cable.last()
    clock.advance(0.05)
    await lose(sender, packet)
    again, _ = cable.last()
    assert (len(cable.sent), again.payload_type) == (3, RTX)
    healed = unwrap_rtx(again, payload_type=VIDEO, ssrc=packet.ssrc)
    assert (healed.sequence_number, healed.timestamp, healed.payload, healed.marker) == (
        *(packet.sequence_number, packet.timestamp, b"two", 1),
    )


async def test_a_packet_is_not_sent_twice_for_two_wishes_at_once(sender, cable, clock) -> None:
    await send(sender, 1)
    packet, _ = cable.last()
    clock.advance(0.05)
    await lose(sender, packet)
    await lose(sender, packet)
    assert len(cable.sent) == 3


async def test_pictures_are_shown_at_once_until_packets_are_lost_and_again_five_seconds_after(
    sender, cable, clock
) -> None:
    await send(sender, 1)
    packet, delay = cable.last()
    assert delay == AT_ONCE
    clock.advance(0.05)
    await lose(sender, packet)
    await send(sender, 2)
    assert cable.last()[1] == AS_LINK_NEEDS
    clock.advance(4.9)
    await send(sender, 3)
    assert cable.last()[1] == AS_LINK_NEEDS
    clock.advance(0.2)
    await send(sender, 4)
    assert cable.last()[1] == AT_ONCE
