"""One cell of `gpu.py`, and how its times are taken; figures in milliseconds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import quantile

from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.diffusion.presets import Preset

PROMPT = "a watercolour of a mountain lake"
WARM_UP = 5

Figures = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """One cell.

    Attributes:
        seconds: for one figure.
    """

    preset: Preset
    steps: int
    models_dir: Path
    device: str
    seconds: float
    tiny: bool

    @property
    def size(self) -> Size:
        """Of source and picture."""
        return Size(64, 64) if self.tiny else Size(512, 512)

    @property
    def kind(self) -> torch.dtype:
        """What the others run in, by their documentation."""
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    @property
    def hold(self) -> dict[str, float]:
        """The parameter that a ControlNet holds the picture by, where the preset has one."""
        return {} if self.preset.guide is None else {self.preset.guide.of: 1.0}

    def picture(self, seed: int = 1) -> Pixels:
        """A source, uint8 [H, W, 3]."""
        drawn = np.random.default_rng(seed).integers(0, 256, self.size.shape, dtype=np.uint8)
        return np.asarray(drawn, np.uint8)

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def timed(given: Given, work: Callable[[], object]) -> Figures:
    """p50, p95, p99 and rate of `work`, warm, for the cell's seconds."""
    for _ in range(1 if given.tiny else WARM_UP):
        work()
    given.wait()
    took: list[float] = []
    until = time.perf_counter() + given.seconds
    while time.perf_counter() < until or len(took) < 3:
        began = time.perf_counter()
        work()
        given.wait()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    p50, p95, p99 = (quantile(took, q) for q in (0.5, 0.95, 0.99))
    return {"p50": p50, "p95": p95, "p99": p99, "fps": 1000 * len(took) / sum(took), "frames": len(took)}
