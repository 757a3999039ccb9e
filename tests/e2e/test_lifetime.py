"""The server's end and its return: clients are told, nothing is left behind, a named session is there again."""

import signal
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from e2e.pages import PAINTED, REPEATED, LivePage, Studio
from e2e.server import Server, bearer
from numpy.typing import NDArray
from playwright.async_api import BrowserContext

from liveglass.engine.events import SessionState
from liveglass.engine.frame import FrameKind
from liveglass.transport.client import connect
from liveglass.transport.client_stream import EventStream

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUICK = ("--model", "sleep:20")


async def test_sigterm_in_mid_stream_tells_everybody_and_leaves_no_process(
    context: BrowserContext, tmp_path: Path
) -> None:
    server = await Server.start(tmp_path, *QUICK)
    studio = Studio(await context.new_page())
    await studio.go(f"{server.url}/?transport=socket")
    children = server.children()
    assert len(children) >= 1
    async with connect(server.url, source="sample") as live:
        async for frame in live.frames():
            if frame.kind in {FrameKind.GENERATED, FrameKind.WARPED}:
                break
        events = live.events()
        server.process.send_signal(signal.SIGTERM)
        closed = await first_closed(events)
    assert closed.cause == "The server is shutting down."

    await studio.until("wire.closes.length")
    log = await studio.log()
    assert [entry["state"] for entry in log if entry["type"] == "session.state"][-1] == "closed"
    [close] = await studio.page.evaluate("() => wire.closes")
    assert close["code"] == 1001
    assert await server.exit_status() == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []
    await studio.until("document.getElementById('tally').textContent === 'reconnecting'")
    await server.http.aclose()


async def first_closed(events: EventStream) -> SessionState:
    """The event that says that the session has ended."""
    async for event in events:
        if isinstance(event, SessionState) and event.state == "closed":
            return event
    raise AssertionError("The connection ended without a word.")


async def test_the_overlay_shows_the_picture_and_nothing_else(overlay: LivePage, nano: Server) -> None:
    await overlay.page.set_viewport_size({"width": 1280, "height": 720})
    async with connect(nano.url, source="sample", prompt="night vision green") as live:
        assert live.opened is not None
        await overlay.page.goto(f"{nano.url}/overlay/{live.id}?token={live.opened.viewer_token}")
        await overlay.until_frames(PAINTED, 3)
        await live.pause()
        await overlay.until_frames((REPEATED,), 36, since=await overlay.mark())  # video sharpens what stands still
        snapshot = (await nano.snapshot(live.id, live.opened.viewer_token)).content
        seen = picture_of(await overlay.page.screenshot(type="png"))

        asked = cv2.resize(picture_of(snapshot), (1280, 720), interpolation=cv2.INTER_LINEAR)
        assert np.abs(seen.astype(int) - asked.astype(int)).mean() < 4.0
        await shows_no_word(overlay)
        assert await overlay.page.evaluate("() => getComputedStyle(document.body).cursor") == "none"

    # The session has ended on the server: what is on air stays as it was.
    await overlay.until("wire.closes.length")
    held = picture_of(await overlay.page.screenshot(type="png"))
    assert np.abs(held.astype(int) - seen.astype(int)).mean() < 1.0
    await shows_no_word(overlay)


async def test_a_named_session_and_its_overlay_survive_a_restart(overlay: LivePage, tmp_path: Path) -> None:
    server = await Server.start(tmp_path, *QUICK)
    wish = {"source": "sample", "prompt": "neon, pink", "params": {"strength": 0.5, "seed": 7}}
    opened = (await server.http.put("/v1/sessions/stage", json=wish)).json()
    headers = bearer(opened["token"])
    await server.http.patch("/v1/sessions/stage", headers=headers, json={"prompt": "thermal", "params": {"seed": 11}})
    before = await server.session("stage", opened["token"])
    await overlay.page.goto(opened["urls"]["overlay"])
    await overlay.until_frames(PAINTED, 3)
    assert await server.stop() == 0

    await overlay.until("wire.closes.length")
    assert (await overlay.pixels())[..., :3].std() > 10, "the overlay went blank"
    await shows_no_word(overlay)

    again = await Server.start(tmp_path, *QUICK, port=server.port)
    since = await overlay.mark()
    await overlay.until_frames(PAINTED, 3, since=since)
    assert await overlay.page.evaluate("() => wire.sockets + wire.peers.length") >= 2
    await shows_no_word(overlay)
    after = await again.session("stage", opened["token"])
    assert after["control"] == before["control"]
    assert after["control"]["prompts"] == [{"text": "thermal", "weight": 1.0}]
    assert after["control"]["params"]["seed"] == 11
    assert after["urls"] == before["urls"]
    returned = await again.http.put("/v1/sessions/stage", json={})
    assert returned.status_code == 200
    assert returned.json()["urls"] == opened["urls"]
    assert returned.json()["viewer_token"] == opened["viewer_token"]
    assert await again.stop() == 0


async def shows_no_word(overlay: LivePage) -> None:
    """The page is one picture over the whole window, without a word."""
    text, elements, box, window = await overlay.page.evaluate(
        """() => {
          const shown = [...document.querySelectorAll("body *")];
          const inner = [...document.querySelector("live-glass").shadowRoot.querySelectorAll("*")];
          const { x, y, width, height } = inner.at(-1).getBoundingClientRect();
          return [
            document.body.innerText + inner.map((e) => e.textContent).join(""),
            [...shown, ...inner].map((e) => e.localName),
            [x, y, width, height],
            [0, 0, innerWidth, innerHeight],
          ];
        }"""
    )
    assert text == ""
    assert elements[:2] == ["live-glass", "div"]
    assert {"canvas", "video"} >= set(elements[2:]), "more than the layers of the picture"
    assert box == window


def picture_of(encoded: bytes) -> NDArray[np.uint8]:
    """A JPEG or PNG as uint8 [H, W, 3] BGR."""
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)
