"""The randomness of a style program, thrown with the very noise that the model paints from.

A program that throws dice of its own cannot be imitated: the best answer to all of its throws at once is their mean,
which is fog. Thrown with the model's noise, grain and flames are a function of what the model is given, and can be
learnt to the pixel. Another seed is another throw, for both.
"""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from liveglass.engine.models.nano.network import LATENT_CHANNELS, TEXTURE_CHANNELS
from liveglass.engine.training.fields import stroke_kernel

_FROM_START = 16
"""Bumps of so many pixels and more come from the starting noise, which the denoiser sees; finer ones from the rest."""
_BUMP_SIGMA = 0.42
_DEPTH = 0.2


class Dice:
    """One throw for pictures of `height` x `width`, from starting noise and decoder noise.

    Args:
        start: `[B, 12, ceil(height / 8), ceil(width / 8)]`, normal.
        noise: `[B, 4, ceil(height / 2), ceil(width / 2)]`, normal.
    """

    def __init__(self, start: Tensor, noise: Tensor, height: int, width: int) -> None:
        self._coarse = F.pixel_shuffle(start, 2)
        self._fine = noise
        self._size = (height, width)
        self._thrown = 0

    @classmethod
    def thrown(cls, count: int, height: int, width: int) -> "Dice":
        """A throw by torch's global generator."""
        return cls(*noises(count, height, width), height, width)

    def _plane(self, planes: Tensor) -> Tensor:
        self._thrown += 1
        channel = self._thrown % planes.shape[1]
        return planes[:, channel : channel + 1]

    def white(self) -> Tensor:
        """Independent normal values for each pixel, `[B, 1, H, W]`."""
        height, width = self._size
        return F.pixel_shuffle(self._fine, 2)[..., :height, :width]

    def grain(self, sigma: float) -> Tensor:
        """White noise blurred by `sigma` pixels, of unit variance, `[B, 1, H, W]`."""
        return _blurred(self.white(), sigma, sigma)

    def bumps(self, across: float, down: float | None = None) -> Tensor:
        """Smooth noise in 0..1 whose bumps are about `across` x `down` pixels, `[B, 1, H, W]`."""
        down = down or across
        planes, cell = (self._coarse, 4) if max(across, down) >= _FROM_START else (self._fine, 2)
        plane = _blurred(self._plane(planes), _BUMP_SIGMA * down / cell, _BUMP_SIGMA * across / cell)
        whole = F.interpolate(plane, scale_factor=float(cell), mode="bilinear", align_corners=False)
        height, width = self._size
        return (0.5 + _DEPTH * whole[..., :height, :width]).clamp(0, 1)

    def cloud(self, across: float, down: float | None = None, *, octaves: int = 3) -> Tensor:
        """Fractal noise in 0..1, largest bumps `across` x `down` pixels, `[B, 1, H, W]`."""
        weights = [0.55**octave for octave in range(octaves)]
        layers = [self.bumps(across / 2**octave, (down or across) / 2**octave) for octave in range(octaves)]
        total = sum((weight * layer for weight, layer in zip(weights, layers, strict=True)), torch.zeros(()))
        return ((total / sum(weights) - 0.5) * 1.7 + 0.5).clamp(0, 1)

    def strokes(self, angle: float, length: int) -> Tensor:
        """Grain smeared along `angle` radians over `length` pixels: unit variance, mean 0, `[B, 1, H, W]`."""
        kernel = stroke_kernel(length, angle)
        reach = length // 2
        smeared = F.conv2d(F.pad(self.grain(0.7), (reach,) * 4, mode="replicate"), kernel)
        return smeared / smeared.std((2, 3), keepdim=True)


def noises(count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Starting noise and decoder noise for `count` pictures of `height` x `width`."""
    start = torch.randn(count, LATENT_CHANNELS, math.ceil(height / 8), math.ceil(width / 8))
    return start, torch.randn(count, TEXTURE_CHANNELS, math.ceil(height / 2), math.ceil(width / 2))


def _blurred(plane: Tensor, down: float, across: float) -> Tensor:
    """A Gaussian blur of white noise by `down` x `across` cells that keeps its variance."""
    (rows, tall), (columns, wide) = _taps(down), _taps(across)
    plane = F.pad(plane, (wide, wide, tall, tall), mode="replicate")
    return F.conv2d(F.conv2d(plane, columns.view(1, 1, 1, -1)), rows.view(1, 1, -1, 1))


def _taps(sigma: float) -> tuple[Tensor, int]:
    reach = max(1, round(2.5 * sigma))
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    taps = torch.exp(-places * places / (2 * max(sigma, 0.05) ** 2))
    return taps / taps.norm(), reach
