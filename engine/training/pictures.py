"""Camera pictures to train on: photograph crops, drawn compositions and what cameras do to both.

`picture` makes one; `pool` makes many once, as bytes, so that training only crops and recolours. Held-out photographs
never enter.
"""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.training.fields import cloud, colour_map, colour_plane, lerp, to_bytes, uniform

_PHOTO_WEIGHTS = (3.0, 3.0, 3.0, 2.0, 0.5, 0.5, 0.5, 0.5)


def _chance(share: float) -> bool:
    return bool(torch.rand(()).item() < share)


def _number(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()).item())


def _whole(low: int, high: int) -> int:
    return int(torch.randint(low, high, ()).item())


def crop_photograph(photograph: Tensor, size: int) -> Tensor:
    """A random square of a photograph `[3, H, W]`, resized to `[3, size, size]`, mirrored half of the time."""
    _, height, width = photograph.shape
    side = int(min(height, width) * _number(0.35, 1.0))
    top, left = _whole(0, height - side + 1), _whole(0, width - side + 1)
    square = photograph[None, :, top : top + side, left : left + side]
    mode = "area" if side >= size else "bicubic"
    square = F.interpolate(square, size=(size, size), mode=mode)[0].clamp(0, 1)
    return square.flip(2) if _chance(0.5) else square


def _ellipse(across: Tensor, down: Tensor, radii: tuple[float, float], hard: float) -> Tensor:
    return torch.sigmoid((1 - (across / radii[0]) ** 2 - (down / radii[1]) ** 2) * hard)


def _add_person(picture: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Shoulders, hair, a face with eyes and mouth: enough of a person to learn from."""
    size = _number(0.12, 0.27)
    x = (across - _number(0.3, 0.7)) / size
    y = (down - _number(0.3, 0.6)) / size
    skin = colour_map(torch.rand(1, 1, 1, 1), [(0.95, 0.78, 0.66), (0.80, 0.58, 0.44), (0.42, 0.27, 0.19)])
    cloth, hair = torch.rand(1, 3, 1, 1) * 0.8, torch.rand(1, 3, 1, 1) * 0.4
    cloth = cloth * (0.8 + 0.3 * cloud(1, picture.shape[-2], picture.shape[-1], 20))
    picture = lerp(picture, cloth, _ellipse(x, y - 2.3, (1.7, 1.3), 8))
    picture = lerp(picture, hair, _ellipse(x, y + 0.25, (0.95, 1.2), 8))
    light = 0.75 + 0.5 * (1 - (x + 0.3) / 2).clamp(0, 1) * 0.8
    picture = lerp(picture, skin * light, _ellipse(x, y, (0.75, 1.0), 8))
    for side in (-0.3, 0.3):
        picture = lerp(picture, colour_plane((0.95, 0.95, 0.95)), _ellipse(x - side, y + 0.1, (0.15, 0.08), 8) * 0.8)
        picture = lerp(picture, colour_plane((0.1, 0.08, 0.06)), _ellipse(x - side, y + 0.1, (0.07, 0.08), 8))
        picture = lerp(picture, hair * 0.6, _ellipse(x - side, y + 0.28, (0.2, 0.04), 8) * 0.7)
    picture = lerp(picture, colour_plane((0.6, 0.25, 0.25)), _ellipse(x, y - 0.5, (0.28, 0.08), 8) * 0.8)
    return picture * (1 - 0.2 * _ellipse(x - 0.05, y - 0.15, (0.1, 0.2), 8))


def _add_shape(picture: Tensor, down: Tensor, across: Tensor) -> Tensor:
    size = picture.shape[-1]
    width, height = _number(0.02, 0.30), _number(0.02, 0.30)
    angle = torch.tensor(_number(0.0, 3.14))
    x, y = across - _number(0, 1), down - _number(0, 1)
    along, beside = x * torch.cos(angle) + y * torch.sin(angle), y * torch.cos(angle) - x * torch.sin(angle)
    hard = _number(8, 68)
    kind = _whole(0, 4)
    if kind == 0:
        mask = _ellipse(along, beside, (width, height), hard * 0.15)
    elif kind == 1:
        mask = torch.sigmoid((width - along.abs()) * hard * 3) * torch.sigmoid((height - beside.abs()) * hard * 3)
    elif kind == 2:
        mask = torch.sigmoid((_number(0.006, 0.016) - beside.abs()) * 300) * (along.abs() < width * 2)
    else:
        mask = torch.sigmoid((cloud(1, size, size, 40) - 0.62) * 30)
    colour = torch.rand(1, 3, 1, 1) * (0.7 + 0.6 * (along * 2 + 0.5).clamp(0, 1))
    if _chance(0.25):
        colour = colour * (0.7 + 0.6 * cloud(1, size, size, 4, octaves=3))
    return lerp(picture, colour, mask)


def composition(size: int) -> Tensor:
    """A drawn picture `[3, size, size]`: a gradient, soft and hard shapes, often a person."""
    places = (torch.arange(size) + 0.5) / size
    down, across = places.view(1, 1, -1, 1), places.view(1, 1, 1, -1)
    angle = torch.tensor(_number(0, 6.28))
    ramp = (torch.cos(angle) * (across - 0.5) + torch.sin(angle) * (down - 0.5) + 0.5).clamp(0, 1)
    picture = lerp(torch.rand(1, 3, 1, 1), torch.rand(1, 3, 1, 1), ramp)
    if _chance(0.5):
        picture = picture * (0.6 + 0.8 * cloud(1, size, size, _number(2, 62)))
    for _ in range(_whole(3, 12)):
        picture = _add_shape(picture, down, across)
    if _chance(0.45):
        picture = _add_person(picture, down, across)
    return picture.clamp(0, 1)[0]


def picture(photographs: list[Tensor], size: int) -> Tensor:
    """One camera picture `[3, size, size]` in 0..1."""
    kind = _number(0, 1)
    if kind < 0.35:
        result = composition(size)
    else:
        chosen = int(torch.multinomial(torch.tensor(_PHOTO_WEIGHTS[: len(photographs)]), 1).item())
        result = crop_photograph(photographs[chosen], size)
        if kind < 0.55:
            second = photographs[_whole(0, len(photographs))]
            other = composition(size) if kind < 0.42 else crop_photograph(second, size)
            mask = torch.sigmoid((cloud(1, size, size, 110, octaves=3) - 0.5) * 60)[0]
            result = lerp(other, result, mask)
    if _chance(0.3):
        result = result + torch.randn_like(result) * 0.02 * _number(0, 1)
    return result.clamp(0, 1)


def ramps(count: int, height: int, width: int) -> Tensor:
    """Plain walls and skies, `[count, 3, height, width]`: one colour or a soft change between two, a little grain."""
    down = torch.linspace(-1, 1, height).view(1, 1, -1, 1)
    across = torch.linspace(-1, 1, width).view(1, 1, 1, -1)
    angle = uniform(count, 0, 6.28)
    share = (0.5 + 0.5 * (torch.cos(angle) * across + torch.sin(angle) * down)).clamp(0, 1)
    first = torch.rand(count, 3, 1, 1)
    second = lerp(first, torch.rand(count, 3, 1, 1), uniform(count, 0, 1) ** 2)
    grain = torch.randn(count, 3, height, width) * 0.015 * uniform(count, 0, 1)
    return (lerp(first, second, share) + grain).clamp(0, 1)


def recolour(pictures: Tensor) -> Tensor:
    """What light and cameras do: exposure up to a burnt-out sky, white balance, gamma. `[B, 3, H, W]`."""
    batch = pictures.shape[0]
    exposure = torch.where(torch.rand(batch, 1, 1, 1) < 0.45, uniform(batch, 0.6, 2.4), torch.ones(1))
    gains = torch.where(torch.rand(batch, 1, 1, 1) < 0.5, 0.75 + 0.5 * torch.rand(batch, 3, 1, 1), torch.ones(1))
    gains = gains * exposure
    gamma = torch.where(torch.rand(batch, 1, 1, 1) < 0.6, uniform(batch, 0.6, 1.5), torch.ones(1))
    pictures = (pictures * gains).clamp(0.001, 1) ** gamma
    if _chance(0.2):
        pictures = pictures[:, torch.randperm(3)]
    return pictures


def pool(photographs: list[Tensor], count: int, size: int) -> NDArray[np.uint8]:
    """`count` camera pictures as uint8 `[count, 3, size, size]`."""
    pictures = np.empty((count, 3, size, size), np.uint8)
    for index in range(count):
        pictures[index] = to_bytes(picture(photographs, size))
    return pictures
