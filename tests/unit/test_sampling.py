"""The one-line samplers against diffusers' own schedulers, on the same recorded noise."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    SCMScheduler,
)
from diffusers.schedulers import (
    scheduling_euler_ancestral_discrete,
    scheduling_lcm,
    scheduling_scm,
)
from torch import Tensor

from liveglass.engine.models.sampling import Rows, euler_ancestral, flow_euler, flow_euler_clean, lcm, trigflow

SHAPE = (1, 4, 8, 8)
Network = Callable[[Tensor, float], Tensor]


def network(x: Tensor, t: float) -> Tensor:
    """Stands for a trained network: any smooth function of its input and its time."""
    return torch.tanh(0.7 * x + 0.3 * x.roll(1, -1)) * math.cos(0.001 * t) + 0.1 * math.sin(t)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Noise that the schedulers draw, in order, instead of their own."""
    torch.manual_seed(7)
    noise = [torch.randn(SHAPE) for _ in range(8)]
    for module in (scheduling_lcm, scheduling_euler_ancestral_discrete, scheduling_scm):
        drawn = iter(noise)

        def draw(*_args: Any, _drawn: Any = drawn, **_kwargs: Any) -> Tensor:
            return next(_drawn)

        monkeypatch.setattr(module, "randn_tensor", draw)
    return noise


def run(rows: Rows, x: Tensor, noise: Sequence[Tensor], predict: Network = network) -> Tensor:
    """What an adapter does with a table."""
    for (t, c_in, a, b, s), fresh in zip(rows, noise, strict=False):
        x = a * x + b * predict(c_in * x, t) + s * fresh
    return x


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_lcm_is_the_scheduler_of_diffusers(steps: int, recorded: list[Tensor]) -> None:
    scheduler = LCMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    scheduler.set_timesteps(steps)
    timesteps = [int(t) for t in scheduler.timesteps]
    start = torch.randn(SHAPE)
    theirs = start
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(theirs, float(t)), t, theirs, return_dict=False)[0]
    close(run(lcm(timesteps, scheduler.alphas_cumprod.tolist()), start, recorded), theirs)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_euler_ancestral_is_the_scheduler_of_diffusers(steps: int, recorded: list[Tensor]) -> None:
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    start = torch.randn(SHAPE) * scheduler.init_noise_sigma
    theirs = start
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(theirs, t)
        theirs = scheduler.step(network(scaled, float(t)), t, theirs, return_dict=False)[0]
    rows = euler_ancestral(scheduler.sigmas[:-1].tolist(), scheduler.timesteps.tolist())
    close(run(rows, start, recorded), theirs)


@pytest.mark.parametrize("sigmas", [(1.0, 0.818, 0.6, 0.333), (1.0, 0.5), (1.0,)])
def test_flow_euler_is_the_scheduler_of_diffusers(sigmas: tuple[float, ...], recorded: list[Tensor]) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=list(sigmas))
    start = torch.randn(SHAPE)
    theirs = start
    for t, sigma in zip(scheduler.timesteps, sigmas, strict=True):
        theirs = scheduler.step(network(theirs, sigma), t, theirs, return_dict=False)[0]
    close(run(flow_euler(sigmas), start, recorded), theirs)


def test_a_clean_prediction_walks_the_same_way_as_its_velocity(recorded: list[Tensor]) -> None:
    sigmas = (1.0, 0.818, 0.6, 0.333)

    def velocity(x: Tensor, sigma: float) -> Tensor:
        return (x - network(x, sigma)) / sigma

    start = torch.randn(SHAPE)
    ours = run(flow_euler_clean(sigmas), start, recorded)
    close(ours, run(flow_euler(sigmas), start, recorded, velocity))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_trigflow_is_the_scheduler_of_diffusers(steps: int, recorded: list[Tensor]) -> None:
    scheduler = SCMScheduler(sigma_data=0.5)
    scheduler.set_timesteps(steps, max_timesteps=1.5708, intermediate_timesteps=1.3 if steps == 2 else None)
    angles = scheduler.timesteps.tolist()
    start = torch.randn(SHAPE) * 0.5
    theirs = start
    for t in angles[:-1]:
        theirs = scheduler.step(0.5 * network(theirs / 0.5, t), t, theirs, return_dict=False)[0]

    def scaled(x: Tensor, t: float) -> Tensor:
        return 0.5 * network(x, t)

    close(run(trigflow(angles[:-1]), start, recorded, scaled), theirs)


@pytest.mark.parametrize("sigmas", [(1.0,), (1.0, 0.5), (0.9, 0.6, 0.3, 0.1)])
def test_the_last_row_of_a_flow_ends_at_the_prediction(sigmas: tuple[float, ...]) -> None:
    *_, (_, _, keep, take, fresh) = flow_euler_clean(sigmas)
    assert (keep, take, fresh) == (0.0, 1.0, 0.0)


def test_every_value_is_a_float32() -> None:
    alphas = [0.999**n for n in range(1000)]
    rows = [*flow_euler((1.0, 0.818, 0.6, 0.333)), *trigflow((1.5708, 1.1)), *lcm((999, 499), alphas)]
    assert all(value == float(torch.tensor(value, dtype=torch.float32)) for row in rows for value in row)
