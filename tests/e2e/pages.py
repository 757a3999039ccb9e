"""The pages in a real Chromium, and what went over their connections, whichever carries the picture.

The pages forbid `eval`, as they should, so conditions travel as whole functions and wait inside the page.
"""

import json
import os
import shutil
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Page

GENERATED, WARPED, BLENDED, REPEATED, STANDBY = 1, 2, 3, 4, 5
PAINTED = (GENERATED, WARPED)
"""What the model made, as it was made or moved along with the camera."""
STAND_INS = (WARPED, BLENDED, REPEATED)
CAMERA_FLAG = 4
LAUNCH = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=30",
)

over_socket = pytest.mark.parametrize("studio", ["socket"], indirect=True)
"""For tests that look at the header of each frame: its flags, or its place among the events."""

RECORDER = """
(() => {
  const wire = { log: [], sockets: 0, peers: [], resources: [], closes: [], unreachable: false };
  window.wire = wire;
  window.WebSocket = class extends window.WebSocket {
    constructor(...where) {
      super(...where);
      wire.sockets += 1;
      this.addEventListener("close", ({ code, reason }) => wire.closes.push({ code, reason }));
      this.addEventListener("message", ({ data }) => {
        if (typeof data === "string") return wire.log.push(JSON.parse(data));
        const header = new DataView(data);
        wire.log.push({
          type: "frame",
          kind: header.getUint8(1),
          flags: header.getUint8(3),
          slot: header.getUint32(4),
          source: Number(header.getBigInt64(8)),
          version: header.getUint32(16),
        });
      });
    }
  };
  const fetched = window.fetch;
  window.fetch = async (...what) => {
    const answer = await fetched(...what);
    const location = answer.headers.get("location");
    if (location?.includes("/peer/")) wire.resources.push(location);
    return answer;
  };
  const kinds = ["camera", "generated", "warped", "blended", "repeated", "standby"];
  const noted = (event) => event.type !== "frame.meta" ? event : {
    type: "frame",
    kind: kinds.indexOf(event.kind),
    flags: event.camera ? 4 : 0, // no other is told over WebRTC
    slot: event.slot,
    source: event.src_rtp ?? 0,
    version: event.version,
  };
  const apart = (sdp) => sdp.replace(/a=(candidate|end-of-candidates).*\\r\\n/g, "");
  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...how) {
      super(...how);
      wire.peers.push(this);
    }
    createDataChannel(...named) {
      const channel = super.createDataChannel(...named);
      channel.addEventListener("message", ({ data }) => wire.log.push(noted(JSON.parse(data))));
      if (channel.label === "events") {
        channel.addEventListener("close", () => wire.closes.push({ code: "channel", reason: "" }));
      }
      return channel;
    }
    // `wire.unreachable`: the two ends learn of each other and of no address, as where UDP is blocked.
    get localDescription() {
      const told = super.localDescription;
      return told && wire.unreachable ? { type: told.type, sdp: apart(told.sdp) } : told;
    }
    setRemoteDescription(told) {
      return super.setRemoteDescription(wire.unreachable ? { ...told, sdp: apart(told.sdp) } : told);
    }
  };
})();
"""

_UNTIL = """
() => new Promise((done, fail) => {
  const holds = () => (%(condition)s);
  const poll = setInterval(() => {
    const found = holds();
    if (!found) return;
    clearInterval(poll);
    clearTimeout(late);
    done(found);
  }, 30);
  const late = setTimeout(() => {
    clearInterval(poll);
    fail(new Error(`not within %(seconds)s s: ` + %(quoted)s + ` (${%(told)s})`));
  }, %(seconds)s * 1000);
})
"""
_SAID = "'the page says: ' + (document.getElementById('state')?.textContent ?? '')"


async def until(page: Page, condition: str, *, within_s: float, told: str = _SAID) -> Any:
    """Wait in `page` until a JavaScript expression is true; returns its value.

    Args:
        told: another expression, which a failure quotes.
    """
    words = {"condition": condition, "seconds": within_s, "quoted": json.dumps(condition), "told": told}
    return await page.evaluate(_UNTIL % words)


# Where the picture is; its last layer is the one that is seen.
PICTURE = "document.querySelector('live-glass').shadowRoot.querySelector('[part=picture]')"
CARRIER = "document.querySelector('live-glass').live?.carried.carrier"

_PIXELS = """
([width, height]) => {
  const shown = document.querySelector("live-glass").shadowRoot.querySelector("[part=picture]").lastElementChild;
  const copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d");
  context.drawImage(shown, 0, 0, width, height);
  return Array.from(context.getImageData(0, 0, width, height).data);
}
"""


def chromium() -> str:
    """Where Chromium is.

    Raises:
        AssertionError: nowhere; the pages cannot be tested, which is a failure and no reason to skip.
    """
    named = os.environ.get("CHROMIUM")
    found = named or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "There is no Chromium on the PATH: run scripts/install-test-tools, or name one in CHROMIUM."
    return found


@dataclass(frozen=True)
class WireFrame:
    """The header of a frame as the page got it."""

    kind: int
    flags: int
    slot: int
    source: int
    version: int


class LivePage:
    """A page with a picture: the studio or the overlay."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def until(self, condition: str, *, within_s: float = 30.0) -> Any:
        """Wait in the page until the JavaScript expression is true; returns its value."""
        return await until(self.page, condition, within_s=within_s)

    async def log(self, since: int = 0) -> list[dict[str, Any]]:
        """Everything that came over the page's own connections, in the order that it came in."""
        got: list[dict[str, Any]] = await self.page.evaluate("since => wire.log.slice(since)", since)
        return got

    async def mark(self) -> int:
        """The present end of the log."""
        return int(await self.page.evaluate("() => wire.log.length"))

    async def frames(self, since: int = 0) -> list[WireFrame]:
        """The headers of the frames that came."""
        return frames_of(await self.log(since))

    async def until_frames(self, kinds: tuple[int, ...], count: int, *, since: int = 0, within_s: float = 30.0) -> None:
        """Wait for `count` frames of some kinds."""
        wanted = f"wire.log.slice({since}).filter((m) => m.type === 'frame' && {list(kinds)}.includes(m.kind))"
        await self.until(f"{wanted}.length >= {count}", within_s=within_s)

    async def pixels(self, width: int = 64, height: int = 36) -> NDArray[np.uint8]:
        """What the picture shows, made small: uint8 [H, W, 4] RGBA."""
        flat = await self.page.evaluate(_PIXELS, [width, height])
        return np.asarray(flat, np.uint8).reshape(height, width, 4)

    async def mean_rgb(self) -> tuple[float, float, float]:
        """The mean colour that the picture shows, 0 to 255."""
        red, green, blue = (await self.pixels())[..., :3].mean(axis=(0, 1))
        return float(red), float(green), float(blue)


class Studio(LivePage):
    """The studio, with the session that it opened."""

    session = ""
    token = ""
    viewer_token = ""

    async def go(self, address: str) -> None:
        """Open it and wait until its session has a picture made by the model."""
        await self.page.goto(address)
        await self.until("sessionStorage.getItem('liveglass.session')")
        await self.remember()
        await self.until("document.getElementById('tally').textContent === 'live'", within_s=60)
        await self.until_frames(PAINTED, 1)

    async def remember(self) -> None:
        """Read which session this tab steers."""
        stored = json.loads(await self.page.evaluate("() => sessionStorage.getItem('liveglass.session')"))
        self.session, self.token, self.viewer_token = stored["session"], stored["token"], stored["viewerToken"]

    async def text(self, identity: str) -> str:
        """What stands in an element."""
        return (await self.page.locator(f"#{identity}").inner_text()).strip()

    async def send_prompt(self, text: str) -> int:
        """Type it, press Enter, and return the version that the server accepted it as."""
        since = await self.mark()
        await self.page.fill("#prompt", text)
        await self.page.press("#prompt", "Enter")
        accepted = await self.until(f"wire.log.slice({since}).find((m) => m.type === 'control.accepted')")
        return int(accepted["version"])

    async def use_camera(self) -> int:
        """Press *Use my camera*; returns where the log was then."""
        since = await self.mark()
        await self.page.click("#camera")
        await self.until(
            f"wire.log.slice({since})"
            f".some((m) => m.type === 'frame' && {list(PAINTED)}.includes(m.kind) && m.source > 0)"
        )
        return since


def frames_of(log: list[dict[str, Any]]) -> list[WireFrame]:
    """The frames of a log."""
    wanted = ("kind", "flags", "slot", "source", "version")
    return [WireFrame(**{key: entry[key] for key in wanted}) for entry in log if entry["type"] == "frame"]
