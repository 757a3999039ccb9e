"""Chromium on a client's machine of a made network, and a count of what it shows.

The browser runs in the client's namespace and is steered over a pipe, so nothing but the page's own traffic is on the
cable. "Shown" is counted where a picture is presented: by `requestVideoFrameCallback` over WebRTC, by the painter's own
event over the socket.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.pages import LAUNCH, chromium, until
from network import Namespace
from playwright.async_api import Browser, Page, async_playwright

_KEEP_PEERS = """
window.peerConnections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) {
    super(...given);
    window.peerConnections.push(this);
  }
};
"""

_INBOUND = """
async () => {
  const report = await window.peerConnections.at(-1)?.getStats();
  return [...(report?.values() ?? [])].find(({ type, kind }) => type === "inbound-rtp" && kind === "video") ?? {};
}
"""

COUNT = """
() => {
  const element = document.querySelector("live-glass");
  const shown = () => element.shadowRoot.querySelector(".picture")?.lastElementChild; // it lies on top
  const log = (window.shownLog = []);
  window.statsLog = [];
  element.live.on("stats", (stats) => window.statsLog.push(stats));
  element.live.on("picture", ({ header, width }) => {
    const at = performance.now();
    if (shown() instanceof HTMLCanvasElement) log.push({ at, by: "socket", slot: header.seq, width });
  });
  let followed = null;
  const follow = () => {
    const video = shown();
    if (!(video instanceof HTMLVideoElement) || video === followed) return;
    followed = video;
    const next = (now, { rtpTimestamp, width }) => {
      if (shown() !== video) return;
      video.requestVideoFrameCallback(next);
      log.push({ at: now, by: "webrtc", rtp: rtpTimestamp, width });
    };
    video.requestVideoFrameCallback(next);
  };
  new MutationObserver(follow).observe(element.shadowRoot, { childList: true, subtree: true });
  follow();
}
"""

_LAST_SHOWN = "JSON.stringify(window.shownLog?.slice(-3))"


@dataclass(frozen=True)
class Shown:
    """One presented picture.

    Attributes:
        at_ms: on the page's clock.
        by: `webrtc` or `socket`.
        place: its RTP time stamp, or its slot.
        width: of the picture as it came, pixels.
    """

    at_ms: float
    by: str
    place: int
    width: int


class Screen:
    """A page that shows a session, on a client's machine."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def count(self) -> None:
        """Count from here on."""
        await self.until("document.querySelector('live-glass')?.live?.connection.state === 'open'")
        await self.page.evaluate(COUNT)

    async def until(self, condition: str, *, within_s: float = 30.0) -> Any:
        """Wait in the page until the JavaScript expression is true; its value."""
        return await until(self.page, condition, within_s=within_s, told=_LAST_SHOWN)

    async def more(self, pictures: int, *, by: str, within_s: float = 30.0) -> list[Shown]:
        """So many more pictures, all of them carried by `by`; these."""
        since = await self.mark()
        await self.until(
            f"shownLog.slice({since}).filter((shown) => shown.by === '{by}').length >= {pictures}", within_s=within_s
        )
        return [shown for shown in await self.shown(since) if shown.by == by]

    async def mark(self) -> int:
        """How many pictures were shown by now."""
        return int(await self.page.evaluate("() => shownLog.length"))

    async def shown(self, since: int = 0) -> list[Shown]:
        """Every picture since that mark."""
        log = await self.page.evaluate("(since) => shownLog.slice(since)", since)
        return [Shown(one["at"], one["by"], one.get("rtp", one.get("slot")), one["width"]) for one in log]

    async def carrier(self) -> str:
        """What carries the session now, as the page itself says: `webrtc`, `socket`, or nothing."""
        return str(await self.page.evaluate("() => document.querySelector('live-glass').live.carried.carrier"))

    async def inbound(self) -> dict[str, float]:
        """What the browser's own statistics say of the video that comes in (`inbound-rtp`), so far."""
        found: dict[str, object] = await self.page.evaluate(_INBOUND)
        return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}

    async def generated_fps(self) -> list[float]:
        """Pictures made anew a second, as the server told, one figure for each second that was told."""
        return [float(fps) for fps in await self.page.evaluate("() => statsLog.map((s) => s.generated_fps)")]


@asynccontextmanager
async def browser_in(where: Namespace, folder: Path, origin: str) -> AsyncIterator[Browser]:
    """Chromium on that machine, which takes `origin` for secure: cameras are for secure pages only."""
    wrapper = where.wrapper(folder / f"chromium-in-{where.name}", chromium())
    args = [*LAUNCH, f"--unsafely-treat-insecure-origin-as-secure={origin}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=wrapper, args=args)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_screen(browser: Browser, url: str) -> AsyncIterator[Screen]:
    """A page on `url` whose pictures are counted."""
    # The pages forbid foreign scripts, and the count is one.
    context = await browser.new_context(viewport={"width": 1000, "height": 720}, bypass_csp=True)
    try:
        await context.add_init_script(_KEEP_PEERS)
        screen = Screen(await context.new_page())
        await screen.page.goto(url)
        await screen.count()
        yield screen
    finally:
        await context.close()
