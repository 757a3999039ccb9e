"""Camera pictures from H.264 and VP8: everything is decoded, only the newest is made into pixels. Decode pool.

A decoder needs every picture, a stream does not: what came while another was being decoded is fed to the decoder in
order, and the last one alone is converted and fitted.
"""

from collections.abc import Sequence
from typing import cast

import av
import msgspec
import numpy as np
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, VideoReformatter

from liveglass.engine.errors import MalformedPicture, PictureTooLarge
from liveglass.engine.frame import Pixels, Size
from liveglass.transport.codecs import MAX_HEIGHT, MAX_WIDTH, Fit, fit
from liveglass.transport.webrtc.assembler import EncodedPicture
from liveglass.transport.webrtc.color_space import ColorSpace
from liveglass.transport.webrtc.encoding import TIME_BASE, VideoCodec

_DECODERS = {VideoCodec.H264: "h264", VideoCodec.VP8: "vp8"}


class CameraPicture(msgspec.Struct, frozen=True):
    """A decoded picture: uint8 [H, W, 3] RGB, at the session's size; the rest as it came."""

    pixels: Pixels
    timestamp: int
    arrived_at: float


class CameraDecoder:
    """Decodes one camera's stream, whatever its size, and whenever that changes. One thread at a time."""

    def __init__(self, size: Size, mode: Fit) -> None:
        self._size = size
        self._mode = mode
        self._codec: VideoCodec | None = None
        self._context: VideoCodecContext | None = None
        self._color_space: ColorSpace | None = None
        self._reformatter = VideoReformatter()

    def decode(self, codec: VideoCodec, pictures: Sequence[EncodedPicture]) -> CameraPicture | None:
        """Decode all of `pictures` (in order); the newest that came out whole, if any did.

        Raises:
            MalformedPicture: one of them could not be decoded; the stream goes on from its next keyframe.
            PictureTooLarge: the camera sends more than 1920×1080, either way up.
        """
        context = self._context_for(codec)
        newest: tuple[av.VideoFrame, EncodedPicture] | None = None
        for picture in pictures:
            packet = av.Packet(picture.data)
            packet.pts = picture.timestamp
            packet.time_base = TIME_BASE
            try:
                frames = context.decode(packet)
            except av.FFmpegError as error:
                self._context = None
                raise MalformedPicture(f"The camera's {codec} cannot be decoded: {error}.") from None
            self._color_space = picture.color_space or self._color_space
            if frames:
                newest = frames[-1], picture
        return None if newest is None else self._pixels(*newest)

    def _context_for(self, codec: VideoCodec) -> VideoCodecContext:
        if self._context is None or codec is not self._codec:
            context = cast("VideoCodecContext", av.CodecContext.create(_DECODERS[codec], "r"))
            context.thread_count = 1  # threads by picture would hold pictures back
            context.flags |= Flags.low_delay
            self._codec, self._context, self._color_space = codec, context, None
        return self._context

    def _pixels(self, frame: av.VideoFrame, picture: EncodedPicture) -> CameraPicture:
        if max(frame.width, frame.height) > MAX_WIDTH or min(frame.width, frame.height) > MAX_HEIGHT:
            raise PictureTooLarge(f"The camera sends {frame.width}×{frame.height}; the limit is 1920×1080.")
        color_space = self._color_space or ColorSpace.of(frame)
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=color_space.matrix,
            src_color_range=color_space.range,
            dst_color_range=ColorRange.JPEG,
            interpolation="FAST_BILINEAR",
            threads=1,
        )
        pixels = np.ascontiguousarray(fit(np.asarray(rgb.to_ndarray(), np.uint8), self._size, self._mode))
        return CameraPicture(pixels, picture.timestamp, picture.arrived_at)
