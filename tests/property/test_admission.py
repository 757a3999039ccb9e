"""How many sessions fit: the planner's own word, on measured cost, in virtual time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveglass.engine.worker.admission import Demand, Forecast, forecast, least_fps, longest_wait, turn_in
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostTable

CPU, GPU = least_fps("cpu"), least_fps("cuda:0")


def table(seconds: float) -> CostTable:
    return CostTable({Case(USUAL_PIXELS, 4): Cost(seconds, seconds)})


@given(st.floats(0.002, 0.5))
@settings(max_examples=30, deadline=None)
def test_alone_a_session_gets_what_the_model_makes(seconds: float) -> None:
    alone = forecast([Demand(24, 4)], table(seconds))
    assert alone.fps <= min(24.0, 1 / seconds) + 1.0
    assert alone.fps >= min(24.0, 1 / (seconds + 0.006)) * 0.6 - 1.0


@given(st.integers(1, 8), st.floats(0.005, 0.2))
@settings(max_examples=30, deadline=None)
def test_one_more_never_gets_anybody_more(count: int, seconds: float) -> None:
    fewer, more = (forecast([Demand(24, 4)] * number, table(seconds)) for number in (count, count + 1))
    assert more.fps <= fewer.fps + 1.0


@given(st.integers(2, 10), st.floats(0.02, 0.2))
@settings(max_examples=30, deadline=None)
def test_who_shares_a_busy_model_gets_an_equal_part_of_it(count: int, seconds: float) -> None:
    if count * seconds < 1 / 20:
        return
    together = forecast([Demand(24, 4)] * count, table(seconds))
    assert together.fps == pytest.approx(1 / seconds / count, abs=0.9)
    assert together.wait_s >= (count - 1) * seconds * 0.5


@pytest.mark.parametrize(("fast", "count"), [(0.070, 2), (0.035, 4), (0.100, 1), (0.010, 16)])
def test_the_least_that_is_promised_decides(fast: float, count: int) -> None:
    held = next(
        number
        for number in range(1, 40)
        if not forecast([Demand(24, 4)] * (number + 1), table(fast)).holds(CPU, spare_cores=99)
    )
    assert held == count


def test_passes_that_a_session_asks_for_count() -> None:
    cost = CostTable({Case(USUAL_PIXELS, 4): Cost(0.1, 0.1), Case(USUAL_PIXELS, 1): Cost(0.03, 0.03)})
    assert not forecast([Demand(24, 4)] * 2, cost).holds(CPU, 9)
    assert forecast([Demand(24, 1)] * 4, cost).holds(CPU, 9)


def test_a_session_counts_with_the_size_of_its_pictures() -> None:
    large = [Demand(24, 4, pixels=4 * USUAL_PIXELS)] * 2
    assert forecast([Demand(24, 4)] * 2, table(0.04)).holds(CPU, 9)
    assert not forecast(large, table(0.04)).holds(CPU, 9)
    inside = CostTable(table(0.04).entries, inner_pixels=USUAL_PIXELS // 4)
    assert forecast(large, inside).holds(CPU, 9), "this model paints no more for it"
    measured = CostTable({**table(0.04).entries, Case(4 * USUAL_PIXELS, 4): Cost(0.05, 0.05)})
    assert forecast(large, measured).holds(CPU, 9)


def test_what_the_server_itself_takes_counts() -> None:
    assert forecast([Demand(24, 4)] * 3, table(0.001), cores_each=0.29).holds(CPU, spare_cores=1)
    assert not forecast([Demand(24, 4)] * 4, table(0.001), cores_each=0.29).holds(CPU, spare_cores=1)


def test_a_gpu_promises_every_slot() -> None:
    assert forecast([Demand(24, 4)] * 2, table(0.012)).holds(GPU, 15)
    assert not forecast([Demand(24, 4)] * 4, table(0.012)).holds(GPU, 15)


def test_an_age_over_the_target_is_no_place() -> None:
    assert not Forecast(fps=24.0, wait_s=1.01 * longest_wait(CPU)).holds(CPU, 9)


def test_a_turn_comes_when_somebody_who_stays_as_long_as_others_has_gone() -> None:
    assert turn_in(1, [100.0, 30.0], 120.0) == 20.0
    assert turn_in(2, [100.0, 30.0], 120.0) == 90.0
    assert turn_in(3, [100.0, 30.0], 120.0) == 140.0
    assert turn_in(1, [100.0], None) is None
    assert turn_in(1, [], 120.0) is None
    assert turn_in(1, [500.0], 120.0) == 10.0
