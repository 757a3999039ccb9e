"""Connections come and go, and hostile offers are refused: what is left, and who was held up.

    liveglass bench churn [--peers 1000] [--sockets 10000] [--offers 10000]

One server with the model `null`. WebRTC peers of stock aiortc connect with a camera, see a picture and leave, a third
of them without a word; sockets connect, get `hello` and close. Before and after each: the server's memory, threads,
descriptors and child processes, once everything had time to go. Offers that somebody who has read the parser would
send are posted one after the other, what is accepted is ended at once, while another connection pings: its longest
round trip bounds how long the event loop was held up. A run is refused where a connection that should work did not.
"""

import argparse
import asyncio
import collections
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
from machine import describe, quantile, save, table
from websockets.asyncio.client import connect as open_socket

from liveglass.web.chaos.server import Server, server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from offers import hostile_bodies
from peer import SDP, FlatCamera, Peer

AT_ONCE = 4
WARM_UP = 60
GONE_AFTER_S = 12.0
RED = (200, 40, 40)


class Site:
    """What the test client needs of a server."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self.client = client


def held(process: psutil.Process) -> dict[str, float]:
    """What the server holds."""
    return {
        "memory MB": process.memory_info().rss / 2**20,
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
        "processes": len(process.children(recursive=True)),
    }


async def peers(site: Site, session: dict[str, Any], count: int) -> list[float]:
    """Connect `count` peers, a few at once, every third vanishing; seconds until each saw its first picture."""
    waits: list[float] = []
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            peer = Peer()
            began = time.perf_counter()
            async with asyncio.timeout(30):
                await peer.connect(site, session, camera=FlatCamera(RED, fps=8))
                await peer.until_frame(lambda _: True)
            waits.append(time.perf_counter() - began)
            if number % 3 == 0:
                await peer.vanish()
            elif number % 3 == 1:
                headers = {"Authorization": f"Bearer {session['token']}"}
                (await site.client.delete(peer.location, headers=headers)).raise_for_status()
            await peer.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return waits


async def sockets(session: dict[str, Any], count: int) -> None:
    """Connect and leave, a few at once."""
    numbers = iter(range(count))

    async def some() -> None:
        for _ in numbers:
            protocols: Any = [f"liveglass.token.{session['viewer_token']}"]
            async with open_socket(session["urls"]["socket"], subprotocols=protocols, compression=None) as socket:
                assert json.loads(await socket.recv())["type"] == "hello"

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def offers(site: Site, session: dict[str, Any], count: int) -> tuple[dict[str, int], list[float]]:
    """Post hostile offers; answers by code, and the round trips of pings meanwhile in seconds, ascending."""
    answers: collections.Counter[str] = collections.Counter()
    trips: list[float] = []
    done = asyncio.Event()

    async def ping() -> None:
        protocols: Any = [f"liveglass.token.{session['token']}"]
        url = session["urls"]["socket"] + "?view=0"
        async with open_socket(url, subprotocols=protocols, compression=None) as socket:
            while not done.is_set():
                began = time.perf_counter()
                await socket.send('{"type": "ping", "t": 1}')
                while json.loads(await socket.recv())["type"] != "pong":
                    pass
                trips.append(time.perf_counter() - began)
                await asyncio.sleep(0.004)

    async with asyncio.TaskGroup() as group:
        group.create_task(ping())
        headers = {"Content-Type": SDP, "Authorization": f"Bearer {session['token']}"}
        for body in hostile_bodies(count, seed=7):
            reply = await site.client.post(f"/v1/sessions/{session['id']}/peer", content=body, headers=headers)
            if reply.status_code == 201:
                answers["answered"] += 1
                (await site.client.delete(reply.headers["location"], headers=headers)).raise_for_status()
            else:
                answers[reply.json()["error"]["code"]] += 1
        done.set()
    return dict(answers), sorted(trips)


async def until_quiet(running: Server) -> None:
    """Wait until the server says that no peer is left, and a little for what ends after them."""
    async with asyncio.timeout(60):
        while running.metrics()["liveglass_peers"]:
            await asyncio.sleep(0.5)
    await asyncio.sleep(GONE_AFTER_S)


async def run(chosen: argparse.Namespace) -> None:
    """Everything, and the tables."""
    figures: dict[str, Any] = {"machine": describe()}
    with server("null") as running:
        async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=30) as client:
            site = Site(running.url, client)
            session = (await client.post("/v1/sessions", json={"camera_visible": "all"})).json()
            rows: list[tuple[str, ...]] = [("", "memory MB", "threads", "descriptors", "processes")]

            def note(name: str) -> dict[str, float]:
                now = held(running.process)
                rows.append((name, *(f"{value:.1f}" if value % 1 else f"{value:.0f}" for value in now.values())))
                figures[name] = now
                return now

            async def keep_open() -> None:
                protocols: Any = [f"liveglass.token.{session['viewer_token']}"]
                async with open_socket(session["urls"]["socket"] + "?view=0", subprotocols=protocols) as socket:
                    async for _ in socket:
                        pass

            keeper = asyncio.create_task(keep_open())
            if chosen.peers:
                await peers(site, session, min(WARM_UP, chosen.peers))
                await until_quiet(running)
                note("before the peers")
                waits = []
                for part in range(4):
                    waits += await peers(site, session, chosen.peers // 4)
                    gc.collect()
                    await until_quiet(running)
                    note(f"after {chosen.peers // 4 * (part + 1)} peers")
                waits.sort()
                figures["first picture s"] = {"p50": quantile(waits, 0.5), "p95": quantile(waits, 0.95)}
            if chosen.sockets:
                await sockets(session, min(500, chosen.sockets))
                note("before the sockets")
                await sockets(session, chosen.sockets)
                await asyncio.sleep(2)
                note(f"after {chosen.sockets} sockets")
            if chosen.offers:
                note("before the offers")
                answers, trips = await offers(site, session, chosen.offers)
                await until_quiet(running)
                note(f"after {chosen.offers} offers")
                figures["offers"] = answers
                figures["ping ms"] = {q: round(quantile(trips, v) * 1e3, 2) for q, v in PINGS.items()}
            figures["missed slots"] = sum(v for k, v in running.metrics().items() if "slots_missed_total" in k)
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
    print(table("What the server holds", rows))
    for name in ("first picture s", "offers", "ping ms", "missed slots"):
        if name in figures:
            print(name, figures[name])
    save("churn", figures)


PINGS = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=int, default=1000)
    parser.add_argument("--sockets", type=int, default=10_000)
    parser.add_argument("--offers", type=int, default=10_000)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
