"""Sessions over bad networks: made ones, with real Chromium at their far end.

What is claimed here is that pictures go on and come back; how many, and how soon, `liveglass bench networks` measures.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from network import Network, network
from network_browser import Screen, browser_in, open_screen
from network_peer import PeerViewer, never_decode
from network_server import FPS, NetworkServer, SocketViewer, network_server, publishing
from playwright.async_api import Browser

LINK_KBIT = 2000
SIDE = 512
SLOT_TICKS = 3750
RUN = 3 * FPS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def made() -> Iterator[Network]:
    with network(clients=2) as net:
        yield net


@pytest.fixture
def net(made: Network) -> Iterator[Network]:
    """The network, with good cables at first."""
    yield made
    for client in made.clients:
        client.mend()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(made: Network, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NetworkServer]:
    async with network_server(made, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(
    made: Network, server: NetworkServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    """Chromium on the first client's machine."""
    async with browser_in(made.client, tmp_path_factory.mktemp("browser"), server.url) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def session(net: Network, server: NetworkServer) -> AsyncIterator[dict[str, Any]]:
    """A session whose camera is at the server, so that nothing but the picture is on the cables."""
    async with server.session(SIDE) as opened, publishing(net.server, opened):
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def overlay(net: Network, session: dict[str, Any], browser: Browser) -> AsyncIterator[Screen]:
    """A page that watches it over WebRTC."""
    net.client.shape(down_kbit=LINK_KBIT, up_kbit=LINK_KBIT)
    async with open_screen(browser, session["urls"]["overlay"]) as screen:
        await screen.more(FPS, by="webrtc")
        yield screen


@pytest_asyncio.fixture(loop_scope="module")
async def studio(net: Network, server: NetworkServer, browser: Browser) -> AsyncIterator[Screen]:
    """The studio with Chromium's own test camera, carried by WebRTC both ways."""
    net.client.shape(down_kbit=LINK_KBIT, up_kbit=LINK_KBIT)
    async with server.session(SIDE) as opened, open_screen(browser, opened["urls"]["studio"]) as screen:
        await screen.page.click("#camera")
        await until_generated(screen)
        yield screen


async def until_generated(screen: Screen) -> None:
    """Wait until the camera's pictures come back as generated ones."""
    await screen.page.evaluate("() => (statsLog.length = 0)")
    await screen.until("statsLog.some((told) => told.generated_fps >= 6)")


async def until_whole(screen: Screen, *, by: str = "webrtc") -> None:
    """Wait for a second of pictures without a gap."""
    run = f"shownLog.filter((one) => one.by === '{by}').slice(-{FPS})"
    step = f"((b.rtp ?? {SLOT_TICKS} * b.slot) - (a.rtp ?? {SLOT_TICKS} * a.slot) + 2 ** 32) % 2 ** 32"
    gapless = f"r.length === {FPS} && r.every((b, n) => n === 0 || ((a) => {step})(r[n - 1]) === {SLOT_TICKS})"
    await screen.page.evaluate("() => (shownLog.length = 0)")
    await screen.until(f"((r) => {gapless})({run})")


@pytest.mark.parametrize("percent", [1, 5, 10])
async def test_pictures_go_on_through_loss_on_the_way_down_and_are_whole_after_it(
    net: Network, overlay: Screen, percent: int
) -> None:
    net.client.lose(down_percent=percent)
    await overlay.more(2 * FPS, by="webrtc")
    net.client.lose()
    await until_whole(overlay)


async def test_the_camera_gets_through_loss_on_the_way_up(net: Network, studio: Screen) -> None:
    net.client.lose(up_percent=10)
    await studio.more(FPS, by="webrtc")
    await until_generated(studio)
    net.client.lose()
    await until_whole(studio)
    assert await studio.carrier() == "webrtc"


async def test_a_thin_link_gets_a_smaller_picture_and_the_full_one_when_it_is_wide_again(
    net: Network, overlay: Screen
) -> None:
    net.client.shape(down_kbit=200)
    await overlay.until(f"shownLog.at(-1).width < {SIDE}")
    since = await overlay.mark()
    await overlay.more(3, by="webrtc")
    assert {one.width for one in await overlay.shown(since)} == {SIDE // 2}
    net.client.shape(down_kbit=LINK_KBIT)
    await overlay.until(f"shownLog.at(-1).width === {SIDE}")
    await until_whole(overlay)


async def test_the_studio_takes_the_socket_while_udp_is_blocked_and_webrtc_again_after_it(
    net: Network, studio: Screen
) -> None:
    net.client.shape()
    net.client.block_udp()
    await studio.more(FPS, by="socket")
    assert await studio.carrier() == "socket"
    await until_generated(studio)
    assert "WebRTC" in await studio.page.locator("#state").inner_text()
    net.client.block_udp(blocked=False)
    await studio.more(FPS, by="webrtc", within_s=60)
    await until_generated(studio)
    assert await studio.carrier() == "webrtc"


async def test_a_page_opened_behind_a_firewall_shows_the_session_over_the_socket(
    net: Network, session: dict[str, Any], browser: Browser
) -> None:
    net.client.block_udp()
    async with open_screen(browser, session["urls"]["overlay"]) as screen:
        await until_whole(screen, by="socket")


async def test_a_fast_peer_loses_nothing_beside_a_throttled_one(net: Network, session: dict[str, Any]) -> None:
    fast_link, slow_link = net.clients

    async def slowly() -> None:
        async with PeerViewer.watching(session) as viewer:
            await viewer.until(FPS, within_s=30)
            slow_link.shape(down_kbit=100)
            await asyncio.Event().wait()

    async def fast() -> None:
        async with PeerViewer.watching(session) as viewer:
            while slow_link.dropped_packets() == 0:
                await viewer.until(viewer.pictures + 1, within_s=30)
            began = viewer.pictures
            await viewer.until_changed(lambda: is_whole(viewer.slots[began:]), within_s=60)

    with never_decode():
        slow = asyncio.create_task(slow_link.run(slowly))
        await fast_link.run(fast)
        assert not slow.done()
        slow.cancel()
        await asyncio.wait([slow])


async def test_a_fast_socket_loses_nothing_beside_a_throttled_one(net: Network, session: dict[str, Any]) -> None:
    fast_link, slow_link = net.clients
    slow_link.shape(down_kbit=200)
    fast, slow = SocketViewer(), SocketViewer()
    throttled = asyncio.create_task(slow.watch(slow_link, session, lambda seen: False, within_s=120))
    await fast.watch(fast_link, session, lambda seen: bool(slow.slots) and is_whole(seen.slots), within_s=60)
    assert not throttled.done()
    throttled.cancel()
    await asyncio.wait([throttled])


def is_whole(slots: list[int]) -> bool:
    """Whether the last three seconds have no gap. A slow link that held anybody up would leave no such run."""
    return len(slots) >= RUN and slots[-1] - slots[-RUN] == RUN - 1


async def test_a_page_finds_its_session_again_when_its_cable_is_back(net: Network, overlay: Screen) -> None:
    net.client.shape()
    net.client.cut()
    await overlay.until("document.querySelector('live-glass').live.connection.state !== 'open'")
    net.client.cut(cut=False)
    await until_whole(overlay)
