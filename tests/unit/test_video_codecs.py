"""Pictures through H.264 and VP8 and back, as the server itself encodes and decodes them."""

from contextlib import suppress

import av
import msgspec
import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import pack_header_extensions
from av.video.reformatter import ColorRange, Colorspace

from liveglass.engine.errors import MalformedPicture, PictureTooLarge
from liveglass.engine.frame import Size
from liveglass.transport.webrtc.assembler import EncodedPicture
from liveglass.transport.webrtc.color_space import COLOR_SPACE, ColorSpace
from liveglass.transport.webrtc.decoding import CameraDecoder
from liveglass.transport.webrtc.encoding import Rendition, VideoCodec, VideoEncoder
from liveglass.transport.webrtc.header_extensions import PictureExtensionsMap

WHOLE = Size(640, 360)
FULL_RANGE = ColorSpace(Colorspace.ITU709, ColorRange.JPEG)
BARS = [
    *((255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0)),
    *((255, 0, 255), (255, 0, 0), (0, 0, 255), (16, 128, 235)),
]


def bars(size=WHOLE):
    pixels = np.empty(size.shape, np.uint8)
    for i, colour in enumerate(BARS):
        pixels[:, i * size.width // 8 : (i + 1) * size.width // 8] = colour
    return pixels


def encoded(encoder, pixels, count=3):
    return [encoder.encode(pixels, i * 3750, keyframe=i == 0) for i in range(count)]


def pictures(stream):
    return [EncodedPicture(one.data, i * 3750, 0.0) for i, one in enumerate(stream)]


@pytest.mark.parametrize("codec", VideoCodec)
@pytest.mark.parametrize("rendition", Rendition)
def test_colour_bars_come_back_within_3_levels(codec, rendition) -> None:
    stream = encoded(VideoEncoder(codec, rendition, WHOLE, 24), bars(), 30)
    picture = CameraDecoder(WHOLE, "cover").decode(codec, pictures(stream))
    assert picture is not None
    for i, colour in enumerate(BARS):
        middle = picture.pixels[180, i * 80 + 40].astype(int)
        assert np.abs(middle - colour).max() <= 3, (codec, colour, middle)


def test_h264_says_bt709_in_limited_range_and_constrained_baseline() -> None:
    stream = encoded(VideoEncoder(VideoCodec.H264, Rendition.MAIN, WHOLE, 24), bars())
    context = av.CodecContext.create("h264", "r")
    frame = [*(frame for one in stream for frame in context.decode(av.Packet(one.data))), *context.decode(None)][0]
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)
    at = stream[0].data.index(b"\x00\x00\x01\x67") + 4
    profile, constraints = stream[0].data[at : at + 2]
    assert profile == 66
    assert constraints & 0x40


@pytest.mark.parametrize("codec", VideoCodec)
def test_a_keyframe_comes_when_asked_for_and_only_then(codec) -> None:
    encoder = VideoEncoder(codec, Rendition.MAIN, WHOLE, 24)
    kinds = [encoder.encode(bars(), i * 3750, keyframe=i in {0, 20}).is_keyframe for i in range(30)]
    assert [i for i, is_key in enumerate(kinds) if is_key] == [0, 20]


def test_the_low_rendition_is_half_as_wide_and_high_and_even() -> None:
    for size in (WHOLE, Size(642, 362), Size(64, 64), Size(1920, 1080)):
        low = Rendition.LOW.size(size)
        assert low.width % 2 == low.height % 2 == 0
        assert abs(low.width - size.width / 2) <= 2
        assert Rendition.MAIN.size(size) == size


@pytest.mark.parametrize("codec", VideoCodec)
def test_a_stream_may_change_its_size_at_any_keyframe(codec) -> None:
    decoder = CameraDecoder(WHOLE, "cover")
    for size in (Size(320, 180), Size(1280, 720), Size(480, 640)):
        picture = decoder.decode(codec, pictures(encoded(VideoEncoder(codec, Rendition.MAIN, size, 24), bars(size))))
        assert picture is not None
        assert picture.pixels.shape == WHOLE.shape
        assert picture.timestamp == 7500


@pytest.mark.parametrize("codec", VideoCodec)
def test_the_color_space_that_the_packets_name_is_the_one_that_counts(codec) -> None:
    """A canvas of Chrome's is full-range BT.709, and VP8 itself cannot say so."""
    grey = np.full(WHOLE.shape, 96, np.uint8)
    stream = pictures(encoded(VideoEncoder(codec, Rendition.MAIN, WHOLE, 24), grey))
    said = [msgspec.structs.replace(stream[0], color_space=FULL_RANGE), *stream[1:]]
    limited, full = (CameraDecoder(WHOLE, "cover").decode(codec, pictures) for pictures in (stream, said))
    assert limited is not None
    assert full is not None
    assert abs(int(limited.pixels[100, 100, 1]) - 96) <= 2
    assert abs(int(full.pixels[100, 100, 1]) - (16 + 96 * 219 / 255)) <= 2


@pytest.mark.parametrize(
    ("extension", "said"),
    [
        (bytes([1, 13, 1, 0x20]), FULL_RANGE),
        (bytes([6, 6, 6, 0x15]), ColorSpace(Colorspace.ITU601, ColorRange.MPEG)),
        (bytes([9, 16, 9, 0x10]) + bytes(24), ColorSpace(Colorspace.BT2020, ColorRange.MPEG)),
        (bytes([1, 13, 0, 0x20]), None),
        (bytes([1, 13, 1, 0x00]), None),
        (b"\x01\x01\x01", None),
        (b"", None),
    ],
)
def test_the_header_extension_of_the_color_space_is_read(extension, said) -> None:
    assert ColorSpace.parse(extension) == said


def test_a_packet_carries_its_color_space_beside_what_aiortc_reads() -> None:
    known = PictureExtensionsMap()
    uris = {3: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", 8: COLOR_SPACE}
    known.configure(RTCRtpParameters(headerExtensions=[RTCRtpHeaderExtensionParameters(i, u) for i, u in uris.items()]))
    profile, value = pack_header_extensions([(3, b"\x00\x01\x02"), (8, bytes([1, 13, 1, 0x20]))])
    extensions = known.get(profile, value)
    assert (extensions.abs_send_time, extensions.color_space) == (0x102, FULL_RANGE)
    assert known.get(*pack_header_extensions([(3, b"\x00\x01\x02")])).color_space is None


def test_everything_is_decoded_and_the_newest_picture_kept() -> None:
    encoder, decoder = VideoEncoder(VideoCodec.H264, Rendition.MAIN, WHOLE, 24), CameraDecoder(WHOLE, "cover")
    greys = [np.full(WHOLE.shape, 40 + 20 * i, np.uint8) for i in range(8)]
    stream = [encoder.encode(grey, i * 3750, keyframe=i == 0) for i, grey in enumerate(greys)]
    picture = decoder.decode(VideoCodec.H264, pictures(stream))
    assert picture is not None
    assert picture.timestamp == 7 * 3750
    assert abs(int(picture.pixels[100, 100, 0]) - 180) <= 3


@pytest.mark.parametrize("codec", VideoCodec)
def test_garbage_is_a_typed_error_and_the_next_keyframe_heals_it(codec) -> None:
    decoder = CameraDecoder(WHOLE, "cover")
    stream = pictures(encoded(VideoEncoder(codec, Rendition.MAIN, WHOLE, 24), bars()))
    garbage = [EncodedPicture(b"\x00\x00\x00\x01\x65" + bytes(range(200)), 0, 0.0)]
    with suppress(MalformedPicture):  # or it comes out as nothing at all
        assert decoder.decode(codec, garbage) is None
    assert decoder.decode(codec, stream) is not None


def test_a_camera_over_the_limit_is_refused() -> None:
    size = Size(1928, 1088)
    stream = encoded(VideoEncoder(VideoCodec.VP8, Rendition.MAIN, size, 24), bars(size))
    with pytest.raises(PictureTooLarge):
        CameraDecoder(WHOLE, "cover").decode(VideoCodec.VP8, pictures(stream))
