"""How near things in a camera picture are, as a ControlNet was trained on it: for a batch, on the device.

The network is Depth Anything's (Yang et al. 2024, arXiv:2406.09414). It says how near a pixel is against the others of
its picture, in no unit. Runs in the worker process.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation

from liveglass.engine.errors import ModelFailed

_SCALE = 0.5
"""Of a picture's sides that the network sees: a hint is encoded to an eighth anyway."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the pictures that its backbone was trained on (ImageNet)."""


class DepthEstimator(nn.Module):
    """Sees depth in pictures. It takes `network` over.

    Raises:
        ModelFailed: the network says metres, which grow where a ControlNet expects less.
    """

    def __init__(self, network: DepthAnythingForDepthEstimation) -> None:
        super().__init__()
        if network.config.depth_estimation_type != "relative":
            raise ModelFailed("This depth estimator says metres; one of relative depth is needed.")
        self._network = network
        self._patch = int(network.config.patch_size)  # type: ignore[arg-type]  # one number in every checkpoint there is
        weight = next(network.parameters())
        self._mean, self._std = (
            torch.tensor(values, device=weight.device, dtype=weight.dtype).view(1, 3, 1, 1) for values in (_MEAN, _STD)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Depth of pixels `[B, 3, H, W]` in 0..1: 1 at the nearest of each picture, 0 at the farthest, thrice."""
        sides = tuple(max(1, round(_SCALE * side / self._patch)) * self._patch for side in pixels.shape[-2:])
        small = F.interpolate(pixels, sides, mode="bilinear", antialias=True)
        near = self._network((small - self._mean) / self._std).predicted_depth.float()
        low, high = near.amin((1, 2), keepdim=True), near.amax((1, 2), keepdim=True)
        near = (near - low) / (high - low).clamp_min(torch.finfo(near.dtype).tiny)
        whole = F.interpolate(near[:, None], pixels.shape[-2:], mode="bilinear")
        return whole.to(pixels.dtype).expand(-1, 3, -1, -1)
