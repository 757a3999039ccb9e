"""One stream driven by hand, in virtual time: what every viewer sees, and what every listener is told."""

import asyncio
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import CAMERA, MADE, READY, SIZE, AtOnce, Collector, Half, Stage, is_slate

from liveglass.engine.control import ControlPatch, ControlState, Prompt
from liveglass.engine.errors import BrokenFrame, CameraNotVisible, InvalidValue, NotAvailable
from liveglass.engine.events import (
    ControlApplied,
    ControlChanged,
    ControlSettled,
    ControlSuperseded,
    ErrorEvent,
    SessionEvent,
    SessionState,
)
from liveglass.engine.frame import FrameKind, OutputFrame, Size, SourceStamp
from liveglass.engine.person.matting import Matting
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.admission import Admission
from liveglass.engine.worker.worker import WorkerStatus

acts = st.lists(
    st.sampled_from(
        [
            "publish", "publish", "passed", "passed", "made", "made", "slot", "slot", "slot", "pause", "resume",
            "panic", "lost", "ready", "failed", "start", "stop", "change", "long",
        ]
    ),
    max_size=80,
)  # fmt: skip


def act(stage: Stage, name: str) -> None:
    session = stage.session
    does = {
        "publish": stage.publish,
        # A pass-through model's picture; black and nobody's without a source.
        "passed": lambda: stage.offer(camera=session.newest_source is not None),
        "made": lambda: stage.offer(camera=False),
        "slot": stage.slots,
        "long": lambda: stage.slots(300),
        "pause": session.pause,
        "resume": session.resume,
        "panic": session.panic,
        "lost": lambda: session.note_worker(WorkerStatus("lost", cause="gone")),
        "ready": lambda: session.note_worker(READY),
        "failed": lambda: session.failed(BrokenFrame("flat").body()),
        "start": session.start_publishing,
        "stop": session.stop_publishing,
        "change": lambda: session.patch(ControlPatch(prompt=f"{stage.slot}"), by="test"),
    }
    does[name]()


@given(
    acts,
    st.sampled_from(["camera", "none"]),
    st.sampled_from(["none", "person"]),
    st.sampled_from(["slate", "hold"]),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_no_output_ever_holds_camera_pixels_unless_the_session_shows_its_camera(
    script: list[str],
    source: Literal["camera", "none"],
    visible: Literal["none", "person"],
    fallback: Literal["slate", "hold"],
    moves: bool,
) -> None:
    size = Size(32, 24) if moves else SIZE
    stage = Stage(source=source, camera_visible=visible, fallback=fallback, moves=moves, size=size)
    for name in [*script, "slot"]:
        act(stage, name)
        snapshot = stage.session.snapshot()
        for output in [*stage.viewer.outputs[-1:], *([snapshot] if snapshot else [])]:
            assert not output.holds_camera
            # Slate and generated pictures are dark here; the camera is bright.
            assert output.pixels.max() <= MADE


@given(acts, st.sampled_from(["camera", "none"]), st.sampled_from(["slate", "hold", "camera"]))
@settings(max_examples=80)
def test_where_the_camera_is_visible_every_picture_that_holds_it_says_so(
    script: list[str], source: Literal["camera", "none"], fallback: Literal["slate", "hold", "camera"]
) -> None:
    stage = Stage(source=source, camera_visible="all", fallback=fallback)
    for name in [*script, "slot"]:
        act(stage, name)
    for output in stage.viewer.outputs:
        assert output.holds_camera or output.pixels.max() <= MADE


@given(acts, st.sampled_from(["slate", "hold", "camera"]))
@settings(max_examples=60)
def test_every_slot_has_a_frame_and_panic_is_standby_within_one_slot(
    script: list[str], fallback: Literal["slate", "hold", "camera"]
) -> None:
    stage = Stage(camera_visible="all", fallback=fallback)
    in_panic = paused = False
    for name in [*script, "slot"]:
        seen = len(stage.viewer.outputs)
        act(stage, name)
        in_panic = name == "panic" or (in_panic and name != "resume")
        paused = name == "pause" or (paused and name != "resume")
        for output in stage.viewer.outputs[seen:]:
            if in_panic:
                assert output.kind is FrameKind.STANDBY
                assert output.holds_camera is False or fallback == "hold"
            elif paused:
                assert output.kind in {FrameKind.REPEATED, FrameKind.STANDBY}
    assert [output.slot for output in stage.viewer.outputs] == list(range(1, stage.slot + 1))
    assert [output.pts for output in stage.viewer.outputs] == [3750 * slot for slot in range(1, stage.slot + 1)]


@given(acts)
@settings(max_examples=60)
def test_each_version_is_applied_or_superseded_at_most_once_and_in_order(script: list[str]) -> None:
    stage = Stage()
    for name in [*script, "ready", "resume", "publish", "made", "slot"]:
        act(stage, name)
    endings = [e for e in stage.events if isinstance(e, ControlApplied | ControlSuperseded)]
    assert sorted(e.version for e in endings) == list(range(1, stage.session.control.version + 1))
    applied = [e.version for e in endings if isinstance(e, ControlApplied)]
    assert applied == sorted(applied)
    changed = {e.control.version: at for at, e in enumerate(stage.events) if isinstance(e, ControlChanged)}
    for event in endings:
        assert changed.get(event.version, -1) < stage.events.index(event)
    versions = [output.version for output in stage.viewer.outputs if output.base is not None]
    assert versions == sorted(versions)


def test_a_change_is_accepted_then_applied_then_settled_with_its_slot_and_latency() -> None:
    stage = Stage()
    stage.publish()
    stage.offer()
    stage.slots()
    stage.events.clear()
    receipt = stage.session.patch(ControlPatch(prompt="neon"), by="studio")
    assert receipt.version == 2
    stage.offer(version=2)
    stage.slots()
    kinds = [type(event) for event in stage.events]
    assert kinds.index(ControlChanged) < kinds.index(ControlApplied) < kinds.index(ControlSettled)
    [applied] = stage.told(ControlApplied)
    assert applied == ControlApplied(2, stage.slot, pytest.approx(1000 / 24, abs=0.1))
    assert stage.around.sent[-1] == m.NewControl("s", stage.session.control)


def test_panic_flushes_the_snapshot_at_once_and_every_picture_made_before() -> None:
    stage = Stage(fallback="slate")
    stage.publish()
    stage.offer()
    stage.slots()
    stage.offer()
    stage.session.panic()
    assert stage.session.snapshot() is None
    assert is_slate(stage.slots().pixels)
    stage.session.resume()
    stage.offer(took=1.0)
    output = stage.slots()
    assert output.kind is FrameKind.STANDBY
    assert is_slate(output.pixels)
    stage.offer()
    assert stage.slots().kind is FrameKind.GENERATED


def test_resuming_wakes_the_worker_after_panic_and_after_pause() -> None:
    stage = Stage(source="none")
    for command in (stage.session.panic, stage.session.pause):
        command()
        assert stage.around.sent[-1] == m.SetRunning("s", running=False)
        stage.session.resume()
        assert stage.around.sent[-1] == m.SetRunning("s", running=True)
    assert stage.session.open_message().running


def test_pausing_repeats_the_last_picture_and_takes_no_other() -> None:
    stage = Stage()
    stage.publish()
    stage.offer()
    stage.slots()
    stage.session.pause()
    stage.offer()
    assert {stage.slots().kind for _ in range(500)} == {FrameKind.REPEATED}
    assert stage.session.state.state == "paused"


def test_a_camera_that_stops_is_repeated_and_after_ten_seconds_it_is_standby_and_says_why() -> None:
    stage = Stage()
    stage.publish()
    stage.offer()
    stage.slots(24 * 9)
    assert stage.viewer.outputs[-1].kind is FrameKind.REPEATED
    assert (stage.session.state.state, "No camera picture" in stage.session.state.cause) == ("degraded", True)
    stage.slots(24 * 2)
    assert stage.viewer.outputs[-1].kind is FrameKind.STANDBY
    assert (stage.session.state.state, "No camera picture" in stage.session.state.cause) == ("standby", True)
    stage.publish()
    stage.offer()
    assert stage.slots().kind is FrameKind.GENERATED
    assert stage.session.state.state == "live"


def test_a_pass_through_model_behind_a_hidden_camera_is_standby_with_its_cause() -> None:
    stage = Stage(camera_visible="none")
    stage.publish()
    stage.offer(camera=True)
    output = stage.slots(6)
    assert (output.kind, output.holds_camera) == (FrameKind.STANDBY, False)
    assert is_slate(output.pixels)
    assert stage.session.state.state == "standby"
    assert "camera_visible: all" in stage.session.state.cause


def test_the_camera_as_fallback_carries_its_flag_and_its_clock() -> None:
    stage = Stage(camera_visible="all", fallback="camera")
    stage.publish()
    output = stage.slots()
    assert (output.kind, output.holds_camera, output.version) == (FrameKind.STANDBY, True, 0)
    assert output.source_us == int(100.0 * 1e6)
    stage.session.panic()
    assert is_slate(stage.slots().pixels)


def test_holding_the_last_picture_keeps_its_camera_flag() -> None:
    stage = Stage(camera_visible="all", fallback="hold")
    stage.publish()
    stage.offer(camera=True)
    stage.slots(24 * 11)
    output = stage.viewer.outputs[-1]
    assert (output.kind, output.holds_camera, output.pixels.max()) == (FrameKind.STANDBY, True, CAMERA)


def test_a_fade_away_from_camera_pixels_still_holds_them() -> None:
    stage = Stage(source="none", camera_visible="all")
    stage.publish()
    stage.offer(camera=True)
    stage.slots(4)
    stage.offer(camera=False)
    output = stage.slots()
    assert (output.kind, output.holds_camera) == (FrameKind.BLENDED, True)


def test_undo_and_redo_are_new_versions_with_the_old_wishes() -> None:
    stage = Stage()
    stage.session.patch(ControlPatch(prompt="neon"), by="a")
    assert stage.session.undo(by="b").version == 3
    assert stage.session.control.prompts == ()
    assert stage.session.redo(by="b").version == 4
    assert stage.session.control.prompts == (Prompt("neon"),)
    with pytest.raises(InvalidValue):
        stage.session.redo(by="b")
    assert [event.by for event in stage.told(ControlChanged) if isinstance(event, ControlChanged)] == ["a", "b", "b"]


def test_a_refused_change_changes_nothing() -> None:
    stage = Stage()
    for patch, error in (
        (ControlPatch(steps=3), InvalidValue),
        (ControlPatch(apply="person"), NotAvailable),
        (ControlPatch(prompts=(Prompt("x"),) * 9), InvalidValue),
    ):
        with pytest.raises(error):
            stage.session.patch(patch, by="a")
    assert stage.session.control == ControlState(1)
    assert not stage.told(ControlChanged)


def test_unknown_words_are_noted_with_the_nearest_known_ones() -> None:
    stage = Stage()
    receipt = stage.session.patch(ControlPatch(prompt="a neno ink drawing, blue"), by="a")
    assert len(receipt.notes) == 1
    assert "neno" in receipt.notes[0]
    assert "neon" in receipt.notes[0]
    assert stage.session.patch(ControlPatch(strength=0.3), by="a").notes == ()
    assert stage.session.pause().notes == ()


def test_the_figures_add_up() -> None:
    stage = Stage()
    for number in range(24 * 4):
        stage.publish()
        if number % 2:
            stage.offer()
        stage.slots()
    stats = stage.session.stats()
    assert stats.out_fps == pytest.approx(24.0, abs=0.01)
    assert stats.generated_fps == pytest.approx(12.0, abs=0.2)
    assert stats.generated_fps + sum(stats.standin_fps.values()) == pytest.approx(stats.out_fps, abs=0.05)
    assert stats.missed == 0
    assert stats.content_age is not None
    assert stats.content_age.p95 <= 2000 / 24 + 0.1


def test_slots_that_were_skipped_or_late_are_counted_as_missed() -> None:
    stage = Stage()
    stage.clock.set(stage.session.grid.deadline(5))
    stage.session.run_slot(5, skipped=4)
    assert stage.session.stats().missed == 4
    stage.clock.set(stage.session.grid.deadline(6) + 0.6 / 24)
    stage.session.run_slot(6, skipped=0)
    assert stage.session.stats().missed == 5
    assert b'liveglass_slots_missed_total{cause="skipped"} 4.0' in stage.metrics.text()


def test_a_broken_model_is_told_once_a_second_and_is_the_cause_of_the_state() -> None:
    stage = Stage()
    stage.publish()
    stage.offer()
    stage.slots(6)
    for _ in range(24):
        stage.session.failed(BrokenFrame("one flat colour").body())
        stage.slots()
    assert len(stage.told(ErrorEvent)) == 1
    assert (stage.session.state.state, stage.session.state.cause) == ("degraded", "one flat colour")


def test_the_state_follows_the_worker_and_the_queue() -> None:
    stage = Stage()
    seen = [stage.session.state.state]
    stage.session.note_admission(Admission("queued", 2))
    seen.append(stage.session.state.state)
    assert stage.session.state.position == 2
    stage.session.note_admission(Admission())
    stage.publish()
    stage.offer()
    stage.slots(6)
    seen.append(stage.session.state.state)
    stage.session.note_worker(WorkerStatus("lost", cause="The model's process ended."))
    seen.append(stage.session.state.state)
    assert stage.session.state.cause.startswith("The model's process ended.")
    stage.session.end("over")
    seen.append(stage.session.state.state)
    assert seen == ["ready", "queued", "live", "degraded", "closed"]
    assert stage.told(SessionState)[-1] == SessionState("closed", cause="over")
    assert stage.session.closed.is_set()


def test_the_sample_is_nobodys_camera_and_gives_way_to_one() -> None:
    stage = Stage(source="sample")
    stage.slots(2)
    assert [frame.stamp.is_camera for frame in stage.around.sources] == [False, False]
    stage.session.start_publishing()
    stage.slots(2)
    stage.publish()
    assert [frame.stamp.is_camera for frame in stage.around.sources] == [False, False, True]
    assert stage.around.sources[-1].stamp == SourceStamp(
        3, stage.clock.now(), int(stage.clock.now() * 1e6), is_camera=True
    )


def test_pixels_of_another_size_never_reach_the_worker() -> None:
    stage = Stage()
    with pytest.raises(ValueError, match="instead of"):
        stage.session.publish(np.zeros((4, 4, 3), np.uint8), 0, 0.0)
    assert not stage.around.sources


def test_a_sink_gets_nothing_once_removed_and_nothing_while_it_wants_nothing() -> None:
    stage = Stage()

    class Busy(Collector):
        def wants(self) -> bool:
            return False

    busy = Busy()
    stage.session.add_sink(busy)
    stage.slots()
    stage.session.remove_sink(stage.viewer)
    seen = len(stage.viewer.outputs)
    stage.session.run_slot(2, skipped=0)
    assert len(stage.viewer.outputs) == seen
    assert not busy.outputs


def test_a_listener_that_stopped_hears_nothing_more() -> None:
    stage, heard = Stage(), list[SessionEvent]()
    stop = stage.session.listen(heard.append)
    stop()
    stage.session.panic()
    assert not heard


def test_who_is_attached_is_counted_and_leaving_is_dated() -> None:
    stage = Stage()
    with stage.session.attach(), stage.session.attach():
        assert stage.session.audience.attached == 2
        stage.clock.advance(5.0)
    assert (stage.session.audience.attached, stage.session.audience.detached_at) == (0, 105.0)


async def test_frames_hands_out_the_newest_and_ends_with_the_session() -> None:
    stage = Stage()
    frames = stage.session.frames()

    async def first() -> OutputFrame:
        return await anext(frames)

    waiting = asyncio.create_task(first())
    await asyncio.sleep(0)
    stage.slots(3)
    assert (await waiting).slot == 3
    stage.session.end("over")
    assert [output.slot async for output in frames] == []
    assert [output async for output in stage.session.frames()] == []


def masked(mask: Half, *, camera_visible: Literal["none", "person", "all"] = "person") -> Stage:
    stage = Stage(camera_visible=camera_visible, matting=Matting(lambda: mask, AtOnce()))
    stage.session.patch(ControlPatch(apply="background"), by="test")
    return stage


def test_the_person_moves_at_camera_rate_over_a_picture_that_stands() -> None:
    stage = masked(Half())
    stage.publish()
    stage.offer()
    output = stage.slots()
    assert (output.pixels[:, :4] == CAMERA).all()
    assert (output.pixels[:, 4:] == MADE).all()
    assert (output.kind, output.holds_camera, output.person_only) == (FrameKind.GENERATED, True, True)

    later = stage.clock.advance(0.03)
    stage.session.publish(np.full(SIZE.shape, CAMERA + 20, np.uint8), int(later * 1e6), later)
    output = stage.slots()
    assert output.kind is FrameKind.REPEATED
    assert (output.pixels[:, :4] == CAMERA + 20).all()
    assert (output.pixels[:, 4:] == MADE).all()
    assert output.source_us == int(later * 1e6)
    assert output.age_us == pytest.approx(30_000 + 1e6 / 24, abs=42_000)


def test_a_pause_stops_the_person_too() -> None:
    stage = masked(Half())
    stage.publish()
    stage.offer()
    stage.slots()
    stage.session.pause()
    later = stage.clock.advance(0.03)
    stage.session.publish(np.full(SIZE.shape, CAMERA + 20, np.uint8), int(later * 1e6), later)
    assert (stage.slots().pixels[:, :4] == CAMERA).all()


def test_without_a_mask_everything_is_generated_and_the_cause_is_told() -> None:
    mask = Half()
    stage = masked(mask)
    mask.works = False
    stage.publish()
    stage.offer()
    output = stage.slots()
    assert (output.pixels == MADE).all()
    assert not output.holds_camera
    assert stage.session.state.state == "degraded"
    assert "mask" in stage.session.state.cause
    mask.works = True
    stage.publish()
    stage.offer()
    assert (stage.slots().pixels[:, :4] == CAMERA).all()
    stage.slots(6)
    assert stage.session.state.state == "live"


def test_a_session_that_hides_its_camera_refuses_to_keep_the_person() -> None:
    stage = Stage(matting=Matting(Half, AtOnce()))
    with pytest.raises(CameraNotVisible):
        stage.session.patch(ControlPatch(apply="background"), by="test")
    with pytest.raises(NotAvailable):
        Stage(camera_visible="all").session.patch(ControlPatch(apply="person"), by="test")
    assert stage.session.control.version == 1


ACTS = st.sampled_from(
    ["publish", "offer", "slot", "break", "mend", "panic", "resume", "pause", "all", "background", "wait"]
)


@settings(deadline=None)
@given(st.lists(ACTS, max_size=60), st.sampled_from(["none", "person"]))
def test_no_history_shows_camera_pixels_outside_the_mask(
    acts: list[str], camera_visible: Literal["none", "person"]
) -> None:
    mask = Half()
    stage = Stage(camera_visible=camera_visible, matting=Matting(lambda: mask, AtOnce()))
    session = stage.session
    for act in acts:
        match act:
            case "publish":
                stage.publish()
            case "offer":
                stage.offer()
            case "slot":
                output = stage.slots()
                shown = output.pixels == CAMERA
                assert not shown[:, 4:].any()
                assert output.holds_camera == shown.any()
                if shown.any():
                    assert camera_visible == "person"
                    assert output.person_only
                    assert mask.works or session.state.state == "paused"
            case "break" | "mend":
                mask.works = act == "mend"
                stage.publish()
            case "panic" | "resume" | "pause":
                getattr(session, act)()
            case "wait":
                stage.clock.advance(0.7)
            case _ if camera_visible == "person":
                session.patch(ControlPatch(apply="all" if act == "all" else "background"), by="test")
