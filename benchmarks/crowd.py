"""Several people on one server, for the benchmarks: sessions with a camera and a viewer each, one after the other."""

import asyncio
import contextlib
import statistics
import time
from dataclasses import dataclass, field, replace

import numpy as np
from live import FPS, new_pictures, publish

from liveglass.engine.frame import Size
from liveglass.transport.client import Live, LiveFrame, connect
from liveglass.web.chaos.server import Server

SIZE = Size(640, 360)
NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
SETTLE_S = 12.0
"""What a session costs is measured before another one is let in."""


@dataclass(frozen=True)
class Glance:
    """What a viewer saw since the last time.

    Attributes:
        phase_s: median of arrival less place on the grid.
        age_ms: of what was painted, median.
        out, new: pictures, and new ones.
        lost: slots that never came, of the ones between the first and the last.
    """

    phase_s: float
    age_ms: float
    out: int
    new: int
    lost: int


@dataclass
class Watcher:
    """One session's viewer."""

    live: Live
    out: int = 0
    lost: int = 0
    _seen: list[tuple[float, LiveFrame]] = field(default_factory=list)

    async def watch(self) -> None:
        """Write down when each slot came, until cancelled."""
        async for frame in self.live.frames():
            self._seen.append((time.perf_counter(), replace(frame, pixels=NO_PIXELS)))

    def glance(self) -> Glance:
        """What came since the last call."""
        seen, self._seen = self._seen, []
        frames = [frame for _, frame in seen]
        slots = [frame.slot for frame in frames]
        lost = max(slots) - min(slots) + 1 - len(slots) if slots else 0
        self.out, self.lost = self.out + len(slots), self.lost + lost
        ages = [frame.content_age_ms for frame in frames if frame.content_age_ms is not None]
        return Glance(
            statistics.median(at - frame.slot / FPS for at, frame in seen) if seen else float("nan"),
            statistics.median(ages) if ages else float("nan"),
            len(frames),
            new_pictures(frames),
            lost,
        )


class Crowd:
    """Everybody who came in; `async with` ends them all."""

    def __init__(self, running: Server) -> None:
        self.watchers: list[Watcher] = []
        self._running = running
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Crowd":
        """Nobody is here yet."""
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        """Everybody leaves."""
        await self._stack.aclose()

    async def another(self) -> bool:
        """One more session, if it is admitted; returns when it has settled. False: it was queued, and has left."""
        opened = connect(
            self._running.url, prompt="ink drawing, blue", camera_visible="all", size=(SIZE.width, SIZE.height)
        )
        live = await opened.__aenter__()
        if live.state.state == "queued":
            await opened.__aexit__(None, None, None)
            return False
        self._stack.push_async_exit(opened)
        watcher = Watcher(live)
        self.watchers.append(watcher)
        for work in (publish(live, SIZE, [0]), watcher.watch()):
            self._stack.push_async_callback(_end, asyncio.create_task(work))
        await asyncio.sleep(SETTLE_S)
        return True

    def check(self) -> None:
        """Refuse the run.

        Raises:
            SystemExit: a viewer lost a tenth of its slots.
        """
        for watcher in self.watchers:
            if watcher.lost > 0.1 * (watcher.out + watcher.lost):
                raise SystemExit(f"Invalid run: a viewer got {watcher.out} slots and lost {watcher.lost}.")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
