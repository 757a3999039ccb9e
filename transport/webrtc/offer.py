"""An untrusted offer, checked and written anew before any WebRTC library sees a byte of it (JSEP, RFC 9429); pure.

What is handed on holds only values read here, in a form that cannot be misread: unknown lines are left out, audio is
inactive, every line has the credentials and candidates of the one transport that they share. Never answers and never
connects. Any thread may call it; the cost is linear in the bytes.
"""

import re
from typing import Literal

import msgspec

from liveglass.engine.errors import MalformedSdp, UnusableOffer
from liveglass.transport.webrtc.candidates import MAX_CANDIDATES, MAX_PORT, Candidate, usable_candidates
from liveglass.transport.webrtc.credentials import Credentials, read_credentials
from liveglass.transport.webrtc.formats import (
    MAX_PAYLOAD_TYPE,
    Format,
    audio_format,
    extensions,
    sources,
    video_formats,
)
from liveglass.transport.webrtc.sdp import Section, number, read_sections

Direction = Literal["sendrecv", "recvonly", "sendonly"]
_AnyDirection = Direction | Literal["inactive"]

RTP_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "TCP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"})
"""RFC 9429, 5.1.2: the old spellings mean the same as the first one."""

SCTP_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
MIN_MESSAGE_BYTES = 16_384
"""What every browser takes in one data channel message; an event may be that long."""

MAX_MESSAGE_BYTES = 2**63 - 1
DEFAULT_MESSAGE_BYTES = 65_536
"""RFC 8841, 6.1: what is meant without `a=max-message-size`."""

_DIRECTIONS: tuple[_AnyDirection, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")
_MEDIA = re.compile(r"([a-z]{1,16}) ([0-9]{1,5}) ([A-Z/]{1,32})((?: [^ ]+)+)")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that can be answered.

    Attributes:
        sdp: the description, written anew, with CRLF.
        video_direction: of its video line, as the peer sees it.
        codecs: the usable video codecs in the peer's order, such as `('H264', 'VP8')`.
        has_data: whether it has a line for data channels.
        ice_ufrag: the ICE user name fragment of the transport that all lines share.
        ice_pwd: its password.
    """

    sdp: str
    video_direction: Direction
    codecs: tuple[str, ...]
    has_data: bool
    ice_ufrag: str
    ice_pwd: str


class _Line(msgspec.Struct, frozen=True):
    """One media line of the offer."""

    section: Section
    kind: str
    mid: str
    formats: tuple[str, ...]
    is_bundle_only: bool

    @property
    def name(self) -> str:
        return f"{self.section.name} ({self.kind})"


def read_offer(raw: bytes) -> Offer:
    """The offer that `raw` is, safe to be parsed by others.

    Raises:
        MalformedSdp: not a session description, too long, or none that a WebRTC peer makes.
        UnusableOffer: a sound one that this server cannot answer.
    """
    session, media = read_sections(raw)
    _check_session(session, raw)
    lines = [_read_line(section) for section in media]
    video = _only_video(lines)
    bundle = _read_bundle(session, lines)
    first = next(line for line in lines if line.mid == bundle[0])
    credentials = _read_transport(session, lines, first)
    candidates = usable_candidates(first.section.all("candidate"))
    direction = _read_direction(session, video.section)
    if direction == "inactive":
        raise UnusableOffer("The video line is inactive.", hint="Offer it as sendrecv, or recvonly to watch.")
    formats = video_formats(video.section, _payload_types(video))
    # aiortc keeps the transport of the first mid: the video line's is there before the offer is.
    order = [video.mid, *(mid for mid in bundle if mid != video.mid)]
    written = ["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]
    written += ["a=ice-lite"] if session.has("ice-lite") else []
    written.append(f"a=group:BUNDLE {' '.join(order)}")
    for line in lines:
        written += _write(line, credentials, candidates, formats, direction)
    return Offer(
        sdp="\r\n".join(written) + "\r\n",
        video_direction=direction,
        codecs=tuple(dict.fromkeys(item.name for item in formats if item.name != "rtx")),
        has_data=any(line.kind == "application" for line in lines),
        ice_ufrag=credentials.ufrag,
        ice_pwd=credentials.pwd,
    )


def _check_session(session: Section, raw: bytes) -> None:
    if not raw.startswith((b"v=0\r\n", b"v=0\n")):
        raise MalformedSdp("A session description starts with v=0.")
    missing = [kind for kind in "ost" if kind not in session.kinds]
    if missing:
        raise MalformedSdp(f"The session has no {missing[0]}= line.")


def _read_line(section: Section) -> _Line:
    match = _MEDIA.fullmatch(section.head)
    port = number(match[2], most=MAX_PORT) if match else None
    if match is None or port is None:
        raise MalformedSdp(f"{section.name} is not of the form m=kind port protocol formats.")
    kind, protocol, formats = match[1], match[3], tuple(match[4].split())
    mid = section.mid()
    if mid is None:
        raise MalformedSdp(f"{section.name} has no a=mid.")
    line = _Line(section, kind, mid, formats, section.has("bundle-only"))
    if kind not in {"audio", "video", "application"}:
        raise UnusableOffer(f"{line.name} is of a kind that this server does not know.")
    if port == 0 and not line.is_bundle_only:
        raise UnusableOffer(f"{line.name} is refused by its own offer (port 0).", hint="Leave stopped lines out.")
    if protocol not in (SCTP_PROTOCOLS if kind == "application" else RTP_PROTOCOLS):
        raise UnusableOffer(f"{line.name} has an unknown protocol.", hint="Offer UDP/TLS/RTP/SAVPF, UDP/DTLS/SCTP.")
    if kind == "application" and formats != ("webrtc-datachannel",):
        raise UnusableOffer(f"{line.name} is not for data channels (webrtc-datachannel).")
    if kind != "application" and not section.has("rtcp-mux") and not line.is_bundle_only:
        raise UnusableOffer(f"{line.name} has no a=rtcp-mux.", hint="Offer RTCP on the port of RTP (rtcp-mux).")
    return line


def _only_video(lines: list[_Line]) -> _Line:
    videos = [line for line in lines if line.kind == "video"]
    if len(videos) != 1:
        raise UnusableOffer(f"The offer has {len(videos)} video lines.", hint="Offer exactly one.")
    if sum(line.kind == "application" for line in lines) > 1:
        raise UnusableOffer("The offer has more than one line for data channels.", hint="Offer at most one.")
    return videos[0]


def _read_bundle(session: Section, lines: list[_Line]) -> tuple[str, ...]:
    """The mids in the order of the BUNDLE group (RFC 9143)."""
    groups = [group.split()[1:] for group in session.all("group") if group.split()[:1] == ["BUNDLE"]]
    if len(groups) != 1:
        raise UnusableOffer(f"The offer has {len(groups)} BUNDLE groups.", hint="Offer all lines in one (max-bundle).")
    bundle, mids = groups[0], [line.mid for line in lines]
    if len(set(mids)) != len(mids) or len(set(bundle)) != len(bundle) or not set(bundle) <= set(mids):
        raise MalformedSdp("The mids are not unique, or the BUNDLE group names one that is not there.")
    if len(bundle) != len(mids):
        raise UnusableOffer("The BUNDLE group leaves a line out.", hint="Offer all lines in one group (max-bundle).")
    return tuple(bundle)


def _read_transport(session: Section, lines: list[_Line], first: _Line) -> Credentials:
    """The credentials of the first line of the bundle, which all of them use; the others' have to be sound too."""
    for line in lines:
        # Such a line may leave out what it never uses (RFC 9143, 7.1.3).
        if line is not first and not line.is_bundle_only:
            read_credentials(session, line.section)
    return read_credentials(session, first.section)


def _read_direction(session: Section, section: Section) -> _AnyDirection:
    for place in (section, session):
        said = [direction for direction in _DIRECTIONS if place.has(direction)]
        if len(said) > 1:
            raise MalformedSdp(f"{place.name} has more than one direction.")
        if said:
            return said[0]
    return "sendrecv"


def _payload_types(line: _Line) -> list[int]:
    numbers = [number(text, most=MAX_PAYLOAD_TYPE) for text in line.formats]
    payload_types = [payload_type for payload_type in numbers if payload_type is not None]
    if len(payload_types) != len(numbers) or len(set(payload_types)) != len(payload_types):
        raise MalformedSdp(f"{line.name}: payload types are numbers from 0 to {MAX_PAYLOAD_TYPE}, each once.")
    return payload_types


def _write(
    line: _Line,
    credentials: Credentials,
    candidates: tuple[Candidate, ...],
    formats: tuple[Format, ...],
    direction: Direction,
) -> list[str]:
    """The line anew. The end of candidates is never told: those left out may still come as peer-reflexive ones."""
    attributes = [
        "c=IN IP4 0.0.0.0",
        *(candidate.line() for candidate in candidates[:MAX_CANDIDATES]),
        *credentials.lines(),
        f"a=mid:{line.mid}",
    ]
    if line.kind == "application":
        return ["m=application 9 UDP/DTLS/SCTP webrtc-datachannel", *attributes, *_data_lines(line.section)]
    if line.kind == "audio":
        spoken: tuple[Format, ...] = (audio_format(line.section, _payload_types(line)),)
        described = ["a=inactive", "a=rtcp-mux"]
    else:
        spoken = formats
        described = [f"a=extmap:{identifier} {uri}" for identifier, uri in extensions(line.section)]
        described += [f"a={direction}", "a=rtcp-mux"]
        ssrcs = sources(line.section)
        described += [f"a=ssrc-group:FID {ssrcs[0]} {ssrcs[1]}"] if len(ssrcs) == 2 else []
        described += [f"a=ssrc:{ssrc} cname:-" for ssrc in ssrcs]
    for item in spoken:
        described += item.lines()
    listed = " ".join(str(item.payload_type) for item in spoken)
    return [f"m={line.kind} 9 UDP/TLS/RTP/SAVPF {listed}", *attributes, *described]


def _data_lines(section: Section) -> list[str]:
    port = number(section.one("sctp-port") or "", least=1, most=MAX_PORT)
    if port is None:
        raise MalformedSdp(f"{section.name} (application) has no a=sctp-port from 1 to {MAX_PORT}.")
    largest = number(section.one("max-message-size") or str(DEFAULT_MESSAGE_BYTES), most=MAX_MESSAGE_BYTES)
    if largest is None:
        raise MalformedSdp(f"{section.name} (application): a=max-message-size is not a number of bytes.")
    if 0 < largest < MIN_MESSAGE_BYTES:
        raise UnusableOffer(
            f"{section.name} (application) takes messages of {largest} bytes only.",
            hint=f"Offer a=max-message-size:{MIN_MESSAGE_BYTES} or more.",
        )
    return [f"a=sctp-port:{port}", f"a=max-message-size:{largest}"]
