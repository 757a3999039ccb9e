"""What hostile clients get, and what they leave behind: each a typed error or a closed door, and no growth.

    liveglass bench hostile [--count 100000]

One server with the model `null`. Damaged commands and damaged camera pictures over sockets, hostile offers over HTTP,
so many of each; what was answered by its code, and the server's memory, threads and descriptors before and after. Then,
once each: how long a picture of 10,000×10,000 takes to be refused, how long half-sent headers are waited for, whether
a foreign Origin and Host are refused, and how long the server takes to leave when it is told to, and what is left then.
Messages are sent just slowly enough not to count as a flood.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from churn import Site, held, offers
from machine import describe, quantile, save, table
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket

from liveglass.transport import codecs
from liveglass.transport.header import Codec, FrameHeader, WireKind
from liveglass.web.chaos.server import Server, server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from hostile_messages import hostile_pictures, hostile_texts

CONNECTIONS = 4
TEXTS_PER_S, PICTURES_PER_S = 450, 110
"""On one connection; a flood is 500 and 120."""
STALE_S = 10.0
"""The last answer comes within that."""
HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
SHARED = Path("/dev/shm")


async def opened(client: httpx.AsyncClient) -> dict[str, Any]:
    """A session of its own."""
    reply = await client.post("/v1/sessions", json={"camera_visible": "all", "size": {"width": 128, "height": 96}})
    return dict(reply.raise_for_status().json())


@contextlib.asynccontextmanager
async def socket_of(session: dict[str, Any], *, publish: bool) -> AsyncIterator[ClientConnection]:
    """A controller's connection that watches nothing."""
    protocols: Any = [f"liveglass.token.{session['token']}"]
    url = f"{session['urls']['socket']}?view=0&publish={int(publish)}"
    async with open_socket(url, subprotocols=protocols, compression=None, proxy=None, max_size=2**24) as socket:
        yield socket


async def send(
    socket: ClientConnection, messages: Iterable[str | bytes], per_s: float, codes: collections.Counter[str]
) -> None:
    """Send all of them, and count every answer by its code or type."""

    async def read() -> None:
        async for message in socket:
            event = json.loads(message)
            codes[event["code"] if event["type"] == "error" else event["type"]] += 1
            if event["type"] == "pong" and event["t"] == -1:
                return

    reading = asyncio.create_task(read())
    began = time.perf_counter()
    for number, message in enumerate(messages):
        await asyncio.sleep(max(0.0, began + number / per_s - time.perf_counter()))
        await socket.send(message)
    await asyncio.sleep(1 / per_s)
    await socket.send('{"type": "ping", "t": -1}')
    async with asyncio.timeout(STALE_S):
        await reading


async def many(
    sessions: list[dict[str, Any]], hostile: Callable[..., Iterable[str | bytes]], count: int, per_s: float, **how: bool
) -> dict[str, int]:
    """`count` hostile messages over one connection to each session; a connection that is closed ends the run."""
    codes: collections.Counter[str] = collections.Counter()

    async def one(seed: int, session: dict[str, Any]) -> None:
        async with socket_of(session, **how) as socket:
            await send(socket, hostile(count // len(sessions), seed=seed), per_s, codes)

    async with asyncio.TaskGroup() as group:
        for seed, session in enumerate(sessions):
            group.create_task(one(seed, session))
    return dict(codes)


def camera_picture(seq: int, jpeg: bytes) -> bytes:
    """A JPEG under a sound header."""
    return FrameHeader(seq=seq, kind=WireKind.CAMERA, codec=Codec.JPEG, source_us=seq).pack() + jpeg


async def huge_ms(session: dict[str, Any], times: int = 20) -> list[float]:
    """Round trips of a picture that says it is 10,000×10,000, milliseconds, ascending."""
    jpeg = codecs.encode_jpeg(np.zeros((64, 64, 3), np.uint8))
    at = jpeg.find(b"\xff\xc0")
    jpeg = jpeg[: at + 5] + struct.pack(">HH", 10_000, 10_000) + jpeg[at + 9 :]
    took = []
    async with socket_of(session, publish=True) as socket:
        for seq in range(1, times + 1):
            began = time.perf_counter()
            await socket.send(camera_picture(seq, jpeg))
            while json.loads(await socket.recv())["type"] != "publish.ack":
                pass
            took.append(1000 * (time.perf_counter() - began))
    return sorted(took)


async def half_sent_s(url: str) -> float:
    """How long headers are waited for that never end."""
    host = httpx.URL(url)
    reader, writer = await asyncio.open_connection(host.host, host.port)
    began = time.perf_counter()
    writer.write(HALF)
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()
    return time.perf_counter() - began


async def foreign(client: httpx.AsyncClient) -> dict[str, int]:
    """The status that a foreign Origin and a foreign Host get."""
    origin = await client.post("/v1/sessions", json={}, headers={"Origin": "https://evil.example"})
    host = await client.get("/livez", headers={"Host": "evil.example"})
    return {"Origin": origin.status_code, "Host": host.status_code}


async def attack(running: Server, count: int, figures: dict[str, Any]) -> None:
    """Everything that is sent while the server lives."""
    rows: list[tuple[str, ...]] = [("", "memory MB", "threads", "descriptors", "processes")]

    def note(name: str) -> None:
        now = held(running.process)
        rows.append((name, *(f"{value:.1f}" if value % 1 else f"{value:.0f}" for value in now.values())))
        figures[name] = now

    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=30) as client:
        sessions = [await opened(client) for _ in range(CONNECTIONS)]
        # What is done for the first time is no growth.
        await many(sessions, hostile_texts, 400, TEXTS_PER_S, publish=False)
        await many(sessions, hostile_pictures, 400, PICTURES_PER_S, publish=True)
        await offers(Site(running.url, client), sessions[0], 200)
        note("before")
        figures["commands"] = await many(sessions, hostile_texts, count, TEXTS_PER_S, publish=False)
        note(f"after {count} commands")
        figures["pictures"] = await many(sessions, hostile_pictures, count, PICTURES_PER_S, publish=True)
        note(f"after {count} pictures")
        figures["offers"], _ = await offers(Site(running.url, client), sessions[0], count)
        async with asyncio.timeout(60):
            while running.metrics()["liveglass_peers"]:
                await asyncio.sleep(0.5)
        note(f"after {count} offers")
        huge = await huge_ms(sessions[0])
        figures["huge_ms"] = {"p50": quantile(huge, 0.5), "max": huge[-1]}
        figures["foreign"] = await foreign(client)
        figures["half_sent_s"] = await half_sent_s(running.url)
    print(table("What the server holds", rows))


def leave(running: Server) -> dict[str, Any]:
    """Tell the server to go; how long that takes, and what is left."""
    family = running.process.children(recursive=True)
    shared = set(SHARED.iterdir()) if SHARED.is_dir() else set()
    began = time.perf_counter()
    running.process.send_signal(signal.SIGTERM)
    psutil.wait_procs([running.process], timeout=STALE_S)
    took = time.perf_counter() - began
    _, left_over = psutil.wait_procs(family, timeout=1.0)
    # What has ended and waits for somebody to ask how is no orphan.
    orphans = [one for one in left_over if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    left = sorted(path.name for path in shared if path.exists() and "liveglass" in path.name)
    return {"seconds": took, "orphans": len(orphans), "shared memory": left}


def main() -> None:
    """Run it, print it, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="of each kind")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": describe(), "count": options.count}
    with server("null") as running:
        asyncio.run(attack(running, options.count, figures))
        figures["leaving"] = leave(running)
    for name in ("commands", "pictures", "offers", "huge_ms", "half_sent_s", "foreign", "leaving"):
        print(f"{name}: {figures[name]}")
    print(f"raw figures: {save('hostile', figures)}")


if __name__ == "__main__":
    main()
