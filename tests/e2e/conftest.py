"""A server with the built-in model for the whole run, a quick one for what needs no picture, and one Chromium."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from e2e.pages import LAUNCH, RECORDER, LivePage, Studio, chromium
from e2e.server import Server
from playwright.async_api import Browser, BrowserContext, async_playwright

DESKTOP = {"width": 1280, "height": 800}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nano(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """The server as users start it; it has to end well, too."""
    server = await Server.start(tmp_path_factory.mktemp("nano"))
    yield server
    assert await server.stop() == 0


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
        yield running
        await running.close()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of one user, gone after the test. An error in a page fails the test."""
    errors: list[str] = []
    opened = await browser.new_context(viewport=DESKTOP)
    await opened.add_init_script(RECORDER)
    opened.on("weberror", lambda error: errors.append(str(error.error)))
    yield opened
    await opened.close()
    assert errors == []


@pytest_asyncio.fixture(loop_scope="session")
async def studio(request: pytest.FixtureRequest, context: BrowserContext, nano: Server) -> AsyncIterator[Studio]:
    """The studio of the built-in model, generating; its session ends with the test.

    As users get it, over WebRTC, unless the test is marked `over_socket`.
    """
    page = Studio(await context.new_page())
    try:
        await page.go(f"{nano.url}/?transport={getattr(request, 'param', 'auto')}")
        yield page
    finally:
        if page.session:
            await nano.end(page.session, page.token)


@pytest_asyncio.fixture(loop_scope="session")
async def overlay(context: BrowserContext) -> LivePage:
    """A page for an overlay, still empty."""
    return LivePage(await context.new_page())
