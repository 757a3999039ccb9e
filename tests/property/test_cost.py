"""What frames cost is measured, forgotten in time, and scaled where it was never seen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.worker.cost import WINDOW, Cost, CostMeter, CostTable, percentile

seconds = st.floats(0.0001, 10)


@given(st.lists(seconds, min_size=1), st.floats(0, 1))
def test_percentiles_are_numpys(values: list[float], q: float) -> None:
    assert percentile(sorted(values), q) == pytest.approx(np.quantile(values, q))


def test_the_percentile_of_nothing_is_no_number() -> None:
    assert np.isnan(percentile([], 0.5))


@given(st.lists(seconds, min_size=1, max_size=WINDOW), seconds)
def test_a_slow_time_is_forgotten_after_as_many_frames_as_the_window_has(slow: list[float], now: float) -> None:
    meter = CostMeter()
    for value in slow + [now] * WINDOW:
        meter.add(4, 1, value)
    assert meter.table().frame(4) == Cost(now, now)


@given(seconds, st.integers(1, 8), st.integers(1, 8), st.integers(1, 4))
def test_what_was_never_seen_is_scaled_from_the_nearest(value: float, seen: int, asked: int, batch: int) -> None:
    table = CostTable({f"{seen}x1": Cost(value, value * 2)})
    cost = table.frame(asked, batch)
    assert cost.p50 == pytest.approx(value * asked / seen * batch)
    assert cost.p95 == pytest.approx(cost.p50 * 2)


def test_before_anything_was_measured_a_frame_costs_nothing() -> None:
    assert CostTable().frame(4) == Cost(0.0, 0.0)
