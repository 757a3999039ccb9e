"""Losses: pixels for what is determined, texture for what is not.

Sliced Wasserstein distance between patches (Heitz et al., 2021, in pixel space) is the one that keeps grain, flames and
waves from turning into fog.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor


def pyramid(picture: Tensor, levels: int = 3) -> list[Tensor]:
    """Laplacian pyramid, finest first, with the low pass last."""
    bands = []
    for _ in range(levels):
        smaller = F.avg_pool2d(picture, 2)
        bands.append(picture - F.interpolate(smaller, scale_factor=2.0, mode="bilinear", align_corners=False))
        picture = smaller
    return [*bands, picture]


def pixel_loss(made: Tensor, target: Tensor, fine: Tensor) -> Tensor:
    """L1 on pixels and on four Laplacian levels; `fine` `[B]` weighs pixels and the two finest levels of each row."""
    weights = fine[:, None, None, None]
    loss = ((made - target).abs() * weights).mean()
    for level, (ours, theirs) in enumerate(zip(pyramid(made), pyramid(target), strict=True)):
        difference = (ours - theirs).abs()
        loss = loss + ((difference * weights).mean() if level < 2 else difference.mean())
    return loss


def texture_loss(made: Tensor, target: Tensor, projections: int = 24, patch: int = 5) -> Tensor:
    """Sliced Wasserstein distance of `patch` x `patch` neighbourhoods at two sizes, from a random offset."""
    down, across = (int(torch.randint(0, 2, ()).item()) for _ in range(2))
    made, target = made[..., down:, across:], target[..., down:, across:]
    loss = made.new_zeros(())
    for scale in range(2):
        if scale:
            made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
        filters = torch.randn(projections, 3, patch, patch)
        filters = filters - filters.mean((2, 3), keepdim=True)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        ours = F.conv2d(made, filters, stride=2).flatten(2).sort(2)[0]
        theirs = F.conv2d(target, filters, stride=2).flatten(2).sort(2)[0]
        loss = loss + (ours - theirs).abs().mean()
    return loss


def hue_loss(made: Tensor, target: Tensor) -> Tensor:
    """L1 on colour without brightness, over 4 x 4 pixels: thin coloured lines count for their colour."""
    difference = F.avg_pool2d(made - target, 4)
    return (difference - difference.mean(1, keepdim=True)).abs().mean()
