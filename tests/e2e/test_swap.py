"""Another model under a studio that is open: said while it warms up, on the desk when it paints."""

from pathlib import Path

import pytest
from e2e.pages import PAINTED, Studio
from e2e.server import Server
from playwright.async_api import BrowserContext

from liveglass.engine.models.nano.spec import nano_spec

pytestmark = pytest.mark.asyncio(loop_scope="session")

OPTIONS = "[...document.getElementById('steps').options].map((option) => option.value).join()"
STATE = "document.getElementById('state').textContent"


async def test_the_page_tells_of_another_model_and_becomes_its_desk(context: BrowserContext, tmp_path: Path) -> None:
    server = await Server.start(tmp_path, "--model", "sleep:20")
    try:
        studio = Studio(await context.new_page())
        await studio.go(f"{server.url}/?transport=socket")
        before = await studio.text("model")
        answer = await server.http.put("/v1/model", json={"model": "nano"})
        assert answer.status_code == 202
        await studio.until(f"{STATE}.includes('nano, is warming up beside this one')", within_s=60)
        assert await studio.text("model") == before
        await studio.until(f"document.getElementById('model').textContent !== {before!r}", within_s=60)
        assert await studio.page.evaluate(f"() => {OPTIONS}") == ",".join(map(str, nano_spec().valid_steps))
        assert "warming" not in await studio.text("state")
        assert await studio.page.locator("#looks .tile").count() > 3
        in_force = await studio.page.evaluate("() => document.querySelector('live-glass').live.control.params.steps")
        assert await studio.page.locator("#steps").input_value() == str(in_force)
        since = await studio.mark()
        await studio.until_frames(PAINTED, 3, since=since)
    finally:
        assert await server.stop() == 0
