"""What the benchmarks reckon with, without running them."""

from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveglass.engine.frame import FrameKind
from liveglass.transport import codecs

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLOT_MS = 1000 / 24


@pytest.fixture(scope="module")
def networks() -> Iterator[ModuleType]:
    yield from benchmark("networks")


@pytest.fixture(scope="module")
def latency() -> Iterator[ModuleType]:
    yield from benchmark("latency")


@pytest.fixture(scope="module")
def peers() -> Iterator[ModuleType]:
    yield from benchmark("peers")


@pytest.fixture(scope="module")
def soak() -> Iterator[ModuleType]:
    yield from benchmark("soak")


def benchmark(name: str) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield import_module(name)


def pictures(networks: ModuleType, times_ms: list[float]) -> list[object]:
    return [networks.Shown(at, "webrtc", 0, 512) for at in times_ms]


@given(fault_ms=st.floats(0, 5000), frozen_ms=st.floats(0, 5000))
def test_recovery_is_the_time_until_pictures_flow_again(
    networks: ModuleType, fault_ms: float, frozen_ms: float
) -> None:
    times = [fault_ms + frozen_ms + n * SLOT_MS for n in range(48)]
    back = networks.recovery_s(pictures(networks, times), fault_ms)
    assert back == pytest.approx(max(0.0, frozen_ms - SLOT_MS) / 1000, abs=1e-6)


def test_who_never_shows_a_whole_second_again_has_not_recovered(networks: ModuleType) -> None:
    slow = [n * 1000 / 12 for n in range(120)]
    assert networks.recovery_s(pictures(networks, slow), 0.0) is None


def test_a_freeze_at_either_end_of_the_measured_time_counts(networks: ModuleType) -> None:
    assert networks.longest_ms(pictures(networks, [500.0, 510.0]), 0.0, 600.0) == 500.0
    assert networks.longest_ms(pictures(networks, [10.0, 20.0]), 0.0, 600.0) == 580.0
    assert networks.longest_ms([], 0.0, 600.0) == 600.0


def test_what_the_page_claims_is_read_from_its_own_words_and_a_dash_is_no_figure(latency: ModuleType) -> None:
    assert latency.claim({"Out": "24 fps", "Motion age, p50 / p95": "31 / 45 ms"}) == {"p50": 31.0, "p95": 45.0}
    assert latency.claim({"Motion age, p50 / p95": "—"}) is None
    assert latency.claim({}) is None


@pytest.mark.parametrize("name", ["pan", "head", "hand-held head", "hand", "whip and cut", "still"])
def test_a_camera_sequence_moves_as_it_says(name: str) -> None:
    for sequences in benchmark("camera_sequences"):
        frames = sequences.SEQUENCES[name](64, 12)
        assert len(frames) == 12
        assert {(frame.shape, frame.dtype.name) for frame in frames} == {((64, 64, 3), "uint8")}
        changes = [float(np.abs(after.astype(int) - before).mean()) for before, after in pairwise(frames)]
        assert (max(changes) > 4) == (name != "still")
        if name == "whip and cut":
            assert max(changes[5:9]) > 25, "the cut"


def test_a_generated_picture_is_ready_when_its_time_has_passed() -> None:
    for reprojection in benchmark("reprojection"):
        assert list(reprojection.bases(8, 12)) == [(3, 0), (6, 3), (9, 6)]
        stalled = [slot for slot, _ in reprojection.bases(0, 72)]
        assert max(slot for slot in stalled) <= 24, "the last two thirds are the stall"


def test_a_slot_is_new_when_it_shows_another_generated_picture() -> None:
    def frame(version: int, source_us: int, age_us: int, kind: FrameKind = FrameKind.WARPED) -> SimpleNamespace:
        return SimpleNamespace(version=version, source_us=source_us, age_us=age_us, kind=kind)

    for live in benchmark("live"):
        moved = [frame(1, 100 + n, n) for n in range(4)]
        assert live.new_pictures(moved) == 0, "the same picture, moved on"
        assert live.new_pictures([*moved, frame(1, 200, 0), frame(2, 200, 0)]) == 2
        assert live.new_pictures([frame(1, 0, 0), frame(0, 0, 0, FrameKind.STANDBY), frame(1, 0, 0)]) == 0


@given(number=st.integers(1, 2**16 - 1))
@settings(max_examples=30, deadline=None)
def test_a_pictures_number_is_read_back_through_a_codec_in_colour_and_in_grey(peers: ModuleType, number: int) -> None:
    picture = np.full(peers.SIZE.shape, 90, np.uint8)
    peers.write(picture, number)
    shown = codecs.decode_jpeg(codecs.encode_jpeg(picture))
    assert peers.read(shown) == number
    assert peers.read(shown.mean(axis=2).astype(np.uint8)) == number


def test_a_picture_without_a_number_has_none(peers: ModuleType) -> None:
    assert peers.read(np.zeros(peers.SIZE.shape, np.uint8)) is None
    assert peers.read(np.full(peers.SIZE.shape, 255, np.uint8)) is None


@given(lag=st.integers(1, 40))
@settings(max_examples=10, deadline=None)
def test_the_age_is_that_of_the_newest_number_on_show_at_every_instant(peers: ModuleType, lag: int) -> None:
    shown_at = {number: number / 24 for number in range(1, 24 * 12)}
    viewer = peers.Viewer(began=0.0)
    viewer.frames = [(at + lag / 24, number) for number, at in shown_at.items() if at + lag / 24 < 12]
    figures = peers.judge(viewer, shown_at, 12.0)
    # It is as old as the lag when it comes, and a slot older when the next one does.
    assert figures["age_end_p50"] == pytest.approx((lag + 0.5) * SLOT_MS, abs=12)
    assert figures["age_end_p95"] == pytest.approx((lag + 0.95) * SLOT_MS, abs=12)
    assert figures["shown_fps"] == pytest.approx(24, abs=0.2)
    assert figures["freezes"] == 0


def test_a_queue_that_grows_shows_in_the_age_at_the_end(peers: ModuleType) -> None:
    shown_at = {number: number / 24 for number in range(1, 24 * 12)}
    viewer = peers.Viewer(began=0.0)
    viewer.frames = [(at, number) for number in shown_at if (at := 0.1 + number / 12) < 12]
    figures = peers.judge(viewer, shown_at, 12.0)
    assert figures["age_end_p50"] > figures["age_10_s_p50"] + 500
    assert figures["new_fps"] == pytest.approx(12, abs=0.3)


def test_the_slope_of_a_soak_leaves_out_warming_up(soak: ModuleType) -> None:
    samples = [{"at_s": 10.0 * n, "memory": 100 + n / 360 * 3 + (500 if n < 30 else 0)} for n in range(360)]
    assert soak.slope(samples, "memory") == pytest.approx(3.0, abs=0.01)
