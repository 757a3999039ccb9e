"""The codecs of an RTP line, reduced to what can be spoken here (RFC 8866, 6.6 and 6.15); pure.

Video is H.264 in its (constrained) baseline profile with packetization-mode 1, or VP8, each with its retransmission
format; audio is recognised only so that it can be answered as inactive. Never hands on a parameter of a stranger that
nobody here reads. Any thread may call it.
"""

import re

import msgspec

from liveglass.engine.errors import MalformedSdp, UnusableOffer
from liveglass.transport.webrtc.sdp import TCHAR, Section, number

MAX_PAYLOAD_TYPE = 127
MAX_SSRC = 2**32 - 1
MAX_PARAMETERS = 32
DYNAMIC = range(96, 128)
"""aiortc answers with its own number where the offered one is outside of this range: such a format is left out."""

FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
VIDEO_CLOCK_HZ = 90_000
DEFAULT_PROFILE = "42e01f"
"""Constrained baseline, level 3.1: what browsers mean where `profile-level-id` is missing."""

EXTENSIONS = frozenset({
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "urn:ietf:params:rtp-hdrext:toffset",
    "urn:3gpp:video-orientation",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
    "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
})  # fmt: skip
ONE_BYTE_IDS = range(1, 15)

_STATIC_AUDIO = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}
_RTPMAP = re.compile(rf"([0-9]{{1,3}}) ({TCHAR}{{1,64}})/([0-9]{{1,9}})(?:/([0-9]{{1,3}}))?")
_ABOUT_FORMAT = re.compile(r"([0-9]{1,3}|\*) (.+)")
_EXTMAP = re.compile(r"([0-9]{1,4})(?:/(?:sendrecv|sendonly|recvonly|inactive))? ([!-~]{1,1024})(?: .*)?")
_SSRC = re.compile(r"([0-9]{1,10}) .+")
_SSRC_GROUP = re.compile(rf"({TCHAR}{{1,32}})((?: [0-9]{{1,10}}){{0,16}})")
"""Three simulcast layers, each with its retransmission and repair, are nine."""

_H264_LEVELS = frozenset({10, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52})
_BASELINES = ((0x42, 0x0F, 0x00), (0x4D, 0x8F, 0x80), (0x58, 0x8F, 0x80))
"""profile_idc, and a mask and value of profile_iop, that mean (constrained) baseline (RFC 6184, 8.1, table 5)."""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One payload type and what it carries.

    Attributes:
        name: `H264`, `VP8`, `rtx`, or an audio codec.
        encoding: its rtpmap, such as `H264/90000`.
        parameters: its fmtp, empty without.
        feedback: the rtcp-fb that both sides may know, such as `nack pli`.
    """

    payload_type: int
    name: str
    encoding: str
    parameters: str = ""
    feedback: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The format as lines of SDP."""
        lines = [f"a=rtpmap:{self.payload_type} {self.encoding}"]
        lines += [f"a=rtcp-fb:{self.payload_type} {feedback}" for feedback in self.feedback]
        if self.parameters:
            lines.append(f"a=fmtp:{self.payload_type} {self.parameters}")
        return lines


class _Stated(msgspec.Struct, frozen=True):
    """What a line says about its payload types, read but not yet chosen from."""

    encodings: dict[int, tuple[str, int]]
    parameters: dict[int, str]
    feedback: dict[int | None, set[str]]

    def parameter(self, payload_type: int, name: str) -> str | None:
        """The value of one fmtp parameter, None without it."""
        for pair in self.parameters.get(payload_type, "").split(";"):
            key, _, value = pair.partition("=")
            if key.strip().lower() == name:
                return value.strip()
        return None


def video_formats(section: Section, payload_types: list[int]) -> tuple[Format, ...]:
    """The formats of a video line that can be spoken, in the order of the offer, each before its retransmission.

    Raises:
        MalformedSdp: an attribute about a payload type is not of its form.
        UnusableOffer: there is no such format.
    """
    stated = _read(section)
    retransmissions: dict[int, int] = {}
    for payload_type in payload_types:
        if stated.encodings.get(payload_type) == ("RTX", VIDEO_CLOCK_HZ) and payload_type in DYNAMIC:
            apt = number(stated.parameter(payload_type, "apt") or "", most=MAX_PAYLOAD_TYPE)
            if apt is not None:
                retransmissions.setdefault(apt, payload_type)
    formats: list[Format] = []
    for payload_type in payload_types:
        chosen = _video(payload_type, stated)
        if chosen is None:
            continue
        formats.append(chosen)
        rtx = retransmissions.get(payload_type)
        if rtx is not None:
            encoding = f"rtx/{VIDEO_CLOCK_HZ}"
            formats.append(Format(payload_type=rtx, name="rtx", encoding=encoding, parameters=f"apt={payload_type}"))
    if not formats:
        raise UnusableOffer(
            f"{section.name} (video) has no codec in common with this server.",
            hint="Offer H.264 (packetization-mode 1, baseline or constrained baseline) or VP8,"
            " with payload types from 96 to 127.",
        )
    return tuple(formats)


def _video(payload_type: int, stated: _Stated) -> Format | None:
    name, clock_hz = stated.encodings.get(payload_type, ("", 0))
    if payload_type not in DYNAMIC or clock_hz != VIDEO_CLOCK_HZ or name not in {"H264", "VP8"}:
        return None
    parameters = ""
    if name == "H264":
        profile = (stated.parameter(payload_type, "profile-level-id") or DEFAULT_PROFILE).lower()
        if stated.parameter(payload_type, "packetization-mode") != "1" or not is_baseline(profile):
            return None
        parameters = f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
    said = stated.feedback.get(payload_type, set()) | stated.feedback.get(None, set())
    return Format(
        payload_type=payload_type,
        name=name,
        encoding=f"{name}/{VIDEO_CLOCK_HZ}",
        parameters=parameters,
        feedback=tuple(feedback for feedback in FEEDBACK if feedback in said),
    )


def is_baseline(profile_level_id: str) -> bool:
    """Whether six hexadecimal digits name H.264's baseline or constrained baseline at a level that exists."""
    if not re.fullmatch("[0-9a-f]{6}", profile_level_id):
        return False
    idc, iop, level = bytes.fromhex(profile_level_id)
    return level in _H264_LEVELS and any(idc == known and iop & mask == value for known, mask, value in _BASELINES)


def audio_format(section: Section, payload_types: list[int]) -> Format:
    """The first format of an audio line that an answer can name.

    Raises:
        MalformedSdp: an attribute about a payload type is not of its form.
        UnusableOffer: there is no such format.
    """
    stated = _read(section)
    for payload_type in payload_types:
        encoding = _STATIC_AUDIO.get(payload_type)
        if stated.encodings.get(payload_type) == ("OPUS", 48_000) and payload_type in DYNAMIC:
            encoding = "opus/48000/2"
        if encoding is not None:
            return Format(payload_type=payload_type, name=encoding.partition("/")[0], encoding=encoding)
    raise UnusableOffer(
        f"{section.name} (audio) has no codec in common with this server.",
        hint="Offer Opus (payload type 96 to 127), G.722, PCMU or PCMA, or leave audio out.",
    )


def extensions(section: Section) -> tuple[tuple[int, str], ...]:
    """The known RTP header extensions (RFC 8285) of a line, id and URI, each id and each URI once.

    Raises:
        MalformedSdp: an `a=extmap` is not of its form.
    """
    kept: dict[int, str] = {}
    for value in section.all("extmap"):
        match = _EXTMAP.fullmatch(value)
        if match is None:
            raise MalformedSdp(f"{section.name}: an a=extmap is not of its form.")
        identifier, uri = int(match[1]), match[2]
        if identifier in ONE_BYTE_IDS and uri in EXTENSIONS and uri not in kept.values():
            kept.setdefault(identifier, uri)
    return tuple(kept.items())


def sources(section: Section) -> tuple[int, ...]:
    """The SSRC of the picture and, where a FID group (RFC 5576) names it, of its retransmission.

    Raises:
        MalformedSdp: an `a=ssrc` or `a=ssrc-group` is not of its form.
    """
    named: list[int] = []
    for value in section.all("ssrc"):
        match = _SSRC.fullmatch(value)
        ssrc = number(match[1], most=MAX_SSRC) if match else None
        if ssrc is None:
            raise MalformedSdp(f"{section.name}: an a=ssrc is not of its form.")
        named.append(ssrc)
    pair: tuple[int, ...] = ()
    for value in section.all("ssrc-group"):
        match = _SSRC_GROUP.fullmatch(value)
        if match is None:
            raise MalformedSdp(f"{section.name}: an a=ssrc-group is not of its form.")
        members = match[2].split()
        if match[1] == "FID" and len(members) == 2 and not pair:
            grouped = tuple(ssrc for ssrc in (number(member, most=MAX_SSRC) for member in members) if ssrc is not None)
            if len(set(grouped)) != 2:
                raise MalformedSdp(f"{section.name}: an a=ssrc-group:FID does not name two sources.")
            pair = grouped
    return pair or tuple(named[:1])


def _read(section: Section) -> _Stated:
    encodings: dict[int, tuple[str, int]] = {}
    for value in section.all("rtpmap"):
        match = _RTPMAP.fullmatch(value)
        payload_type = number(match[1], most=MAX_PAYLOAD_TYPE) if match else None
        if match is None or payload_type is None:
            raise MalformedSdp(f"{section.name}: an a=rtpmap is not of its form.")
        if payload_type in encodings:
            raise MalformedSdp(f"{section.name}: payload type {payload_type} has two a=rtpmap.")
        encodings[payload_type] = (match[2].upper(), int(match[3]))
    parameters: dict[int, str] = {}
    for value in section.all("fmtp"):
        about, text = _about_format(section, "fmtp", value)
        if about is None or about in parameters or text.count(";") >= MAX_PARAMETERS:
            # RFC 8866, 6.15: at most one for each format.
            raise MalformedSdp(f"{section.name}: an a=fmtp is not of its form, too long, or the second of its format.")
        parameters[about] = text
    feedback: dict[int | None, set[str]] = {}
    for value in section.all("rtcp-fb"):
        about, text = _about_format(section, "rtcp-fb", value)
        feedback.setdefault(about, set()).add(text.strip())
    return _Stated(encodings, parameters, feedback)


def _about_format(section: Section, attribute: str, value: str) -> tuple[int | None, str]:
    """The payload type that a value is about, None for all of them (`*`), and what it says."""
    match = _ABOUT_FORMAT.fullmatch(value)
    about = number(match[1], most=MAX_PAYLOAD_TYPE) if match else None
    if match is None or (about is None and match[1] != "*"):
        raise MalformedSdp(f"{section.name}: an a={attribute} is not of its form.")
    return about, match[2]
