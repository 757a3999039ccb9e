"""Somebody who is live: a camera with a mark in each of its pictures, and a viewer who writes down every frame."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.clock import now
from liveglass.engine.errors import LiveglassError
from liveglass.engine.frame import FrameKind, Pixels, Size
from liveglass.engine.stream.sample import Sample
from liveglass.transport.client import Live, connect
from liveglass.transport.client_stream import LiveFrame

SIZE = Size(640, 360)
FPS = 24
_MARK = 28
_LEAK = 0.25
"""Likeness to the mark from which on a frame holds camera pixels. A model's own picture stays under 0.05."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame as it came."""

    at: float
    slot: int
    kind: FrameKind
    base: tuple[int, int]
    likeness: float

    @property
    def is_leak(self) -> bool:
        """Whether camera pixels are in it."""
        return self.likeness > _LEAK


class Mark:
    """Noise of single pixels, fixed to the camera's screen: no model paints it, and every camera pixel holds it."""

    def __init__(self, seed: int) -> None:
        height, width, _ = SIZE.shape
        signs = np.random.default_rng(seed).integers(0, 2, (height, width, 1), np.int16)
        self._pattern = (2 * signs - 1) * _MARK
        self._fine = self._of(self._pattern[:, :, 0].astype(np.float32))

    def on(self, picture: Pixels) -> Pixels:
        """`picture` with the mark in it, uint8 [H, W, 3]."""
        return np.asarray((picture.astype(np.int16) + self._pattern).clip(0, 255), np.uint8)

    def likeness(self, picture: Pixels) -> float:
        """Correlation of the finest detail with the mark, 0 to 1, in the quarter that is most like it."""
        fine = self._of(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32))
        middle, centre = SIZE.height // 2, SIZE.width // 2
        quarters = itertools.product((slice(0, middle), slice(middle, None)), (slice(0, centre), slice(centre, None)))
        return max(_correlation(fine[quarter], self._fine[quarter]) for quarter in quarters)

    @staticmethod
    def _of(grey: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(grey - cv2.blur(grey, (3, 3)), np.float32)


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    norm = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return abs(float((one * other).sum())) / norm if norm else 0.0


class User:
    """A session of its own, hidden camera and all.

    Attributes:
        seen: every frame that came, in order.
        camera_fps: pictures a second; 0 while the camera stands still.
    """

    def __init__(self, live: Live, seed: int) -> None:
        self.live = live
        self.seen: list[Seen] = []
        self.camera_fps = float(FPS)
        self._mark = Mark(seed)
        self._sample = Sample(SIZE)
        self._came = asyncio.Event()

    async def publish(self) -> None:
        """Be the camera, until cancelled."""
        due = now()
        for number in itertools.count():
            due = max(due + 1 / (self.camera_fps or FPS), now())
            await asyncio.sleep(due - now())
            if self.camera_fps:
                picture = await asyncio.to_thread(self._mark.on, self._sample.picture(number / FPS))
                with suppress(LiveglassError):
                    await self.live.publish(picture)

    async def watch(self) -> None:
        """Be the viewer, until cancelled."""
        async for frame in self.live.frames():
            at = now()
            likeness = await asyncio.to_thread(self._mark.likeness, frame.pixels)
            self.seen.append(Seen(at, frame.slot, frame.kind, _base(frame), likeness))
            self._came.set()

    async def until(self, wanted: Callable[[Sequence[Seen]], bool], within_s: float) -> bool:
        """Wait until the frames from now on are `wanted`; False where that takes too long."""
        first = len(self.seen)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not wanted(self.seen[first:]):
                    self._came.clear()
                    await self._came.wait()
                return True
        return False


def _base(frame: LiveFrame) -> tuple[int, int]:
    """What a frame's generated base was made of."""
    return frame.version, frame.source_us - frame.age_us


def changes(frames: Sequence[Seen]) -> list[float]:
    """When a newly generated picture was seen."""
    pairs = itertools.pairwise(frame for frame in frames if frame.kind is not FrameKind.STANDBY)
    return [after.at for before, after in pairs if before.base != after.base]


@asynccontextmanager
async def user(url: str, *, seed: int, prompt: str, steps: int) -> AsyncIterator[User]:
    """Somebody who is live at `url`, with the camera hidden."""
    async with connect(url, prompt=prompt, steps=steps, size=(SIZE.width, SIZE.height)) as live:
        somebody = User(live, seed)
        tasks = [asyncio.create_task(somebody.publish()), asyncio.create_task(somebody.watch())]
        try:
            yield somebody
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
