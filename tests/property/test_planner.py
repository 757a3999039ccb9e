"""Whose frame starts now: simulated in virtual time, with costs as noisy as real ones."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from liveglass.engine.stream.grid import Grid
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostMeter, CostTable
from liveglass.engine.worker.planner import LATE_S, MARGIN_S, Candidate, Start, Wait, plan

FPS = 24
PERIOD = 1 / FPS


def table(seconds: float, *, batched: float | None = None) -> CostTable:
    entries = {Case(USUAL_PIXELS, 4): Cost(seconds, seconds)}
    if batched is not None:
        entries[Case(USUAL_PIXELS, 4, 2)] = Cost(batched, batched)
    return CostTable(entries)


def candidate(name: str = "a", *, t0: float = 0.0, last_slot: int = -1, served: float = 0.0) -> Candidate:
    return Candidate(name, Grid(t0, FPS), 4, last_slot, served, (4,))


@dataclass
class Run:
    """One simulated worker: what it started, for which slots, and when each frame was done."""

    starts: list[tuple[str, int, float, float]] = field(default_factory=list)

    def of(self, name: str) -> list[tuple[int, float, float]]:
        return [(slot, began, done) for session, slot, began, done in self.starts if session == name]


def simulated(
    phases: list[float], seconds: float, *, jitter: float, lasting: float, seed: int = 0, oversleep: float = 0.002
) -> Run:
    """A worker with one session for each phase, all with a new picture at any time, from time 0 on."""
    randomness, meter, run, now = random.Random(seed), CostMeter(), Run(), 0.0
    grids = {f"s{number}": Grid(phase, FPS) for number, phase in enumerate(phases)}
    last, served = dict.fromkeys(grids, -1), dict.fromkeys(grids, 0.0)
    meter.add(4, 1, seconds)
    while now < lasting:
        candidates = [Candidate(name, grid, 4, last[name], served[name], (4,)) for name, grid in grids.items()]
        match plan(now, candidates, meter.table()):
            case Wait(until):
                assert until is not None
                assert until > now
                now = until + randomness.uniform(0, oversleep)
            case Start(((name, slot),)):
                cost = seconds * (1 + jitter * randomness.uniform(-1, 1))
                run.starts.append((name, slot, now, now + cost))
                last[name] = slot
                served[name] += cost
                meter.add(4, 1, cost)
                now += cost
    return run


loads = st.tuples(
    st.lists(st.floats(0, PERIOD), min_size=1, max_size=6),
    st.floats(0.0005, 0.2),
    st.floats(0, 0.4),
    st.integers(0, 99),
)


@given(loads)
@example(([0.0], 0.035, 0.4, 1))
@settings(max_examples=25)
def test_never_more_than_one_frame_for_a_slot_and_none_runs_ahead_of_the_grid(
    load: tuple[list[float], float, float, int],
) -> None:
    phases, seconds, jitter, seed = load
    run = simulated(phases, seconds, jitter=jitter, lasting=3.0, seed=seed)
    for number, phase in enumerate(phases):
        starts = run.of(f"s{number}")
        slots = [slot for slot, _, _ in starts]
        assert slots == sorted(set(slots))
        for slot, began, _ in starts:
            due, most = Grid(phase, FPS).deadline(slot), seconds * (1 + jitter) + MARGIN_S
            assert began >= due - most - PERIOD - 1e-9


@given(loads)
@settings(max_examples=25)
def test_no_frame_starts_that_is_predicted_to_miss_its_slot(load: tuple[list[float], float, float, int]) -> None:
    phases, seconds, _, seed = load
    run = simulated(phases, seconds, jitter=0.0, lasting=2.0, seed=seed)
    for number, phase in enumerate(phases):
        for slot, _, done in run.of(f"s{number}"):
            assert done <= Grid(phase, FPS).deadline(slot) - MARGIN_S + LATE_S + 1e-9


@given(st.integers(2, 6), st.floats(0.01, 0.15), st.integers(0, 99), st.booleans())
@settings(max_examples=25)
def test_overloaded_sessions_get_shares_within_one_frame_of_each_other(
    count: int, seconds: float, seed: int, in_step: bool
) -> None:
    phases = [0.0 if in_step else number * PERIOD / count for number in range(count)]
    if count * (seconds + MARGIN_S) < PERIOD * 1.05:
        seconds = 1.1 * PERIOD / count
    run = simulated(phases, seconds, jitter=0.0, lasting=6.0, seed=seed)
    shares = [len(run.of(f"s{number}")) for number in range(count)]
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 6), st.floats(0.06, 0.2), st.floats(0, 0.3), st.integers(0, 99))  # its fastest frame, too
@settings(max_examples=20)
def test_a_model_slower_than_a_slot_runs_back_to_back(count: int, seconds: float, jitter: float, seed: int) -> None:
    run = simulated(
        [number * PERIOD / count for number in range(count)], seconds, jitter=jitter, lasting=6.0, seed=seed
    )
    ends = [done for _, _, _, done in run.starts]
    begins = [began for _, _, began, _ in run.starts]
    assert all(began == done for began, done in zip(begins[1:], ends, strict=False))


@given(st.lists(st.floats(0, PERIOD), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=25)
def test_sessions_that_fit_get_every_slot_however_their_grids_lie(phases: list[float], seed: int) -> None:
    seconds = 0.7 * PERIOD / len(phases) - MARGIN_S / 2
    run = simulated(phases, seconds, jitter=0.0, lasting=3.0, seed=seed, oversleep=0.0)
    for number in range(len(phases)):
        slots = [slot for slot, _, _ in run.of(f"s{number}")]
        assert slots == list(range(slots[0], slots[0] + len(slots)))
        assert len(slots) >= 3 * FPS - 3


@given(loads)
@settings(max_examples=20)
def test_the_age_of_the_input_does_not_grow(load: tuple[list[float], float, float, int]) -> None:
    phases, seconds, jitter, seed = load
    run = simulated(phases, seconds, jitter=jitter, lasting=8.0, seed=seed)
    most = seconds * (1 + jitter) * (len(phases) + 1) + 3 * PERIOD
    for number, phase in enumerate(phases):
        for slot, began, _ in run.of(f"s{number}"):
            # A frame takes the newest picture when it starts, and is on show from its slot on.
            assert Grid(phase, FPS).deadline(slot) - began <= most


def test_generation_is_aimed_just_before_the_deadline() -> None:
    decision = plan(1.0, [candidate(t0=1.0, last_slot=0)], table(0.02))
    assert isinstance(decision, Wait)
    assert decision.until is not None
    assert abs(decision.until - (1.0 + PERIOD - 0.02 - MARGIN_S)) < 1e-9


@given(st.floats(0, 0.00299))
def test_waking_up_late_by_less_than_three_milliseconds_still_aims_at_the_slot(late: float) -> None:
    assert plan(1.0 - 0.02 - MARGIN_S + late, [candidate(t0=1.0)], table(0.02)) == Start((("a", 0),))


def test_waking_up_later_than_that_aims_at_the_next_slot() -> None:
    decision = plan(1.0 - 0.02 - MARGIN_S + 0.0031, [candidate(t0=1.0)], table(0.02))
    assert isinstance(decision, Wait)


def test_a_large_picture_starts_as_much_earlier_as_it_takes_longer() -> None:
    large = Candidate("a", Grid(1.0, FPS), 4, 0, 0.0, (4,), pixels=2 * USUAL_PIXELS)
    decision = plan(1.0, [large], table(0.01))
    assert isinstance(decision, Wait)
    assert decision.until == pytest.approx(1.0 + PERIOD - 0.02 - MARGIN_S)


def test_who_was_served_least_goes_first() -> None:
    decision = plan(5.0, [candidate("a", served=3.0), candidate("b", served=1.0)], table(0.1))
    assert isinstance(decision, Start)
    assert [name for name, _ in decision.cohort] == ["b"]


def test_nothing_to_do_waits_for_whatever_comes() -> None:
    assert plan(1.0, [], table(0.02)) == Wait(None)


def test_a_cohort_grows_only_where_it_pays_and_only_up_to_its_size() -> None:
    def cohort(cost: CostTable, most: int) -> int:
        decision = plan(5.0, [candidate("a"), candidate("b")], cost, most)
        assert isinstance(decision, Start)
        return len(decision.cohort)

    apart, together = table(0.1, batched=0.2), table(0.1, batched=0.12)
    assert cohort(apart, 2) == 1
    assert cohort(together, 2) == 2
    assert cohort(together, 1) == 1
