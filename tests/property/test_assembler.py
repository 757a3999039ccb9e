"""Packets in any order, with any losses: whole pictures in order, each once, and nothing that needs what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from liveglass.transport.webrtc.assembler import (
    CAPACITY,
    GIVE_UP_S,
    Fragment,
    PictureAssembler,
    starts_keyframe,
)

TRIP_S = 0.03


def stream(sizes, first=65_530, keyframes=(0,)):
    """The packets of pictures that have so many packets each."""
    packets, sequence = [], first
    for number, size in enumerate(sizes):
        for i in range(size):
            packets.append(
                Fragment(
                    sequence=sequence & 0xFFFF,
                    timestamp=number * 3750,
                    is_last=i == size - 1,
                    data=f"{number}.{i};".encode(),
                    starts_keyframe=i == 0 and number in keyframes,
                )
            )
            sequence += 1
    return packets


def whole(number, size):
    return "".join(f"{number}.{i};" for i in range(size)).encode()


sizes_ = st.lists(st.integers(1, 6), min_size=1, max_size=12)


@given(sizes_, st.integers(0, 65_535), st.randoms(use_true_random=False), st.integers(1, 5))
def test_reordered_packets_give_every_picture_once_and_in_order(sizes, first, random, distance) -> None:
    packets = stream(sizes, first)
    order = [packets[0], *sorted(packets[1:], key=lambda p: packets.index(p) + random.random() * distance)]
    assembler = PictureAssembler()
    pictures = [picture for i, packet in enumerate(order) for picture in assembler.add(packet, i * 0.001)]
    assert [picture.data for picture in pictures] == [whole(n, size) for n, size in enumerate(sizes)]
    assert [picture.timestamp for picture in pictures] == [n * 3750 for n in range(len(sizes))]


@given(sizes_)
def test_a_picture_leaves_with_its_last_packet_and_not_with_the_next_picture(sizes) -> None:
    assembler = PictureAssembler()
    for packet in stream(sizes):
        assert len(assembler.add(packet, 0.0)) == int(packet.is_last)


@given(sizes_, st.sets(st.integers(1, 60), max_size=6), st.integers(0, 3))
def test_every_missing_packet_is_asked_for_and_its_arrival_heals_the_stream(sizes, lost, duplicates) -> None:
    packets = stream(sizes)
    lost = {i for i in lost if i < len(packets) - 1}
    assembler, pictures, asked = PictureAssembler(), [], set()
    for i, packet in enumerate(packets):
        if i not in lost:
            pictures += assembler.add(packet, 0.0)
    asked.update(assembler.wishes(0.0, TRIP_S).missing)
    assert asked == {packets[i].sequence for i in lost}
    for i in sorted(lost):
        for _ in range(duplicates + 1):
            pictures += assembler.add(packets[i], 0.01)
    assert [picture.data for picture in pictures] == [whole(n, size) for n, size in enumerate(sizes)]
    assert assembler.skipped == 0


def test_a_packet_is_asked_for_again_each_round_trip_and_not_oftener() -> None:
    packets = stream([1, 2, 2])
    assembler = PictureAssembler()
    for packet in (packets[0], packets[2], packets[3]):
        assembler.add(packet, 0.0)
    times = [now / 100 for now in range(9) if assembler.wishes(now / 100, TRIP_S).missing]
    assert times == [0.0, 0.03, 0.06]


def test_a_gap_is_given_up_after_100_ms_and_shows_nothing_until_a_keyframe_that_is_asked_for() -> None:
    packets = stream([2, 3, 2, 2, 2], keyframes=(0, 4))
    assembler = PictureAssembler()
    for packet in (*packets[:2], *packets[3:7]):
        assembler.add(packet, 0.0)
    assert not assembler.wishes(GIVE_UP_S - 0.01, TRIP_S).keyframe
    assert assembler.wishes(GIVE_UP_S, TRIP_S).keyframe
    assert assembler.skipped == 1
    assert [assembler.add(packet, 0.2) for packet in packets[7:9]] == [[], []]
    assert [p.data for packet in packets[9:] for p in assembler.add(packet, 0.2)] == [whole(4, 2)]
    assert assembler.add(packets[2], 0.3) == []


def test_a_keyframe_of_300_kb_is_put_together() -> None:
    packets = stream([1, 300], first=12)
    assembler = PictureAssembler()
    reordered = [packets[0], *reversed(packets[1:])]
    pictures = [picture for packet in reordered for picture in assembler.add(packet, 0.0)]
    assert [len(picture.data) for picture in pictures] == [len(whole(0, 1)), len(whole(1, 300))]


@given(st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 5), st.booleans(), st.booleans()), max_size=200))
def test_no_packets_whatever_break_it_or_make_it_grow(noise) -> None:
    assembler = PictureAssembler()
    for i, (sequence, timestamp, is_last, is_key) in enumerate(noise):
        assembler.add(Fragment(sequence, timestamp, is_last, b"x", is_key), i * 0.01)
        wishes = assembler.wishes(i * 0.01, TRIP_S)
        assert len(wishes.missing) <= 256
        assert len(assembler._waiting) <= CAPACITY


def test_padding_between_pictures_holds_nothing_up() -> None:
    packets = stream([1, 1])
    padding = Fragment(packets[1].sequence, 0, is_last=False, data=b"", starts_keyframe=False)
    after = Fragment((packets[1].sequence + 1) & 0xFFFF, 3750, is_last=True, data=b"next", starts_keyframe=False)
    assembler = PictureAssembler()
    assert len(assembler.add(packets[0], 0.0)) == 1
    assert assembler.add(padding, 0.0) == []
    assert [picture.data for picture in assembler.add(after, 0.0)] == [b"next"]


def test_keyframes_are_told_from_their_first_bytes() -> None:
    assert starts_keyframe("H264", bytes([0x67, 1, 2]))  # a sequence parameter set
    assert starts_keyframe("H264", bytes([0x78, 0, 9, 0x67]))  # in a STAP-A
    assert starts_keyframe("H264", bytes([0x7C, 0x85, 1]))  # an FU-A that starts an IDR
    assert not starts_keyframe("H264", bytes([0x7C, 0x05, 1]))  # its middle
    assert not starts_keyframe("H264", bytes([0x41, 1]))
    assert starts_keyframe("VP8", bytes([0x90, 0x80, 0x85, 0x01, 0x10]))
    assert not starts_keyframe("VP8", bytes([0x90, 0x80, 0x85, 0x01, 0x11]))
    assert not starts_keyframe("VP8", bytes([0x80, 0x80, 0x85, 0x01, 0x10]))  # not the first packet


@given(st.sampled_from(["H264", "VP8"]), st.binary(max_size=8))
def test_any_payload_is_a_keyframe_or_not_and_nothing_else(codec, payload) -> None:
    assert starts_keyframe(codec, payload) in {True, False}
