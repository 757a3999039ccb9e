"""Where a frame starts and which passes lead it home, by preset and strength; pure.

Strength says where a frame starts and never how many passes it takes (stock image-to-image makes
`int(steps * strength)` of them). Without a source every frame starts from noise alone.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from liveglass.engine.models.base import Schedule
from liveglass.engine.models.sampling import euler_ancestral, lcm

TRAIN_STEPS = 1000
LCM_STEPS = 50
"""Steps of the teacher's schedule that latent consistency models were distilled on."""

TURBO_TIMESTEPS = (999, 749, 499, 249)
"""Where adversarially distilled models were trained (Sauer et al. 2023, arXiv:2311.17042)."""


class Scheduler(Protocol):
    """How a family of models comes from noise to a picture."""

    def __call__(self, strength: float, steps: int, *, has_source: bool) -> Schedule:
        """The schedule of `steps` passes from where `strength` (0 to 1) starts."""
        ...


def signal_left(beta_start: float, beta_end: float) -> tuple[float, ...]:
    """The share of signal, squared, at each of 1,000 timesteps of a `scaled_linear` schedule (`alphas_cumprod`)."""
    betas = np.linspace(math.sqrt(beta_start), math.sqrt(beta_end), TRAIN_STEPS, dtype=np.float64) ** 2
    return tuple(np.cumprod(1 - betas).tolist())


def lcm_timesteps(strength: float, steps: int) -> list[int]:
    """Falling timesteps from where `strength` starts, on the grid that the model was distilled on."""
    count = max(steps, math.floor(LCM_STEPS * strength))
    grid = [(TRAIN_STEPS // LCM_STEPS) * (index + 1) - 1 for index in range(count)][::-1]
    return [grid[math.floor(index * count / steps)] for index in range(steps)]


def turbo_timesteps(strength: float, steps: int) -> list[int]:
    """Falling timesteps from the trained one that is nearest to `strength`, evenly down."""
    start = min(TURBO_TIMESTEPS, key=lambda trained: abs((trained + 1) / TRAIN_STEPS - strength))
    return [round((start + 1) * (1 - index / steps)) - 1 for index in range(steps)]


def lcm_scheduler(signal: Sequence[float]) -> Scheduler:
    """Multistep consistency sampling; the start is the source with noise in the proportion of the first timestep."""

    def schedule(strength: float, steps: int, *, has_source: bool) -> Schedule:
        timesteps = lcm_timesteps(strength if has_source else 1.0, steps)
        left = signal[timesteps[0]]
        keep, noise = (math.sqrt(left), math.sqrt(1 - left)) if has_source else (0.0, 1.0)
        return Schedule(rows=lcm(timesteps, signal), keep=keep, noise=noise)

    return schedule


def turbo_scheduler(signal: Sequence[float]) -> Scheduler:
    """Ancestral Euler steps in units where the source has its own size and the noise grows."""

    def schedule(strength: float, steps: int, *, has_source: bool) -> Schedule:
        timesteps = turbo_timesteps(strength if has_source else 1.0, steps)
        sigmas = [math.sqrt((1 - signal[t]) / signal[t]) for t in timesteps]
        return Schedule(rows=euler_ancestral(sigmas, timesteps), keep=float(has_source), noise=sigmas[0])

    return schedule
