"""What frames cost is measured, forgotten in time, and scaled where it was never seen."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.worker.cost import MOST_SIZES, USUAL_PIXELS, WINDOW, Case, Cost, CostMeter, CostTable, percentile

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
    table = CostTable({Case(USUAL_PIXELS, seen): Cost(value, value * 2)})
    cost = table.frame(asked, batch)
    assert cost.p50 == pytest.approx(value * asked / seen * batch)
    assert cost.p95 == pytest.approx(cost.p50 * 2)


def test_before_anything_was_measured_a_frame_costs_nothing() -> None:
    assert CostTable().frame(4) == Cost(0.0, 0.0)
    assert CostTable().knowing([Case(USUAL_PIXELS, 4)]).frame(4) == Cost(0.0, 0.0)


SIZES = [320 * 180, 640 * 360, 1280 * 720]
INNER = st.sampled_from([0, 58_000, 512 * 512])
cases = st.builds(Case, st.sampled_from(SIZES), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]))
tables = st.builds(
    CostTable,
    st.dictionaries(cases, st.builds(lambda value: Cost(value, 1.3 * value), seconds), min_size=1, max_size=8),
    INNER,
)
never_seen = st.integers(64 * 64, 1920 * 1080).filter(lambda pixels: pixels not in SIZES)


@given(tables, st.lists(never_seen, min_size=2, max_size=2), st.integers(1, 8), st.integers(1, 3))
def test_an_estimate_never_falls_with_more_pixels_and_is_never_nothing(
    table: CostTable, pixels: list[int], steps: int, batch: int
) -> None:
    fewer, more = (table.frame(steps, batch, pixels=count) for count in sorted(pixels))
    assert 0 < fewer.p50 <= more.p50 * (1 + 1e-9)
    assert 0 < fewer.p95 <= more.p95 * (1 + 1e-9)


@given(tables, never_seen, st.integers(1, 7), st.integers(1, 3))
def test_an_estimate_never_falls_with_more_passes(table: CostTable, pixels: int, steps: int, batch: int) -> None:
    fewer, more = (table.frame(count, batch, pixels=pixels) for count in (steps, steps + 1))
    assert 0 < fewer.p95 <= more.p95 * (1 + 1e-9)


@given(tables)
def test_what_was_measured_is_told_as_it_was_measured(table: CostTable) -> None:
    assert all(table.frame(case.steps, case.batch, pixels=case.pixels) == cost for case, cost in table.entries.items())


@given(tables, st.lists(st.builds(Case, never_seen, st.integers(1, 4), st.integers(1, 2)), max_size=4))
def test_estimates_that_were_written_down_are_the_same(table: CostTable, asked: list[Case]) -> None:
    known = table.knowing(asked)
    assert all(known.entries[case] == table.frame(case.steps, case.batch, pixels=case.pixels) for case in asked)
    assert table.entries.items() <= known.entries.items()


@given(seconds, st.sampled_from(SIZES), never_seen)
def test_a_model_that_paints_every_pixel_takes_time_in_proportion_to_them(value: float, seen: int, asked: int) -> None:
    table = CostTable({Case(seen, 4): Cost(value, value)})
    assert table.frame(4, pixels=asked).p95 == pytest.approx(value * asked / seen)


def test_a_model_of_one_inner_size_takes_little_longer_for_a_larger_picture() -> None:
    table = CostTable({Case(USUAL_PIXELS, 4): Cost(0.05, 0.06)}, inner_pixels=58_000)
    large, small = table.frame(4, pixels=1280 * 720).p50, table.frame(4, pixels=160 * 90).p50
    assert 0.05 < large < 0.06
    assert small == pytest.approx(0.05 / 4, rel=0.1)


def test_what_a_frame_takes_whatever_its_size_is_told_by_two_sizes() -> None:
    fixed, each = 0.02, 0.01 / USUAL_PIXELS

    def frame(pixels: int) -> Cost:
        return Cost(fixed + each * pixels, fixed + each * pixels)

    table = CostTable({Case(pixels, 4): frame(pixels) for pixels in (USUAL_PIXELS, USUAL_PIXELS // 4)})
    for pixels in (64 * 64, 426 * 240, 1280 * 720, 1920 * 1080):
        assert table.frame(4, pixels=pixels).p50 == pytest.approx(frame(pixels).p50)


def test_other_passes_of_another_size_are_estimated_by_what_they_take_where_both_were_measured() -> None:
    usual = {Case(USUAL_PIXELS, 1): Cost(0.03, 0.03), Case(USUAL_PIXELS, 4): Cost(0.06, 0.06)}
    table = CostTable({**usual, Case(4 * USUAL_PIXELS, 4): Cost(0.2, 0.2)})
    assert table.frame(1, pixels=4 * USUAL_PIXELS).p95 == pytest.approx(0.1)


@given(st.lists(st.integers(1, 30), max_size=120))
def test_a_table_stays_small_and_keeps_the_first_size_and_the_newest(sizes: list[int]) -> None:
    meter = CostMeter()
    for pixels in [1, *sizes]:
        for steps in (1, 2, 4):
            meter.add(steps, 1, 0.05, pixels=pixels)
    kept = {case.pixels for case in meter.table().entries}
    newest = list(dict.fromkeys(reversed([pixels for pixels in sizes if pixels != 1])))[: MOST_SIZES - 1]
    assert kept == {1, *newest}
    assert Case(1, 4) in meter
    assert len(msgspec.msgpack.encode(meter.table())) < 1000
