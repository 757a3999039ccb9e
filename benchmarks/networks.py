"""What a viewer sees over bad networks, in real Chromium: packet loss, a thin link, a firewall, a slow neighbour.

    sudo liveglass bench networks [--seconds 12] [--transport webrtc|socket|both] [--only rows]

Networks are made of namespaces and virtual cables (root, Linux, iproute2, nftables); server and Chromium each have one
of their own. The cable carries 2 Mbit/s each way with a queue of 150 ms and adds no delay of its own; packets are lost
at random. Model `null`, 512×512, the sample's photograph as camera at the server; on the way up,
Chromium's own test camera.

`shown` is counted in Chromium by `requestVideoFrameCallback` (WebRTC) or where the page paints (socket); `longest` is
the longest time between two of them; `back` is from the end of the fault to the first whole second with 23 of 24 shown;
`repaired` is the share of packets that were sent again; `busy` is what the whole machine did meanwhile. A row is
refused where another transport than the one asked for carried the picture.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from machine import describe, save, table
from playwright.async_api import Browser

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from network import Client, Network, NetworkUnavailable, network
from network_browser import Screen, Shown, browser_in, open_screen
from network_peer import PeerViewer, never_decode
from network_server import FPS, NetworkServer, SocketViewer, network_server, publishing

LINK_KBIT = 2000
SETTLE_S = 3.0
MOST_RECOVERY_S = 12.0
WHOLE_FPS = 23
SKIPPED = 'liveglass_slots_missed_total{cause="skipped"}'


@dataclass(frozen=True)
class Fault:
    """What is wrong with the cable."""

    down_percent: int = 0
    up_percent: int = 0
    down_kbit: int = LINK_KBIT


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        back_s: None: not back within 12 s.
        notes: the browser's own statistics over the measured seconds.
    """

    name: str
    bar: str
    shown_fps: float
    new_fps: float | None
    longest_ms: float
    back_s: float | None
    widths: list[int]
    busy: float
    notes: dict[str, float] = field(default_factory=dict)

    def cells(self) -> tuple[str, ...]:
        """As text."""
        back = "—" if self.back_s is None else f"{self.back_s:.1f} s"
        notes = ", ".join(f"{name} {value:g}" for name, value in self.notes.items())
        new = "—" if self.new_fps is None else f"{self.new_fps:.1f}"
        widths = "/".join(map(str, self.widths))
        return (
            self.name,
            self.bar,
            f"{self.shown_fps:.1f}",
            new,
            f"{self.longest_ms:.0f} ms",
            back,
            widths,
            f"{self.busy:.0f}%",
            notes,
        )


HEAD = ("", "bar, fps", "shown", "made anew", "longest", "back", "width", "busy", "the browser's own figures")


def longest_ms(shown: list[Shown], began_ms: float, ended_ms: float) -> float:
    """The longest time without a new picture."""
    times = [began_ms, *(one.at_ms for one in shown), ended_ms]
    return max(late - early for early, late in itertools.pairwise(times))


def recovery_s(shown: list[Shown], ended_ms: float) -> float | None:
    """Seconds from `ended_ms` to the first second with 23 pictures."""
    times = [one.at_ms for one in shown if one.at_ms >= ended_ms]
    for n, at in enumerate(times):
        if n + WHOLE_FPS - 1 < len(times) and times[n + WHOLE_FPS - 1] - at <= 1000:
            return max(0.0, (at - ended_ms) / 1000 - 1 / FPS)
    return None


class Bench:
    """One server, one browser, one cable that gets worse and better."""

    def __init__(self, net: Network, server: NetworkServer, browser: Browser, seconds: float) -> None:
        self.net = net
        self.server = server
        self.browser = browser
        self.seconds = seconds

    async def row(self, name: str, bar: str, transport: str, fault: Fault, *, up: bool = False) -> Row:
        """Open a page on a usual cable, make the cable worse, count, mend it, and count again.

        Args:
            up: the page publishes Chromium's camera; else the camera is at the server.
        """
        client = self.net.client
        client.mend()
        usual(client)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self.server.session())
            if not up:
                await stack.enter_async_context(publishing(self.net.server, session))
            screen = await stack.enter_async_context(open_screen(self.browser, address(session, transport, up=up)))
            if up:
                await screen.page.click("#camera")
                await screen.until("statsLog.some((told) => told.generated_fps >= 20)", within_s=30)
            await screen.more(2 * FPS, by=transport)
            await asyncio.sleep(SETTLE_S)
            client.shape(down_kbit=fault.down_kbit, up_kbit=LINK_KBIT)
            client.lose(down_percent=fault.down_percent, up_percent=fault.up_percent)
            await asyncio.sleep(SETTLE_S)
            before, mark, began = await screen.inbound(), await screen.mark(), await now_ms(screen)
            await screen.page.evaluate("() => (statsLog.length = 0)")
            psutil.cpu_percent()
            await asyncio.sleep(self.seconds)
            ended, after, new = await now_ms(screen), await screen.inbound(), await screen.generated_fps()
            seen, busy = await screen.shown(mark), psutil.cpu_percent()
            client.mend()
            usual(client)
            await asyncio.sleep(MOST_RECOVERY_S)
            back = recovery_s(await screen.shown(mark), ended)
            carried = await screen.carrier()
        if {one.by for one in seen} - {transport} or carried != transport:
            raise SystemExit(f"Invalid run: {name}: {carried} carried the picture, not {transport} alone.")
        took_s = (ended - began) / 1000
        return Row(
            name=name,
            bar=bar,
            shown_fps=len(seen) / took_s,
            new_fps=sum(new) / len(new) if new and up else None,
            longest_ms=longest_ms(seen, began, ended),
            back_s=back,
            widths=sorted({one.width for one in seen}),
            busy=busy,
            notes=notes(before, after, took_s) if transport == "webrtc" else {},
        )

    async def firewall(self) -> dict[str, float | None]:
        """The studio's way to the socket and back, UDP being blocked for some seconds; seconds."""
        client = self.net.client
        client.mend()
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self.server.session())
            screen = await stack.enter_async_context(open_screen(self.browser, address(session, "auto", up=True)))
            await screen.page.click("#camera")
            await screen.until("statsLog.some((told) => told.generated_fps >= 20)", within_s=30)
            mark, began = await screen.mark(), await now_ms(screen)
            client.block_udp()
            await screen.more(FPS, by="socket")
            first = next(one for one in await screen.shown(mark) if one.by == "socket")
            await asyncio.sleep(self.seconds)
            mark, ended = await screen.mark(), await now_ms(screen)
            client.block_udp(blocked=False)
            await screen.more(FPS, by="webrtc", within_s=120)
            seen = await screen.shown(mark)
            again = next(one for one in seen if one.by == "webrtc")
            return {
                "to_socket_s": (first.at_ms - began) / 1000,
                "to_webrtc_s": (again.at_ms - ended) / 1000,
                "longest_on_the_way_back_ms": longest_ms(seen, seen[0].at_ms, seen[-1].at_ms),
            }

    async def neighbours(self, transport: str) -> dict[str, float]:
        """A fast viewer beside one whose link carries 200 kbit/s: slots that the fast one lost, and shown by both."""
        fast_link, slow_link = self.net.clients
        for link in self.net.clients:
            link.mend()
        slow_link.shape(down_kbit=200)
        skipped = (await self.server.metrics())[SKIPPED]
        async with self.server.session() as session, publishing(self.net.server, session):
            if transport == "socket":
                fast_slots, slow_slots = await self._sockets(session, fast_link, slow_link)
            else:
                fast_slots, slow_slots = await self._peers(session, fast_link, slow_link)
        slow_link.mend()
        expected = fast_slots[-1] - fast_slots[0] + 1
        return {
            "fast_lost": expected - len(fast_slots),
            "fast_slots": expected,
            "skipped_by_server": (await self.server.metrics())[SKIPPED] - skipped,
            "slow_fps": len(slow_slots) / self.seconds,
        }

    async def _sockets(
        self, session: dict[str, Any], fast_link: Client, slow_link: Client
    ) -> tuple[list[int], list[int]]:
        viewers = SocketViewer(), SocketViewer()

        async def watch(viewer: SocketViewer, link: Client) -> None:
            try:
                await viewer.watch(link, session, lambda _: False, within_s=self.seconds)
            except TimeoutError:
                return

        await asyncio.gather(watch(viewers[0], fast_link), watch(viewers[1], slow_link))
        return viewers[0].slots, viewers[1].slots

    async def _peers(
        self, session: dict[str, Any], fast_link: Client, slow_link: Client
    ) -> tuple[list[int], list[int]]:
        async def watch() -> list[int]:
            async with PeerViewer.watching(session) as viewer:
                await asyncio.sleep(self.seconds)
                return viewer.slots

        with never_decode():
            fast, slow = await asyncio.gather(fast_link.run(watch), slow_link.run(watch))
        return fast, slow


def usual(client: Client) -> None:
    """The cable that all rows share."""
    client.shape(down_kbit=LINK_KBIT, up_kbit=LINK_KBIT)


def address(session: dict[str, Any], transport: str, *, up: bool) -> str:
    """The page that shows `session`: the studio where it publishes, else the overlay."""
    if not up:
        return f"{session['urls']['overlay']}&transport={transport}"
    page, _, fragment = session["urls"]["studio"].partition("#")
    return f"{page}?transport={transport}#{fragment}"


async def now_ms(screen: Screen) -> float:
    """The page's clock."""
    return float(await screen.page.evaluate("() => performance.now()"))


def notes(before: dict[str, float], after: dict[str, float], took_s: float) -> dict[str, float]:
    """What the browser counted in between."""

    def more(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    return {
        "kbit/s": round(8 * more("bytesReceived") / 1000 / took_s),
        "repaired %": round(100 * more("retransmittedPacketsReceived") / max(1.0, more("packetsReceived")), 1),
        "nacks": more("nackCount"),
        "plis": more("pliCount"),
        "keyframes": more("keyFramesDecoded"),
        "not shown": more("framesDropped"),
    }


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every row; printed as they come."""
    figures: dict[str, Any] = {}
    with network(clients=2) as net:
        async with (
            network_server(net, folder) as server,
            browser_in(net.client, folder, server.url) as browser,
        ):
            bench = Bench(net, server, browser, options.seconds)
            transports = ["webrtc", "socket"] if options.transport == "both" else [options.transport]
            for transport in transports:
                if "rows" in options.only:
                    rows = await all_rows(bench, transport)
                    print(table(f"Over {transport}, 512×512, model null, Chromium {browser.version}",
                                [HEAD, *(row.cells() for row in rows)]))  # fmt: skip
                    figures[transport] = [asdict(row) for row in rows]
                if "neighbours" in options.only:
                    pair = figures[f"{transport} neighbours"] = await bench.neighbours(transport)
                    print(
                        f"{transport}: beside a viewer on 200 kbit/s ({pair['slow_fps']:.1f} fps) a fast one lost "
                        f"{pair['fast_lost']} of {pair['fast_slots']} slots "
                        f"({pair['skipped_by_server']:.0f} of them were skipped for everybody)\n"
                    )
            if "firewall" in options.only and "webrtc" in transports:
                wall = figures["firewall"] = await bench.firewall()
                print(
                    f"UDP blocked: {wall['to_socket_s']:.1f} s until the socket's first picture; let through again: "
                    f"{wall['to_webrtc_s']:.1f} s until WebRTC's, longest time without a picture "
                    f"{wall['longest_on_the_way_back_ms']:.0f} ms\n"
                )
    return figures


async def all_rows(bench: Bench, transport: str) -> list[Row]:
    """The table of one transport."""
    bars = {1: "≥ 23", 5: "≥ 20", 10: "≥ 12"}
    rows = [await bench.row("no loss", "≥ 23", transport, Fault())]
    for percent, bar in bars.items():
        row = await bench.row(f"{percent}% lost down", bar, transport, Fault(down_percent=percent))
        rows.append(row)
    for percent, bar in bars.items():
        row = await bench.row(f"{percent}% lost up", bar, transport, Fault(up_percent=percent), up=True)
        rows.append(row)
    return [*rows, await bench.row("200 kbit/s down", "", transport, Fault(down_kbit=200))]


def main() -> None:
    """Run it all, print it, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="measured for each row")
    parser.add_argument("--transport", choices=["webrtc", "socket", "both"], default="webrtc")
    parser.add_argument(
        "--only", choices=["rows", "neighbours", "firewall"], nargs="+", default=["rows", "neighbours", "firewall"]
    )
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": describe()}
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures |= asyncio.run(measure(options, Path(folder)))
    except NetworkUnavailable as why:
        raise SystemExit(str(why)) from None
    print(f"raw figures: {save('networks', figures)}")


if __name__ == "__main__":
    main()
