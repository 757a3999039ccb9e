"""What can go wrong, each as something that is really done to a running server and to one of its users."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

import psutil
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed

from liveglass.engine.errors import LiveglassError
from liveglass.engine.models.faulty import FAULTS, HANG
from liveglass.web.chaos.line import Line
from liveglass.web.chaos.server import Server
from liveglass.web.chaos.user import FPS, User

WELL = "well"
_HALF_OPEN = 200
_FLOODING = 20
_FLOOD_MESSAGES = 5000
_SLOW_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that a fault may act on.

    Attributes:
        victim: whom it happens to.
        line: the victim's connection.
    """

    running: Server
    victim: User
    line: Line


Fault = Callable[[Stage], Awaitable[None]]
"""Breaks something; when it returns, what it holds up is let go, and the rest has to heal by itself."""


async def kill_worker(stage: Stage) -> None:
    """SIGKILL."""
    worker = stage.running.worker()
    if worker is not None:
        worker.kill()


async def hang_worker(stage: Stage) -> None:
    """SIGSTOP: not one instruction more; the supervisor has to find out."""
    worker = stage.running.worker()
    if worker is not None:
        worker.suspend()


async def slow_worker(stage: Stage) -> None:
    """Most of its time is taken away for 5 s."""
    worker = stage.running.worker()

    async def starve(process: psutil.Process) -> None:
        while True:
            process.suspend()
            await asyncio.sleep(_SLOW_SHARE / 4)
            process.resume()
            await asyncio.sleep((1 - _SLOW_SHARE) / 4)

    if worker is not None:
        task = asyncio.create_task(starve(worker))
        try:
            await asyncio.wait([task], timeout=5.0)
        finally:
            task.cancel()
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.resume()
        await asyncio.gather(task, return_exceptions=True)


async def say(stage: Stage, prompt: str) -> None:
    """The victim's prompt makes every one of its frames fail for 5 s."""
    await stage.victim.live.prompt(prompt)
    await asyncio.sleep(5.0)
    with contextlib.suppress(LiveglassError):
        await stage.victim.live.prompt(WELL)


async def hang_on_prompt(stage: Stage) -> None:
    """The victim's prompt makes the model hang; it asks for something else before another worker is there."""
    await stage.victim.live.prompt(HANG)
    await asyncio.sleep(0.5)
    with contextlib.suppress(LiveglassError):
        await stage.victim.live.prompt(WELL)


async def stop_camera(stage: Stage) -> None:
    """No picture comes in for 3 s."""
    stage.victim.camera_fps = 0.0
    await asyncio.sleep(3.0)
    stage.victim.camera_fps = float(FPS)


async def cut_line(stage: Stage) -> None:
    """The victim's TCP connection is reset."""
    stage.line.cut()


async def narrow_line(stage: Stage) -> None:
    """The victim's line carries 400 kbit/s down for 5 s."""
    stage.line.bytes_per_s = 50_000.0
    await asyncio.sleep(5.0)
    stage.line.bytes_per_s = None


async def flood(stage: Stage) -> None:
    """Twenty connections of a viewer with thousands of messages each, as fast as another process can."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
        await loop.run_in_executor(elsewhere, pour_all, _as_viewer(stage, view=False))


def pour_all(address: str) -> None:
    """Flood the socket at `address`; in a process of its own, or it would hold up those who watch."""

    async def pour() -> None:
        with contextlib.suppress(ConnectionClosed, OSError):
            async with connect_socket(address, proxy=None) as socket:
                for number in range(_FLOOD_MESSAGES):
                    await socket.send(f'{{"type":"ping","t":{number}}}')

    async def all_at_once() -> None:
        await asyncio.gather(*(pour() for _ in range(_FLOODING)))

    asyncio.run(all_at_once())


async def half_open(stage: Stage) -> None:
    """Two hundred connections that begin to ask for something and never go on."""
    parts = urlsplit(stage.running.url)
    writers = []
    for _ in range(_HALF_OPEN):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        writers.append(writer)
    await asyncio.sleep(3.0)
    for writer in writers:
        writer.transport.abort()


async def stuck_viewer(stage: Stage) -> None:
    """Another viewer of the victim's session connects and never reads a byte, for 5 s."""
    async with connect_socket(_as_viewer(stage, view=True), max_queue=1, proxy=None) as socket:
        socket.transport.pause_reading()
        await asyncio.sleep(5.0)
        socket.transport.abort()


def _as_viewer(stage: Stage, *, view: bool) -> str:
    """The address of the victim's session for somebody who may only watch."""
    live, host = stage.victim.live, urlsplit(stage.running.url).netloc
    token = live.opened.viewer_token if live.opened else ""
    return f"ws://{host}/v1/sessions/{live.id}/socket?view={int(view)}&token={quote(token)}"


ANY_MODEL: Mapping[str, Fault] = {
    "worker killed": kill_worker,
    "worker hangs": hang_worker,
    "worker starved": slow_worker,
    "camera stops": stop_camera,
    "line cut": cut_line,
    "line narrow": narrow_line,
    "flood": flood,
    "half-open connections": half_open,
    "stuck viewer": stuck_viewer,
}
ON_COMMAND: Mapping[str, Fault] = {
    **{f"frames: {name}": partial(say, prompt=name) for name in FAULTS},
    "frames: hang": hang_on_prompt,
}
"""These need the model that fails when its prompt says so."""
