"""The worker's loop in virtual time: the newest input wins, nothing leaks, and a broken frame is one frame."""

import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_worker import CELLS, SIZE, STEP_S, Worker

from liveglass.engine.errors import BrokenFrame, OutOfMemory
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import USUAL_PIXELS, Case
from liveglass.engine.worker.loop import FAILURES_IN_A_ROW
from liveglass.engine.worker.work import inspect


def test_a_frame_is_made_of_the_newest_source_and_the_replaced_one_comes_back() -> None:
    worker = Worker()
    worker.open()
    old, new = worker.source(1), worker.source(2)
    worker.run()
    assert [worker.outbound.view(frame.cell, SIZE)[5, 5, 1] for frame in worker.made] == [2]
    assert worker.of(m.SourceDone) == [m.SourceDone("a", old, replaced=True)]
    assert new not in worker.cells


def test_a_source_is_generated_once_for_each_control_version() -> None:
    worker = Worker()
    worker.open()
    worker.source(7)
    worker.run()
    worker.control()
    worker.run()
    worker.run()
    assert [frame.provenance.version for frame in worker.made] == [1, 2]


def test_a_rung_of_the_ladder_gives_fewer_passes_and_fewer_pictures_and_takes_them_back() -> None:
    worker = Worker()
    worker.open()
    passes: list[int] = []
    worker.model.on_step = passes.append
    for rung in (Rung(2, 3), Rung()):
        passes.clear()
        before = len(worker.made)
        worker.inbox.put(m.SetRung("a", rung))
        for _ in range(12):
            worker.source()
            worker.run()
        made = worker.made[before:]
        times = [frame.finished_at for frame in made]
        apart = min(after - before for before, after in itertools.pairwise(times))
        assert {frame.provenance.steps for frame in made} == {2 if rung.every == 3 else 4}
        assert len(passes) == len(made) * made[0].provenance.steps
        assert apart == pytest.approx(rung.every / 24, abs=0.012)


def test_a_new_version_gives_up_the_frame_in_flight_but_never_two_in_a_row() -> None:
    worker = Worker()
    worker.open()
    worker.source()
    worker.model.on_step = lambda step: worker.control() and None if step == 1 and worker.versions["a"] < 6 else None
    worker.run()
    outcomes = [type(message).__name__ for message in worker.sent if isinstance(message, m.Generated | m.Abandoned)]
    assert outcomes == ["Abandoned", "Generated"] * 2 + ["Abandoned", "Generated"]
    assert worker.made[-1].provenance.version == 6


def test_a_new_versions_words_are_planned_for() -> None:
    worker = Worker()
    worker.open()
    worker.loop.meter.add(4, 1, 4 * STEP_S, pixels=SIZE.pixels)
    worker.model.on_encode = lambda _: worker.clock.advance(0.02)
    for number in range(4):
        worker.source()
        if number > 1:
            worker.control()
        worker.run()
        stream = worker.loop._streams["a"]
        if number:  # how long the first one's take was not known yet
            assert worker.made[-1].finished_at <= stream.grid.deadline(stream.last_slot)
    assert [frame.provenance.version for frame in worker.made] == [1, 1, 2, 3]


def test_where_the_model_is_slow_a_given_up_frame_makes_room_at_once_for_the_one_with_the_newer_version() -> None:
    worker = Worker()
    worker.open()
    worker.source()
    worker.loop.meter.add(4, 1, 0.1, pixels=SIZE.pixels)
    given_up: list[float] = []

    def change() -> None:
        worker.clock.advance(0.001)
        worker.control()
        given_up.append(worker.clock.now())

    with worker.once_at_step(0, change):
        worker.run()
    [frame] = worker.made
    assert frame.finished_at - frame.provenance.stages.model == pytest.approx(given_up[0])


def test_a_panic_throws_the_frame_in_flight_away_and_the_end_of_it_makes_a_new_one() -> None:
    worker = Worker()
    worker.open(has_source=False, steps=2)
    with worker.once_at_step(0, lambda: [worker.inbox.put(m.SetRunning("a", on)) for on in (False, True)]):
        worker.run()
    assert worker.of(m.Abandoned) == [m.Abandoned("a", 1)]
    assert len(worker.made) == 1


def test_a_resting_session_makes_nothing_until_it_is_woken() -> None:
    worker = Worker()
    worker.open(running=False)
    worker.source()
    worker.run()
    assert not worker.made
    worker.inbox.put(m.SetRunning("a", running=True))
    worker.run()
    assert len(worker.made) == 1


@pytest.mark.parametrize("has_source", [True, False])
def test_after_a_rest_the_same_inputs_are_generated_again(has_source: bool) -> None:
    worker = Worker()
    worker.open(has_source=has_source)
    if has_source:
        worker.source()
    worker.run()
    for running in (False, True):
        worker.inbox.put(m.SetRunning("a", running))
    worker.run()
    assert len(worker.made) == 2


def test_closing_a_session_in_flight_keeps_its_lane_until_the_frame_is_over_and_nobody_gets_it() -> None:
    worker = Worker()
    worker.open(steps=1)
    worker.source()
    with worker.once_at_step(0, lambda: worker.inbox.put(m.CloseStream("a"))):
        worker.run()
    assert worker.model.open == set()
    assert worker.cells == set(range(CELLS))
    assert worker.sent[-1] == m.Closed("a")


def test_closing_another_session_in_mid_flight_takes_nothing_from_the_one_in_flight() -> None:
    worker = Worker()
    for session in ("a", "b"):
        worker.open(session)
    worker.source(1, "a")
    worker.run()
    worker.source(2, "a")
    with worker.once_at_step(0, lambda: [worker.inbox.put(m.CloseStream(session)) for session in ("a", "b")]):
        worker.run()
    assert worker.model.open == set()
    assert worker.cells == set(range(CELLS))


def test_a_session_reopened_under_its_id_in_mid_flight_never_gets_the_old_ones_frame() -> None:
    worker = Worker()
    worker.open(has_source=False, steps=2)

    def reopen() -> None:
        worker.inbox.put(m.CloseStream("a"))
        worker.open(has_source=False, steps=2)

    worker.control(steps=2)
    worker.control(steps=2)
    with worker.once_at_step(0, reopen):
        worker.run()
    closed = worker.sent.index(m.Closed("a"))
    assert [frame.provenance.version for frame in worker.made] == [1]
    assert worker.sent.index(worker.made[0]) > closed


def broken(kind: str) -> Callable[[Pixels], Pixels]:
    wrong = {
        "nan": np.zeros(SIZE.shape, np.uint8),
        "white": np.full(SIZE.shape, 255, np.uint8),
        "size": np.zeros((8, 8, 3), np.uint8),
        "type": np.random.default_rng(0).random(SIZE.shape).astype(np.float32),
    }
    return lambda _: wrong[kind]


def of_sessions(act: Callable[[Pixels], Pixels]) -> Callable[[Pixels], Pixels]:
    """Only sessions' pictures are acted on: a frame of nobody's shows that the model is well."""
    return lambda picture: act(picture) if picture.shape == SIZE.shape else picture


@pytest.mark.parametrize("kind", ["nan", "white", "size", "type"])
def test_a_broken_picture_is_refused_by_name_and_the_next_one_works(kind: str) -> None:
    worker = Worker()
    worker.open()
    worker.open("b")
    worker.source()
    worker.model.on_finish = broken(kind)
    worker.steps(2)
    failed = worker.of(m.Failed)
    assert [(f.session, f.error.code) for f in failed if isinstance(f, m.Failed)] == [("a", "broken_frame")]
    worker.model.on_finish = lambda picture: picture
    worker.source(session="a")
    worker.source(session="b")
    worker.run()
    assert sorted(frame.session for frame in worker.made) == ["a", "b"]


def test_a_covered_lens_is_not_a_broken_picture_of_a_pass_through_model() -> None:
    black = np.zeros(SIZE.shape, np.uint8)
    inspect(black, SIZE, from_flat_source=True)
    with pytest.raises(BrokenFrame):
        inspect(black, SIZE, from_flat_source=False)


def test_a_failed_frame_from_words_alone_is_tried_again_by_itself() -> None:
    worker = Worker()
    worker.open(has_source=False)
    worker.model.on_finish = broken("nan")
    worker.steps(2)
    worker.model.on_finish = lambda picture: picture
    worker.run()
    assert len(worker.of(m.Failed)) == 1
    assert len(worker.made) == 1


@pytest.mark.parametrize("stage", ["encode", "step", "finish"])
def test_whatever_the_model_raises_breaks_one_frame_and_no_cell_is_lost(stage: str) -> None:
    worker = Worker()
    worker.open()
    worker.source()
    worker.run()

    def fail(*_: object) -> Pixels:
        raise RuntimeError("the device is on fire")

    setattr(worker.model, f"on_{stage}", fail)
    worker.control()
    worker.source()
    worker.steps(2)
    assert [f.error.code for f in worker.of(m.Failed) if isinstance(f, m.Failed)] == ["model_failed"]
    for name in ("encode", "step"):
        setattr(worker.model, f"on_{name}", lambda _: None)
    worker.model.on_finish = lambda picture: picture
    worker.source()
    worker.run()
    worker.inbox.put(m.CloseStream("a"))
    worker.run()
    assert worker.made[-1].provenance.version == 2
    assert worker.cells == set(range(CELLS))
    assert worker.model.open == set()


def test_a_model_that_raises_again_and_again_with_nothing_in_between_asks_for_a_fresh_process() -> None:
    worker = Worker()
    worker.open(has_source=False)

    def fail(_: int) -> None:
        raise RuntimeError("for ever")

    worker.model.on_step = fail
    with pytest.raises(RuntimeError, match="for ever"):
        worker.loop.run()
    assert len(worker.of(m.Failed)) == FAILURES_IN_A_ROW


def test_a_session_that_failed_and_rested_is_tried_again_when_it_goes_on() -> None:
    worker = Worker()
    worker.open()
    worker.model.on_finish = of_sessions(broken("nan"))
    for failures in (1, 2):
        worker.source()
        while len(worker.of(m.Failed)) < failures:
            worker.loop.step()
    worker.model.on_finish = lambda picture: picture
    for running in (False, True):
        worker.inbox.put(m.SetRunning("a", running))
    worker.run()
    assert worker.made


def test_a_worker_that_has_warmed_up_has_nothing_in_flight() -> None:
    worker = Worker()
    worker.loop.warm_up()
    assert worker.loop.progress_at is None


@pytest.mark.parametrize("kind", ["raise", "nan"])
def test_a_session_whose_every_frame_fails_is_alone_in_its_trouble(kind: str) -> None:
    worker = Worker()
    worker.open("good")
    worker.open("bad")
    tried: list[float] = []

    def fail(picture: Pixels) -> Pixels:
        if picture.shape == SIZE.shape and picture[5, 5, 1] == 66:
            tried.append(worker.clock.now())
            if kind == "raise":
                raise RuntimeError("this one")
            return np.zeros_like(picture)
        return picture

    worker.model.on_finish = fail
    made = 0
    for _ in range(24 * 30):
        until = worker.clock.now() + 1 / 24
        worker.source(5, "good")
        worker.source(66, "bad")
        worker.inbox.wakes_at = until
        while worker.clock.now() < until:
            worker.loop.step()
        made = sum(frame.session == "good" for frame in worker.made)
    assert made > 24 * 30 * 0.85, "the other one goes on"
    waits = [after - before for before, after in itertools.pairwise(tried)]
    assert waits[0] < 0.2, "a single bad frame costs nothing"
    assert waits[1:5] == pytest.approx([1, 2, 4, 8], abs=0.2)
    worker.control("bad")
    before = len(tried)
    worker.loop.step()
    assert len(tried) == before + 1, "another wish is tried at once"


def test_a_probe_is_answered_between_two_frames() -> None:
    worker = Worker()
    worker.open()
    worker.source()
    begun: list[list[int]] = []
    with worker.once_at_step(1, lambda: worker.inbox.put(m.Probe(5))):
        worker.model.on_finish = lambda picture: (begun.append(list(worker.model.lanes_begun)), picture)[1]
        worker.run()
    order = [type(message).__name__ for message in worker.sent if isinstance(message, m.Generated | m.Probed)]
    assert order == ["Generated", "Probed"]
    assert len(worker.model.open) == 2


def test_a_probe_whose_frame_fails_is_answered_all_the_same() -> None:
    worker = Worker()

    def fail(_: int) -> None:
        raise RuntimeError("no")

    worker.model.on_step = fail
    worker.inbox.put(m.Probe(5))
    worker.steps(1)
    [answer] = worker.sent
    assert isinstance(answer, m.Probed)
    assert answer.error is not None
    assert answer.error.code == "model_failed"
    assert worker.model.open == set()


@pytest.mark.parametrize("kind", [OutOfMemory, MemoryError, type("OutOfMemoryError", (RuntimeError,), {})])
def test_a_session_without_memory_gets_no_seventh_try_and_its_neighbour_all_its_pictures(kind: type[Exception]) -> None:
    worker = Worker()
    worker.open("poor", running=False)
    worker.run()
    poor, began = frozenset(worker.model.open), worker.clock.now()

    def starve(picture: Pixels) -> Pixels:
        if set(worker.model.lanes_begun) <= poor:
            raise kind("no room")
        return picture  # a frame of nobody's

    worker.model.on_finish = starve
    worker.inbox.put(m.SetRunning("poor", running=True))
    worker.source(session="poor")
    while not any(failed.is_last for failed in worker.of(m.Failed)):
        worker.steps(1)
    assert [(failed.error.code, failed.is_last) for failed in worker.of(m.Failed)] == [
        *[("out_of_memory", False)] * 5,
        ("out_of_memory", True),
    ]
    assert 10 < worker.clock.now() - began < 30
    worker.inbox.put(m.CloseStream("poor"))
    worker.model.on_finish = lambda picture: picture
    worker.open("rich")
    worker.source(session="rich")
    worker.run()
    assert [made.session for made in worker.made] == ["rich"]


def test_where_only_one_lane_is_left_a_session_fails_by_name_and_the_lane_stays_free() -> None:
    worker = Worker(lanes=3)
    worker.open("a")
    worker.open("b")
    worker.source(session="b")
    worker.run()
    assert [(f.error.code, f.is_last) for f in worker.of(m.Failed)] == [("out_of_memory", True)]
    assert len(worker.model.free) == 1
    worker.inbox.put(m.CloseStream("b"))
    worker.run()
    assert worker.of(m.Closed) == [m.Closed("b")]
    assert worker.cells == set(range(CELLS))


def test_a_size_that_was_never_measured_is_judged_by_an_estimate_and_then_by_its_own_frames() -> None:
    worker = Worker()
    worker.loop.warm_up()
    usual = worker.loop.meter.table().frame(4)
    assert usual.p50 == pytest.approx(4 * STEP_S)
    assert worker.loop.meter.table().frame(4, pixels=64) == usual, "this model takes the same for every size"
    worker.open(has_source=False, size=Size(8, 8))
    worker.model.on_step = lambda _: worker.clock.advance(STEP_S) and None
    for made in (1, 2):
        worker.run()
        assert (len(worker.made), Case(64, 4) in worker.loop.meter) == (made, False), "it touches memory at first"
        worker.control()
    worker.run()
    assert worker.loop.meter.table().frame(4, pixels=64).p50 == pytest.approx(8 * STEP_S)
    assert worker.loop.meter.table().frame(4) == usual
    assert worker.loop.case == Case(64, 4)


def test_a_transition_goes_on_by_itself_and_its_last_frame_is_over() -> None:
    worker = Worker()
    worker.open(has_source=False)
    worker.run()
    worker.control(transition_ms=400)
    worker.run()
    progress = [frame.provenance.progress for frame in worker.made if frame.provenance.version == 2]
    assert 0 < progress[0] < 0.25
    assert progress == sorted(progress)
    assert progress.count(1.0) == 1
    assert 8 <= len(progress) <= 12


def test_a_session_that_comes_back_from_a_rest_does_not_starve_the_others() -> None:
    worker = Worker()
    for session in ("a", "b"):
        worker.open(session)
    # Two sessions of 30 ms do not fit in a slot.
    worker.model.on_step = lambda _: worker.clock.advance(0.0025) and None
    for _ in range(40):
        worker.source(session="a")
        worker.steps(2)
    before = len(worker.made)
    for _ in range(20):
        for session in ("a", "b"):
            worker.source(session=session)
        worker.steps(2)
    shares = Counter(frame.session for frame in worker.made[before:])
    assert shares["a"] >= shares["b"] - 2


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["open", "close", "reopen", "source", "source", "control", "rest", "wake", "probe", "fail", "run", "run"]
        ),
        st.sampled_from("abc"),
        st.integers(0, 3),
    ),
    max_size=60,
)


class Script:
    """Random messages, each sent when somebody asks for the next."""

    def __init__(self, worker: Worker, script: list[tuple[str, str, int]]) -> None:
        self.left = list(script)
        self._worker = worker
        self._opened: set[str] = set()

    def act(self) -> None:
        if not self.left:
            return
        name, session, number = self.left.pop(0)
        worker, inbox = self._worker, self._worker.inbox
        if name == "open" and session not in self._opened:
            self._opened.add(session)
            worker.open(session, has_source=number > 0)
        elif name == "source" and len(worker.cells) > 1:
            worker.source(number, session)
        elif name == "probe":
            inbox.put(m.Probe(number))
        elif name in {"fail", "run"}:
            worker.model.on_finish = of_sessions(broken("nan")) if name == "fail" else lambda picture: picture
        elif session in self._opened:
            self._act_on(session, name, number)

    def _act_on(self, session: str, name: str, number: int) -> None:
        worker, inbox = self._worker, self._worker.inbox
        if name in {"close", "reopen"}:
            inbox.put(m.CloseStream(session))
            self._opened.remove(session)
            if name == "reopen":
                self._opened.add(session)
                worker.open(session, has_source=number > 0)
        elif name == "control":
            worker.control(session, steps=(1, 2, 4, 4)[number], transition_ms=100 * (number == 3))
        elif name in {"rest", "wake"}:
            inbox.put(m.SetRunning(session, name == "wake"))


@given(actions, st.booleans())
@settings(max_examples=60)
def test_whatever_comes_in_whatever_order_every_cell_and_lane_comes_home(
    lines: list[tuple[str, str, int]], in_flight: bool
) -> None:
    worker = Worker()
    script = Script(worker, lines)
    if in_flight:
        worker.model.on_step = lambda _: script.act()
        worker.inbox.put(m.Probe(0))
    while script.left:
        script.act()
        worker.steps(len(script.left) % 4)
    worker.model.on_step = lambda _: None
    worker.model.on_finish = lambda picture: picture
    for session in "abc":
        worker.inbox.put(m.CloseStream(session))
    worker.run()
    assert worker.cells == set(range(CELLS))
    assert worker.model.open == set()
    versions: dict[str, int] = {}
    for message in worker.sent:
        if isinstance(message, m.Closed):
            versions.pop(message.session, None)
        if isinstance(message, m.Generated):
            assert message.provenance.version >= versions.get(message.session, 0)
            versions[message.session] = message.provenance.version


def measured(worker: Worker) -> set[tuple[int, int]]:
    """Passes and frames of what is known at the usual size."""
    return {(case.steps, case.batch) for case in worker.loop.meter.table().entries if case.pixels == USUAL_PIXELS}


def test_what_may_run_together_is_measured_together_while_warming_up_and_then_planned_so() -> None:
    worker = Worker(max_batch=4)
    worker.loop.warm_up()
    assert measured(worker) == {(1, 1), (2, 1), (4, 1), (4, 2), (4, 4)}
    for session in "abcd":
        worker.open(session)
        worker.source(session=session)
    worker.run()
    assert len(worker.model.lanes_begun) == 4, "a cohort that costs no more than one frame was not used"


def test_without_memory_for_a_cohort_of_four_two_run_together() -> None:
    worker = Worker(lanes=6, max_batch=4)
    worker.loop.warm_up()
    assert measured(worker) == {(1, 1), (2, 1), (4, 1), (4, 2)}
    for session in "abc":
        worker.open(session)
        worker.source(session=session)
    worker.run()
    assert len(worker.made) == 3
    assert len(worker.model.lanes_begun) <= 2


def test_a_model_that_breaks_while_it_warms_up_with_cohorts_is_broken() -> None:
    worker = Worker(max_batch=2)

    def fails(_: int) -> None:
        if len(worker.model.lanes_begun) == 2:
            raise RuntimeError("no kernel image is available")

    worker.model.on_step = fails
    with pytest.raises(RuntimeError, match="no kernel"):
        worker.loop.warm_up()
