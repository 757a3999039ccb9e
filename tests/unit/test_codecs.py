"""Pictures in and out: checked before they are decoded, never stretched, refused with a type."""

import struct

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from liveglass.engine.errors import InvalidInput, MalformedPicture, NotAvailable, PictureTooLarge
from liveglass.engine.frame import Pixels, Size
from liveglass.transport import codecs
from liveglass.transport.header import Codec


def smooth(width: int, height: int, seed: int = 0) -> Pixels:
    """A picture that JPEG keeps well."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def psnr(a: Pixels, b: Pixels) -> float:
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG, whose header claims another size."""
    at = next(i for marker in (b"\xff\xc0", b"\xff\xc2") if (i := jpeg.find(marker)) > 0)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def test_a_picture_survives_jpeg() -> None:
    picture = smooth(640, 360)
    jpeg = codecs.encode_jpeg(picture)
    assert codecs.jpeg_size(jpeg) == Size(640, 360)
    assert psnr(codecs.decode_jpeg(jpeg), picture) > 35


def test_colours_stay_in_order() -> None:
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    decoded = codecs.decode_jpeg(codecs.encode_jpeg(red))
    assert decoded[..., 0].mean() > 240
    assert decoded[..., 1:].mean() < 15


def test_a_grey_jpeg_becomes_three_equal_channels() -> None:
    grey = np.ascontiguousarray(smooth(64, 48)[..., :1])
    jpeg = simplejpeg.encode_jpeg(grey, colorspace="GRAY", colorsubsampling="Gray")
    decoded = codecs.decode(Codec.JPEG, jpeg, Size(64, 48), "cover")
    assert decoded.shape == (48, 64, 3)
    assert (decoded[..., 0] == decoded[..., 2]).all()


def test_a_view_that_is_not_contiguous_can_be_encoded() -> None:
    picture = smooth(128, 96)
    assert psnr(codecs.decode_jpeg(codecs.encode_jpeg(picture[:, ::-1])), picture[:, ::-1]) > 30


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"not a picture", id="words"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(64), id="png"),
        pytest.param(b"GIF89a" + bytes(64), id="gif"),
        pytest.param(codecs.encode_jpeg(smooth(64, 64))[:200], id="cut in the header"),
        pytest.param(codecs.encode_jpeg(smooth(320, 240))[:-400], id="cut in the picture"),
        pytest.param(with_size(codecs.encode_jpeg(smooth(64, 64)), 0, 64), id="no width"),
    ],
)
def test_what_is_no_jpeg_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedPicture):
        codecs.decode(Codec.JPEG, payload, Size(64, 64), "cover")


def test_a_real_png_given_as_jpeg_is_refused() -> None:
    _, png = cv2.imencode(".png", smooth(64, 64))
    with pytest.raises(MalformedPicture):
        codecs.decode(Codec.JPEG, png.tobytes(), Size(64, 64), "cover")


def test_a_jpeg_for_print_is_refused() -> None:
    cmyk = np.zeros((32, 32, 4), np.uint8)
    jpeg = simplejpeg.encode_jpeg(cmyk, colorspace="CMYK", colorsubsampling="444")
    with pytest.raises(MalformedPicture):
        codecs.decode_jpeg(jpeg)


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (1921, 1080), (1920, 1081), (1081, 1920), (65_500, 2)])
def test_a_size_over_the_limit_is_told_from_the_header(width: int, height: int) -> None:
    # The payload is that of a 64×64 picture: decoding it as what it claims would fail in another way.
    with pytest.raises(PictureTooLarge):
        codecs.decode_jpeg(with_size(codecs.encode_jpeg(smooth(64, 64)), width, height))


def test_a_telephone_held_upright_is_taken() -> None:
    jpeg = codecs.encode_jpeg(smooth(1080, 1920))
    assert codecs.decode(Codec.JPEG, jpeg, Size(64, 64), "contain").shape == (64, 64, 3)


def test_more_than_4_mib_are_not_even_looked_at() -> None:
    with pytest.raises(PictureTooLarge):
        codecs.decode_jpeg(codecs.encode_jpeg(smooth(64, 64)) + bytes(codecs.MAX_PICTURE_BYTES))


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    jpeg = codecs.encode_jpeg(smooth(64, 64))
    with pytest.raises(MalformedPicture, match="scans"):
        codecs.decode_jpeg(jpeg[:-2] + b"\xff\xda\x00\x02" * 1000 + jpeg[-2:])


@pytest.mark.parametrize("mode", ["cover", "contain"])
def test_a_large_camera_is_decoded_small_and_looks_the_same(mode: codecs.Fit) -> None:
    picture, size = smooth(1920, 1080), Size(320, 240)
    jpeg = codecs.encode_jpeg(picture, quality=95)
    decoded = codecs.decode_jpeg(jpeg, size, mode)
    assert decoded.shape[0] <= 540
    assert decoded.shape[0] >= (240 if mode == "cover" else 180)
    assert psnr(codecs.fit(decoded, size, mode), codecs.fit(picture, size, mode)) > 25


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 200), st.integers(1, 200))
@settings(max_examples=60)
def test_fit_gives_exactly_the_size_asked_for(width: int, height: int, out_width: int, out_height: int) -> None:
    picture = np.full((height, width, 3), 200, np.uint8)
    covered = codecs.fit(picture, Size(out_width, out_height), "cover")
    contained = codecs.fit(picture, Size(out_width, out_height), "contain")
    assert covered.shape == contained.shape == (out_height, out_width, 3)
    assert (covered == 200).all()
    assert (contained == 200).any()


def test_cover_cuts_and_contain_frames_and_neither_stretches() -> None:
    # A white square in the middle of a wide picture stays a square.
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[25:75, 175:225] = 255
    for mode, side in (("cover", 100), ("contain", 25)):
        white = codecs.fit(wide, Size(200, 200), mode)[..., 0] > 127
        rows, columns = white.any(axis=1).sum(), white.any(axis=0).sum()
        assert abs(int(rows) - side) <= 2
        assert abs(int(columns) - side) <= 2


def test_contain_is_black_beside_the_picture() -> None:
    contained = codecs.fit(np.full((100, 100, 3), 255, np.uint8), Size(300, 100), "contain")
    assert not contained[:, :100].any()
    assert not contained[:, 200:].any()
    assert (contained[:, 100:200] == 255).all()


def test_the_right_size_is_passed_on_without_a_copy() -> None:
    picture = smooth(64, 48)
    assert codecs.fit(picture, Size(64, 48), "cover") is picture


def test_raw_pixels_come_back_exactly() -> None:
    picture = smooth(66, 34)
    assert (codecs.decode_raw(codecs.encode_raw(picture)) == picture).all()


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        pytest.param(b"", MalformedPicture, id="nothing"),
        pytest.param(b"\x00\x02\x00", MalformedPicture, id="half a size"),
        pytest.param(struct.pack(">HH", 0, 0), MalformedPicture, id="no pixels"),
        pytest.param(struct.pack(">HH", 2, 2) + bytes(11), MalformedPicture, id="a byte short"),
        pytest.param(struct.pack(">HH", 2, 2) + bytes(13), MalformedPicture, id="a byte over"),
        pytest.param(struct.pack(">HH", 65_535, 65_535), PictureTooLarge, id="huge"),
        pytest.param(struct.pack(">HH", 1920, 1080) + bytes(1920 * 1080 * 3), PictureTooLarge, id="over 4 MiB"),
    ],
)
def test_raw_pixels_that_do_not_add_up_are_refused(payload: bytes, error: type[InvalidInput]) -> None:
    with pytest.raises(error):
        codecs.decode_raw(payload)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.WEBP])
def test_codecs_to_come_say_so(codec: Codec) -> None:
    with pytest.raises(NotAvailable):
        codecs.decode(codec, b"", Size(64, 64), "cover")


PICTURE_OR_REFUSAL = {(64, 64, 3), "malformed_picture", "picture_too_large"}


def decoded_or_refused(codec: Codec, payload: bytes) -> tuple[int, ...] | str:
    try:
        return codecs.decode(codec, payload, Size(64, 64), "cover").shape
    except InvalidInput as error:
        return error.code


@given(st.binary(max_size=300))
def test_any_bytes_are_a_picture_or_a_typed_refusal(payload: bytes) -> None:
    for codec in (Codec.JPEG, Codec.RAW):
        assert decoded_or_refused(codec, payload) in PICTURE_OR_REFUSAL


@given(st.integers(0, 3000), st.integers(0, 255))
@settings(max_examples=60)
def test_a_damaged_jpeg_is_a_picture_or_a_typed_refusal(at: int, byte: int) -> None:
    jpeg = bytearray(codecs.encode_jpeg(smooth(96, 64)))
    jpeg[at % len(jpeg)] = byte
    assert decoded_or_refused(Codec.JPEG, bytes(jpeg)) in PICTURE_OR_REFUSAL
