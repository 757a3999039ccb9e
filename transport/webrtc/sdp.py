"""A session description as lines in sections, within bounds (RFC 8866); pure.

Knows lines, sections and attributes, and what counts as too much. Means nothing by them, and never hands on a line
that does not have the form of one. Any thread may call it; the cost is linear in the bytes.
"""

import re

import msgspec

from liveglass.engine.errors import MalformedSdp

MAX_SDP_BYTES = 65_536
MAX_LINES = 1_500
MAX_LINE_CHARS = 4_096
MAX_MEDIA_LINES = 8

TCHAR = r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]"
_MID = re.compile(TCHAR + "{1,16}")
"""RFC 5888's token, at most what a one-byte RTP header extension holds (RFC 8285)."""

_UFRAG = re.compile("[A-Za-z0-9+/]{4,256}")
_PWD = re.compile("[A-Za-z0-9+/]{22,256}")


class Section(msgspec.Struct, frozen=True):
    """The session's own lines, or one `m=` line and what belongs to it.

    Attributes:
        name: what to call it in a message for people.
        head: the value of its `m=` line; empty for the session.
        kinds: the letters of its lines, without `a` and `m`.
        attributes: the values of its `a=` lines by name, in order; a flag's value is empty.
    """

    name: str
    head: str
    kinds: set[str]
    attributes: dict[str, list[str]]

    def all(self, attribute: str) -> list[str]:
        """Every value of `attribute`, in order."""
        return self.attributes.get(attribute, [])

    def has(self, attribute: str) -> bool:
        """Whether `attribute` is there, with or without a value."""
        return attribute in self.attributes

    def one(self, attribute: str) -> str | None:
        """The value of `attribute`, None without it.

        Raises:
            MalformedSdp: it is there more than once.
        """
        values = self.all(attribute)
        if len(values) > 1:
            raise MalformedSdp(f"{self.name} has more than one a={attribute}.")
        return values[0] if values else None

    def mid(self) -> str | None:
        """The section's identification (RFC 5888), None without one.

        Raises:
            MalformedSdp: it is no token, over 16 characters, or there more than once.
        """
        mid = self.one("mid")
        if mid is not None and not _MID.fullmatch(mid):
            raise MalformedSdp(f"{self.name}: a=mid has to be a token of at most 16 characters.")
        return mid

    def ice(self) -> tuple[str | None, str | None]:
        """The ICE user name fragment and password of this section (RFC 8839, 5.4), None where it has none.

        Raises:
            MalformedSdp: one of them has the wrong length or characters, or is there more than once.
        """
        ufrag, pwd = self.one("ice-ufrag"), self.one("ice-pwd")
        if ufrag is not None and not _UFRAG.fullmatch(ufrag):
            raise MalformedSdp(f"{self.name}: a=ice-ufrag has to be 4 to 256 letters, digits, + or /.")
        if pwd is not None and not _PWD.fullmatch(pwd):
            raise MalformedSdp(f"{self.name}: a=ice-pwd has to be 22 to 256 letters, digits, + or /.")
        return ufrag, pwd


def read_sections(raw: bytes) -> tuple[Section, tuple[Section, ...]]:
    """The session's section, and one for each `m=` line.

    Args:
        raw: a whole description, or a fragment of one; lines end with CRLF, or with LF as many programs write them.

    Raises:
        MalformedSdp: too long, not UTF-8, or a line without the form of one.
    """
    session = section = Section(name="The session", head="", kinds=set(), attributes={})
    media: list[Section] = []
    for number, line in enumerate(_lines(raw), start=1):
        kind, value = line[:1], line[2:]
        if line[1:2] != "=" or not "a" <= kind <= "z":
            raise MalformedSdp(f"Line {number} is not of the form x=….")
        if len(line) > MAX_LINE_CHARS:
            raise MalformedSdp(f"Line {number} is over {MAX_LINE_CHARS:,} characters.")
        if kind == "m":
            if len(media) == MAX_MEDIA_LINES:
                raise MalformedSdp(f"Over {MAX_MEDIA_LINES} media lines.")
            section = Section(name=f"Media line {len(media) + 1}", head=value, kinds=set(), attributes={})
            media.append(section)
        elif kind == "a":
            name, _, rest = value.partition(":")
            section.attributes.setdefault(name, []).append(rest)
        else:
            section.kinds.add(kind)
    return session, tuple(media)


def _lines(raw: bytes) -> list[str]:
    if len(raw) > MAX_SDP_BYTES:
        raise MalformedSdp(f"Over {MAX_SDP_BYTES:,} bytes.")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedSdp("Not UTF-8.") from None
    text = text.replace("\r\n", "\n").removesuffix("\n")
    if "\0" in text or "\r" in text:
        raise MalformedSdp("It holds a NUL, or a carriage return within a line.")
    lines = text.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise MalformedSdp(f"Over {MAX_LINES:,} lines.")
    return lines


def number(text: str, *, most: int, least: int = 0) -> int | None:
    """The decimal number that `text` is, None where it is none or outside `least` … `most`."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return None
    value = int(text)
    return value if least <= value <= most else None
