"""The pages over WebRTC: what they show and say, the WebSocket in its place where there is no way, and the way back."""

import re
from typing import Any

import pytest
from e2e.pages import CARRIER, PAINTED, PICTURE, STANDBY, LivePage, Studio
from e2e.server import Server, bearer
from playwright.async_api import BrowserContext

from liveglass.transport.client import connect

pytestmark = pytest.mark.asyncio(loop_scope="session")

DARK = 45
ON_WEBRTC = f"{CARRIER} === 'webrtc' && {PICTURE}.lastElementChild.localName === 'video'"
ON_SOCKET = f"{CARRIER} === 'socket' && {PICTURE}.lastElementChild.localName === 'canvas'"
HELLOS = "wire.log.filter((m) => m.type === 'hello').length"
FIGURES = """
() => Object.fromEntries(Array.from(document.querySelectorAll("#figure-list dt"),
  (term) => [term.textContent, term.nextElementSibling.textContent]))
"""
# From now on: the darkest that the picture has been, looked at more often than it changes.
WATCH_FOR_DARK = """
() => {
  const copy = new OffscreenCanvas(16, 9).getContext("2d", { willReadFrequently: true });
  const picture = document.querySelector("live-glass").shadowRoot.querySelector("[part=picture]");
  window.darkest = 255;
  setInterval(() => {
    copy.clearRect(0, 0, 16, 9);
    if (picture.lastElementChild) copy.drawImage(picture.lastElementChild, 0, 0, 16, 9);
    const mean = copy.getImageData(0, 0, 16, 9).data.reduce((sum, value, n) => sum + (n % 4 < 3 ? value : 0), 0) / 432;
    window.darkest = Math.min(window.darkest, mean);
  }, 30);
}
"""


async def figures(studio: Studio) -> dict[str, str]:
    """The opened figures by name."""
    told: dict[str, str] = await studio.page.evaluate(FIGURES)
    return told


async def end_peer(studio: Studio, server: Server) -> None:
    """End the page's newest peer from outside, as its loss would."""
    resource = await studio.page.evaluate("() => wire.resources.at(-1)")
    assert (await server.http.delete(resource, headers=bearer(studio.token))).status_code == 200


async def reach(studio: LivePage) -> None:
    """The way is free again, and the browser says that the network is back."""
    await studio.page.evaluate("() => { wire.unreachable = false; dispatchEvent(new Event('online')); }")


async def out_of_reach(context: BrowserContext, server: Server) -> Studio:
    """A studio whose peers find no way to the server."""
    studio = Studio(await context.new_page())
    await studio.page.add_init_script("wire.unreachable = true")
    await studio.page.goto(server.url)
    await studio.until("sessionStorage.getItem('liveglass.session')")
    await studio.remember()
    return studio


async def test_the_studio_shows_a_video_and_gets_its_receipts_without_any_socket(studio: Studio) -> None:
    await studio.until(ON_WEBRTC)
    since = await studio.mark()
    version = await studio.send_prompt("night vision green")
    await studio.until(f"wire.log.some((m) => m.type === 'control.settled' && m.version === {version})")
    await studio.until_frames(PAINTED, 4, since=since)
    red, green, blue = await studio.mean_rgb()

    assert green > 1.25 * max(red, blue), f"asked for green, shows {red:.0f} {green:.0f} {blue:.0f}"
    assert await studio.page.evaluate("() => wire.sockets") == 0
    assert await studio.page.evaluate(f"() => {HELLOS}") == 1
    assert "WebSocket" not in await studio.text("state")
    await studio.page.click("#hud")
    await studio.until("document.getElementById('figure-list').textContent.includes('Mbit/s down')")
    told = await figures(studio)
    assert re.fullmatch(r"WebRTC, (H\.264|VP8)", told["Carried by"])
    assert re.fullmatch(r"\d+ ms · \d+\.\d %", told["Round trip · loss"])
    assert re.fullmatch(r"\d+ ms", told["Jitter buffer"])
    assert told["Motion age, p50 / p95"] == "—"


async def test_what_is_shown_is_told_of_once_and_as_what_it_is(studio: Studio) -> None:
    await studio.until(ON_WEBRTC)
    await studio.page.evaluate(
        "() => { window.told = []; document.querySelector('live-glass').live.on('picture', (p) => told.push(p)); }"
    )
    await studio.until("told.length >= 48")
    pictures: list[dict[str, Any]] = await studio.page.evaluate("() => told")
    frames = {frame.slot: frame for frame in await studio.frames()}

    slots = [picture["header"]["seq"] for picture in pictures]
    assert len(slots) == len(set(slots))
    for picture in pictures:
        frame = frames[picture["header"]["seq"]]
        assert (picture["header"]["kind"], picture["header"]["version"]) == (frame.kind, frame.version)
        assert picture["header"]["source"] == 0, "an age was told, and no camera is on"
        assert not picture["own"]


@pytest.mark.parametrize("without", ["nothing", "RTCRtpScriptTransform"])
async def test_my_camera_goes_up_the_same_peer_and_its_age_is_told(
    context: BrowserContext, nano: Server, without: str
) -> None:
    studio = Studio(await context.new_page())
    await studio.page.add_init_script(f"delete window.{without}")
    await studio.go(nano.url)
    await studio.page.click("#hud")
    since = await studio.use_camera()
    await studio.until("document.getElementById('side-program').hidden === false")
    age = "document.querySelector('#figure-list dd:nth-of-type(2)')?.textContent ?? ''"
    await studio.until(f"/\\d+ \\/ \\d+ ms/.test({age})")
    told = await figures(studio)

    motion, content = (
        [int(figure) for figure in re.findall(r"\d+", told[name])]
        for name in ("Motion age, p50 / p95", "Content age, p50 / p95")
    )
    assert 20 < motion[0] <= motion[1] < 5000
    assert content[0] >= motion[0]
    assert re.fullmatch(r"\d+ of \d+ fps sent", told["Camera in"])
    assert await studio.page.evaluate("() => [wire.sockets, wire.peers.length]") == [0, 1]
    assert not any(entry["type"] == "hello" for entry in await studio.log(since)), "the page connected again"
    await studio.page.click("#camera")
    await studio.until("!document.getElementById('figure-list').textContent.includes('fps sent')")
    await nano.end(studio.session, studio.token)


async def test_a_newer_publisher_turns_my_camera_off_and_i_go_on_watching(studio: Studio, nano: Server) -> None:
    await studio.use_camera()
    other = Studio(await studio.page.context.new_page())
    await other.go(f"{nano.url}/?transport=socket#session={studio.session}&token={studio.token}")
    await other.page.click("#camera")

    await studio.until("document.getElementById('notice').textContent.includes('(publisher_replaced)')")
    assert await studio.text("camera") == "Use my camera"
    await studio.until_frames(PAINTED, 4, since=await studio.mark())
    assert await studio.page.evaluate("() => [wire.sockets, wire.peers.length]") == [0, 1]
    await other.page.close()


async def test_panic_is_the_slate_over_webrtc_and_resume_brings_the_picture_back(studio: Studio) -> None:
    await studio.use_camera()
    since = await studio.mark()
    await studio.page.keyboard.press("`")
    await studio.until_frames((STANDBY,), 24, since=since)
    kinds = [frame.kind for frame in await studio.frames(since)]
    first = kinds.index(STANDBY)

    assert set(kinds[first:]) == {STANDBY}
    assert max(await studio.mean_rgb()) < DARK
    assert await studio.page.locator("#preview").is_hidden(), "the camera is still seen in the page"
    await studio.page.click("#panic-resume")
    await studio.until_frames(PAINTED, 3, since=since)
    await studio.until("document.getElementById('tally').textContent === 'live'")
    assert max(await studio.mean_rgb()) > DARK


async def test_without_a_way_the_socket_takes_over_says_so_and_gives_back(
    context: BrowserContext, nano: Server
) -> None:
    studio = await out_of_reach(context, nano)
    await studio.until(ON_SOCKET, within_s=10)
    await studio.until("document.getElementById('state').textContent.includes('no WebRTC path (UDP blocked?)')")
    assert "Over WebSocket" in await studio.text("state")
    assert re.fullmatch(r"in \d+ s", await studio.text("countdown"))
    await studio.use_camera()
    assert await studio.page.evaluate("() => wire.peers.length") == 1
    version = await studio.send_prompt("thermal")
    await studio.until(f"wire.log.some((m) => m.type === 'control.settled' && m.version === {version})")

    await studio.page.evaluate(WATCH_FOR_DARK)
    since = await studio.mark()
    await reach(studio)
    await studio.until(ON_WEBRTC)
    await studio.until("!document.getElementById('state').textContent.includes('WebSocket')")
    await studio.until_frames(PAINTED, 4, since=await studio.mark())
    frames = await studio.frames(since)

    assert await studio.page.evaluate("() => darkest") > 20, "the picture went dark while its way changed"
    assert sum(entry["type"] == "hello" for entry in await studio.log(since)) == 1
    assert {frame.version for frame in frames if frame.kind != STANDBY} == {version}
    assert frames[-1].source > 0, "the camera stayed behind"
    assert await studio.text("camera") == "Stop my camera"
    assert await studio.text("notice") == ""
    assert (await nano.session(studio.session, studio.token))["connections"] == 1
    await nano.end(studio.session, studio.token)


async def test_a_lost_peer_gives_way_to_the_socket_and_no_command_is_lost(studio: Studio, nano: Server) -> None:
    await studio.use_camera()
    await studio.until(ON_WEBRTC)
    await studio.page.evaluate(WATCH_FOR_DARK)
    await studio.page.evaluate("() => { wire.unreachable = true; }")
    since = await studio.mark()
    await end_peer(studio, nano)
    for words in ("neon, pink", "thermal"):
        await studio.page.fill("#prompt", words)
        await studio.page.press("#prompt", "Enter")
    await studio.until(ON_SOCKET, within_s=3)
    await studio.until("document.querySelector('#receipts .phases')?.textContent.includes('settled')")

    assert "the WebRTC connection was lost" in await studio.text("state")
    accepted = [entry["id"] for entry in await studio.log(since) if entry["type"] == "control.accepted"]
    assert len(accepted) == len(set(accepted)) >= 1
    view = await nano.session(studio.session, studio.token)
    assert view["control"]["prompts"] == [{"text": "thermal", "weight": 1.0}]
    await studio.until(f"wire.log.slice({since}).some((m) => m.type === 'frame' && m.source > 1e12)")  # by the socket

    await reach(studio)
    await studio.until(ON_WEBRTC)
    assert await studio.page.evaluate("() => darkest") > 20, "the picture went dark while its way changed"


async def test_a_browser_without_webrtc_gets_the_socket_at_once(context: BrowserContext, nano: Server) -> None:
    studio = Studio(await context.new_page())
    await studio.page.add_init_script("delete window.RTCPeerConnection")
    await studio.go(nano.url)
    await studio.until(ON_SOCKET)

    assert "WebSocket" not in await studio.text("state")
    await studio.page.click("#hud")
    await studio.until("document.getElementById('figure-list').textContent.includes('WebSocket, JPEG')")
    await nano.end(studio.session, studio.token)


async def test_a_server_that_has_no_webrtc_is_asked_once_and_its_socket_used(
    context: BrowserContext, nano: Server
) -> None:
    studio = Studio(await context.new_page())
    refused = []

    async def refuse(route: Any) -> None:
        refused.append(route.request.url)
        error = {"code": "not_available", "message": "Not in this build.", "retryable": False, "hint": ""}
        await route.fulfill(status=501, json={"error": error})

    await studio.page.route("**/peer", refuse)
    await studio.go(nano.url)
    await studio.until(ON_SOCKET)
    await reach(studio)
    await studio.until_frames(PAINTED, 4, since=await studio.mark())

    assert len(refused) == 1
    assert await studio.page.evaluate(f"() => {CARRIER}") == "socket"
    await studio.page.click("#hud")
    await studio.until("document.getElementById('figure-list').textContent.includes('this server has no WebRTC')")
    await nano.end(studio.session, studio.token)


async def test_a_browser_that_tells_no_time_stamps_shows_pictures_and_no_ages(
    context: BrowserContext, nano: Server
) -> None:
    studio = Studio(await context.new_page())
    await studio.page.add_init_script("""
      const request = HTMLVideoElement.prototype.requestVideoFrameCallback;
      HTMLVideoElement.prototype.requestVideoFrameCallback = function (then) {
        return request.call(this, (now, { rtpTimestamp, ...told }) => then(now, told));
      };
    """)
    await studio.go(nano.url)
    await studio.page.click("#hud")
    await studio.use_camera()
    await studio.until("document.getElementById('side-program').hidden === false")
    await studio.until("document.getElementById('figure-list').textContent.includes('fps sent')")

    assert (await figures(studio))["Motion age, p50 / p95"] == "—"
    await nano.end(studio.session, studio.token)


async def test_an_overlay_asks_for_the_picture_alone_and_holds_it(overlay: LivePage, nano: Server) -> None:
    async with connect(nano.url, source="sample", prompt="thermal") as live:
        assert live.opened is not None
        await overlay.page.goto(f"{nano.url}/overlay/{live.id}?token={live.opened.viewer_token}")
        await overlay.until(ON_WEBRTC)
        direction = await overlay.page.evaluate("() => wire.peers[0].getTransceivers()[0].currentDirection")
        assert direction == "recvonly"
        await overlay.page.evaluate(WATCH_FOR_DARK)

    await overlay.until("wire.closes.length >= 2")  # the channel, and the socket that was tried in its place
    await overlay.until(f"{PICTURE}.lastElementChild.localName === 'canvas'")
    assert await overlay.page.evaluate("() => darkest") > 20
    assert await overlay.page.evaluate(f"() => {PICTURE}.childElementCount") == 1


async def test_a_canvas_is_painted_from_the_socket_and_any_other_element_gets_a_video(
    overlay: LivePage, nano: Server
) -> None:
    async with connect(nano.url, source="sample", prompt="thermal") as live:
        assert live.opened is not None
        await overlay.page.goto(f"{nano.url}/overlay/none")
        shown = await overlay.page.evaluate(
            """async ([session, token]) => {
              const { Live } = await import("/client.js");
              const carried = async (place) => {
                const live = new Live({ server: location.origin, session, token });
                document.body.append(place);
                live.attach(place);
                live.connect();
                await new Promise((resolve) => live.on("picture", resolve));
                const { carrier } = live.carried;
                live.close();
                return [carrier, place.localName, place.childElementCount];
              };
              const canvas = await carried(document.createElement("canvas"));
              return [canvas, await carried(document.createElement("div"))];
            }""",
            [live.id, live.opened.token],
        )
    assert shown == [["socket", "canvas", 0], ["webrtc", "div", 0]]
