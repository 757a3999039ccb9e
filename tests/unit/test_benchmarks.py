"""What the benchmarks reckon with, without running them."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
