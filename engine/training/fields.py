"""Random fields, filters and colour maps: what the style and scene programs are made of.

Pure batched torch functions on float32 pictures `[B, 3, H, W]` or planes `[B, 1, H, W]` in 0..1. Randomness comes
from torch's global generator, so a seeded run is repeatable, on torch's default device, as everything that is made
here. Used by training only.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

Colour = tuple[float, float, float]

_SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))


def from_bytes(values: NDArray[np.uint8]) -> Tensor:
    """uint8 of any shape as floats in 0..1, copied to the default device."""
    return torch.from_numpy(values.copy()).to(torch.get_default_device()).float() / 255


def to_bytes(picture: Tensor) -> NDArray[np.uint8]:
    """Floats in 0..1, clamped, as uint8 in memory."""
    values: NDArray[np.uint8] = (picture.clamp(0, 1) * 255 + 0.5).byte().cpu().numpy()
    return values


def pad_edge(picture: Tensor, reach: int) -> Tensor:
    """Repeat the border `reach` pixels outwards on every side."""
    return F.pad(picture, (reach, reach, reach, reach), mode="replicate")


def blur(picture: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with standard deviation `sigma` in pixels; the border is repeated."""
    reach = max(1, int(3 * sigma + 0.5))
    taps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-taps * taps / (2 * sigma * sigma))
    kernel = kernel / kernel.sum()
    batch, channels, height, width = picture.shape
    planes = pad_edge(picture, reach).reshape(batch * channels, 1, height + 2 * reach, width + 2 * reach)
    planes = F.conv2d(planes, kernel.view(1, 1, 1, -1))
    return F.conv2d(planes, kernel.view(1, 1, -1, 1)).reshape(batch, channels, height, width)


def luma(picture: Tensor) -> Tensor:
    """BT.601 brightness `[B, 1, H, W]`."""
    return 0.299 * picture[:, :1] + 0.587 * picture[:, 1:2] + 0.114 * picture[:, 2:3]


def gradient(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel derivatives (across, down), scaled so that a unit ramp gives 1."""
    padded = pad_edge(plane, 1)
    kernel = torch.tensor(_SOBEL) / 8
    return F.conv2d(padded, kernel[None, None]), F.conv2d(padded, kernel.t()[None, None])


def edges(plane: Tensor) -> Tensor:
    """Magnitude of the Sobel gradient."""
    across, down = gradient(plane)
    return (across * across + down * down + 1e-8).sqrt()


def saturate(picture: Tensor, amount: float) -> Tensor:
    """Move every pixel away from its own grey by `amount` (1 leaves it)."""
    grey = luma(picture)
    return (grey + (picture - grey) * amount).clamp(0, 1)


def contrast(picture: Tensor, amount: float) -> Tensor:
    """Stretch around middle grey."""
    return ((picture - 0.5) * amount + 0.5).clamp(0, 1)


def colour_plane(colour: Colour) -> Tensor:
    """A colour as `[1, 3, 1, 1]`, to broadcast over a picture."""
    return torch.tensor(colour).view(1, 3, 1, 1)


def lerp(start: Tensor, end: Tensor, amount: Tensor | float) -> Tensor:
    """`start` where amount is 0, `end` where it is 1."""
    return start + (end - start) * amount


def colour_map(plane: Tensor, stops: Sequence[Colour]) -> Tensor:
    """Look brightness `[B, 1, H, W]` up in evenly spaced colour stops."""
    table = torch.tensor(stops, dtype=torch.float32)
    last = len(stops) - 1
    position = plane.clamp(0, 1) * last
    index = position.floor().clamp(max=last - 1).long()
    below = table[index[:, 0]].permute(0, 3, 1, 2)
    above = table[index[:, 0] + 1].permute(0, 3, 1, 2)
    return lerp(below, above, position - index)


def pixel_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column numbers as `[1, 1, H, 1]` and `[1, 1, 1, W]`."""
    rows = torch.arange(height, dtype=torch.float32).view(1, 1, -1, 1)
    columns = torch.arange(width, dtype=torch.float32).view(1, 1, 1, -1)
    return rows, columns


def uniform(batch: int, low: float, high: float) -> Tensor:
    """One number for each picture, `[B, 1, 1, 1]`."""
    return low + (high - low) * torch.rand(batch, 1, 1, 1)


def value_noise(batch: int, height: int, width: int, across: float, down: float | None = None) -> Tensor:
    """Smooth noise in 0..1 whose bumps are about `across` x `down` pixels."""
    down = down or across
    grid = torch.rand(batch, 1, max(2, int(height / down) + 2), max(2, int(width / across) + 2))
    return F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)


def cloud(batch: int, height: int, width: int, across: float, *, down: float | None = None, octaves: int = 4) -> Tensor:
    """Fractal noise in 0..1, largest bumps `across` x `down` pixels."""
    down = down or across
    total = torch.zeros(batch, 1, height, width)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        scale = 2**octave
        total = total + weight * value_noise(batch, height, width, max(1.0, across / scale), max(1.0, down / scale))
        weights += weight
        weight *= 0.55
    return ((total / weights - 0.5) * 1.7 + 0.5).clamp(0, 1)


def stroke_kernel(length: int, angle: float) -> Tensor:
    """A normalised line of `length` pixels at `angle` radians, `[1, 1, length, length]`."""
    kernel = torch.zeros(length, length)
    centre = length // 2
    for step in torch.linspace(-centre, centre, 4 * length).tolist():
        kernel[round(centre + step * math.sin(angle)), round(centre + step * math.cos(angle))] = 1
    return (kernel / kernel.sum())[None, None]


def kuwahara(picture: Tensor, reach: int) -> Tensor:
    """Edge-keeping smoothing: every pixel takes the mean of its calmest quadrant (Kuwahara, 1976)."""
    grey = luma(picture)
    mean = F.avg_pool2d(pad_edge(picture, reach), reach + 1, 1)
    mean_grey = F.avg_pool2d(pad_edge(grey, reach), reach + 1, 1)
    spread = F.avg_pool2d(pad_edge(grey * grey, reach), reach + 1, 1) - mean_grey**2
    height, width = picture.shape[-2:]
    means, spreads = [], []
    for down in (0, reach):
        for across in (0, reach):
            means.append(mean[..., down : down + height, across : across + width])
            spreads.append(spread[..., down : down + height, across : across + width])
    weights = torch.softmax(-torch.cat(spreads, 1) * 2000, 1)
    return cast("Tensor", sum(weights[:, index : index + 1] * part for index, part in enumerate(means)))


def step_edge(distance: Tensor, sharpness: float = 80.0) -> Tensor:
    """A soft step from 0 to 1 where `distance` crosses 0."""
    return torch.sigmoid(distance * sharpness)
