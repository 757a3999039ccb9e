"""A session whose camera moves while its model is slow: what is shown, how it is labelled, and how old it is."""

import numpy as np
import pytest
from pan import SIZE, negative, psnr, seen, world
from stage import READY, Stage

from liveglass.engine.control import ControlPatch
from liveglass.engine.frame import FrameKind, OutputFrame, SourceFrame
from liveglass.engine.worker.worker import WorkerStatus

SLOT_US = 1e6 / 24
WORLD = world()


class Pan:
    """A camera that pans by a step a slot, before a model that takes three slots."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.index = 0
        self.sources: list[SourceFrame] = []

    def slot(self, *, generated: int | None = None) -> OutputFrame:
        """One slot; before it comes the camera's next picture, and what was `generated` from an earlier one."""
        source = self.stage.publish(seen(self.index, WORLD))
        assert source is not None
        self.sources.append(source)
        self.index += 1
        if generated is not None:
            made = negative(seen(generated, WORLD))
            self.stage.offer(source=self.sources[generated], pixels=made)
        return self.stage.slots()


@pytest.fixture
def pan() -> Pan:
    return Pan(Stage(moves=True, size=SIZE))


def test_a_slow_models_picture_moves_with_the_camera_in_every_slot(pan: Pan) -> None:
    for _ in range(3):
        assert pan.slot().kind is FrameKind.STANDBY
    for slot in range(3, 6):  # the camera is followed from the first old picture on
        pan.slot(generated=slot - 3 if slot % 3 == 0 else None)
    for slot in range(6, 15):
        output = pan.slot(generated=slot - 3 if slot % 3 == 0 else None)
        assert output.kind is FrameKind.WARPED
        assert output.is_new == (slot % 3 == 0)
        assert psnr(output.pixels, negative(seen(slot, WORLD))) > 25
        assert output.source_us == pan.sources[slot].stamp.publisher_us
        assert output.age_us == pytest.approx((3 + slot % 3) * SLOT_US, abs=5)
        assert not output.holds_camera


def test_a_fast_models_picture_is_shown_as_it_was_made(pan: Pan) -> None:
    for slot in range(4):
        output = pan.slot(generated=slot)
        assert output.kind is FrameKind.GENERATED
        assert output.age_us == 0
        assert np.array_equal(output.pixels, negative(seen(slot, WORLD)))


def test_a_model_that_keeps_up_a_slot_late_is_not_made_later_by_moving(pan: Pan) -> None:
    pan.slot()
    pan.slot()
    for slot in range(2, 15):  # until the pace is known
        pan.slot(generated=slot - 2)
    for slot in range(15, 20):
        output = pan.slot(generated=slot - 2)
        assert output.kind is FrameKind.GENERATED
        assert np.array_equal(output.pixels, negative(seen(slot - 2, WORLD)))
    assert pan.slot().kind is FrameKind.REPEATED  # one slot left out
    pan.slot(generated=19)
    for slot in range(22, 40, 3):  # it does not keep up any more
        for step in range(3):
            output = pan.slot(generated=slot - 3 if step == 0 else None)
    assert output.kind is FrameKind.WARPED


def test_it_still_moves_when_the_worker_is_gone(pan: Pan) -> None:
    for slot in range(4):
        pan.slot(generated=slot)
    pan.stage.session.note_worker(WorkerStatus("lost", cause="gone"))
    pan.slot()
    for slot in range(5, 9):
        output = pan.slot()
        assert output.kind is FrameKind.WARPED
        assert psnr(output.pixels, negative(seen(slot, WORLD))) > 20
    pan.stage.session.note_worker(READY)
    assert pan.slot(generated=9).kind is FrameKind.GENERATED


def test_a_pause_holds_what_is_shown_where_it_is(pan: Pan) -> None:
    for slot in range(5):
        pan.slot(generated=2 if slot == 4 else None)
    pan.slot()
    shown = pan.stage.viewer.outputs[-1]
    assert shown.kind is FrameKind.WARPED
    pan.stage.session.pause()
    held = pan.slot()
    assert held.kind is FrameKind.REPEATED
    assert np.array_equal(held.pixels, shown.pixels)


def test_across_a_cut_the_last_picture_is_held(pan: Pan) -> None:
    for slot in range(5):
        pan.slot(generated=0 if slot == 3 else None)
    shown = pan.stage.viewer.outputs[-1]
    pan.stage.publish(seen(40, world(9)))
    held = pan.stage.slots()
    assert held.kind is FrameKind.REPEATED
    assert np.array_equal(held.pixels, shown.pixels)


def test_with_a_constant_lag_fresh_pictures_are_shown_as_made_and_the_rest_moves_on(pan: Pan) -> None:
    pan.stage.session.patch(ControlPatch(policy="steady"), by="test")
    for slot in range(6):
        pan.slot(generated=0 if slot == 3 else None)
    for slot in range(6, 15):
        output = pan.slot(generated=slot - 3 if slot % 3 == 0 else None)
        assert output.kind is (FrameKind.GENERATED if slot % 3 == 0 else FrameKind.WARPED)
        assert psnr(output.pixels, negative(seen(slot - 3, WORLD))) > 25
        assert output.source_us == pan.sources[slot - 3].stamp.publisher_us


def test_where_nothing_of_the_camera_is_in_the_picture_it_stays(pan: Pan) -> None:
    pan.stage.session.patch(ControlPatch(strength=1.0), by="test")
    for _ in range(3):
        pan.slot()
    kinds = [pan.slot(generated=0).kind, *(pan.slot().kind for _ in range(4))]
    assert kinds == [FrameKind.GENERATED] + [FrameKind.REPEATED] * 4


def test_panic_forgets_what_could_be_moved(pan: Pan) -> None:
    for slot in range(5):
        pan.slot(generated=0 if slot == 3 else None)
    pan.stage.session.panic()
    assert pan.slot().kind is FrameKind.STANDBY
    pan.stage.session.resume()
    assert pan.slot().kind is FrameKind.STANDBY


def test_a_pause_while_a_picture_is_coming_holds_and_goes_on(pan: Pan) -> None:
    for slot in range(10):
        pan.slot(generated=slot - 2 if slot in {4, 7} else None)
    shown = pan.stage.viewer.outputs[-1]
    assert shown.kind is FrameKind.WARPED
    pan.stage.offer(source=pan.sources[8], pixels=negative(seen(8, WORLD)))
    pan.stage.session.pause()
    assert np.array_equal(pan.slot().pixels, shown.pixels)
    pan.stage.session.resume()
    after = pan.slot()
    assert np.array_equal(after.pixels, shown.pixels), "nothing jumps back to where it was made"
    assert after.age_us == shown.age_us


def test_a_pause_on_the_slate_is_the_slate(pan: Pan) -> None:
    pan.slot(generated=0)
    pan.stage.slots(300)
    assert pan.stage.viewer.outputs[-1].kind is FrameKind.STANDBY
    pan.stage.session.pause()
    output = pan.stage.slots()
    assert output.kind is FrameKind.STANDBY
    assert output.base is None


def test_another_publishers_clock_makes_no_ages_of_years(pan: Pan) -> None:
    for slot in range(6):
        pan.slot(generated=2 if slot == 4 else None)
    stage = pan.stage
    stage.session.publish(seen(6, WORLD), 1_760_000_000_000_000, stage.clock.now())
    output = stage.slots()
    assert output.age_us < 1e6
