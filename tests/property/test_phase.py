"""The grid's phase: caught where there is one, left alone where there is none, never moved faster than its rule."""

import random

from hypothesis import example, given
from hypothesis import strategies as st

from liveglass.engine.stream.phase import LEAST_WAIT_S, MOST_OF_A_SLOT, WINDOW_SLOTS, PhaseLock

PERIOD = 1 / 24
NEED = 0.012


def simulate(camera_fps, phase, jitter, slots, *, seed=0, follows=False):
    """A camera, an aimed worker and the lock; the wait of each slot's picture, and t0 at each slot."""
    draw, lock, t0 = random.Random(seed), PhaseLock(PERIOD), 0.0
    waits, starts, last = [], [], -1
    for slot in range(slots):
        start = t0 + slot * PERIOD - NEED
        if follows:
            waited = PERIOD - NEED
        else:
            newest = int((start - phase) * camera_fps)
            arrived = phase + newest / camera_fps + abs(draw.gauss(0, jitter))
            if arrived > start:
                newest, arrived = newest - 1, phase + (newest - 1) / camera_fps
            waited = start - arrived if newest > last else None
            last = max(last, newest)
        waits.append(waited)
        shift = lock.slot(waited)
        assert abs(shift) <= MOST_OF_A_SLOT * PERIOD + 1e-12
        t0 += shift
        starts.append(t0)
    return waits, starts, lock


@given(st.floats(0, PERIOD), st.floats(0, 0.003), st.integers(0, 99))
@example(0.028, 0.0026, 62)  # a third of the pictures come just too late at first
def test_a_camera_of_the_grids_rate_is_caught_and_its_pictures_hardly_wait(phase, jitter, seed) -> None:
    waits, starts, _ = simulate(24, phase, jitter, 24 * 40, seed=seed)
    settled = sorted(wait for wait in waits[24 * 20 :] if wait is not None)
    assert len(settled) >= 0.9 * 24 * 20
    assert settled[len(settled) // 2] <= LEAST_WAIT_S + 3 * jitter + 0.003
    assert abs(starts[-1] - starts[24 * 20]) < 0.004


@given(st.sampled_from([48.0, 72.0]), st.floats(0, PERIOD))
def test_a_multiple_of_the_rate_is_caught_as_well(fps, phase) -> None:
    waits, _, lock = simulate(fps, phase, 0.0005, 24 * 40)
    settled = sorted(wait for wait in waits[24 * 20 :] if wait is not None)
    assert settled[len(settled) // 2] <= 0.006
    assert lock.is_locked


@given(st.sampled_from([23.6, 25.0, 30.0, 15.0]), st.floats(0, PERIOD))
def test_another_rate_leaves_the_grid_where_it_is(fps, phase) -> None:
    _, starts, _ = simulate(fps, phase, 0.001, 24 * 60)
    assert abs(starts[-1]) < 0.25 * PERIOD


def test_a_source_that_follows_the_grid_does_not_drag_it_along() -> None:
    _, starts, _ = simulate(24, 0.0, 0.0, 24 * 120, follows=True)
    assert abs(starts[-1]) < 4 * PERIOD


@given(st.lists(st.one_of(st.none(), st.floats(0, 0.2)), max_size=4 * WINDOW_SLOTS))
def test_no_waits_whatever_move_it_faster_than_its_rule(waits) -> None:
    lock = PhaseLock(PERIOD)
    for wait in waits:
        assert abs(lock.slot(wait)) <= MOST_OF_A_SLOT * PERIOD + 1e-12
