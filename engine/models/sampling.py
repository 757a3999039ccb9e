"""Few-step samplers as one line: x <- a x + b F(c_in x, t) + s noise, a row (t, c_in, a, b, s) for each pass.

Every sampler here is a pure function from noise levels to rows of float32 values, next to the paper that it comes from.
Conventions: the last row leads to a clean sample; `noise` is standard normal and fresh for each row. Imports no torch.
"""

import math
from collections.abc import Sequence

import numpy as np

Row = tuple[float, float, float, float, float]
Rows = tuple[Row, ...]


def _row(t: float, c_in: float, a: float, b: float, s: float) -> Row:
    numbers = np.asarray((t, c_in, a, b, s), np.float32)
    return float(numbers[0]), float(numbers[1]), float(numbers[2]), float(numbers[3]), float(numbers[4])


def flow_euler(sigmas: Sequence[float]) -> Rows:
    """Euler steps of a flow-matching model that predicts velocity (Lipman et al. 2023, arXiv:2210.02747).

    Args:
        sigmas: noise levels in (0, 1], falling; the schedule goes on to 0. `t` is sigma.
    """
    following = [*sigmas[1:], 0.0]
    return tuple(_row(now, 1.0, 1.0, after - now, 0.0) for now, after in zip(sigmas, following, strict=True))


def flow_euler_clean(sigmas: Sequence[float]) -> Rows:
    """The same steps where F predicts the clean sample: v = (x - F) / sigma put into `flow_euler`."""
    following = [*sigmas[1:], 0.0]
    return tuple(
        _row(now, 1.0, after / now, 1 - after / now, 0.0) for now, after in zip(sigmas, following, strict=True)
    )


def lcm(timesteps: Sequence[int], alphas_cumprod: Sequence[float], *, timestep_scaling: float = 10.0) -> Rows:
    """Multistep consistency sampling of a latent consistency model that predicts noise.

    Luo et al. 2023, arXiv:2310.04378, equations 9 and 10, algorithm 3. The boundary scalings c_skip and c_out keep
    F the identity at t = 0.

    Args:
        timesteps: falling, of the training schedule.
        alphas_cumprod: of the training schedule, indexed by timestep.
        timestep_scaling: stretches t before the scalings (10 in the released models).
    """
    sigma_data = 0.5
    rows = []
    for index, now in enumerate(timesteps):
        scaled = now * timestep_scaling
        skip = sigma_data**2 / (scaled**2 + sigma_data**2)
        out = scaled / math.sqrt(scaled**2 + sigma_data**2)
        signal, noise = math.sqrt(alphas_cumprod[now]), math.sqrt(1 - alphas_cumprod[now])
        keep, take = skip + out / signal, -out * noise / signal
        if index + 1 == len(timesteps):
            rows.append(_row(now, 1.0, keep, take, 0.0))
        else:
            after = alphas_cumprod[timesteps[index + 1]]
            scale = math.sqrt(after)
            rows.append(_row(now, 1.0, scale * keep, scale * take, math.sqrt(1 - after)))
    return tuple(rows)


def euler_ancestral(sigmas: Sequence[float], timesteps: Sequence[float]) -> Rows:
    """Ancestral Euler steps of a variance-exploding model that predicts noise.

    Karras et al. 2022, arXiv:2206.00364 (the scaling 1/sqrt(sigma^2 + 1) is the input's), and k-diffusion's
    `get_ancestral_step`.

    Args:
        sigmas: noise levels, falling; the schedule goes on to 0.
        timesteps: what the network is told at each of them.
    """
    rows = []
    for now, after, t in zip(sigmas, [*sigmas[1:], 0.0], timesteps, strict=True):
        fresh = math.sqrt(after**2 * (now**2 - after**2) / now**2)
        target = math.sqrt(after**2 - fresh**2)
        rows.append(_row(t, 1 / math.sqrt(now**2 + 1), 1.0, target - now, fresh))
    return tuple(rows)


def trigflow(angles: Sequence[float], *, sigma_data: float = 0.5) -> Rows:
    """Consistency sampling in TrigFlow (Lu & Song 2024, arXiv:2410.11081): x_t = cos(t) x_0 + sin(t) sigma_data z.

    F is sigma_data times the network, given x / sigma_data: x_0 = cos(t) x - sin(t) F.

    Args:
        angles: in (0, pi/2], falling; the schedule goes on to 0.
    """
    rows = []
    for now, after in zip(angles, [*angles[1:], 0.0], strict=True):
        keep, take = math.cos(after) * math.cos(now), -math.cos(after) * math.sin(now)
        rows.append(_row(now, 1 / sigma_data, keep, take, math.sin(after) * sigma_data))
    return tuple(rows)
