"""Which numbers a camera's YUV is written in, where an RTP header extension says so; pure.

Chrome names the colour space of a picture in an RTP header extension of its own
(http://www.webrtc.org/experiments/rtp-hdrext/color-space): a canvas or a screen goes out as BT.709 in full range, and
VP8 has no word for that. Code points are those of ITU-T H.273.
"""

import msgspec
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

COLOR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"

_MATRICES = {
    1: Colorspace.ITU709,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_RANGES = {1: ColorRange.MPEG, 2: ColorRange.JPEG}


class ColorSpace(msgspec.Struct, frozen=True):
    """The matrix and the range of a picture's YUV."""

    matrix: Colorspace
    range: ColorRange

    @classmethod
    def parse(cls, extension: bytes) -> "ColorSpace | None":
        """What the header extension says: primaries, transfer, matrix, and a byte with the range in bits 4 and 5.

        None where the matrix or the range is not one of those that are converted here. What may follow describes HDR.
        """
        if len(extension) < 4:
            return None
        matrix, range_ = _MATRICES.get(extension[2]), _RANGES.get(extension[3] >> 4 & 3)
        return None if matrix is None or range_ is None else cls(matrix, range_)

    @classmethod
    def of(cls, frame: VideoFrame) -> "ColorSpace":
        """What the decoded stream itself says; else BT.601 in limited range, as cameras have always sent it."""
        is_full = frame.color_range == ColorRange.JPEG
        matrix = _MATRICES.get(int(frame.colorspace), Colorspace.ITU601)
        return cls(matrix, ColorRange.JPEG if is_full else ColorRange.MPEG)
