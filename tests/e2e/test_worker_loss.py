"""The model's process is killed in the middle of a stream: it goes on, says why, and heals by itself."""

import itertools

import pytest
from e2e.pages import (
    CAMERA_FLAG,
    GENERATED,
    PAINTED,
    REPEATED,
    STAND_INS,
    STANDBY,
    WARPED,
    Studio,
    frames_of,
    over_socket,
)
from e2e.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")


@over_socket
async def test_the_stream_outlives_its_worker(studio: Studio, nano: Server) -> None:
    await studio.use_camera()
    killed = nano.worker()
    since = await studio.mark()
    killed.kill()

    await studio.until("document.getElementById('state').textContent.includes('process ended')")
    assert await studio.text("tally") == "degraded"
    assert "Another one is starting" in await studio.text("state")
    await studio.until_frames(STAND_INS, 12, since=await studio.mark())
    await studio.until("document.getElementById('tally').textContent === 'live'", within_s=60)
    log = await studio.log(since)
    frames = frames_of(log)
    await studio.until_frames(PAINTED, 5, since=since + len(log))

    assert nano.worker().pid != killed.pid
    slots = [frame.slot for frame in frames]
    assert all(later > earlier for earlier, later in itertools.pairwise(slots))
    assert {frame.kind for frame in frames} <= {GENERATED, WARPED, REPEATED, STANDBY}
    assert not any(frame.flags & CAMERA_FLAG for frame in frames), "camera pixels went out"
    assert not any(entry["type"] == "hello" for entry in log), "the page had to connect again"
    assert await studio.page.evaluate("() => wire.closes") == []
    causes = [entry["cause"] for entry in log if entry["type"] == "session.state" and entry["state"] == "degraded"]
    assert any("process ended" in cause for cause in causes)
