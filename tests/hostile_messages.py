"""What somebody who has read the protocol would send over the socket: commands and camera pictures, damaged on purpose.

Offers are in `offers.py`.
"""

import json
import random
import struct
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from liveglass.transport import codecs
from liveglass.transport.header import Codec, FrameHeader, WireKind
from liveglass.transport.messages import COMMANDS, MAX_MESSAGE_BYTES

_WORDS = (
    "", " ", "\x00", "é", "\u2028", "ink drawing, blue", "x" * 129, "x" * 2_001, "now", "later", "latest", "__proto__",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 4, 65, 0.5, 1.01, -0.0, 1e308, 2**32, 2**53 + 1, -(2**63), 10**40, True, False, None)
_FIELDS = sorted({field.name for kind in COMMANDS.values() for field in msgspec.structs.fields(kind)})
_LENGTHS = (0, 1, 3, 4, 23, 24, 25, 28)


def _value(draw: random.Random, depth: int = 0) -> object:
    """Anything that JSON holds."""
    choice = draw.random()
    if choice < 0.35 or depth > 2:
        return draw.choice(_NUMBERS)
    if choice < 0.7:
        return draw.choice(_WORDS)
    if choice < 0.85:
        return [_value(draw, depth + 1) for _ in range(draw.choice((0, 1, 2, 9)))]
    return {draw.choice((*_FIELDS, *_WORDS)): _value(draw, depth + 1) for _ in range(draw.choice((0, 1, 3)))}


def hostile_texts(count: int, *, seed: int) -> Iterator[str]:
    """Text messages: known commands with wrong fields, and what is no command at all.

    None of them ends the session, so that the next one finds somebody.
    """
    draw = random.Random(seed)
    names = sorted(set(COMMANDS) - {"session.close"})
    for number in range(count):
        fields = {draw.choice((*_FIELDS, "mood")): _value(draw) for _ in range(draw.choice((0, 1, 2, 5)))}
        name = draw.choice((*names, "prompt.sett", "", 7))
        text = json.dumps({"id": f"{number}", **fields, "type": name})
        if draw.random() < 0.2:
            text = text[: draw.randrange(len(text))]
        elif draw.random() < 0.1:
            at = draw.randrange(len(text))
            text = text[:at] + draw.choice(("{", "]", '"', "\\u", "\\ud800", "NaN", "9" * 400)) + text[at:]
        elif draw.random() < 0.02:
            text = draw.choice(("[" * 20_000, "x" * (MAX_MESSAGE_BYTES + 1), '{"a":' * 5_000))
        yield text


def _jpeg(draw: random.Random) -> bytes:
    side = draw.choice((8, 16, 64))
    return codecs.encode_jpeg(np.frombuffer(draw.randbytes(side * side * 3), np.uint8).reshape(side, side, 3))


def _bytes_changed(jpeg: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(jpeg)
    for _ in range(draw.choice((1, 4, 64))):
        damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged)


def _cut(jpeg: bytes, draw: random.Random) -> bytes:
    return jpeg[: draw.randrange(len(jpeg))]


def _other_size(jpeg: bytes, draw: random.Random) -> bytes:
    at = jpeg.find(b"\xff\xc0")
    sides = [draw.choice((0, 1, 63, 1_921, 10_000, 65_535)) for _ in range(2)]
    return jpeg[: at + 5] + struct.pack(">HH", *sides) + jpeg[at + 9 :]


def _no_jpeg(_: bytes, draw: random.Random) -> bytes:
    return draw.choice((b"", b"words", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n" + draw.randbytes(40)))


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_bytes_changed, _cut, _other_size, _no_jpeg)


def hostile_pictures(count: int, *, seed: int) -> Iterator[bytes]:
    """Binary messages: damaged pictures under sound headers, and damaged headers; sequence numbers count from 1."""
    draw = random.Random(seed)
    for seq in range(1, count + 1):
        codec = draw.choice((Codec.JPEG, Codec.JPEG, Codec.JPEG, Codec.RAW, Codec.H264, Codec.WEBP))
        header = FrameHeader(seq=seq, kind=WireKind.CAMERA, codec=codec, source_us=1000 * seq).pack()
        payload = draw.choice(_DAMAGES)(_jpeg(draw), draw)
        if codec is Codec.RAW:
            payload = struct.pack(">HH", draw.choice((0, 8, 65_535)), draw.choice((0, 8, 9))) + payload
        if draw.random() < 0.2:
            header = header[:4] + draw.randbytes(20) if draw.random() < 0.5 else draw.randbytes(4) + header[4:]
        message = header + payload
        yield message[: draw.choice(_LENGTHS)] if draw.random() < 0.1 else message
