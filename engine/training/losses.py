"""Losses: pixels for what is determined, texture for what is not.

Sliced Wasserstein distance between patches (Heitz et al., 2021, in pixel space) is the one that keeps grain, flames and
waves from turning into fog.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

_RIM = 3
_RIM_WEIGHT = 3.0
_WINDOW = 64
_STRIDE = 3


def pyramid(picture: Tensor, levels: int = 3) -> list[Tensor]:
    """Laplacian pyramid, finest first, with the low pass last."""
    bands = []
    for _ in range(levels):
        smaller = F.avg_pool2d(picture, 2)
        bands.append(picture - F.interpolate(smaller, scale_factor=2.0, mode="bilinear", align_corners=False))
        picture = smaller
    return [*bands, picture]


def standing_out(picture: Tensor) -> Tensor:
    """How far each pixel is from the mean of the 9 x 9 around it, `[B, 1, H, W]` in 0..1."""
    around = F.avg_pool2d(picture, 9, 1, 4, count_include_pad=False)
    return (picture - around).abs().amax(1, keepdim=True)


def pixel_loss(made: Tensor, target: Tensor, fine: Tensor, points: Tensor | None = None) -> Tensor:
    """L1 on pixels and on four Laplacian levels; `fine` `[B]` weighs pixels and the two finest levels of each row.

    The outermost pixels count three times: there every convolution sees an edge that the program does not. What stands
    out of the target counts more by `points` `[B]`: a star is a pixel in a hundred, and its mean error is nothing.
    """
    weights = fine[:, None, None, None]
    rim = torch.full((1, 1, *made.shape[-2:]), _RIM_WEIGHT)
    rim[..., _RIM:-_RIM, _RIM:-_RIM] = 1
    if points is not None:
        rim = rim * (1 + points[:, None, None, None] * standing_out(target))
    loss = ((made - target).abs() * weights * rim).mean()
    for level, (ours, theirs) in enumerate(zip(pyramid(made), pyramid(target), strict=True)):
        difference = (ours - theirs).abs()
        loss = loss + ((difference * weights).mean() if level < 2 else difference.mean())
    return loss


def texture_loss(made: Tensor, target: Tensor, projections: int = 16, patch: int = 5) -> Tensor:
    """Sliced Wasserstein distance of `patch` x `patch` neighbourhoods at two sizes, from a random offset."""
    down, across = (int(torch.randint(0, _STRIDE, ()).item()) for _ in range(2))
    made, target = made[..., down:, across:], target[..., down:, across:]
    loss = made.new_zeros(())
    for scale in range(2):
        if scale:
            made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
        filters = torch.randn(projections, 3, patch, patch)
        filters = filters - filters.mean((2, 3), keepdim=True)
        filters = filters / filters.flatten(1).norm(dim=1)[:, None, None, None]
        ours = F.conv2d(made, filters, stride=_STRIDE).flatten(2).sort(2)[0]
        theirs = F.conv2d(target, filters, stride=_STRIDE).flatten(2).sort(2)[0]
        loss = loss + (ours - theirs).abs().mean()
    return loss


def weave_loss(made: Tensor, target: Tensor) -> Tensor:
    """What of the error repeats every 8 pixels, within windows of 64: root mean square over the 64 phases.

    A network that works at 1/8 of the size has 64 kinds of pixels; on a plain wall their small differences show as a
    weave that no other loss minds.
    """
    error = made - target
    height, width = (min(_WINDOW, side // 8 * 8) for side in error.shape[-2:])
    windows = error.unfold(2, height, height).unfold(3, width, width)
    folded = windows.reshape(*windows.shape[:4], height // 8, 8, width // 8, 8).mean((4, 6))
    folded = folded - folded.mean((-2, -1), keepdim=True)
    loss: Tensor = (folded.pow(2).mean((-2, -1)) + 1e-8).sqrt().mean()
    return loss


def hue_loss(made: Tensor, target: Tensor) -> Tensor:
    """L1 on colour without brightness, over 4 x 4 pixels: thin coloured lines count for their colour."""
    difference = F.avg_pool2d(made - target, 4)
    return (difference - difference.mean(1, keepdim=True)).abs().mean()
