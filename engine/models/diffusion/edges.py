"""The edges of a camera picture as a ControlNet was trained on them: Canny's method, for a batch, on the device.

OpenCV's runs on the CPU, and others' follow weak edges until none is left, which the host has to wait for. Here weak
edges are followed for a fixed number of pixels, so that it can be part of a captured graph. Runs in the worker process.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

LOW, HIGH = 100.0, 200.0
"""Of a gradient in levels, as the ControlNet's own authors draw their edges."""

_FOLLOWED = 16
"""Pixels along which a weak edge is followed from a strong one."""

_SMOOTH = (2, 4, 5, 4, 2), (4, 9, 12, 9, 4), (5, 12, 15, 12, 5), (4, 9, 12, 9, 4), (2, 4, 5, 4, 2)
_ACROSS = (-1, 0, 1), (-2, 0, 2), (-1, 0, 1)
_LUMA = (0.299, 0.587, 0.114)
_TURNS = ((0, 1), (1, 1), (1, 0), (1, -1))
"""Where the neighbours of a pixel lie along its gradient: right, down and right, down, down and left."""


class EdgeDetector(nn.Module):
    """Sees edges in pictures. What it computes with is on its device from the start: a graph takes nothing there."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self._luma = torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)
        self._smooth = torch.tensor(_SMOOTH, device=device) / 159
        self._across = torch.tensor(_ACROSS, device=device, dtype=torch.float32)

    def forward(self, pixels: Tensor) -> Tensor:
        """Edges of pixels `[B, 3, H, W]` in 0..1 (Canny 1986): 1 at an edge, else 0, as three equal channels."""
        grey = 255 * (pixels.float() * self._luma).sum(1, keepdim=True)
        smooth = _filtered(grey, self._smooth)
        across, down = _filtered(smooth, self._across), _filtered(smooth, self._across.T)
        strength = across.abs() + down.abs()
        thin = torch.where(_is_ridge(strength, across, down), strength, 0.0)
        strong, weak = (thin > HIGH).float(), (thin > LOW).float()
        for _ in range(_FOLLOWED):
            strong = F.max_pool2d(strong, 3, 1, 1) * weak
        return strong.to(pixels.dtype).expand(-1, 3, -1, -1)


def _filtered(x: Tensor, kernel: Tensor) -> Tensor:
    edge = kernel.shape[-1] // 2
    return F.conv2d(F.pad(x, (edge,) * 4, mode="replicate"), kernel[None, None])


def _is_ridge(strength: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Where no neighbour along the gradient is stronger."""
    eighths = torch.round(torch.atan2(down, across) / (torch.pi / 4)).long() % 4
    height, width = strength.shape[-2:]
    around = F.pad(strength, (1, 1, 1, 1))
    ridge = torch.zeros_like(strength, dtype=torch.bool)
    for turn, (y, x) in enumerate(_TURNS):
        ahead = around[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]
        behind = around[..., 1 - y : 1 - y + height, 1 - x : 1 - x + width]
        ridge |= (eighths == turn) & (strength > behind) & (strength >= ahead)
    return ridge
