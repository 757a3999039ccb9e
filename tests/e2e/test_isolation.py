"""Several sessions on one machine: none shows anything of another, and each is told whether it has a place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import numpy as np
import pytest
import pytest_asyncio
from e2e.server import Server

from liveglass.engine.events import SessionState
from liveglass.engine.frame import FrameKind
from liveglass.transport.client import Live, connect
from liveglass.transport.client_stream import LiveFrame
from liveglass.transport.messages import PublishAck

pytestmark = pytest.mark.asyncio(loop_scope="session")

# 20 frames a second, of which a fifth stays in reserve: room for two sessions of at least 6 each, and not for three.
ROOM_FOR_TWO = "sleep:50"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    server = await Server.start(tmp_path_factory.mktemp("small"), "--model", ROOM_FOR_TWO, "--linger-s", "0.5")
    yield server
    assert await server.stop() == 0


async def generated(live: Live, count: int) -> list[LiveFrame]:
    """The next frames that the model has just made."""
    found: list[LiveFrame] = []
    async for frame in live.frames():
        if frame.kind in {FrameKind.GENERATED, FrameKind.WARPED}:
            found.append(frame)
            if len(found) == count:
                break
    return found


async def film(live: Live, colour: tuple[int, int, int]) -> None:
    """Publish pictures of one colour, as fast as the server acknowledges them, until cancelled."""
    picture = np.full((360, 640, 3), colour, np.uint8)
    events = live.events()
    await live.publish(picture)
    async for event in events:
        if isinstance(event, PublishAck):
            await live.publish(picture)


async def test_two_cameras_never_meet(small: Server) -> None:
    async with AsyncExitStack() as stack:
        green, red = [
            await stack.enter_async_context(connect(small.url, source="camera", camera_visible="all")) for _ in range(2)
        ]
        filming = [asyncio.create_task(film(green, (0, 200, 0))), asyncio.create_task(film(red, (200, 0, 0)))]
        of_green, of_red = await asyncio.gather(generated(green, 12), generated(red, 12))
        for task in filming:
            task.cancel()

    for frame in of_green:
        assert frame.pixels[..., 0].max() < 40
        assert frame.pixels[..., 1].min() > 160
    for frame in of_red:
        assert frame.pixels[..., 1].max() < 40
        assert frame.pixels[..., 0].min() > 160


async def test_a_third_session_is_told_its_place_and_starts_when_one_ends(small: Server) -> None:
    async with connect(small.url, source="sample"), AsyncExitStack() as second:
        await second.enter_async_context(connect(small.url, source="sample"))
        third = await small.open(source="sample")
        assert third["admission"] == {"state": "queued", "position": 1}
        assert third["state"] == "queued"
        assert third["cause"]

        async with connect(small.url, session=third["id"], token=third["token"]) as live:
            async for frame in live.frames():
                assert frame.kind is FrameKind.STANDBY
                break
            events = live.events()
            await second.aclose()
            async for event in events:
                if isinstance(event, SessionState) and event.state == "live":
                    break
            assert await generated(live, 3)
        await small.end(third["id"], third["token"])


async def test_two_prompts_at_once_stay_two_pictures(nano: Server) -> None:
    async with (
        connect(nano.url, source="sample", prompt="night vision green") as green,
        connect(nano.url, source="sample", prompt="ink drawing, blue") as ink,
    ):
        await generated(green, 1)
        if ink.state.state == "queued":
            # A machine too slow for two says so, and shows nothing of the one that runs.
            assert ink.state.position == 1
            assert ink.state.cause
            async for frame in ink.frames():
                assert frame.kind is FrameKind.STANDBY
                break
            of_green, of_ink = await generated(green, 10), []
        else:
            of_green, of_ink = await asyncio.gather(generated(green, 10), generated(ink, 10))

    for frame in of_green:
        red_mean, green_mean, blue_mean = frame.pixels.mean(axis=(0, 1))
        assert green_mean > 1.2 * max(red_mean, blue_mean)
    for frame in of_ink:
        red_mean, green_mean, blue_mean = frame.pixels.mean(axis=(0, 1))
        assert green_mean < 1.12 * max(red_mean, blue_mean)
