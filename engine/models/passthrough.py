"""Models for measuring, never a default: `null` copies its input, `sleep:MS[:JITTER]` does so after a chosen time.

What they make holds camera pixels, and they say so in their spec. Runs on the worker's thread.
"""

import random
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from liveglass.engine import clock
from liveglass.engine.control import ControlState
from liveglass.engine.errors import ModelNotFound
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Kernels, Makings, processor, versions
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule, no_loras

_STEPS = 4


def passthrough_spec(name: str) -> ModelSpec:
    """The spec of `null` or `sleep:MS[:JITTER]`.

    Raises:
        ModelNotFound: the name does not say how long to sleep.
    """
    sleep_ms, jitter = parse_sleep(name)
    title = (
        "pass-through (measuring only)" if not sleep_ms else f"sleeps {sleep_ms:g} ms ± {jitter:.0%} (measuring only)"
    )
    return ModelSpec(
        name=name,
        title=title,
        licence="Apache-2.0",
        valid_steps=(1, 2, 4),
        default_steps=_STEPS,
        strength="No effect: the picture passes through.",
        strength_has_effect=False,
        prompt_has_effect=False,
        passes_camera=True,
        needs_source=True,
    )


def parse_sleep(name: str) -> tuple[float, float]:
    """Milliseconds and relative jitter that `null` or `sleep:MS[:JITTER]` ask for.

    Raises:
        ModelNotFound: it does not read like that.
    """
    if name == "null":
        return 0.0, 0.0
    kind, *numbers = name.split(":")
    try:
        ms, jitter = float(numbers[0]), float(numbers[1]) if len(numbers) > 1 else 0.0
    except (IndexError, ValueError):
        ms, jitter = -1.0, 0.0
    if kind != "sleep" or len(numbers) > 2 or not 0 <= ms <= 60_000 or not 0 <= jitter <= 1:
        raise ModelNotFound(
            f"{name!r} is not a model.",
            hint="Write sleep:MS or sleep:MS:JITTER, as in sleep:60:0.2.",
            field="model",
        )
    return ms, jitter


class PassthroughAdapter:
    """Hands the source back after a chosen time, in as many steps as asked for, so that giving up midway is seen."""

    def __init__(self, name: str) -> None:
        self._spec = passthrough_spec(name)
        ms, self._jitter = parse_sleep(name)
        self._seconds = ms / 1000
        self._random = random.Random(0)
        self._lanes: dict[int, _Lane] = {}

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._spec

    @property
    def makings(self) -> Makings:
        """No network and no weights: numpy alone."""
        return Makings(Kernels(backend="numpy", libraries=versions("numpy"), hardware=processor(), dtype="uint8"))

    def open_lane(self, size: Size) -> int:
        """A lane for pictures of `size`."""
        lane = next(n for n in range(len(self._lanes) + 1) if n not in self._lanes)
        self._lanes[lane] = _Lane(size)
        return lane

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        del self._lanes[lane]

    def encode_control(self, control: ControlState) -> Cond:
        """Words have no effect here."""
        return control.version

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """Nothing to blend."""
        return a if progress < 1 else b

    def schedule(self, control: ControlState, size: Size) -> Schedule:
        """As many empty passes as asked for."""
        return Schedule(rows=((0.0, 1.0, 1.0, 0.0, 0.0),) * control.params.steps, keep=1.0, noise=0.0)

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        """None is needed."""
        return np.zeros(0, np.float32)

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Remember how many passes the time is spread over."""
        self._lanes[lane].steps = schedule.steps

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Copy the sources: uint8 [H, W, 3] each; black where there is none."""
        for lane, picture in zip(lanes, pixels, strict=True):
            np.copyto(self._lanes[lane].pixels, 0 if picture is None else picture)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """Let a part of the chosen time pass."""
        seconds = self._seconds / self._lanes[lanes[0]].steps
        self._wait(seconds * (1 + self._jitter * self._random.uniform(-1, 1)))

    def _wait(self, seconds: float) -> None:
        clock.pause(seconds)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """The sources again: uint8 [H, W, 3] each."""
        return [self._lanes[lane].pixels for lane in lanes]

    def reset(self, lane: int) -> None:
        """Nothing is carried."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal step counts share a pass."""
        return (control.params.steps,)

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """This model takes none."""
        raise no_loras(self.spec)

    def fuse(self, loras: Loras) -> Iterator[None]:
        """This model takes none."""
        raise no_loras(self.spec)


class _Lane:
    def __init__(self, size: Size) -> None:
        self.pixels: Pixels = np.zeros(size.shape, np.uint8)
        self.steps = _STEPS
