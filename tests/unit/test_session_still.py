"""A session before whose camera nothing moves: what is shown, what is said, and who is not blamed for it."""

import numpy as np
import pytest
from pan import SIZE, negative, psnr, seen, world
from stage import READY, Stage

from liveglass.engine.control import ControlPatch
from liveglass.engine.events import QualityChanged
from liveglass.engine.frame import FrameKind, OutputFrame, SourceFrame
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostTable
from liveglass.engine.worker.worker import WorkerStatus

WORLD = world()
SLOW = WorkerStatus(
    "ready",
    device="cpu",
    cost=CostTable({Case(USUAL_PIXELS, 1): Cost(0.1, 0.1), Case(USUAL_PIXELS, 4): Cost(0.3, 0.3)}),
)


class Still:
    """A camera that stands before something, and the worker's word that it does."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.base: SourceFrame | None = None
        self._random = np.random.default_rng(0)

    def begin(self) -> OutputFrame:
        """The first picture is made."""
        self.base = self.publish()
        self.stage.offer(source=self.base, pixels=negative(seen(0, WORLD)))
        return self.stage.slots()

    def publish(self) -> SourceFrame:
        noise = self._random.integers(-2, 3, (SIZE.height, SIZE.width, 3))
        source = self.stage.publish(np.clip(seen(0, WORLD) + noise, 0, 255).astype(np.uint8))
        assert source is not None
        return source

    def slot(self, *, judged: bool = True) -> OutputFrame:
        """One slot before which the camera showed the same again."""
        assert self.base is not None
        source = self.publish()
        if judged:
            self.stage.session.still(m.Still("s", source.stamp, self.base.stamp.seq))
        return self.stage.slots()


@pytest.fixture
def still() -> Still:
    return Still(Stage(moves=True, size=SIZE))


def rungs(stage: Stage) -> list[Rung]:
    return [message.rung for message in stage.around.sent if isinstance(message, m.SetRung)]


def test_the_picture_is_repeated_as_it_was_made_and_is_no_younger_than_it_is(still: Still) -> None:
    first = still.begin()
    assert still.base is not None
    for policy in ("latest", "steady"):
        still.stage.session.patch(ControlPatch(policy=policy), by="test")
        for _ in range(48):
            output = still.slot()
            assert (output.kind, output.is_new) == (FrameKind.REPEATED, False)
            assert output.pixels is first.pixels
            assert (output.source_us, output.age_us) == (still.base.stamp.publisher_us, 0)


def test_a_still_camera_is_live_for_ever_and_its_figures_are_the_true_ones(still: Still) -> None:
    still.begin()
    assert {still.slot().kind for _ in range(24 * 15)} == {FrameKind.REPEATED}
    assert still.stage.session.state.state == "live"
    stats = still.stage.session.stats()
    assert (stats.generated_fps, stats.still, stats.missed) == (0.0, 24 * 15, 0)
    assert stats.content_age is not None
    assert stats.content_age.p50 > 10_000
    assert b"liveglass_sources_still_total 360.0" in still.stage.metrics.text()


def test_a_camera_that_stops_after_standing_still_is_standby_ten_seconds_after_its_last_picture(still: Still) -> None:
    still.begin()
    for _ in range(24 * 12):
        still.slot()
    still.stage.slots(24 * 9)
    assert still.stage.viewer.outputs[-1].kind is FrameKind.REPEATED
    assert "No camera picture" in still.stage.session.state.cause
    still.stage.slots(24 * 2)
    assert still.stage.viewer.outputs[-1].kind is FrameKind.STANDBY
    assert still.stage.session.state.state == "standby"
    assert still.slot().kind is FrameKind.REPEATED, "it comes back, and shows the same room"
    still.stage.slots(5)
    assert still.stage.session.state.state == "live"


def test_what_moves_after_a_rest_is_followed_and_shown(still: Still) -> None:
    still.begin()
    for _ in range(24 * 4):
        still.slot()
    shown = []
    for index in (1, 1, 1, 2, 2):
        still.stage.publish(seen(index, WORLD))
        shown.append(still.stage.slots())
    assert [output.kind for output in shown[:2]] == [FrameKind.REPEATED] * 2, "the worker may still have to look"
    assert shown[-1].kind is FrameKind.WARPED
    assert psnr(shown[-1].pixels, negative(seen(2, WORLD))) > 20


def test_a_worker_that_is_gone_says_nothing_and_the_picture_follows_its_camera_again(still: Still) -> None:
    still.begin()
    for _ in range(24 * 4):
        still.slot()
    still.stage.session.note_worker(WorkerStatus("lost", cause="gone"))
    for index in (1, 1, 1, 2, 2):
        still.stage.publish(seen(index, WORLD))
        still.stage.slots()
    assert still.stage.viewer.outputs[-1].kind is FrameKind.WARPED
    assert still.stage.session.state.state == "degraded"
    still.stage.session.note_worker(READY)


def test_the_ladder_is_not_moved_by_a_camera_that_stands_still(still: Still) -> None:
    stage = still.stage
    stage.session.note_worker(SLOW)
    still.begin()
    for _ in range(24 * 8):
        still.slot()
    for index in range(6):  # the model takes six slots for what moves then
        stage.publish(seen(index, WORLD))
        stage.slots()
    assert rungs(stage) == []


def test_what_was_given_up_is_not_taken_back_because_nothing_moves(still: Still) -> None:
    stage = still.stage
    stage.session.note_worker(SLOW)
    sources: list[SourceFrame] = []
    for slot in range(150):
        sources.append(still.publish())
        if slot >= 12:
            stage.offer(source=sources[slot - 12])
        stage.slots()
    assert rungs(stage) == [Rung(1)]
    still.begin()
    for _ in range(24 * 20):
        still.slot()
    assert rungs(stage) == [Rung(1)]
    assert len(stage.told(QualityChanged)) == 1


def test_a_model_that_is_behind_is_said_to_be_although_some_of_its_camera_stands_still(still: Still) -> None:
    still.begin()
    for slot in range(24 * 5):
        if slot % 12:
            still.stage.publish(seen(slot % 12, WORLD))
            still.stage.slots()
        else:
            still.slot()
    assert "behind" in still.stage.session.state.cause


def test_after_a_panic_nothing_comes_back_because_it_is_alike(still: Still) -> None:
    still.begin()
    still.slot()
    still.stage.session.panic()
    assert is_slate_of(still.slot())
    still.stage.session.resume()
    assert is_slate_of(still.slot())


def is_slate_of(output: OutputFrame) -> bool:
    return output.kind is FrameKind.STANDBY and output.base is None


def test_a_picture_that_is_held_back_is_shown_when_another_camera_takes_over(still: Still) -> None:
    stage = still.stage
    stage.session.patch(ControlPatch(prompt="neon"), by="test")
    source = still.publish()
    stage.slots(3)
    stage.offer(source=source, pixels=negative(seen(0, WORLD)))
    stage.session.start_publishing()
    assert stage.slots().kind is FrameKind.GENERATED
