"""Where a frame starts and which passes lead it home, by preset and strength; pure.

Strength says where a frame starts and never how many passes it takes (stock image-to-image makes
`int(steps * strength)` of them). Without a source every frame starts from noise alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from liveglass.engine.models.base import Schedule
from liveglass.engine.models.sampling import euler_ancestral, flow_euler, lcm

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


class FlowScheduler(Protocol):
    """How a flow-matching family comes from noise to a picture: it counts the tokens of the picture, too."""

    def __call__(self, strength: float, steps: int, tokens: int, *, has_source: bool) -> Schedule:
        """The schedule of `steps` passes over `tokens` tokens from where `strength` (0 to 1) starts."""
        ...


Shift = Callable[[int, int], float]
"""Tokens of a picture and its passes, to how much longer passes stay where there is much noise; 1: evenly."""


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


def klein_shift(tokens: int, steps: int) -> float:
    """The shift of FLUX.2's noise levels, which its authors fitted at 10 and at 200 steps; on a line between them."""
    at_200 = 1.6927e-4 * tokens + 0.45666666
    if tokens > _MANY_TOKENS:
        return math.exp(at_200)
    at_10 = 8.73809524e-5 * tokens + 1.89833333
    return math.exp(at_10 + (at_200 - at_10) * (steps - 10) / 190)


_MANY_TOKENS = 4300
"""From here on the shift does not depend on the steps."""


def flow_sigmas(strength: float, steps: int, shift: float) -> list[float]:
    """Falling noise levels from `strength`, evenly in the time of training: the stock levels where it is 1.

    Esser et al. 2024, arXiv:2403.03206, equation 23: the level at time u is shift u / (1 + (shift - 1) u).
    """
    start = strength / (shift + (1 - shift) * strength)
    times = [start * (1 - index / steps) for index in range(steps)]
    return [shift * time / (1 + (shift - 1) * time) for time in times]


def flow_scheduler(shift: Shift) -> FlowScheduler:
    """Flow-matching Euler steps; the start is the source and noise on the straight line between them."""

    def schedule(strength: float, steps: int, tokens: int, *, has_source: bool) -> Schedule:
        sigmas = flow_sigmas(strength if has_source else 1.0, steps, shift(tokens, steps))
        return Schedule(rows=flow_euler(sigmas), keep=1 - sigmas[0], noise=sigmas[0])

    return schedule
