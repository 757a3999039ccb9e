"""Keep me, paint the room: a real server with the real mask and the built-in model, watched through the client."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
from e2e.pages import Studio
from e2e.server import Server
from person import network, portrait
from playwright.async_api import BrowserContext

from liveglass.engine.errors import CameraNotVisible, NotAvailable
from liveglass.transport.client import Live, connect
from liveglass.transport.client_stream import LiveFrame

pytestmark = pytest.mark.asyncio(loop_scope="session")

FACE = slice(90, 170), slice(265, 325)
ROOM = slice(0, 120), slice(500, 640)
PERIOD_S = 1 / 24


@pytest.fixture
def with_mask(tmp_path: Path) -> tuple[str, ...]:
    """The options of a server whose owner has fetched the mask."""
    models = tmp_path / "fetched"
    models.mkdir()
    shutil.copy(network(), models)
    return "--models-dir", str(models)


async def film(live: Live, until) -> LiveFrame:
    """Publish the portrait at 24 frames a second until a frame comes that `until` takes."""

    async def publish() -> None:
        while True:
            await live.publish(portrait())
            await asyncio.sleep(PERIOD_S)

    camera = asyncio.create_task(publish())
    try:
        async with asyncio.timeout(30):
            async for frame in live.frames():
                if until(frame):
                    return frame
    finally:
        camera.cancel()
    raise AssertionError("the stream ended")


def off(frame: LiveFrame, where) -> float:
    """How far a part of the frame is from the camera's, mean of 0 to 255."""
    return float(np.abs(frame.pixels[where].astype(int) - portrait()[where]).mean())


async def test_the_person_stays_as_the_camera_sees_them_before_a_painted_room(tmp_path, with_mask) -> None:
    server = await Server.start(tmp_path, *with_mask)
    try:
        async with connect(
            server.url, prompt="sunset sea", strength=1.0, camera_visible="person", format="raw"
        ) as live:
            plain = await film(live, lambda frame: frame.kind == "generated")
            assert not plain.holds_camera
            assert off(plain, FACE) > 20
            changed = await live.set(apply="background")
            kept = await film(live, lambda frame: frame.version == changed.version and frame.holds_camera)
            assert off(kept, FACE) < 8, "the face is the camera's, after one JPEG"
            assert off(kept, ROOM) > 20, "the room is painted"
            with pytest.raises(CameraNotVisible):
                await live.set(apply="person")
            back = await live.set(apply="all")
            again = await film(live, lambda frame: frame.version == back.version)
            assert not again.holds_camera
            assert off(again, FACE) > 20
        async with connect(server.url, camera_visible="all", prompt="thermal", format="raw") as live:
            changed = await live.set(apply="person")
            painted = await film(live, lambda frame: frame.version == changed.version and frame.holds_camera)
            assert off(painted, ROOM) < 8
            assert off(painted, FACE) > 20
    finally:
        await server.stop()


async def test_a_server_without_the_mask_says_how_to_get_it(tmp_path) -> None:
    server = await Server.start(tmp_path)
    try:
        async with connect(server.url, camera_visible="all") as live:
            with pytest.raises(NotAvailable) as refused:
                await live.set(apply="background")
            assert "liveglass models get person-mask" in refused.value.hint
    finally:
        await server.stop()


async def test_the_studio_offers_to_keep_me_where_the_server_can(
    context: BrowserContext, nano: Server, tmp_path: Path, with_mask: tuple[str, ...]
) -> None:
    without = Studio(await context.new_page())
    await without.go(nano.url)
    assert await without.page.locator("#looks button:visible", has_text="Keep me").count() == 0
    assert not await without.page.locator("#apply").is_visible()
    await nano.end(without.session, without.token)

    server = await Server.start(tmp_path, *with_mask)
    try:
        studio = Studio(await context.new_page())
        await studio.go(server.url)
        await studio.page.click("#looks button:has-text('Keep me · sunset')")
        await studio.until("document.querySelector('#receipts .phases')?.textContent.includes('settled')")
        assert "painted: the room, and I stay" in await studio.page.locator("#receipts .what").first.inner_text()
        assert await studio.page.locator("#apply").input_value() == "background"
        view = await server.session(studio.session, studio.token)
        assert view["control"]["apply"] == "background"
        await studio.page.select_option("#apply", "all")
        await studio.until("document.querySelectorAll('#receipts .what')[0]?.textContent === 'painted: everything'")
    finally:
        await server.stop()
