"""Offers of real peers, and what becomes of them in hostile hands.

`obs-form` and `firefox-form` are written by hand in the form that those programs send; the others were captured.
"""

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from liveglass.transport.webrtc.sdp import MAX_SDP_BYTES

OFFERS = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "data" / "offers").glob("*.sdp"))}

NUMBERS = (
    "0",
    "-1",
    "127",
    "128",
    "255",
    "256",
    "65535",
    "65536",
    "4294967296",
    "9" * 400,
    "9" * 4_090,
    "1e3",
    "٣",
    "",
)
WORDS = ("", " ", "*", ":", "/", "=", ";", "a b", "IN IP4 x", "\x0b", "\x85", "\u2028", "\x1c", "é", "x" * 300, "0 0 0")
LINES = (
    "a=",
    "a=:",
    "a=candidate:",
    "a=candidate:1 1 udp 1 192.0.2.1 x typ host",
    "a=candidate:1 1 udp 1 evil.example 9 typ host",
    "a=candidate:1 1 udp 1 224.0.0.1 9 typ host",
    "a=candidate:1 1 udp 1 192.0.2.7 9 typ host raddr x rport y",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x",
    "a=end-of-candidates",
    "a=extmap:1",
    "a=extmap:1/2/3 urn:x",
    "a=fingerprint:sha-256",
    "a=fmtp:96",
    "a=fmtp:96 packetization-mode",
    "a=fmtp:96 apt=x",
    "a=fmtp:111 stereo=x",
    "a=group:BUNDLE",
    "a=group:BUNDLE 0",
    "a=group",
    "a=ice-lite",
    "a=ice-pwd:",
    "a=ice-ufrag:\x00",
    "a=inactive",
    "a=max-message-size:-1",
    "a=mid:9",
    "a=msid-semantic: WMS *",
    "a=msid:x ",
    "a=rid:h send",
    "a=rtcp-fb:96",
    "a=rtcp-fb:*",
    "a=rtcp-fb:* nack",
    "a=rtcp:x",
    "a=rtpmap:96",
    "a=rtpmap:96 VP8",
    "a=rtpmap:96 VP8/x",
    "a=rtpmap:75 VP8/90000",
    "a=sctpmap:x y",
    "a=setup:holdconn",
    "a=simulcast:send h;m;l",
    "a=ssrc-group:FID x",
    "a=ssrc:1",
    "a=ssrc:x cname:y",
    "c=IN IP4",
    "c=IN IP6 x y",
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "m=text 9 UDP/TLS/RTP/SAVPF 98",
    "m=video",
    "m=video 0 RTP/AVP 96 96 96",
    "m=video 9 UDP/TLS/RTP/SAVPF 72",
    "m=application 9 DTLS/SCTP 5000",
    "v=x",
    "not a line",
    "",
)


def lines_of(offer: bytes) -> list[str]:
    """The lines of an offer, without their ends."""
    return offer.decode().replace("\r\n", "\n").removesuffix("\n").split("\n")


def joined(lines: list[str]) -> bytes:
    """Lines as an offer."""
    return ("\r\n".join(lines) + "\r\n").encode()


def with_number(line: str, which: int, value: str) -> str:
    """`line` with one of its numbers replaced."""
    spans = [match.span() for match in re.finditer("[0-9]+", line)]
    if not spans:
        return line
    start, end = spans[which % len(spans)]
    return line[:start] + value + line[end:]


def with_word(line: str, which: int, value: str) -> str:
    """`line` with one of its words replaced."""
    spans = [match.span() for match in re.finditer("[^ :/;=,]+", line)]
    if not spans:
        return line
    start, end = spans[which % len(spans)]
    return line[:start] + value + line[end:]


async def answer(sdp: str, *, prepared: bool = False) -> str:
    """What aiortc answers to an offer; nothing is gathered and nothing is sent.

    Args:
        prepared: the peer has its video line already, as one that sends a picture has.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        if prepared:
            peer.addTransceiver("video", direction="sendrecv")
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        return (await peer.createAnswer()).sdp
    finally:
        await peer.close()


def hostile_bodies(count: int, *, seed: int) -> Iterator[bytes]:
    """Bodies that somebody who has read the parser would send: small damage, and everything at its largest."""
    draw = random.Random(seed)
    for _ in range(count):
        lines = lines_of(draw.choice(list(OFFERS.values())))
        if draw.random() < 0.3:
            _swell(lines, draw)
        for _ in range(draw.choice((0, 1, 1, 1, 2, 4, 16))):
            draw.choice(_DAMAGES)(lines, draw)
        body = joined(lines)
        if draw.random() < 0.05:
            body = body[: draw.randrange(len(body))]
        elif draw.random() < 0.05:
            at = draw.randrange(len(body))
            body = body[:at] + draw.randbytes(draw.choice((1, 4, 64))) + body[at:]
        yield body


def _at(lines: list[str], draw: random.Random) -> int:
    return draw.randrange(max(1, len(lines)))


def _delete(lines: list[str], draw: random.Random) -> None:
    del lines[_at(lines, draw) : _at(lines, draw) + 1]


def _duplicate(lines: list[str], draw: random.Random) -> None:
    lines.insert(_at(lines, draw), lines[_at(lines, draw)] if lines else "")


def _insert(lines: list[str], draw: random.Random) -> None:
    lines.insert(_at(lines, draw), draw.choice(LINES))


def _change(lines: list[str], draw: random.Random) -> None:
    if lines:
        at, which = _at(lines, draw), draw.randrange(8)
        if draw.random() < 0.5:
            lines[at] = with_number(lines[at], which, draw.choice(NUMBERS))
        else:
            lines[at] = with_word(lines[at], which, draw.choice(WORDS))


def _truncate(lines: list[str], draw: random.Random) -> None:
    if lines:
        at = _at(lines, draw)
        lines[at] = lines[at][: draw.randrange(len(lines[at]) + 1)]


_DAMAGES: tuple[Callable[[list[str], random.Random], None], ...] = (_delete, _duplicate, _insert, _change, _truncate)


def _swell(lines: list[str], draw: random.Random) -> None:
    """As many lines of one kind as fit, each sound by itself where that is possible."""
    repeated: Callable[[int], str] = draw.choice((
        lambda n: f"a=candidate:{n} 1 udp {n + 1} 198.51.100.{n % 250 + 1} {n % 60_000 + 1} typ host",
        lambda n: f"a=candidate:{n} 1 udp {n + 1} 2001:db8::{n:x} {n % 60_000 + 1} typ relay raddr 192.0.2.1 rport 9",
        lambda n: f"a=candidate:{n} 1 udp {n + 1} ff02:1:2:3:4:5:6:{n:x} {n % 60_000 + 1} typ host",
        lambda n: f"a=ssrc:{n} cname:x",
        lambda n: f"a=ssrc-group:FID {n} {n + 1}",
        lambda n: f"a=extmap:{n % 14 + 1} urn:ietf:params:rtp-hdrext:toffset",
        lambda n: f"a=rtcp-fb:* nack {n}",
        lambda n: f"a=rtcp-fb:{n % 128} nack pli",
        lambda n: f"a=fmtp:{n % 128} apt={n}",
        lambda n: f"a=rtpmap:{n % 128} VP8/90000",
        lambda n: f"a=x-{n}:y",
        lambda n: f"a=fingerprint:md5 {n % 256:02X}",
        lambda n: "a=group:LS " + "0 " * 1_000,
        lambda n: "a=fmtp:96 " + "a=b;" * 1_000,
        lambda n: "a=fmtp:96 " + "a=b;" * 60,
        lambda n: "a=candidate:" + "1 " * 2_000,
        lambda n: "a=ssrc-group:FID" + " 1" * 1_500,
        lambda n: "a=ssrc-group:FID" + f" {n}" * 16,
        lambda n: f"a=group:BUNDLE {n}",
        lambda n: "a=mid:" + "x" * 4_000,
        lambda n: "m=audio 9 UDP/TLS/RTP/SAVPF" + " 111" * 900,
        lambda n: "b=AS:" + "9" * 4_000,
    ))  # fmt: skip
    room, added = MAX_SDP_BYTES - len(joined(lines)), []
    while len(added) + len(lines) < 1_500:
        line = repeated(len(added))
        room -= len(line) + 2
        if room < 0:
            break
        added.append(line)
    at = _at(lines, draw)
    lines[at:at] = added
