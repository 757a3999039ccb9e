"""The output grid is absolute: what was rounded once is never added up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.stream.grid import TICKS_PER_SECOND, Grid, staggered_start

RATES = (24, 25, 30, 50, 60)
grids = st.builds(Grid, st.floats(0, 1e6), st.sampled_from(RATES))
slots = st.integers(0, 10**6)


@given(grids, slots)
def test_a_slot_is_due_at_t0_and_k_periods_without_drift(grid: Grid, slot: int) -> None:
    assert abs((grid.deadline(slot) - grid.t0) * grid.fps - slot) < 1e-3
    assert grid.slot_at(grid.deadline(slot)) == slot
    assert grid.next_slot(grid.deadline(slot)) == slot


@given(grids, slots, st.floats(0.001, 0.999))
def test_between_two_deadlines_the_older_slot_is_on_and_the_newer_is_next(grid: Grid, slot: int, part: float) -> None:
    now = grid.deadline(slot) + part * grid.period
    assert grid.slot_at(now) == slot
    assert grid.next_slot(now) == slot + 1


@given(grids, st.floats(0, 1000))
def test_nothing_is_due_before_t0(grid: Grid, before: float) -> None:
    now = grid.t0 - 0.001 - before
    assert grid.slot_at(now) == -1
    assert grid.next_slot(now) == 0


@given(grids, slots, slots)
def test_presentation_times_are_whole_ticks_and_keep_the_distance_of_the_slots(grid: Grid, a: int, b: int) -> None:
    assert grid.pts(b) - grid.pts(a) == (b - a) * grid.pts(1)
    assert grid.pts(1) * grid.fps == TICKS_PER_SECOND


def test_24_slots_a_second_are_3750_ticks_apart() -> None:
    assert Grid(0.0, 24).pts(1) == 3750


@given(st.floats(0, 1e5), st.sampled_from(RATES), st.lists(st.floats(-100, 100), max_size=12))
def test_a_new_session_starts_soon_and_in_the_widest_gap(now: float, fps: int, phases: list[float]) -> None:
    others = [Grid(now + phase, fps) for phase in phases]
    start = staggered_start(now, fps, others)
    period = 1 / fps
    assert now <= start <= now + 2 * period + 1e-6
    if others:
        nearest = min(min((start - o.t0) % period, (o.t0 - start) % period) for o in others)
        assert nearest >= period / len(others) / 2 - 1e-6


@pytest.mark.parametrize("count", [2, 4, 8])
def test_sessions_opened_one_after_the_other_never_share_a_phase(count: int) -> None:
    others: list[Grid] = []
    for number in range(count):
        others.append(Grid(staggered_start(100.0 + number * 0.37, 24, others), 24))
    phases = sorted(grid.t0 * 24 % 1.0 for grid in others)
    gaps = [(b - a) % 1.0 or 1.0 for a, b in zip(phases, [*phases[1:], phases[0]], strict=True)]
    assert min(gaps) >= 1 / (2 * count)
