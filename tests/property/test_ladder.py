"""The quality ladder: a constant load settles, no load makes it flap, and nothing is given up that helps nobody."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from liveglass.engine.stream.ladder import (
    HEADROOM_S,
    LONGEST_HEADROOM_S,
    SAMPLES,
    SETTLING,
    Ladder,
    Move,
    Rung,
    rungs,
)
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostTable

FPS = 24
COST = CostTable({Case(USUAL_PIXELS, steps): Cost(0.02 + 0.012 * steps, 0.02 + 0.012 * steps) for steps in (1, 2, 4)})
ALL = rungs(FPS, 4, (1, 2, 4), 6.0)


@dataclass
class Climb:
    """A ladder in virtual time, one slot after the other, and every move that it made."""

    ladder: Ladder = field(default_factory=lambda: Ladder(FPS, ALL))
    moves: list[tuple[float, Move]] = field(default_factory=list)
    now: float = 0.0
    is_late: bool = False

    def slots(self, seconds: float, load: Callable[[float, Rung], float], new_fps: float = 24.0) -> None:
        for _ in range(int(seconds * FPS)):
            self.now += 1 / FPS
            now = load(self.now, self.ladder.rung)
            wait, late = (0.0, now) if self.is_late else (now, 0.0)
            move = self.ladder.slot(self.now, wait=wait, late=late, new_fps=new_fps, cost=COST)
            if move is not None:
                self.moves.append((self.now, move))


def work(rung: Rung) -> float:
    """How much a rung takes, as a share of the best one."""
    return COST.frame(rung.steps).p95 / COST.frame(4).p95 / rung.every


def test_the_rungs_are_fewer_passes_and_then_fewer_pictures() -> None:
    assert rungs(24, 4, (1, 2, 4), 6.0) == (Rung(4), Rung(2), Rung(1), Rung(1, 2), Rung(1, 3))
    assert rungs(24, 2, (1, 2, 4), 24.0) == (Rung(2), Rung(1))
    assert rungs(60, 1, (1,), 20.0) == (Rung(1), Rung(1, 2))
    assert rungs(24, 4, (4,), 24.0) == (Rung(4),)


def test_pictures_that_are_too_old_take_fewer_passes_and_only_late_hand_offs_take_fewer_pictures() -> None:
    for is_late, last in ((False, Rung(1)), (True, ALL[-1])):
        climb = Climb(is_late=is_late)
        climb.slots(60, lambda _, rung: 9.0)
        assert climb.ladder.rung == last


@given(st.floats(0, 20), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_constant_load_settles_within_the_number_of_rungs(load: float, is_late: bool) -> None:
    climb = Climb(is_late=is_late)
    climb.slots(60, lambda _, rung: load * work(rung))
    moved_last = climb.moves[-1][0] if climb.moves else 0.0
    downs = [at for at, move in climb.moves if move.is_down]
    assert len(downs) <= len(ALL)
    if not any(not move.is_down for _, move in climb.moves):
        assert moved_last <= len(ALL) * (SAMPLES + SETTLING + 2) / FPS


@given(st.lists(st.tuples(st.floats(0.05, 20), st.floats(0, 4)), min_size=1, max_size=40), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_load_makes_it_move_faster_than_its_rule(trace: list[tuple[float, float]], is_late: bool) -> None:
    climb = Climb(is_late=is_late)
    for seconds, load in trace:
        climb.slots(seconds, lambda _, rung, load=load: load * work(rung))  # type: ignore[misc]
    for (before, _), (after, move) in itertools.pairwise(climb.moves):
        assert after - before >= (1.0 if move.is_down else HEADROOM_S) - 1e-9
        assert after - before >= SAMPLES / FPS


@given(st.floats(1.05, 1.3))
@settings(max_examples=10, deadline=None)
def test_each_raise_that_failed_doubles_the_wait_up_to_five_minutes(load: float) -> None:
    """There is room on the lower rung, and never on the upper one."""
    climb = Climb(Ladder(FPS, (Rung(4), Rung(2))))
    climb.slots(3600, lambda _, rung: load if rung.steps == 4 else 0.1)
    raises = [at for at, move in climb.moves if not move.is_down]
    downs = [at for at, move in climb.moves if move.is_down]
    assert len(downs) in {len(raises), len(raises) + 1}
    waits = [up - down for down, up in zip(downs, raises, strict=False)]
    for before, after in itertools.pairwise(waits):
        assert after > 1.5 * before or after >= LONGEST_HEADROOM_S
    assert max(waits) <= LONGEST_HEADROOM_S + (SAMPLES + SETTLING + 2) / FPS


def test_what_was_given_up_is_taken_back_and_then_the_wait_is_the_usual_one_again() -> None:
    climb = Climb()
    climb.slots(5, lambda _, rung: 1.3)
    assert climb.ladder.rung == Rung(2)
    climb.slots(60, lambda _, rung: 0.2)
    assert climb.ladder.rung == Rung(4)
    assert climb.ladder.headroom_s == HEADROOM_S


def test_nothing_is_given_up_that_takes_no_less_work() -> None:
    """A model whose passes cost nothing, and which makes fewer pictures than any rung allows."""
    flat = CostTable({Case(USUAL_PIXELS, steps): Cost(0.3, 0.3) for steps in (1, 2, 4)})
    ladder = Ladder(FPS, ALL)
    moves = [ladder.slot(slot / FPS, wait=2.0, late=2.0, new_fps=3.0, cost=flat) for slot in range(2000)]
    assert not any(moves)
    assert ladder.rung == Rung(4)


def test_more_is_not_tried_where_it_cannot_fit() -> None:
    climb = Climb()
    climb.slots(5, lambda _, rung: 1.3)
    climb.slots(120, lambda _, rung: 0.6 if rung.steps < 4 else 5.0)
    assert climb.ladder.rung == Rung(2), "0.6 times the longer frame is over what there may be"
    assert all(move.is_down for _, move in climb.moves)


@given(st.sampled_from([1, 2, 4]), st.integers(0, 4))
def test_asking_for_something_else_never_takes_more_work(steps: int, place: int) -> None:
    ladder = Ladder(FPS, ALL)
    now = 0.0
    while ladder.place < place:
        now += 1 / FPS
        ladder.slot(now, wait=9.0, late=9.0, new_fps=24.0, cost=COST)
    before = ladder.rung
    ladder.renew(rungs(FPS, steps, (1, 2, 4), 6.0))
    assert ladder.rung.steps <= steps
    assert work(ladder.rung) <= work(before) + 1e-9
