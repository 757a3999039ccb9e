"""What a further viewer of one session costs the server.

    liveglass bench viewers [--transport socket|webrtc|both] [--seconds 10] [--pages 2]

One session with the model `null` at 512×512, a camera over the socket, and 0, 1, 2 and 4 viewers beside each other.
The viewers are light: raw sockets that acknowledge, or WebRTC peers in a process of their own that put packets together
into pictures and decode none. At last, over WebRTC, real Chromium pages. Printed: the server process's CPU and that of
its busiest threads, what each viewer after the first adds, and how many times each slot was encoded. A run is refused
where a viewer got under 95% of its pictures.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import psutil
from machine import cpu_seconds, describe, save, table
from playwright.async_api import async_playwright
from websockets.asyncio.client import connect as open_socket

from liveglass.engine.frame import Size
from liveglass.engine.stream.sample import Sample
from liveglass.transport.client import connect
from liveglass.web.chaos.server import Server, server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from e2e.pages import LAUNCH, chromium
from network_peer import PeerViewer, never_decode

FPS = 24
SIZE = Size(512, 512)
COUNTS = (0, 1, 2, 4)
SETTLE_S = 3.0
ENCODES = 'liveglass_stage_seconds_count{stage="encode"}'


@dataclass
class Cost:
    """One number of viewers for some seconds; CPU as shares of one core."""

    viewers: int
    cpu: float
    threads: dict[str, float]
    encodes_a_slot: float
    fps: list[float] = field(default_factory=list)


async def publish(url: str, session: dict[str, Any], stop: asyncio.Event) -> None:
    """A camera of 24 frames a second: the sample's photograph, swaying."""
    sample = Sample(SIZE)
    pictures = [sample.picture(n / FPS) for n in range(48)]
    joined = connect(url, session=session["id"], token=session["token"], publish=True, view=False)
    async with joined as live:
        began = time.perf_counter()
        for number in itertools.count():
            await asyncio.sleep(max(0.0, began + number / FPS - time.perf_counter()))
            if stop.is_set():
                return
            await live.publish(pictures[number % len(pictures)])


# --- viewers --------------------------------------------------------------------------------------------------------


class SocketViewers:
    """Raw sockets in this process: a frame is counted and acknowledged."""

    name = "socket"

    def __init__(self, session: dict[str, Any]) -> None:
        self._session = session
        self.counts: list[int] = []

    @contextlib.asynccontextmanager
    async def watching(self, count: int) -> AsyncIterator[None]:
        """So many viewers."""
        self.counts = [0] * count
        tasks = [asyncio.create_task(self._watch(n)) for n in range(count)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def read(self) -> list[int]:
        """Pictures so far, by viewer."""
        return list(self.counts)

    async def _watch(self, n: int) -> None:
        subprotocols: Any = [f"liveglass.token.{self._session['viewer_token']}"]
        async with open_socket(self._session["urls"]["socket"], subprotocols=subprotocols, compression=None) as socket:
            async for message in socket:
                if isinstance(message, bytes):
                    self.counts[n] += 1
                    ack = {"type": "frame.ack", "seq": int.from_bytes(message[4:8], "big")}
                    await socket.send(json.dumps(ack))


class PeerViewers:
    """WebRTC peers in a process of their own."""

    name = "webrtc"

    def __init__(self, session: dict[str, Any]) -> None:
        self._session = session
        self._pipe: Connection | None = None

    @contextlib.asynccontextmanager
    async def watching(self, count: int) -> AsyncIterator[None]:
        """So many viewers."""
        if count == 0:
            yield
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_peers, args=(theirs, self._session, count))
        process.start()
        try:
            yield
        finally:
            self._pipe.send("stop")
            await asyncio.to_thread(process.join, 10)
            self._pipe = None

    async def read(self) -> list[int]:
        """Pictures so far, by viewer."""
        if self._pipe is None:
            return []
        self._pipe.send("read")
        counts: list[int] = await asyncio.to_thread(self._pipe.recv)
        return counts


def _peers(pipe: Connection, session: dict[str, Any], count: int) -> None:
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(PeerViewer.watching(session)) for _ in range(count)]
            while await asyncio.to_thread(pipe.recv) == "read":
                pipe.send([viewer.pictures for viewer in viewers])

    with never_decode():
        asyncio.run(run())


class PageViewers:
    """Overlay pages in headless Chromium, each in a window of its own so that none is hidden."""

    name = "webrtc, Chromium pages"

    def __init__(self, session: dict[str, Any]) -> None:
        self._session = session
        self._pages: list[Any] = []

    @contextlib.asynccontextmanager
    async def watching(self, count: int) -> AsyncIterator[None]:
        """So many pages."""
        async with async_playwright() as playwright, contextlib.AsyncExitStack() as stack:
            self._pages = []
            for _ in range(count):
                browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
                stack.push_async_callback(browser.close)
                page = await browser.new_page(viewport={"width": SIZE.width, "height": SIZE.height}, bypass_csp=True)
                await page.goto(self._session["urls"]["overlay"])
                await page.evaluate(_COUNT)
                self._pages.append(page)
            yield
            self._pages = []

    async def read(self) -> list[int]:
        """Pictures so far, by page."""
        return [await page.evaluate("() => window.shown") for page in self._pages]


_COUNT = """
() => {
  window.shown = 0;
  let followed = null;
  const follow = () => {
    const video = document.querySelector("live-glass")?.shadowRoot.querySelector("video");
    if (!video || video === followed) return;
    followed = video;
    const next = () => { window.shown += 1; video.requestVideoFrameCallback(next); };
    video.requestVideoFrameCallback(next);
  };
  setInterval(follow, 50);
}
"""

Viewers = SocketViewers | PeerViewers | PageViewers


# --- measuring ------------------------------------------------------------------------------------------------------


async def cost(running: Server, viewers: Viewers, count: int, seconds: float) -> Cost:
    """The server's CPU with so many viewers; refuses a run whose viewers lost pictures."""
    async with viewers.watching(count):
        for _ in range(100):
            if all(seen >= 12 for seen in await viewers.read()):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLE_S)
        seen, before, began = await viewers.read(), running.metrics(), time.perf_counter()
        cpu, threads = cpu_seconds(running.process), thread_times(running.process)
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        now, now_threads = cpu_seconds(running.process), thread_times(running.process)
        after = running.metrics()
        counts = [late - early for early, late in zip(seen, await viewers.read(), strict=True)]
    fps = [got / took for got in counts]
    if any(rate < 0.95 * FPS for rate in fps) or len(fps) != count:
        raise SystemExit(
            f"Invalid run: {count} viewers over {viewers.name} got {[round(rate, 1) for rate in fps]} fps."
        )
    slots = sum(value - before.get(key, 0.0) for key, value in after.items() if key.startswith("liveglass_slots_total"))
    spent = {name: (value - threads.get(name, 0.0)) / took for name, value in now_threads.items()}
    return Cost(
        viewers=count,
        cpu=(now - cpu) / took,
        threads=dict(sorted(spent.items(), key=lambda item: -item[1])[:4]),
        encodes_a_slot=(after.get(ENCODES, 0.0) - before.get(ENCODES, 0.0)) / slots,
        fps=fps,
    )


def thread_times(process: psutil.Process) -> dict[str, float]:
    """CPU seconds by thread; Python 3.11 gives its threads no names that can be seen from outside."""
    spent: dict[str, float] = {}
    for thread in process.threads():
        name = "event loop" if thread.id == process.pid else f"thread {thread.id - process.pid}"
        spent[name] = thread.user_time + thread.system_time
    return spent


@contextlib.contextmanager
def camera(url: str, session: dict[str, Any]) -> Iterator[None]:
    """Publish on a thread of its own until the end."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(publish(url, session, stop),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def show(name: str, costs: list[Cost]) -> None:
    """One table."""
    base = next(one for one in costs if one.viewers >= 1)
    rows = [
        ("viewers", "server, of a core", "each further one", "encodes a slot", "fps at the viewers", "busiest threads")
    ]
    for one in costs:
        more = (one.cpu - base.cpu) / (one.viewers - base.viewers) if one.viewers > base.viewers else None
        rows.append((
            f"{one.viewers}",
            f"{one.cpu:.1%}",
            "—" if more is None else f"{more:.1%}",
            f"{one.encodes_a_slot:.2f}",
            f"{min(one.fps):.1f}" if one.fps else "—",
            ", ".join(f"{thread} {share:.1%}" for thread, share in one.threads.items()),
        ))  # fmt: skip
    print(table(f"{name}: a camera over the socket, 512×512, model null", rows))


def main() -> None:
    """Run it all, print it, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=["socket", "webrtc", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pages", type=int, default=2, help="Chromium pages at last, over WebRTC; 0 for none")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": describe()}
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    with server("null") as running:
        body = {"camera_visible": "all", "size": {"width": SIZE.width, "height": SIZE.height}}
        session = httpx.post(f"{running.url}/v1/sessions", json=body, trust_env=False).json()
        runs: list[tuple[Viewers, tuple[int, ...]]] = []
        if options.transport != "webrtc":
            runs.append((SocketViewers(session), COUNTS))
        if options.transport != "socket":
            runs.append((PeerViewers(session), COUNTS))
            if options.pages:
                runs.append((PageViewers(session), tuple(range(1, options.pages + 1))))
        with camera(running.url, session):
            for viewers, counts in runs:
                costs = [asyncio.run(cost(running, viewers, count, options.seconds)) for count in counts]
                show(viewers.name, costs)
                figures[viewers.name] = [vars(one) for one in costs]
    print(f"raw figures: {save('viewers', figures)}")


if __name__ == "__main__":
    main()
