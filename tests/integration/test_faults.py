"""When something breaks, the stream goes on: a real worker process, killed, stopped, starved and closed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio
from support import PATIENCE_S, SIZE, Camera

from liveglass.engine.control import ControlPatch
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import InvalidValue, NoSuchSession
from liveglass.engine.events import ControlApplied
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.options import SessionRequest
from liveglass.engine.stream.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

CONFIG = EngineConfig(model="sleep:20", device="cpu", threads=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(CONFIG)
    await engine.start()
    async with asyncio.timeout(PATIENCE_S):
        await engine.wait_ready()
    yield engine
    await engine.close()


class Tally:
    """A viewer that takes every slot, on the output thread."""

    def __init__(self) -> None:
        self.handed: list[int] = []

    def wants(self) -> bool:
        return True

    def deliver(self, output: OutputFrame) -> None:
        self.handed.append(output.slot)


def content_age_slots(output: OutputFrame) -> float:
    assert output.base is not None
    assert output.base.provenance.source is not None
    return (output.picked_at - output.base.provenance.source.captured_at) * 24


@pytest_asyncio.fixture(loop_scope="module")
async def camera(engine: Engine) -> AsyncIterator[Camera]:
    async with asyncio.timeout(PATIENCE_S):
        await engine.wait_ready()
    camera = Camera(engine)
    await camera.until_new(3)
    yield camera
    if camera.session.id in engine.sessions:
        engine.end(camera.session.id, "the test is over")


async def test_a_worker_killed_in_mid_stream_is_a_labelled_stand_in_and_heals_by_itself(
    engine: Engine, camera: Camera
) -> None:
    dead = engine.worker_pid
    assert dead is not None
    missed, every_slot = camera.session.stats().missed, Tally()
    camera.session.add_sink(every_slot)
    os.kill(dead, signal.SIGKILL)
    degraded = await camera.until_state("degraded")
    assert "process ended" in degraded.cause
    stood_in = camera.outputs[-1]
    assert stood_in.kind is FrameKind.REPEATED
    healed = await camera.until_new(12)
    assert engine.worker_pid != dead
    assert healed.base is not None
    assert healed.base.provenance.epoch > 1
    assert camera.session.state.state in {"live", "degraded"}
    await camera.until_state("live")
    camera.check_every_slot_is_labelled()
    # The grid went on through all of it: a slot that was not handed over is one that was counted as missed.
    handed = list(every_slot.handed)
    assert handed == sorted(set(handed))
    gaps = handed[-1] - handed[0] + 1 - len(handed)
    assert gaps <= camera.session.stats().missed - missed
    # Old pictures did not pile up meanwhile.
    assert min(content_age_slots(output) for output in camera.outputs[-12:] if output.is_new) < 6


async def test_when_the_worker_dies_every_sessions_grid_control_and_history_stay_as_they_were(
    engine: Engine, camera: Camera
) -> None:
    second = Camera(engine)
    await second.until_new()
    camera.session.patch(ControlPatch(strength=0.25), by="test")
    await camera.until(lambda output: output.version == 2)
    grids = [camera.session.grid, second.session.grid]
    dead = engine.worker_pid
    assert dead is not None
    os.kill(dead, signal.SIGKILL)
    await asyncio.gather(camera.until_state("degraded"), second.until_state("degraded"))
    await asyncio.gather(camera.until_new(2), second.until_new(2))
    assert [camera.session.grid, second.session.grid] == grids
    assert (camera.outputs[-1].version, second.outputs[-1].version) == (2, 1)
    assert [event.version for event in camera.events if isinstance(event, ControlApplied)] in ([1, 2], [2])
    for output in [*camera.outputs, *second.outputs]:
        assert output.pts == 3750 * output.slot
    for output in second.outputs:
        assert output.deadline == pytest.approx(grids[1].t0 + output.slot / 24, abs=1e-6)
    engine.end(second.session.id, "over")


async def test_what_one_session_does_to_itself_is_nothing_to_another(engine: Engine, camera: Camera) -> None:
    second = Camera(engine)
    await second.until_new()
    camera.session.panic()
    await second.until_new(6)
    engine.end(camera.session.id, "over")
    await second.until_new(6)
    second.check_every_slot_is_labelled()
    assert not {state.state for state in second.states} & {"panic", "closed"}
    engine.end(second.session.id, "over")


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
async def test_a_worker_that_hangs_is_declared_hung_and_replaced(engine: Engine, camera: Camera) -> None:
    stuck = engine.worker_pid
    assert stuck is not None
    os.kill(stuck, signal.SIGSTOP)
    # The slider of somebody who notices that nothing moves must not make the server wait for the worker.
    for number in range(2000):
        camera.session.patch(ControlPatch(strength=number / 2000), by="test")
    lost = await camera.until_state("degraded")
    while "silent" not in lost.cause and "got on" not in lost.cause:
        await camera.until(lambda _: True)
        lost = camera.session.state
    await camera.until(lambda output: output.is_new and output.version == 2001)
    assert not psutil.pid_exists(stuck)
    camera.check_every_slot_is_labelled()


async def test_when_the_input_stops_the_last_picture_is_repeated(engine: Engine, camera: Camera) -> None:
    camera.is_on = False
    await camera.until_state("degraded")
    assert "No camera picture" in camera.session.state.cause
    assert {output.kind for output in camera.outputs[-12:]} == {FrameKind.REPEATED}
    camera.is_on = True
    await camera.until_new()
    await camera.until_state("live")


async def test_panic_is_the_slate_from_the_next_slot_on_and_resuming_generates_again(camera: Camera) -> None:
    camera.session.panic()
    asked = camera.session.current_slot
    await camera.until(lambda output: output.slot > asked + 6)
    panicked = [output for output in camera.outputs if output.slot > asked + 1]
    assert {output.kind for output in panicked} == {FrameKind.STANDBY}
    assert not any(output.holds_camera for output in panicked)
    camera.session.resume()
    await camera.until_new()


async def test_a_picture_from_nothing_is_generated_again_after_panic(engine: Engine) -> None:
    session = engine.open(SessionRequest(source="none", camera_visible="all", size=SIZE))
    seen: list[FrameKind] = []
    async with asyncio.timeout(PATIENCE_S):
        async for output in session.frames():
            seen.append(output.kind)
            if FrameKind.GENERATED in seen:
                break
        session.panic()
        async for output in session.frames():
            if output.kind is FrameKind.STANDBY:
                session.resume()
            if output.kind is FrameKind.GENERATED:
                break
    engine.end(session.id, "over")


async def test_readiness_is_a_real_frame(engine: Engine, camera: Camera) -> None:
    async with asyncio.timeout(PATIENCE_S):
        ready = await engine.readiness()
    assert ready.ready
    assert ready.generated_ms is not None
    assert ready.generated_ms >= 15
    assert ready.age_s is not None
    assert ready.age_s < 10


async def test_ending_a_session_ends_its_frames_and_frees_its_id(engine: Engine) -> None:
    session = engine.open(SessionRequest(size=SIZE), session_id="again")
    reader = asyncio.create_task(collect(session))
    await asyncio.sleep(0)
    engine.end("again", "over")
    async with asyncio.timeout(PATIENCE_S):
        await reader
        await session.closed.wait()
    with pytest.raises(NoSuchSession):
        engine.get("again")
    reopened = engine.open(SessionRequest(size=SIZE), session_id="again")
    assert (await anext(reopened.frames())).kind is FrameKind.STANDBY
    engine.end("again", "over")


async def collect(session: Session) -> list[OutputFrame]:
    return [output async for output in session.frames()]


async def test_another_model_than_the_resident_one_is_refused_with_what_to_do(engine: Engine) -> None:
    with pytest.raises(InvalidValue) as refused:
        engine.open(SessionRequest(model="null"))
    assert "--model null" in refused.value.hint
