"""The front door: places and the queue, ids, linger, and an output thread that is seen when it stands still."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from liveglass.engine.clock import ManualClock
from liveglass.engine.control import ControlPatch, ControlState, Prompt
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import AtCapacity, ModelNotFound, NoSuchSession, OutOfMemory
from liveglass.engine.events import ErrorEvent, SessionEvent
from liveglass.engine.frame import OutputFrame
from liveglass.engine.options import SessionRequest, SizeRequest
from liveglass.engine.worker import messages as m

pytestmark = pytest.mark.timeout(60)

SMALL = SessionRequest(size=SizeRequest(64, 64))
PATIENCE_S = 30.0


@asynccontextmanager
async def running(model: str = "sleep:100", *, queue_limit: int = 1, linger_s: float = 30.0) -> AsyncIterator[Engine]:
    config = EngineConfig(model=model, worker_mode="thread", threads=1, queue_limit=queue_limit, linger_s=linger_s)
    async with Engine(config) as engine:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        yield engine


async def test_the_first_comes_in_the_next_waits_and_who_finds_the_queue_full_is_told_when_to_come_back() -> None:
    async with running() as engine:
        sessions = [engine.open(SMALL), engine.open(SMALL)]
        places = [(session.admission.state, session.admission.position) for session in sessions]
        assert places == [("admitted", 0), ("queued", 1)]
        assert sessions[1].state.state == "queued"
        with pytest.raises(AtCapacity) as refused:
            engine.open(SMALL)
        assert refused.value.retry_after_s > 0
        engine.end(sessions[0].id, "over")
        assert sessions[1].admission.state == "admitted"
        third = engine.open(SMALL)
        engine.end(third.id, "over")
        assert [session.id for session in engine.sessions.values()] == [sessions[1].id]


async def test_while_the_model_warms_up_one_session_is_promised_and_no_more() -> None:
    engine = Engine(EngineConfig(model="null", worker_mode="thread", queue_limit=4))
    first, second = engine.open(SMALL), engine.open(SMALL)
    assert (first.admission.state, second.admission.state) == ("admitted", "queued")
    await engine.start()
    async with asyncio.timeout(PATIENCE_S):
        await engine.wait_ready()
        assert second.admission.state == "admitted"
    await engine.close()
    assert [session.state.state for session in (first, second)] == ["closed", "closed"]


async def test_a_session_without_a_name_ends_after_its_last_connection_and_a_named_one_does_not() -> None:
    async with running("null", queue_limit=4, linger_s=0.0) as engine:
        named = engine.open(SMALL, name="studio")
        nameless, attached = engine.open(SMALL), engine.open(SMALL)
        with attached.attach():
            async with asyncio.timeout(PATIENCE_S):
                await nameless.closed.wait()
            assert set(engine.sessions) == {"studio", attached.id}
        async with asyncio.timeout(PATIENCE_S):
            await attached.closed.wait()
        assert engine.get("studio") is named
        with pytest.raises(NoSuchSession):
            engine.get(nameless.id)


async def test_a_session_that_the_model_has_no_memory_for_ends_with_that_cause() -> None:
    async with running("null") as engine:
        poor, other = engine.open(SMALL), engine.open(SMALL)
        heard: list[SessionEvent] = []
        poor.listen(heard.append)
        error = OutOfMemory("No room.").body()
        for is_last in (False, True, True):
            engine._receive(m.Failed(poor.id, error, is_last), None)
        async with asyncio.timeout(PATIENCE_S):
            await poor.closed.wait()
        assert (poor.state.state, poor.state.cause) == ("closed", "No room.")
        assert [event.code for event in heard if isinstance(event, ErrorEvent)] == ["out_of_memory"]
        assert set(engine.sessions) == {other.id}


async def test_a_named_session_goes_on_with_the_control_state_that_it_had() -> None:
    async with running("null") as engine:
        kept = ControlState(41, (Prompt("ink"),))
        session = engine.open(SMALL, name="studio", control=kept)
        assert (session.id, session.control) == ("studio", kept)
        assert session.patch(ControlPatch(prompt="neon"), by="x").version == 42


async def test_an_unknown_model_is_refused_before_anything_starts() -> None:
    with pytest.raises(ModelNotFound):
        Engine(EngineConfig(model="nono"))


class Gate:
    """A sink that lets nothing through until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def wants(self) -> bool:
        return True

    def deliver(self, output: OutputFrame) -> None:
        self.entered.set()
        self.opened.wait(PATIENCE_S)


async def test_an_output_thread_that_stands_still_is_seen_and_one_that_has_nothing_to_do_is_not() -> None:
    clock = ManualClock(100.0)
    engine = Engine(EngineConfig(model="null", worker_mode="thread"), clock=clock)
    await engine.start()
    assert engine.output_silent_s() == 0.0
    session, gate = engine.open(SMALL), Gate()
    session.add_sink(gate)
    clock.advance(1.0)
    await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    assert engine.output_silent_s() == 0.0
    clock.advance(5.0)
    assert engine.output_silent_s() == 5.0
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        output = await anext(session.frames())
    assert output.slot == session.current_slot
    assert engine.output_silent_s() == 0.0
    assert session.stats().missed > 100
    await engine.close()


async def test_a_session_opened_under_the_id_of_one_that_is_just_ending_has_its_own_grid_alone() -> None:
    async with running("null") as engine:
        old, gate = engine.open(SMALL, name="studio"), Gate()
        old.add_sink(gate)
        await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
        engine.end("studio", "over")
        new = engine.open(SMALL, name="studio")
        gate.opened.set()
        slots: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            async for output in new.frames():
                assert output.deadline == pytest.approx(new.grid.deadline(output.slot))
                assert output.picked_at >= output.deadline - 1e-6
                slots.append(output.slot)
                if len(slots) == 12:
                    break
        assert slots == sorted(set(slots))
