"""Another model under running streams: nobody's slots are missed, nothing that was asked for is lost, nothing shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from stage import SPEC, Stage
from support import Camera

from liveglass.engine.control import ControlPatch
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import ModelNotFound, NotAvailable, SwapUnderWay, WeightsRefused
from liveglass.engine.events import ControlChanged, ModelChanged, QualityChanged
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.models import registry
from liveglass.engine.options import SessionRequest, SizeRequest
from liveglass.engine.stream.session import Session

pytestmark = pytest.mark.timeout(90)

PATIENCE_S = 40.0
OTHER = msgspec.structs.replace(SPEC, name="other", valid_steps=(1, 2), default_steps=2, strength_has_effect=False)


@asynccontextmanager
async def running(model: str) -> AsyncIterator[Engine]:
    config = EngineConfig(model=model, worker_mode="thread", threads=1, models_dir=Path("nowhere"))
    async with Engine(config) as engine:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        yield engine


def made_by(output: OutputFrame, model: str) -> bool:
    return output.is_new and output.base is not None and output.base.provenance.model == model


async def swapped(engine: Engine, model: str) -> ModelChanged:
    """How a swap to `model` ended."""
    async with asyncio.timeout(PATIENCE_S):
        assert await engine.swaps.begin(model)
        await engine.swaps.settled()
    assert engine.swaps.newest is not None
    return engine.swaps.newest


async def test_every_stream_goes_on_without_a_gap_and_gets_the_new_models_pictures() -> None:
    async with running("sleep:20") as engine:
        cameras = [Camera(engine) for _ in range(2)]
        await asyncio.gather(*(camera.until(lambda output: made_by(output, "sleep:20")) for camera in cameras))
        told = [len(camera.states) for camera in cameras]
        ending, *_ = await asyncio.gather(
            swapped(engine, "null"),
            *(camera.until(lambda output: made_by(output, "null")) for camera in cameras),
        )
        assert ending == ModelChanged("null", "ready")
        assert (engine.spec.name, engine.worker.state) == ("null", "ready")
        assert next(listing for listing in engine.models() if listing.resident).name == "null"
        for camera, before in zip(cameras, told, strict=True):
            camera.check_every_slot_is_labelled()
            seen = [output for output in camera.outputs if output.base is not None]
            assert camera.session.spec.name == "null"
            assert FrameKind.STANDBY not in {output.kind for output in camera.outputs[camera.outputs.index(seen[0]) :]}
            models = [output.base.provenance.model for output in seen if output.base is not None]
            assert models == sorted(models, key=["sleep:20", "null"].index), "an old picture came after a new one"
            assert {state.state for state in camera.states[before:]} <= {"live", "degraded"}
            stages = [event for event in camera.events if isinstance(event, ModelChanged)]
            assert [stages[0].state, stages[-1].state] == ["warming", "ready"]
        receipt = cameras[0].session.patch(ControlPatch(strength=0.9), by="test")
        assert "strength: no effect with this model (null)" in receipt.notes
        shown = await cameras[0].until(lambda output: output.version == receipt.version and output.is_new)
        assert made_by(shown, "null")


async def frames(session: Session, count: int) -> list[OutputFrame]:
    seen: list[OutputFrame] = []
    async with asyncio.timeout(PATIENCE_S):
        async for output in session.frames():
            seen.append(output)
            if len(seen) >= count:
                break
    return seen


async def test_a_model_that_passes_the_camera_through_shows_nothing_of_a_session_that_hides_it() -> None:
    async with running("faulty:5") as engine:
        shown = Camera(engine)
        hidden = engine.open(SessionRequest(size=SizeRequest(64, 64), source="camera"))
        shown_pixels = await shown.until_new()
        hidden.start_publishing()
        hidden.publish(shown_pixels.pixels.copy(), 1, 1.0)
        await swapped(engine, "null")
        await shown.until(lambda output: made_by(output, "null"))
        hidden.publish(shown_pixels.pixels.copy(), 2, engine._clock.now())
        seen = await frames(hidden, 12)
        assert not any(output.holds_camera for output in seen)
        assert seen[-1].kind is FrameKind.STANDBY
        assert hidden.state.state == "standby"
        assert "passes camera pixels" in hidden.state.cause


async def test_one_swap_at_a_time_and_what_cannot_be_is_refused_before_it_begins() -> None:
    async with running("sleep:5") as engine:
        for model, refusal in (("nono", ModelNotFound), ("sd-turbo", NotAvailable)):
            with pytest.raises(refusal):
                await engine.swaps.begin(model)
        assert engine.swaps.newest is None
        assert not await engine.swaps.begin("sleep:5")
        assert await engine.swaps.begin("sleep:50")
        with pytest.raises(SwapUnderWay) as refused:
            await engine.swaps.begin("null")
        assert refused.value.retryable


async def test_a_model_that_does_not_fit_beside_the_one_that_serves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("sleep:5") as engine:
        monkeypatch.setattr(registry, "check", lambda *_: 10**15)
        with pytest.raises(WeightsRefused, match="beside the model that serves"):
            await engine.swaps.begin("null")
        assert (engine.spec.name, engine.swaps.newest) == ("sleep:5", None)
        monkeypatch.undo()
        assert (await swapped(engine, "null")).state == "ready"


def test_what_the_new_model_does_not_know_becomes_its_default_as_a_version_of_its_own() -> None:
    stage = Stage()
    stage.session.patch(ControlPatch(prompt="ink drawing", strength=0.9), by="test")
    stage.session.adopt(OTHER)
    control = stage.session.control
    assert (control.version, control.params.steps, control.prompts[0].text) == (3, 2, "ink drawing")
    changed = stage.told(ControlChanged)[-1]
    assert isinstance(changed, ControlChanged)
    assert (changed.by, changed.control.version) == ("model", 3)
    assert changed.notes == (
        "strength: no effect with this model (other)",
        "steps: other does not make 4; 2 now",
    )
    assert stage.session.undo(by="test").effective["steps"] == 2
    assert stage.session.open_message().control.params.steps == 2


def test_a_session_that_the_new_model_understands_keeps_its_version() -> None:
    stage = Stage()
    told = len(stage.told(ControlChanged))
    stage.session.adopt(msgspec.structs.replace(SPEC, name="same"))
    assert stage.session.control.version == 1
    assert len(stage.told(ControlChanged)) == told
    assert stage.session.spec.name == "same"


def test_what_was_given_up_for_the_model_before_is_given_back() -> None:
    stage = Stage()
    quality = stage.session._quality
    quality.rung = msgspec.structs.replace(quality.rung, steps=1, every=2)
    quality.given_up = QualityChanged(1, 3, ("1 step instead of 4",), "slow")
    stage.session.adopt(OTHER)
    assert stage.session.open_message().rung.steps > 4
    for _ in range(100):
        stage.publish()
        stage.offer()
        stage.slots()
    assert stage.session.given_up is None
    assert stage.told(QualityChanged)


@pytest.mark.parametrize("moves", [True, False])
def test_pictures_of_the_new_model_are_moved_along_as_those_before(moves: bool) -> None:
    stage = Stage(moves=moves)
    for spec in (SPEC, msgspec.structs.replace(OTHER, inner_pixels=64)):
        stage.session.adopt(spec)
        for _ in range(3):
            source = stage.publish()
            stage.slots(2)
            stage.offer(source=source, took=0.08)
            assert stage.slots().base is not None
