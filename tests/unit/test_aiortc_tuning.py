"""What `transport/aiortc_tuning.py` and our halves of a peer rely on in aiortc: a change upstream fails here first.

A failure means: read the new source, decide whether the reason for ours still holds, then write the new hash down.
"""

import hashlib
import inspect

import aiortc
import pytest
from aiortc import codecs, rtcdtlstransport, rtcpeerconnection, rtcrtpreceiver, rtcrtpsender, rtcrtptransceiver, rtp
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcicetransport import RTCIceGatherer
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters

from liveglass.transport import aiortc_tuning
from liveglass.transport.webrtc.color_space import COLOR_SPACE
from liveglass.transport.webrtc.gatherer import Gatherer
from liveglass.transport.webrtc.receiver import CameraReceiver
from liveglass.transport.webrtc.sender import PLAYOUT_DELAY, SlotSender

PEER = rtcpeerconnection.RTCPeerConnection
READ = {
    "createTransceiver": (PEER._RTCPeerConnection__createTransceiver, "00201d6e03cc"),
    "createDtlsTransport": (PEER._RTCPeerConnection__createDtlsTransport, "ad91de689a33"),
    "setRemoteDescription": (PEER.setRemoteDescription, "42c5e2eb7ca5"),
    "setLocalDescription": (PEER.setLocalDescription, "ff409406ce1d"),
    "connect": (PEER._RTCPeerConnection__connect, "9199a73a7cde"),
    "close": (PEER.close, "7e2df1bb95eb"),
    "sender": (rtcrtpsender.RTCRtpSender, "57274ec81025"),
    "receiver": (rtcrtpreceiver.RTCRtpReceiver, "9a485e6f515f"),
    "transceiver": (rtcrtptransceiver.RTCRtpTransceiver, "008f7efb6084"),
    "router": (rtcdtlstransport.RtpRouter, "75abd1c0faf2"),
    "send_rtp": (rtcdtlstransport.RTCDtlsTransport._send_rtp, "763b02bceb0b"),
    "extensions map": (rtp.HeaderExtensionsMap, "b2094056d6bc"),
    "depayload": (codecs.depayload, "8b0e13b90b62"),
    "unwrap_rtx": (rtp.unwrap_rtx, "9b428a97cc83"),
}


def digest(thing) -> str:
    return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()[:12]


def test_aiortc_is_the_version_that_was_read() -> None:
    assert aiortc.__version__ == aiortc_tuning.AIORTC


@pytest.mark.parametrize("name", READ)
def test_what_is_overridden_or_relied_on_is_as_it_was_read(name) -> None:
    thing, read = READ[name]
    assert digest(thing) == read, f"aiortc changed: {thing}"


def test_aiortc_still_asks_a_public_stun_service_unless_told_otherwise_and_ours_never_does() -> None:
    assert RTCIceGatherer.getDefaultIceServers()
    assert Gatherer.getDefaultIceServers() == []


def test_aiortc_still_waits_for_the_next_picture_and_ours_does_not() -> None:
    buffer = JitterBuffer(capacity=16, is_video=True)
    packet = rtp.RtpPacket(sequence_number=7, timestamp=1, marker=1, payload=b"x")
    packet._data = b"x"
    assert buffer.add(packet) == (False, None), "aiortc honours the marker bit now: the assembler may go"


def test_our_halves_answer_to_everything_that_aiortc_calls() -> None:
    for ours, theirs in ((SlotSender, rtcrtpsender.RTCRtpSender), (CameraReceiver, rtcrtpreceiver.RTCRtpReceiver)):
        assert issubclass(ours, theirs)
        for name in ("stop", "_handle_rtcp_packet"):
            assert getattr(ours, name) is not getattr(theirs, name)


def _transceiver(*names: str):
    made = rtcrtptransceiver.RTCRtpTransceiver("video", None, None)
    made._codecs = [codec for codec in codecs.CODECS["video"] if codec.name in names]
    payload_types = {codec.payloadType for codec in made._codecs}
    made._codecs += [c for c in codecs.CODECS["video"] if c.parameters.get("apt") in payload_types]
    made._codecs = [
        type(c)(**{f: getattr(c, f) for f in c.__dataclass_fields__} | {"parameters": dict(c.parameters)})
        for c in made._codecs
    ]
    return made


def test_h264_comes_before_vp8_each_with_its_retransmission_and_a_useful_first_bit_rate() -> None:
    transceiver = _transceiver("VP8", "H264")
    uris = {5: PLAYOUT_DELAY, 6: "x", 7: COLOR_SPACE}
    offered = [RTCRtpHeaderExtensionParameters(id=identifier, uri=uri) for identifier, uri in uris.items()]
    aiortc_tuning.prefer(transceiver, offered)
    names = [codec.name for codec in transceiver._codecs]
    assert names[:2] == ["H264", "rtx"]
    assert transceiver._codecs[1].parameters["apt"] == transceiver._codecs[0].payloadType
    assert set(names) == {"H264", "VP8", "rtx"}
    assert transceiver._codecs[0].parameters["x-google-start-bitrate"] == str(aiortc_tuning.START_KBPS)
    assert [extension.id for extension in transceiver._headerExtensions] == [5, 7]
