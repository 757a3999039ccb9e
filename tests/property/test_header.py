"""The frame header: 24 bytes that say the same on both sides, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.errors import MalformedFrame
from liveglass.engine.frame import FrameKind
from liveglass.transport.header import (
    HEADER_BYTES,
    MAX_U32,
    Codec,
    Flags,
    FrameHeader,
    WireKind,
    is_at_or_before,
    peek_seq,
)

u32 = st.integers(0, MAX_U32)
headers = st.builds(
    FrameHeader,
    kind=st.sampled_from(WireKind),
    codec=st.sampled_from(Codec),
    flags=st.integers(0, 7).map(Flags),
    seq=u32,
    source_us=st.integers(-(2**63), 2**63 - 1),
    version=u32,
    age_us=u32,
)


@given(headers, st.binary(max_size=64))
def test_what_is_packed_is_read_back_whatever_follows(header: FrameHeader, payload: bytes) -> None:
    packed = header.pack()
    assert len(packed) == HEADER_BYTES
    assert FrameHeader.unpack(packed + payload) == header
    assert peek_seq(packed) == header.seq


def test_the_layout_is_the_one_of_the_protocol() -> None:
    header = FrameHeader(
        kind=WireKind.WARPED,
        codec=Codec.JPEG,
        flags=Flags.KEYFRAME | Flags.CAMERA,
        seq=0x01020304,
        source_us=0x1112131415161718,
        version=0x21222324,
        age_us=0x31323334,
    )
    assert header.pack().hex() == "010201050102030411121314151617182122232431323334"


def read_or_refuse(message: bytes) -> FrameHeader | MalformedFrame:
    try:
        return FrameHeader.unpack(message)
    except MalformedFrame as error:
        return error


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda rest: b"\x01\x00\x01\x01" + rest))
def test_any_bytes_are_a_header_or_a_typed_refusal(message: bytes) -> None:
    read = read_or_refuse(message)
    if isinstance(read, MalformedFrame):
        assert read.code == "malformed_frame"
    else:
        assert (1, read.kind, read.codec) == tuple(message[:3])


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x01\x00\x01\x01" + bytes(19), id="one byte short"),
        pytest.param(b"\x02\x00\x01\x01" + bytes(20), id="another version"),
        pytest.param(b"\x01\x06\x01\x01" + bytes(20), id="an unknown kind"),
        pytest.param(b"\x01\x00\x00\x01" + bytes(20), id="codec 0"),
        pytest.param(b"\x01\x00\x05\x01" + bytes(20), id="an unknown codec"),
    ],
)
def test_a_wrong_header_is_refused(wrong: bytes) -> None:
    with pytest.raises(MalformedFrame):
        FrameHeader.unpack(wrong)


def test_flags_of_a_later_version_are_ignored() -> None:
    header = FrameHeader.unpack(b"\x01\x00\x01\xfd" + bytes(20))
    assert header.flags == Flags.KEYFRAME | Flags.CAMERA
    assert header.holds_camera


@pytest.mark.parametrize("field", ["seq", "version", "age_us"])
@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_that_does_not_fit_is_refused_and_not_wrapped(field: str, value: int) -> None:
    numbers = {"seq": 0, "version": 0, "age_us": 0, field: value}
    with pytest.raises(MalformedFrame):
        FrameHeader(kind=WireKind.CAMERA, codec=Codec.JPEG, **numbers).pack()


@pytest.mark.parametrize("kind", FrameKind)
def test_every_kind_of_frame_has_its_byte(kind: FrameKind) -> None:
    assert WireKind.of(kind).frame_kind is kind


def test_a_camera_picture_is_no_output() -> None:
    assert WireKind.CAMERA.frame_kind is None


@given(u32, st.integers(0, 2**31 - 1))
def test_order_survives_the_wrap_of_the_counter(seq: int, ahead: int) -> None:
    later = (seq + ahead) & MAX_U32
    assert is_at_or_before(seq, later)
    assert ahead == 0 or not is_at_or_before(later, seq)
