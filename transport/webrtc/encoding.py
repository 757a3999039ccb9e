"""Pictures to H.264 and VP8: one encoder for each format and rendition of a session. Output thread.

H.264 is x264's ultrafast zerolatency, constrained baseline, BT.709 in limited range and said so in the stream
(ITU-T H.264, Annex E). VP8 can say nothing but BT.601 (RFC 6386, 9.2), so it gets that. Keyframes come when they are
asked for, and every 10 s. A small rate buffer keeps one picture's burst under a quarter of a second of the bit rate.
"""

import fractions
from enum import StrEnum
from typing import cast

import av
import msgspec
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from liveglass.engine.frame import Pixels, Size

_BITS_A_PIXEL = 0.27
_LEAST_BPS, _MOST_BPS = 300_000, 4_000_000
LOW_BPS = 80_000
_KEYFRAME_EVERY_S = 10
_BUFFER_S = 0.25
TIME_BASE = fractions.Fraction(1, 90_000)


class VideoCodec(StrEnum):
    """The codecs that browsers and aiortc share, by their names in SDP."""

    H264 = "H264"
    VP8 = "VP8"


class Rendition(StrEnum):
    """Which of a session's two sizes: `low` is half as wide and high, for links that cannot carry `main`."""

    MAIN = "main"
    LOW = "low"

    def size(self, whole: Size) -> Size:
        """The rendition's size in pixels; even, as 4:2:0 needs it."""
        if self is Rendition.MAIN:
            return whole
        return Size(max(2, whole.width // 4 * 2), max(2, whole.height // 4 * 2))

    def bitrate(self, whole: Size, fps: int) -> int:
        """Bits a second."""
        if self is Rendition.LOW:
            return LOW_BPS
        return round(min(_MOST_BPS, max(_LEAST_BPS, whole.width * whole.height * fps * _BITS_A_PIXEL)))


class Encoded(msgspec.Struct, frozen=True):
    """One picture in Annex B (H.264) or as a VP8 frame."""

    data: bytes
    is_keyframe: bool


class VideoEncoder:
    """Encodes one rendition in one codec."""

    def __init__(self, codec: VideoCodec, rendition: Rendition, whole: Size, fps: int) -> None:
        self.size = rendition.size(whole)
        self._codec = codec
        self._reformatter = VideoReformatter()
        self._picture: tuple[Pixels, av.VideoFrame] | None = None
        self._context = _context(codec, self.size, fps, rendition.bitrate(whole, fps))

    def encode(self, pixels: Pixels, pts: int, *, keyframe: bool) -> Encoded:
        """Encode uint8 [H, W, 3] RGB of the whole size, at `pts` in 90 kHz ticks."""
        frame = self._converted(pixels)
        frame.pts = pts
        frame.time_base = TIME_BASE
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(frame)
        return Encoded(b"".join(map(bytes, packets)), any(packet.is_keyframe for packet in packets))

    def _converted(self, pixels: Pixels) -> av.VideoFrame:
        if self._picture is not None and self._picture[0] is pixels:
            return self._picture[1]  # a repeated picture is converted once
        is_h264 = self._codec is VideoCodec.H264
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(pixels, format="rgb24"),
            self.size.width,
            self.size.height,
            format="yuv420p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=Colorspace.ITU709 if is_h264 else Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            interpolation="FAST_BILINEAR" if self.size.width == pixels.shape[1] else "AREA",
            threads=1,
        )
        self._picture = (pixels, frame)
        return frame


def _context(codec: VideoCodec, size: Size, fps: int, bitrate: int) -> VideoCodecContext:
    name = "libx264" if codec is VideoCodec.H264 else "libvpx"
    context = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
    context.width, context.height = size.width, size.height
    context.pix_fmt = "yuv420p"
    context.bit_rate = bitrate
    context.framerate = fractions.Fraction(fps, 1)
    context.time_base = TIME_BASE
    context.gop_size = fps * _KEYFRAME_EVERY_S
    context.thread_count = 1
    context.color_range = ColorRange.MPEG
    if codec is VideoCodec.H264:
        context.profile = "Baseline"
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "maxrate": str(bitrate),
            "bufsize": str(round(bitrate * _BUFFER_S)),
            "x264-params": "scenecut=0:repeat-headers=1",
        }
    else:
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            "minrate": str(bitrate),
            "maxrate": str(bitrate),
            "bufsize": str(round(bitrate * _BUFFER_S)),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
            "qmin": "2",
            "qmax": "58",
        }
    context.open()  # it takes longer than a slot may be late; the first picture would pay for it
    return context
