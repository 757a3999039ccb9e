"""What a session gives up when its model is behind, what it says about that, and what is no reason to."""

import pytest
from stage import Stage

from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import BrokenFrame
from liveglass.engine.events import QualityChanged
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostTable
from liveglass.engine.worker.worker import WorkerStatus

SLOW = WorkerStatus(
    "ready",
    device="cpu",
    cost=CostTable({Case(USUAL_PIXELS, 1): Cost(0.1, 0.1), Case(USUAL_PIXELS, 4): Cost(0.3, 0.3)}),
)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.session.note_worker(SLOW)
    return stage


def run(stage: Stage, slots: int, *, behind: int, camera_every: int = 1) -> None:
    """So many slots of a camera and of a model whose newest picture is `behind` slots behind it."""
    sources = []
    for slot in range(slots):
        if slot % camera_every == 0:
            sources.append(stage.publish())
        if len(sources) > behind and slot % camera_every == 0:
            stage.offer(source=sources[-1 - behind])
        stage.slots()


def rungs(stage: Stage) -> list[Rung]:
    return [message.rung for message in stage.around.sent if isinstance(message, m.SetRung)]


def test_pictures_that_are_too_old_take_fewer_passes_and_it_is_said_why(stage: Stage) -> None:
    run(stage, 150, behind=12)
    assert rungs(stage) == [Rung(1)]
    (told,) = stage.told(QualityChanged)
    assert isinstance(told, QualityChanged)
    assert (told.rung, told.of, told.gave_up) == (1, 4, ("1 step instead of 4",))
    assert told.cause.startswith("The model is behind: it takes 1.")
    assert stage.session.given_up == told, "who comes later is told"
    assert stage.session.open_message().rung == Rung(1), "a worker that comes after this one is told"


def test_a_receipt_says_what_really_takes_effect_meanwhile(stage: Stage) -> None:
    assert stage.session.patch(ControlPatch(prompt="neon"), by="x").effective["steps"] == 4
    run(stage, 150, behind=12)
    receipt = stage.session.patch(ControlPatch(prompt="ink drawing"), by="x")
    assert receipt.effective["steps"] == 1
    assert "steps: 1 for now, until there is room for 4 again" in receipt.notes
    receipt = stage.session.patch(ControlPatch(steps=1), by="x")
    assert not [note for note in receipt.notes if "steps" in note]
    run(stage, 2, behind=1)
    assert stage.session.given_up is None, "it has what it asks for now"


def test_what_was_given_up_comes_back_with_the_room_for_it(stage: Stage) -> None:
    run(stage, 150, behind=12)
    run(stage, 24 * 16, behind=1)
    assert rungs(stage) == [Rung(1), Rung()]
    last = stage.told(QualityChanged)[-1]
    assert isinstance(last, QualityChanged)
    assert (last.rung, last.gave_up, last.cause) == (0, (), "There has been room for more.")
    assert stage.session.given_up is None


def test_where_nothing_was_given_up_more_passes_are_had_for_the_asking(stage: Stage) -> None:
    stage.session.patch(ControlPatch(steps=1), by="x")
    run(stage, 60, behind=1)
    receipt = stage.session.patch(ControlPatch(steps=4), by="x")
    assert (receipt.effective["steps"], stage.session.open_message().rung) == (4, Rung())
    run(stage, 60, behind=1)
    assert stage.session.given_up is None
    assert rungs(stage) == []


def test_frames_that_fail_are_no_reason(stage: Stage) -> None:
    run(stage, 60, behind=1)
    for _ in range(200):
        stage.publish()
        stage.session.failed(BrokenFrame("flat").body())
        stage.slots()
    assert rungs(stage) == []


def test_a_slow_camera_is_no_reason(stage: Stage) -> None:
    run(stage, 400, behind=0, camera_every=20)
    assert rungs(stage) == []


def test_a_camera_that_stopped_a_pause_and_a_lost_worker_are_no_reason(stage: Stage) -> None:
    run(stage, 60, behind=1)
    stage.slots(200)
    run(stage, 60, behind=1)
    stage.session.pause()
    run(stage, 200, behind=1)
    stage.session.resume()
    run(stage, 60, behind=1)
    stage.session.note_worker(WorkerStatus("lost", cause="gone"))
    for _ in range(200):
        stage.publish()
        stage.slots()
    stage.session.note_worker(SLOW)
    run(stage, 60, behind=1)
    assert rungs(stage) == []
