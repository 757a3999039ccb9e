"""A worker whose session's camera stands still: what is passed over, and what is generated all the same."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from virtual_worker import CELLS, SIZE, Worker

from liveglass.engine.frame import Pixels
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.likeness import likeness, small

ALIKE = 0.98
"""5 levels."""


@pytest.fixture
def worker() -> Worker:
    """One session that passes over what is alike; its picture was made from a source of 100 levels."""
    worker = Worker()
    worker.open(similarity=ALIKE)
    worker.source(100)
    worker.run()
    assert len(worker.made) == 1
    return worker


def still(worker: Worker) -> list[int]:
    return [message.source.seq for message in worker.of(m.Still)]


def test_a_source_like_the_one_that_was_used_is_not_generated_and_the_server_is_told(worker: Worker) -> None:
    for level in (103, 97, 105):
        worker.source(level)
        worker.run()
    assert len(worker.made) == 1
    assert [(message.source.seq, message.base) for message in worker.of(m.Still)] == [(2, 1), (3, 1), (4, 1)]


def test_without_the_parameter_every_source_is_generated() -> None:
    worker = Worker()
    worker.open()
    for _ in range(3):
        worker.source(100)
        worker.run()
    assert len(worker.made) == 3
    assert not still(worker)


def test_a_source_that_differs_in_one_block_is_generated_at_once(worker: Worker) -> None:
    picture = np.full(SIZE.shape, 100, np.uint8)
    picture[8:, 8:, 2] += 6
    came = worker.clock.now()
    worker.source(picture)
    worker.run()
    assert len(worker.made) == 2
    assert worker.made[-1].finished_at - came < 2 / 24
    assert not still(worker)


def test_a_slow_drift_is_generated_as_soon_as_it_adds_up(worker: Worker) -> None:
    for level in range(101, 121):
        worker.source(level)
        worker.run()
    assert [frame.provenance.source.seq for frame in worker.made if frame.provenance.source] == [1, 7, 13, 19]


def test_a_change_of_control_is_generated_at_once_from_the_newest_source(worker: Worker) -> None:
    worker.source(104)
    worker.run()
    worker.control(similarity=ALIKE)
    worker.run()
    made = worker.made[-1].provenance
    assert made.source is not None
    assert (made.version, made.source.seq) == (2, 2)


def test_a_change_of_similarity_alone_is_a_version_like_any_other(worker: Worker) -> None:
    worker.control(similarity=0.9)
    worker.run()
    worker.source(125)
    worker.run()
    assert [frame.provenance.version for frame in worker.made] == [1, 2]
    worker.control(similarity=0.0)
    worker.source(125)
    worker.run()
    assert [frame.provenance.version for frame in worker.made] == [1, 2, 3]


def test_after_a_rest_a_still_camera_is_generated_again(worker: Worker) -> None:
    worker.inbox.put(m.SetRunning("a", running=False))
    worker.source(101)
    worker.run()
    worker.inbox.put(m.SetRunning("a", running=True))
    worker.run()
    assert len(worker.made) == 2
    assert not still(worker)


def test_after_a_failed_frame_the_next_source_is_generated_however_alike(worker: Worker) -> None:
    worker.model.on_finish = np.zeros_like
    worker.source(200)
    worker.steps(3)
    assert len(worker.of(m.Failed)) == 1
    worker.model.on_finish = lambda picture: picture
    came = worker.clock.now()
    worker.source(100)
    worker.run()
    assert [frame.provenance.source.seq for frame in worker.made if frame.provenance.source] == [1, 3]
    assert worker.made[-1].finished_at - came < 2 / 24
    assert not still(worker)


def test_more_passes_are_worth_another_frame_of_the_same_scene(worker: Worker) -> None:
    worker.inbox.put(m.SetRung("a", Rung(2)))
    worker.source(100)
    worker.run()
    worker.inbox.put(m.SetRung("a", Rung()))
    worker.source(100)
    worker.run()
    assert [frame.provenance.steps for frame in worker.made] == [4, 2, 4]


def test_a_transition_goes_on_before_a_still_camera(worker: Worker) -> None:
    worker.control(transition_ms=300, similarity=ALIKE)
    for _ in range(12):
        worker.source(100)
        worker.run()
        worker.clock.advance(0.02)
    progress = [frame.provenance.progress for frame in worker.made if frame.provenance.version == 2]
    assert len(progress) > 4
    assert progress.count(1.0) == 1
    assert still(worker)


def test_a_source_that_came_while_a_frame_was_made_is_compared_with_that_frames(worker: Worker) -> None:
    worker.source(200)
    with worker.once_at_step(1, lambda: worker.source(201)):
        worker.run()
    assert len(worker.made) == 2
    assert [(message.source.seq, message.base) for message in worker.of(m.Still)] == [(3, 2)]


def test_what_was_passed_over_is_not_counted_as_replaced(worker: Worker) -> None:
    for _ in range(3):
        worker.source(100)
        worker.run()
    assert [done.replaced for done in worker.of(m.SourceDone)] == [False, False]
    worker.source(200)
    worker.source(210)
    worker.run()
    assert [done.replaced for done in worker.of(m.SourceDone)] == [False, False, False, True, False]


def test_a_session_whose_camera_stands_still_leaves_the_model_to_the_other() -> None:
    worker = Worker()
    worker.open("still", similarity=ALIKE)
    worker.open("moving")
    worker.model.on_step = lambda _: worker.clock.advance(0.005) and None  # 40 ms a frame: one of them fills a slot
    for slot in range(48):
        until = worker.clock.now() + 1 / 24
        worker.source(100, "still")
        worker.source(slot, "moving")
        worker.inbox.wakes_at = until
        while worker.clock.now() < until:
            worker.loop.step()
    shares = Counter(frame.session for frame in worker.made)
    assert shares["still"] <= 2
    assert shares["moving"] >= 40


names = ["source", "source", "source", "block", "control", "loose", "rung", "rest", "fail", "run", "run"]
acts = st.lists(st.tuples(st.sampled_from(names), st.integers(0, 20)), max_size=40)


class Watched(Worker):
    """A worker whose sources are remembered, as its own comparison sees them."""

    def __init__(self) -> None:
        super().__init__()
        self.similarity = ALIKE
        self.views: dict[int, Pixels] = {}

    def show(self, picture: Pixels) -> None:
        self.source(picture)
        self.views[self.seqs] = small(picture)

    def act(self, name: str, number: int) -> None:
        picture = np.full(SIZE.shape, 100 + number, np.uint8)
        match name:
            case "source" if len(self.cells) > 2:
                self.show(picture)
            case "block" if len(self.cells) > 2:
                picture[:8, :8, number % 3] += 10
                self.show(picture)
            case "control" | "loose":
                self.similarity = ALIKE if name == "control" else 0.9
                self.control(similarity=self.similarity, transition_ms=100 * (number % 2))
            case "rung":
                self.inbox.put(m.SetRung("a", Rung((2, 64)[number % 2])))
            case "rest":
                for running in (False, True):
                    self.inbox.put(m.SetRunning("a", running))
            case "fail":
                self.model.on_finish = lambda made: np.zeros_like(made) if made.shape == SIZE.shape else made
            case _:
                self.model.on_finish = lambda made: made
                self.steps(20)

    def check(self) -> None:
        """At rest, the picture on show is of the newest version and of a source like the newest."""
        self.model.on_finish = lambda made: made
        self.model.on_step = lambda _: None
        self.clock.advance(10.0)  # whatever failed is due again
        self.run()
        shown = self.made[-1].provenance
        assert shown.version == self.versions["a"]
        assert shown.progress == 1.0
        assert shown.source is not None
        assert likeness(self.views[shown.source.seq], self.views[self.seqs]) >= self.similarity


@given(acts, st.booleans())
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_whatever_comes_the_picture_on_show_is_of_the_newest_version_and_like_the_newest_source(
    script: list[tuple[str, int]], in_flight: bool
) -> None:
    worker = Watched()
    worker.open(similarity=ALIKE)
    worker.show(np.full(SIZE.shape, 100, np.uint8))
    left = list(script)

    def act_in_flight(_: int) -> None:
        if in_flight and left and left[0][0] != "run":
            worker.act(*left.pop(0))

    while left:
        worker.model.on_step = act_in_flight
        worker.act(*left.pop(0))
        worker.steps(len(left) % 3)
        if len(left) % 5 == 0:
            worker.check()
    worker.check()
    worker.inbox.put(m.CloseStream("a"))
    worker.run()
    assert worker.cells == set(range(CELLS))
