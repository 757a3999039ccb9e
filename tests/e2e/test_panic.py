"""Panic: the safe picture at once, everywhere, for whoever looks, and the picture back when it is over."""

import cv2
import httpx
import numpy as np
import pytest
from e2e.pages import PAINTED, PICTURE, STANDBY, LivePage, Studio, over_socket
from e2e.server import Server

from liveglass.engine.frame import FrameKind
from liveglass.transport.client import connect

pytestmark = pytest.mark.asyncio(loop_scope="session")

DARK = 45  # the slate is nearly black; a style never is, on average

OPACITY = f"getComputedStyle({PICTURE}).opacity"


def brightness(answer: httpx.Response) -> float:
    """The mean of a JPEG's pixels, 0 to 255."""
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return float(picture.mean())


async def test_panic_leaves_nothing_of_an_overlay_that_asks_for_that(overlay: LivePage, nano: Server) -> None:
    async with connect(nano.url, source="sample", prompt="thermal") as live:
        assert live.opened is not None
        await overlay.page.goto(f"{nano.url}/overlay/{live.id}?token={live.opened.viewer_token}&lost=clear")
        await overlay.until_frames(PAINTED, 2)
        await overlay.until(f"{OPACITY} === '1'")
        await live.panic()
        await overlay.until(f"{OPACITY} === '0'")
        await live.resume()
        await overlay.until(f"{OPACITY} === '1'")


@over_socket
async def test_panic_shows_the_slate_everywhere_within_a_slot_and_resume_brings_the_picture_back(
    studio: Studio, nano: Server
) -> None:
    await studio.use_camera()
    assert brightness(await nano.snapshot(studio.session, studio.token)) > DARK
    since = await studio.mark()
    await studio.page.keyboard.press("`")
    await studio.until(f"wire.log.slice({since}).some((m) => m.type === 'control.accepted')")
    snapshot = await nano.snapshot(studio.session, studio.token)

    # Between the command and the next slot there is no picture at all, and from that slot on it is the slate.
    assert snapshot.status_code == 503 or snapshot.headers["Liveglass-Kind"] == "standby"
    await studio.until_frames((STANDBY,), 12, since=since)
    log = await studio.log(since)
    accepted = next(place for place, entry in enumerate(log) if entry["type"] == "control.accepted")
    kinds = [entry["kind"] for entry in log[accepted:] if entry["type"] == "frame"]
    assert all(kind == STANDBY for kind in kinds[1:]), f"after panic came {kinds}"
    snapshot = await nano.snapshot(studio.session, studio.token)
    assert snapshot.headers["Liveglass-Kind"] == "standby"
    assert brightness(snapshot) < DARK
    assert max(await studio.mean_rgb()) < DARK
    assert await studio.page.locator("#preview").is_hidden(), "the camera is still seen in the page"

    async with connect(nano.url, session=studio.session, token=studio.viewer_token) as late:
        assert late.hello.state == "panic"
        seen = 0
        async for frame in late.frames():
            assert frame.kind is FrameKind.STANDBY
            assert frame.pixels.mean() < DARK
            seen += 1
            if seen == 12:
                break

    since = await studio.mark()
    await studio.page.click("#panic-resume")
    await studio.until_frames(PAINTED, 3, since=since)
    await studio.until("document.getElementById('tally').textContent === 'live'")
    assert max(await studio.mean_rgb()) > DARK
    assert brightness(await nano.snapshot(studio.session, studio.token)) > DARK
