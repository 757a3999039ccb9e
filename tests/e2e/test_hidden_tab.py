"""A camera goes on being published while its tab is hidden behind another one.

Playwright's own pages always claim to be visible, so this Chromium is started without that and joined from outside.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from e2e.pages import LAUNCH, RECORDER, Studio, chromium
from e2e.server import Server, total
from playwright.async_api import BrowserContext, async_playwright

from liveglass.transport.client import connect

pytestmark = pytest.mark.asyncio(loop_scope="session")

FPS = 24
SLOTS = 4 * FPS


@asynccontextmanager
async def browser_with_real_tabs(folder: Path) -> AsyncIterator[BrowserContext]:
    process = await asyncio.create_subprocess_exec(
        chromium(),
        "--headless=new",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        *LAUNCH,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60), async_playwright() as playwright:
            while not (found := re.search(rb"ws://\S+", await process.stderr.readline())):
                pass
            browser = await playwright.chromium.connect_over_cdp(found.group().decode(), no_defaults=True)
            yield browser.contexts[0]
    finally:
        process.terminate()
        await process.wait()


async def test_a_hidden_tab_goes_on_publishing_its_camera(tmp_path: Path) -> None:
    server = await Server.start(tmp_path, "--model", "null")
    async with browser_with_real_tabs(tmp_path / "profile") as tabs:
        await tabs.add_init_script(RECORDER)
        studio = Studio(await tabs.new_page())
        await studio.page.goto(server.url)
        await studio.until("document.getElementById('camera').checkVisibility()")
        await studio.until("wire.log.some((m) => m.type === 'hello')")
        await studio.page.click("#camera")
        await studio.remember()
        async with connect(server.url, session=studio.session, token=studio.viewer_token) as watching:
            frames = watching.frames()
            async for _ in frames:
                if pictures(await server.metrics()) > FPS:
                    break
            in_front = await tabs.new_page()
            await in_front.bring_to_front()
            await studio.until("document.visibilityState === 'hidden'")
            before = await server.metrics()
            async for _ in frames:
                after = await server.metrics()
                if slots(after) - slots(before) >= SLOTS:
                    break

        # The server's own grid is the clock: that many pictures came in that many of its 24ths of a second.
        rate = (pictures(after) - pictures(before)) / (slots(after) - slots(before)) * FPS
        assert rate >= 20
        assert await studio.page.evaluate("() => document.visibilityState") == "hidden"
        assert await studio.page.evaluate("() => wire.closes") == []
    assert await server.stop() == 0


def pictures(metrics: dict[str, float]) -> float:
    """Camera pictures that the server has decoded."""
    return metrics.get('liveglass_stage_seconds_count{stage="decode"}', 0)


def slots(metrics: dict[str, float]) -> float:
    """Slots that have passed, on show or skipped."""
    return total(metrics, "liveglass_slots_total") + metrics['liveglass_slots_missed_total{cause="skipped"}']
