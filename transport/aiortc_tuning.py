"""Every place where this server depends on how aiortc works inside; nothing else does. Event loop.

Read in aiortc 1.16.0; `tests/unit/test_aiortc_tuning.py` fails when upstream changes one of them.
Subclasses and configuration, no patched modules:

* `TunedConnection` puts our own sender, receiver and gatherer where aiortc would make its own (it has no factory):
  - aiortc's receiver gives a picture away when the next one begins, asks for a lost packet once, skips no gap, rebases
    time stamps, queues decoded frames without bound and joins its decoder's thread on the event loop;
  - its sender encodes for each peer, keeps its RTP origin to itself, drops keyframe requests of packets encoded
    elsewhere, pairs sender reports with the moment of sending, and keeps 128 packets for retransmission;
  - its gatherer asks a public STUN service unless told otherwise, skips loopback, and knows no port range.
* Everything is bundled on one transport (RFC 9143); audio is answered inactive until there is some.
* `prefer`: H.264 before VP8 where both are offered, with `x-google-start-bitrate` (Chrome starts at 300 kbit/s
  without transport-wide congestion control, which aiortc does not have) and the header extensions for the playout delay
  and the colour space, which aiortc does not know; `PictureExtensionsMap` reads the latter.
What needed no change: `av` decodes in one thread with low delay because we open the codec ourselves (decoding.py), and
bitrate limits are aiortc's encoder's own, which never runs here.
"""

from collections.abc import Callable

from aiortc import RTCConfiguration, RTCIceTransport, RTCPeerConnection, RTCRtpTransceiver, RTCSessionDescription
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtcrtpsender import RTCRtpSender

from liveglass.transport.webrtc.color_space import COLOR_SPACE
from liveglass.transport.webrtc.gatherer import Gatherer
from liveglass.transport.webrtc.header_extensions import PictureExtensionsMap
from liveglass.transport.webrtc.receiver import CameraReceiver
from liveglass.transport.webrtc.sender import PLAYOUT_DELAY, SlotSender

AIORTC = "1.16.0"

START_KBPS = 1500
MOST_KBPS = 4000

MakeGatherer = Callable[[], Gatherer]
MakeHalves = Callable[[RTCDtlsTransport], tuple[SlotSender, CameraReceiver]]


class TunedConnection(RTCPeerConnection):
    """aiortc's peer connection with our own parts in it.

    Args:
        make_gatherer: makes the one ICE gatherer.
        make_halves: makes the sender and the receiver of the one video line.
    """

    def __init__(self, *, make_gatherer: MakeGatherer, make_halves: MakeHalves) -> None:
        super().__init__(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self._make_gatherer = make_gatherer
        self._make_halves = make_halves

    async def answer(self, offer: str, *, may_publish: bool) -> str:
        """The answer to `offer` (SDP), with all candidates; connecting begins with it."""
        await self.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        for transceiver in self.getTransceivers():
            if transceiver.kind == "video":
                transceiver.direction = "sendrecv" if may_publish else "sendonly"
                prefer(transceiver, self._offered_extensions(transceiver))
            else:
                transceiver.direction = "inactive"
        await self.setLocalDescription(await self.createAnswer())
        return self.localDescription.sdp

    def _offered_extensions(self, transceiver: RTCRtpTransceiver) -> list[RTCRtpHeaderExtensionParameters]:
        description = self._RTCPeerConnection__pendingRemoteDescription  # type: ignore[attr-defined] # aiortc forgets what it does not know
        media = description.media[transceiver._get_mline_index()]
        extensions: list[RTCRtpHeaderExtensionParameters] = media.rtp.headerExtensions
        return extensions

    def _RTCPeerConnection__createTransceiver(  # noqa: N802 - aiortc's private name, mangled
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        known: list[RTCRtpTransceiver] = self._RTCPeerConnection__transceivers  # type: ignore[attr-defined] # as above
        shared = known[0].receiver.transport if known else self._data_transport()
        transport = shared or self._RTCPeerConnection__createDtlsTransport()
        sender: RTCRtpSender
        receiver: RTCRtpReceiver
        if kind == "video":
            sender, receiver = self._make_halves(transport)
        else:
            sender, receiver = RTCRtpSender(kind, transport), RTCRtpReceiver(kind, transport)
        transceiver = RTCRtpTransceiver(kind=kind, receiver=receiver, sender=sender, direction=direction)
        receiver._set_rtcp_ssrc(sender._ssrc)
        sender._stream_id = "liveglass"
        transceiver._bundled = shared is not None
        known.append(transceiver)
        return transceiver

    def _data_transport(self) -> RTCDtlsTransport | None:
        return None if self.sctp is None else self.sctp.transport

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:  # noqa: N802 - aiortc's private name, mangled
        gatherer = self._make_gatherer()
        ice = RTCIceTransport(gatherer)
        dtls = RTCDtlsTransport(ice, self._RTCPeerConnection__certificates)  # type: ignore[attr-defined] # as above
        dtls._rtp_header_extensions_map = PictureExtensionsMap()
        gatherer.on("statechange", self._RTCPeerConnection__updateIceGatheringState)  # type: ignore[attr-defined] # as above
        for update in (
            self._RTCPeerConnection__updateIceConnectionState,  # type: ignore[attr-defined] # as above
            self._RTCPeerConnection__updateConnectionState,  # type: ignore[attr-defined] # as above
        ):
            ice.on("statechange", update)
        dtls.on("statechange", self._RTCPeerConnection__updateConnectionState)  # type: ignore[attr-defined] # as above
        self._RTCPeerConnection__iceTransports.add(ice)  # type: ignore[attr-defined] # as above
        self._RTCPeerConnection__dtlsTransports.add(dtls)  # type: ignore[attr-defined] # as above
        return dtls


def prefer(transceiver: RTCRtpTransceiver, offered: list[RTCRtpHeaderExtensionParameters]) -> None:
    """Put H.264 first, ask for a useful first bit rate, and take the extensions that aiortc leaves out."""
    codecs = transceiver._codecs
    chosen = next((codec for codec in codecs if codec.name.upper() == "H264"), None) or codecs[0]
    transceiver._codecs = sorted(codecs, key=lambda codec: not _belongs(codec, chosen))
    for codec in transceiver._codecs:
        if not is_rtx(codec):
            codec.parameters["x-google-start-bitrate"] = str(START_KBPS)
            codec.parameters["x-google-max-bitrate"] = str(MOST_KBPS)
    ours = {PLAYOUT_DELAY, COLOR_SPACE}
    transceiver._headerExtensions += [extension for extension in offered if extension.uri in ours]


def _belongs(codec: RTCRtpCodecParameters, chosen: RTCRtpCodecParameters) -> bool:
    """Whether `codec` is `chosen` or its retransmission."""
    return codec is chosen or (is_rtx(codec) and codec.parameters.get("apt") == chosen.payloadType)
