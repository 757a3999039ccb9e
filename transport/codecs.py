"""JPEG and raw pictures: bytes to uint8 [H, W, 3] RGB and back; pure.

Sizes are told from a picture's header before anything is decoded, so that nobody can make the server unpack a
bomb. Never keeps a picture and never touches a socket. Runs on the output thread (encoding) and in the decode pool.
"""

import math
import struct
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from liveglass.engine.errors import MalformedPicture, NotAvailable, PictureTooLarge
from liveglass.engine.frame import Pixels, Size
from liveglass.transport.header import Codec

MAX_WIDTH = 1920
MAX_HEIGHT = 1080
MAX_PICTURE_BYTES = 4 * 2**20
MAX_SCANS = 64
"""A progressive JPEG has about ten; thousands would take seconds to decode at any size."""

JPEG_QUALITY = 80

Fit = Literal["cover", "contain"]

_RAW_SIZE = struct.Struct(">HH")
_START_OF_IMAGE = b"\xff\xd8\xff"
_START_OF_SCAN = b"\xff\xda"


def decode(codec: Codec, payload: bytes, size: Size, mode: Fit) -> Pixels:
    """A publisher's picture as uint8 [H, W, 3] RGB of exactly `size`.

    Raises:
        PictureTooLarge: over 1920×1080 (either way up) or 4 MiB.
        MalformedPicture: not a picture of that codec.
        NotAvailable: a codec that this build does not decode.
    """
    if codec is Codec.JPEG:
        return fit(decode_jpeg(payload, size, mode), size, mode)
    if codec is Codec.RAW:
        return fit(decode_raw(payload), size, mode)
    raise NotAvailable(f"Pictures in {codec.name} are not taken yet.", hint="Send JPEG (1) or raw RGB24 (4).")


def jpeg_size(payload: bytes) -> Size:
    """The size of a JPEG, told from its header in microseconds; the check comes with it.

    Raises:
        PictureTooLarge: over 1920×1080 (either way up) or 4 MiB.
        MalformedPicture: not a JPEG that can be shown.
    """
    _check_bytes(payload)
    if not payload.startswith(_START_OF_IMAGE):
        raise MalformedPicture("The payload is not a JPEG.")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(payload)
    except ValueError as error:
        raise MalformedPicture(f"The JPEG cannot be read: {error}.") from None
    if space in ("CMYK", "YCCK"):
        raise MalformedPicture("The JPEG is made for print.", hint="Send a JPEG in YCbCr or grey.")
    size = Size(int(width), int(height))
    _check_size(size)
    if payload.count(_START_OF_SCAN) > MAX_SCANS:
        raise MalformedPicture("The JPEG has more scans than any camera makes.")
    return size


def decode_jpeg(payload: bytes, wanted: Size | None = None, mode: Fit = "cover") -> Pixels:
    """A JPEG (colour or grey) as uint8 [H, W, 3] RGB.

    Where it is at least twice as large as `wanted`, it is scaled down inside the inverse DCT, which is faster
    than decoding it whole; the result is then still no smaller than `wanted` needs.

    Raises:
        PictureTooLarge: over 1920×1080 (either way up) or 4 MiB.
        MalformedPicture: not a JPEG that can be shown.
    """
    size = jpeg_size(payload)
    least_width, least_height = (0, 0) if wanted is None else _least(size, wanted, mode)
    try:
        pixels = simplejpeg.decode_jpeg(
            payload, colorspace="RGB", min_width=least_width, min_height=least_height, min_factor=2.0
        )
    except ValueError as error:
        raise MalformedPicture(f"The JPEG cannot be decoded: {error}.") from None
    return np.asarray(pixels, np.uint8)


def encode_jpeg(pixels: Pixels, quality: int = JPEG_QUALITY) -> bytes:
    """`pixels` (uint8 [H, W, 3] RGB) as a 4:2:0 JPEG."""
    return bytes(
        simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="420")
    )


def decode_raw(payload: bytes) -> Pixels:
    """A raw RGB24 payload (`u16 width, u16 height`, then the pixels) as uint8 [H, W, 3]; a view, not a copy.

    Raises:
        PictureTooLarge: over 1920×1080 (either way up).
        MalformedPicture: no size in front, or not as many bytes as the size says.
    """
    if len(payload) < _RAW_SIZE.size:
        raise MalformedPicture("Raw RGB24 starts with its width and height.")
    width, height = _RAW_SIZE.unpack_from(payload)
    size = Size(width, height)
    _check_size(size)
    if len(payload) - _RAW_SIZE.size != size.nbytes:
        raise MalformedPicture(
            f"{width}×{height} raw RGB24 has {size.nbytes:,} bytes, not {len(payload) - _RAW_SIZE.size:,}.",
            hint="Send width × height × 3 bytes after the size.",
        )
    _check_bytes(payload)
    return np.frombuffer(payload, np.uint8, offset=_RAW_SIZE.size).reshape(size.shape)


def encode_raw(pixels: Pixels) -> bytes:
    """`pixels` (uint8 [H, W, 3] RGB) as raw RGB24 with its size in front."""
    height, width = pixels.shape[:2]
    return _RAW_SIZE.pack(width, height) + pixels.tobytes()


def fit(pixels: Pixels, size: Size, mode: Fit) -> Pixels:
    """`pixels` (uint8 [h, w, 3]) at exactly `size`, never stretched.

    `cover` fills the whole and cuts what is over on two sides; `contain` shows all of it between black bars.
    """
    height, width = pixels.shape[:2]
    if (width, height) == (size.width, size.height):
        return pixels
    if mode == "cover":
        cut_width = min(width, max(1, round(height * size.width / size.height)))
        cut_height = min(height, max(1, round(width * size.height / size.width)))
        left, top = (width - cut_width) // 2, (height - cut_height) // 2
        cut = pixels[top : top + cut_height, left : left + cut_width]
        return _resized(cut, size.width, size.height)
    scale = min(size.width / width, size.height / height)
    inner_width = min(size.width, max(1, round(width * scale)))
    inner_height = min(size.height, max(1, round(height * scale)))
    left, top = (size.width - inner_width) // 2, (size.height - inner_height) // 2
    whole = np.zeros(size.shape, np.uint8)
    whole[top : top + inner_height, left : left + inner_width] = _resized(pixels, inner_width, inner_height)
    return whole


def _resized(pixels: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _least(size: Size, wanted: Size, mode: Fit) -> tuple[int, int]:
    """The smallest decoded size from which `wanted` can be made without enlarging."""
    ratios = (wanted.width / size.width, wanted.height / size.height)
    scale = min(1.0, max(ratios) if mode == "cover" else min(ratios))
    return math.ceil(size.width * scale), math.ceil(size.height * scale)


def _check_bytes(payload: bytes) -> None:
    if len(payload) > MAX_PICTURE_BYTES:
        raise PictureTooLarge(f"The picture has {len(payload):,} bytes; the limit is {MAX_PICTURE_BYTES:,}.")


def _check_size(size: Size) -> None:
    if size.width < 1 or size.height < 1:
        raise MalformedPicture(f"A picture of {size.width}×{size.height} has no pixels.")
    if max(size.width, size.height) > MAX_WIDTH or min(size.width, size.height) > MAX_HEIGHT:
        raise PictureTooLarge(f"The picture is {size.width}×{size.height}; the limit is {MAX_WIDTH}×{MAX_HEIGHT}.")
