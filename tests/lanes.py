"""Frames made by an adapter without a worker, each in a lane of its own."""

from contextlib import nullcontext
from typing import Any

import msgspec
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import ModelAdapter
from liveglass.engine.models.captured import Work

SIZE = Size(96, 64)
CONTROL = ControlState(1, (Prompt("blue ink"),), params=Params(steps=4, seed=3, strength=0.6))


def picture(seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)


def asked(prompt: str = "blue ink", *, negative: str = "", **params: float) -> ControlState:
    return msgspec.structs.replace(
        CONTROL, prompts=(Prompt(prompt),), negative=negative, params=msgspec.structs.replace(CONTROL.params, **params)
    )


class Stream:
    """A lane with a control version in it."""

    def __init__(self, adapter: ModelAdapter, control: ControlState = CONTROL) -> None:
        self.adapter, self.control = adapter, control
        self.lane = adapter.open_lane(SIZE)
        self.wish(control)

    def wish(self, control: ControlState) -> None:
        self.control = control
        noise = self.adapter.draw_noise(control.params.seed, SIZE)
        condition, schedule = self.adapter.encode_control(control), self.adapter.schedule(control, SIZE)
        self.adapter.write(self.lane, condition, schedule, noise, control.params.strength)


def together(streams: list[Stream], sources: list[Pixels | None]) -> list[Pixels]:
    adapter, lanes = streams[0].adapter, [stream.lane for stream in streams]
    assert len({adapter.group(stream.control, SIZE) for stream in streams}) == 1
    adapter.begin(lanes, sources)
    for step in range(adapter.schedule(streams[0].control, SIZE).steps):
        adapter.denoise(lanes, step)
    return [made.copy() for made in adapter.finish(lanes)]


def made(stream: Stream, source: Pixels | None) -> Pixels:
    return together([stream], [source])[0]


def differ(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


class _Recorded(TorchDispatchMode):
    """Refuses what a CUDA graph cannot hold: the host reading a value, and values that come from the host."""

    REFUSED = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.lift_fresh.default)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in self.REFUSED, f"{func} cannot be captured"
        return func(*args, **(kwargs or {}))


class Captures:
    """Captures as CUDA does: what is captured has run a few times before, and a replay does it again.

    Args:
        is_eager: it looks at each operation; torch.compile does not work under that.
    """

    def __init__(self, *, is_eager: bool = True) -> None:
        self.count = 0
        self._mode = _Recorded if is_eager else nullcontext

    def __call__(self, work: Work) -> Work:
        self.count += 1
        for _ in range(3):
            work()
        with self._mode():
            work()
        return work
