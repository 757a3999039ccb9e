"""The 24 bytes before every picture on the wire; pure.

Packs and unpacks, and says with a typed error what is wrong. Reads no payload, no clock and no socket; any thread
may call it.
"""

import struct
from enum import IntEnum, IntFlag

import msgspec

from liveglass.engine.errors import MalformedFrame
from liveglass.engine.frame import FrameKind

VERSION = 1
HEADER_BYTES = 24
MAX_U32 = 2**32 - 1

_LAYOUT = struct.Struct(">BBBBIqII")
_SEQ = struct.Struct(">I")


class WireKind(IntEnum):
    """What a picture is, as its header's second byte says it."""

    CAMERA = 0
    GENERATED = 1
    WARPED = 2
    BLENDED = 3
    REPEATED = 4
    STANDBY = 5

    @classmethod
    def of(cls, kind: FrameKind) -> "WireKind":
        """The byte that says `kind`."""
        return cls[kind.name]

    @property
    def frame_kind(self) -> FrameKind | None:
        """The kind of output frame; None for a camera's picture, which is no output."""
        return None if self is WireKind.CAMERA else FrameKind[self.name]


class Codec(IntEnum):
    """What the payload is made of."""

    JPEG = 1
    H264 = 2
    WEBP = 3
    RAW = 4


class Flags(IntFlag):
    """The header's fourth byte; bits that this version does not know are ignored."""

    NONE = 0
    KEYFRAME = 1
    ALPHA = 2
    CAMERA = 4


class FrameHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture on the wire says of itself.

    Attributes:
        seq: a camera's own counter; for the output the slot number, modulo 2³².
        source_us: microseconds on the publisher's clock of the newest camera frame that shaped it; 0 if none.
        version: the control version that made the generated base.
        age_us: microseconds from `source_us` back to the camera frame of the base; 0 when they are the same.
    """

    kind: WireKind
    codec: Codec
    flags: Flags = Flags.KEYFRAME
    seq: int
    source_us: int = 0
    version: int = 0
    age_us: int = 0

    @property
    def holds_camera(self) -> bool:
        """Whether camera pixels are in the picture."""
        return Flags.CAMERA in self.flags

    def pack(self) -> bytes:
        """The header as 24 bytes, big-endian.

        Raises:
            MalformedFrame: a number does not fit its field.
        """
        try:
            return _LAYOUT.pack(
                VERSION,
                self.kind,
                self.codec,
                self.flags,
                self.seq,
                self.source_us,
                self.version,
                self.age_us,
            )
        except struct.error as error:
            raise MalformedFrame(f"A number does not fit the frame header: {error}.") from None

    @classmethod
    def unpack(cls, message: bytes) -> "FrameHeader":
        """Read the header of a binary `message`.

        Raises:
            MalformedFrame: too short, another version, or a kind or codec that the protocol does not have.
        """
        if len(message) < HEADER_BYTES:
            raise MalformedFrame(f"The message has {len(message)} bytes; its header alone has {HEADER_BYTES}.")
        version, kind, codec, flags, seq, source_us, control, age_us = _LAYOUT.unpack_from(message)
        if version != VERSION:
            raise MalformedFrame(f"Frame header version {version} is not known here; this is version {VERSION}.")
        if kind not in WireKind.__members__.values():
            raise MalformedFrame(f"There is no frame kind {kind}.", hint="Camera pictures are of kind 0.")
        if codec not in Codec.__members__.values():
            raise MalformedFrame(f"There is no codec {codec}.", hint="1 is JPEG, 4 is raw RGB24.")
        return cls(
            kind=WireKind(kind),
            codec=Codec(codec),
            flags=Flags(flags & (Flags.KEYFRAME | Flags.ALPHA | Flags.CAMERA)),
            seq=seq,
            source_us=source_us,
            version=control,
            age_us=age_us,
        )


def peek_seq(message: bytes) -> int | None:
    """The `seq` of a message whose header may be wrong elsewhere, for the error about it; None if cut off."""
    return int(_SEQ.unpack_from(message, 4)[0]) if len(message) >= 8 else None


def is_at_or_before(seq: int, other: int) -> bool:
    """Whether `seq` comes no later than `other`, both counted modulo 2³² (RFC 1982)."""
    return (other - seq) & MAX_U32 < 2**31
