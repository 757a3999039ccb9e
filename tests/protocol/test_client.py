"""The Python client against a real engine behind real sockets, also when the connection is cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from liveglass.engine.control import Prompt
from liveglass.engine.errors import (
    InvalidValue,
    NoSuchSession,
    NotAllowed,
    PictureTooLarge,
    PromptTooLong,
    PublisherReplaced,
    Unavailable,
)
from liveglass.engine.events import ControlChanged, SessionState
from liveglass.engine.frame import FrameKind
from liveglass.engine.stream.session import Session
from liveglass.transport.client import Live, connect
from liveglass.transport.client_errors import Superseded
from liveglass.transport.client_link import Pauses
from liveglass.transport.messages import Hello

CAMERA = np.random.default_rng(3).integers(0, 256, (15, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
AT_ONCE = Pauses(first_s=0.0, longest_s=0.01, jitter_s=0.0)


@asynccontextmanager
async def joined(house, session: Session, **options: Any) -> AsyncIterator[Live]:
    url = f"http://127.0.0.1:{house.port}"
    async with connect(url, session=session.id, token="t", pauses=AT_ONCE, **options) as live:
        yield live


def cut_connections(house) -> None:
    for connection in house.server.connections:
        connection.transport.abort()


async def test_frames_come_typed_decoded_and_in_order(house) -> None:
    async with joined(house, house.open(source="sample")) as live:
        slots = []
        async for frame in live.frames():
            slots.append(frame.slot)
            assert frame.pixels.shape == (96, 128, 3)
            if frame.kind is FrameKind.GENERATED and len(slots) > 30:
                break
        assert slots == sorted(set(slots))
        assert frame.version == 1
        assert frame.motion_age_ms is None


async def test_a_raw_viewer_is_decoded_too(house) -> None:
    async with joined(house, house.open(source="sample"), format="raw") as live:
        async for frame in live.frames():
            assert frame.pixels.shape == (96, 128, 3)
            break


async def test_a_published_camera_comes_back_with_its_ages(house) -> None:
    async with joined(house, house.open(source="camera"), publish=True) as live:
        await live.publish(CAMERA)
        async for frame in live.frames():
            await live.publish(CAMERA)
            if frame.kind is FrameKind.GENERATED:
                break
        assert frame.holds_camera
        assert frame.motion_age_ms is not None
        assert frame.content_age_ms is not None
        assert 0 < frame.motion_age_ms <= frame.content_age_ms
        assert frame.content_age_ms == pytest.approx(frame.motion_age_ms + frame.age_us / 1000)


async def test_a_change_is_followed_to_the_picture(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        receipt = await live.prompt("oil painting, red")
        assert receipt.version == 2
        applied, settled = await receipt.applied(), await receipt.settled()
        assert applied.latency_ms >= 0
        assert settled.slot >= applied.slot
        assert session.control.prompts == (Prompt("oil painting, red"),)


async def test_a_change_that_was_overtaken_says_so(house) -> None:
    async with joined(house, house.open(source="sample")) as live:
        await live.pause()
        first = await live.set(strength=0.1)
        second = await live.set(strength=0.2)
        await live.resume()
        assert (await second.applied()).version == 3
        with pytest.raises(Superseded) as told:
            await first.applied()
        assert told.value.by == 3


async def test_every_way_to_steer(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        await live.set(strength=0.25, seed=7, policy="steady")
        assert (session.control.params.strength, session.control.params.seed) == (0.25, 7)
        await live.prompt(prompts=[Prompt("a"), Prompt("b", -1)], negative="c")
        assert session.control.negative == "c"
        await live.undo()
        assert session.control.prompts == ()
        await live.redo()
        assert len(session.control.prompts) == 2
        await live.stage("chorus", "ink")
        await live.take("chorus")
        assert session.control.prompts == (Prompt("ink"),)
        await live.panic()
        assert session.state.state == "panic"
        await live.resume()
        assert session.state.state != "panic"
        await live.pause()
        assert session.state.state == "paused"


async def test_the_control_and_state_are_kept_up_to_date(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live, joined(house, session) as other:
        events = live.events()
        await other.set(strength=0.3)
        async for event in events:
            if isinstance(event, ControlChanged):
                break
        assert live.control.params.strength == 0.3
        await other.panic()
        async for event in events:
            if isinstance(event, SessionState) and event.state == "panic":
                break
        assert live.state.state == "panic"


async def test_statistics_on_demand(house) -> None:
    async with joined(house, house.open(source="sample")) as live:
        assert (await live.stats()).missed >= 0
        assert (await live.stats()).missed >= 0


async def test_refusals_are_the_engines_own_errors(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        with pytest.raises(InvalidValue) as refusal:
            await live.set(strength=2)
        assert refusal.value.field == "strength"
        with pytest.raises(PromptTooLong):
            await live.prompt("x" * 2001)
        with pytest.raises(InvalidValue):
            await live.redo()
        assert session.control.version == 1


async def test_a_refused_picture_is_told_at_the_next_one(house) -> None:
    async with joined(house, house.open(source="camera"), publish=True) as live:
        events = live.events()
        await live.publish(np.zeros((8, 1928, 3), np.uint8))
        async for event in events:
            if event.__class__.__name__ == "ErrorEvent":
                break
        with pytest.raises(PictureTooLarge):
            await live.publish(CAMERA)
        await live.publish(CAMERA)


async def test_no_such_session(house) -> None:
    with pytest.raises(NoSuchSession):
        async with connect(f"http://127.0.0.1:{house.port}", session="s_none", token="t"):
            pass


async def test_no_server() -> None:
    with pytest.raises(Unavailable, match="reached"):
        async with connect("http://127.0.0.1:9", session="s_none", token="t"):
            pass


async def test_an_address_that_is_none() -> None:
    with pytest.raises(InvalidValue):
        async with connect("127.0.0.1:8787"):
            pass


async def test_a_lost_connection_is_made_again_and_the_stream_goes_on(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        events = live.events()
        frames = live.frames()
        before = (await anext(frames)).slot
        await live.set(strength=0.3)
        cut_connections(house)
        async for event in events:
            if isinstance(event, Hello):
                break
        assert event.session == session.id
        assert event.control.params.strength == 0.3
        assert live.reconnects == 1
        assert (await anext(frames)).slot > before
        assert (await live.set(strength=0.4)).version == 3


async def test_a_receipt_survives_a_lost_connection(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        await live.pause()
        receipt = await live.set(strength=0.3)
        cut_connections(house)
        waiting = asyncio.create_task(receipt.applied())
        await live.resume()
        async for frame in live.frames():
            if frame.version == receipt.version:
                break
        assert (await waiting).version == receipt.version


async def test_a_command_without_an_answer_is_sent_again_and_done_once(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        asked = asyncio.create_task(live.set(strength=0.3))
        await asyncio.sleep(0)
        cut_connections(house)
        assert (await asked).version == 2
        assert session.control.version == 2


async def test_publishing_goes_on_after_a_reconnect(house) -> None:
    session = house.open(source="camera")
    async with joined(house, session, publish=True) as live:
        frames = live.frames()
        for _ in range(3):
            await live.publish(CAMERA)
            await anext(frames)
        cut_connections(house)
        while live.reconnects == 0:
            await live.publish(CAMERA)
            await anext(frames)
        seen = session.newest_source
        while session.newest_source is seen:
            await live.publish(CAMERA)
            await anext(frames)


async def test_a_replaced_publisher_does_not_fight_back(house) -> None:
    session = house.open(source="camera")
    async with joined(house, session, publish=True) as old, joined(house, session, publish=True) as new:
        with pytest.raises(PublisherReplaced):
            async for _ in old.frames():
                pass
        with pytest.raises(PublisherReplaced):
            await old.publish(CAMERA)
        with pytest.raises(PublisherReplaced):
            await old.set(strength=0.2)
        await new.publish(CAMERA)


async def test_frames_and_events_end_with_the_session(house) -> None:
    session = house.open(source="sample")
    async with joined(house, session) as live:
        events = live.events()
        frames = live.frames()
        await anext(frames)
        await live.close_session()
        async for _ in frames:
            pass
        told = [event async for event in events]
        assert any(isinstance(event, SessionState) and event.state == "closed" for event in told)
        with pytest.raises(NoSuchSession):
            await live.set(strength=0.2)


async def test_a_viewer_may_not_steer(house) -> None:
    session = house.open(source="sample")
    url = f"http://127.0.0.1:{house.port}"
    async with connect(url, session=session.id, token="viewer") as live:
        assert live.hello.role == "viewer"
        with pytest.raises(NotAllowed):
            await live.panic()


async def test_leaving_leaves_no_task_behind(house) -> None:
    session = house.open(source="sample")
    before = asyncio.all_tasks()
    async with joined(house, session) as live:
        await anext(live.frames())
    async for _ in session.frames():
        if session.audience.attached == 0:
            break
    mine = {task for task in asyncio.all_tasks() - before if "client" in str(task.get_coro())}
    assert mine == set()
