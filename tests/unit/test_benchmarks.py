"""What the benchmarks reckon with, without running them."""

from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.frame import FrameKind

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SLOT_MS = 1000 / 24


@pytest.fixture(scope="module")
def networks() -> Iterator[ModuleType]:
    yield from benchmark("networks")


@pytest.fixture(scope="module")
def latency() -> Iterator[ModuleType]:
    yield from benchmark("latency")


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
