"""The scene programs: backgrounds that the built-in model learns to paint from words.

Each paints pictures `[B, 3, height, width]` in 0..1 of any aspect. Where things lie is fixed for each scene; clouds,
waves, grass, lamps and stars are thrown with dice, so that a scene is a function of its noise and can be learnt to the
pixel. They are made soft on purpose: a background behind a person is out of focus.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from liveglass.engine.training.dice import Dice
from liveglass.engine.training.fields import Colour, blur, colour_map, colour_plane, lerp, pixel_grid, step_edge

Scene = Callable[[Dice, int, int], Tensor]


def _frame(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Places down and across in 0..1, `[1, 1, height, width]` each."""
    rows, columns = pixel_grid(height, width)
    down = ((rows + 0.5) / height).expand(1, 1, height, width)
    return down, ((columns + 0.5) / width).expand(1, 1, height, width)


def _from(down: Tensor, across: Tensor, centre_down: float, centre_across: float) -> Tensor:
    """Distance from a point in units of the picture's height."""
    aspect = across.shape[-1] / across.shape[-2]
    return (((across - centre_across) * aspect) ** 2 + (down - centre_down) ** 2).sqrt()


def _hill(across: Tensor, base: float, height: float, turns: float, shift: float) -> Tensor:
    """A skyline: how far down it lies at each place across."""
    waves = torch.sin(2 * math.pi * (turns * across + shift)) + 0.5 * torch.sin(
        2 * math.pi * (2.3 * turns * across + 2 * shift)
    )
    return base - height * waves / 1.5


def _points(dice: Dice, rare: float, sigma: float) -> Tensor:
    """Points of light where white noise is over `rare` deviations, blurred by `sigma`, their middles near 1."""
    seeds = (dice.white() - rare).clamp(0, 0.6) / 0.6
    return (blur(seeds, sigma) * (2 * math.pi * sigma * sigma)).clamp(0, 1)


def _discs(seeds: Tensor, radius: int) -> Tensor:
    """Every seed as a disc of that many pixels, as a lens out of focus shows a lamp; a little brighter at its rim."""
    rows, columns = pixel_grid(2 * radius + 3, 2 * radius + 3)
    distance = ((rows - radius - 1) ** 2 + (columns - radius - 1) ** 2).sqrt()
    disc = (radius + 0.5 - distance).clamp(0, 1) * (0.8 + 0.2 * distance / radius)
    return F.conv2d(seeds, disc, padding=radius + 1)


def sunset(dice: Dice, height: int, width: int) -> Tensor:
    """A low sun over the sea."""
    down, across = _frame(height, width)
    horizon, sun = 0.60, (0.50, 0.34)
    stops = [(0.15, 0.12, 0.35), (0.45, 0.22, 0.48), (0.85, 0.40, 0.42), (1.0, 0.62, 0.35), (1.0, 0.80, 0.50)]
    sky = colour_map(down / horizon, stops)
    distance = _from(down, across, *sun)
    sky = sky + torch.exp(-distance * 6) * colour_plane((0.4, 0.24, 0.06))
    clouds = ((dice.cloud(width * 0.30, height * 0.10) - 0.50) * 3.5).clamp(0, 1)
    above = ((1 - down / horizon).clamp(0, 1) * 1.6).clamp(0, 1)
    sky = lerp(sky, colour_plane((0.80, 0.36, 0.42)), clouds * above * 0.75)
    sky = lerp(sky, colour_plane((1.0, 0.95, 0.78)), step_edge(0.075 - distance, 90))
    depth = ((down - horizon) / (1 - horizon)).clamp(0, 1)
    waves = dice.cloud(36, 6, octaves=2)
    sea = colour_map(depth, [(0.95, 0.60, 0.42), (0.45, 0.30, 0.45), (0.12, 0.14, 0.30)]) * (0.7 + 0.6 * waves)
    path = torch.exp(-(((across - sun[1]) / (0.04 + 0.12 * depth)) ** 2))
    sea = sea + path * ((waves - 0.40) * 4).clamp(0, 1) * (1 - 0.5 * depth) * colour_plane((0.85, 0.60, 0.30))
    return lerp(sky, sea, step_edge(down - horizon, 160))


def beach(dice: Dice, height: int, width: int) -> Tensor:
    """Sand, surf and a bright sky."""
    down, across = _frame(height, width)
    horizon = 0.46
    sky = colour_map(down * 1.9, [(0.22, 0.52, 0.88), (0.50, 0.75, 0.95), (0.85, 0.94, 0.98)])
    clouds = ((dice.cloud(80, 34) - 0.52) * 4).clamp(0, 0.95) * step_edge(horizon - 0.05 - down, 30)
    picture = lerp(sky, torch.ones_like(sky), clouds)
    depth = ((down - horizon) / 0.26).clamp(0, 1)
    sea = colour_map(depth, [(0.05, 0.35, 0.62), (0.10, 0.58, 0.72), (0.45, 0.85, 0.82)])
    sea = sea * (0.75 + 0.5 * dice.cloud(44, 6, octaves=2))
    picture = lerp(picture, sea, step_edge(down - horizon, 160))
    shore = _hill(across, 0.73, 0.03, 1.1, 0.1) + 0.06 * (dice.bumps(40, 20) - 0.5)
    sand = colour_plane((0.93, 0.83, 0.64)) * (0.86 + 0.28 * dice.bumps(5))
    picture = lerp(picture, sand, step_edge(down - shore, 90))
    foam = torch.exp(-(((down - shore) / 0.018) ** 2)) * (0.5 + 0.9 * dice.bumps(9, 5))
    return lerp(picture, torch.ones_like(picture), foam.clamp(0, 1))


def desert(dice: Dice, height: int, width: int) -> Tensor:
    """Sand dunes in layers under a pale sky."""
    down, across = _frame(height, width)
    picture = colour_map(down * 1.7, [(0.30, 0.55, 0.85), (0.62, 0.78, 0.90), (0.96, 0.88, 0.75)])
    shadow, light, haze = (colour_plane(c) for c in ((0.58, 0.34, 0.18), (0.97, 0.73, 0.43), (0.96, 0.85, 0.70)))
    for layer, (base, turns, shift) in enumerate(((0.52, 1.3, 0.30), (0.66, 0.9, 0.75), (0.84, 0.7, 0.15))):
        top = _hill(across, base, 0.07, turns, shift)
        slope = torch.cos(2 * math.pi * (turns * across + shift))
        below = (down - top).clamp(0)
        ripples = 0.35 * (dice.bumps(30, 5) - 0.5) * layer
        lit = torch.sigmoid((slope * 0.9 + 0.35 - 2.5 * below) * 4) + ripples
        dune = lerp(lerp(shadow, light, lit.clamp(0, 1)), haze, 0.5 - 0.22 * layer)
        picture = lerp(picture, dune, step_edge(down - top, 120))
    return picture


def city(dice: Dice, height: int, width: int) -> Tensor:
    """City lights at night, out of focus."""
    down, _ = _frame(height, width)
    picture = colour_map(down, [(0.02, 0.03, 0.10), (0.06, 0.07, 0.20), (0.20, 0.13, 0.28), (0.10, 0.07, 0.14)])
    picture = picture + torch.exp(-(((down - 0.60) / 0.16) ** 2)) * colour_plane((0.30, 0.16, 0.10))
    hues: list[Colour] = [(1, 0.40, 0.22), (1, 0.72, 0.32), (1, 0.90, 0.62), (0.45, 0.72, 1)]
    where = step_edge(down - 0.40, 16)
    for radius, rare, strength in ((3, 2.75, 0.65), (6, 3.15, 0.60)):
        lamps = (_discs((dice.white() - rare).clamp(0, 0.3) / 0.3, radius)).clamp(0, 1) * where
        picture = picture + lamps * strength * colour_map((dice.bumps(24, 24) - 0.2) * 1.6, hues)
    return picture


def stars(dice: Dice, height: int, width: int) -> Tensor:
    """The Milky Way over dark hills."""
    down, across = _frame(height, width)
    picture = colour_map(down, [(0.01, 0.01, 0.05), (0.03, 0.04, 0.13), (0.07, 0.08, 0.22), (0.14, 0.14, 0.30)])
    band = torch.exp(-(((down - 0.42 + 0.45 * (across - 0.5)) / 0.20) ** 2))
    picture = picture + band * (dice.cloud(70) - 0.22).clamp(0) * colour_plane((0.55, 0.45, 0.72))
    picture = picture + band * (dice.cloud(36) - 0.48).clamp(0) * colour_plane((0.8, 0.4, 0.55))
    picture = picture + _points(dice, 2.5, 0.75) * (0.55 + 0.45 * band) * colour_plane((0.95, 0.95, 1.0))
    hills = _hill(across, 0.88, 0.05, 1.2, 0.4) + 0.03 * (dice.bumps(12, 20) - 0.5)
    return lerp(picture, colour_plane((0.01, 0.015, 0.03)), step_edge(down - hills, 100))


def aurora(dice: Dice, height: int, width: int) -> Tensor:
    """Green and violet curtains over a dark horizon."""
    down, across = _frame(height, width)
    picture = colour_map(down, [(0.01, 0.02, 0.08), (0.02, 0.05, 0.15), (0.04, 0.10, 0.20)])
    for base, turns, shift, length in ((0.50, 0.8, 0.2, 0.34), (0.66, 1.1, 0.6, 0.30)):
        foot = _hill(across, base, 0.09, turns, shift) + 0.12 * (dice.bumps(40, 80) - 0.5)
        rise = (foot - down) / length
        veil = torch.where(rise > 0, torch.exp(-2.0 * rise), torch.exp(20 * rise))
        folds = 0.35 + 1.3 * dice.bumps(9, 90)
        light = colour_map(rise.clamp(0, 1), [(0.25, 1.0, 0.55), (0.12, 0.75, 0.60), (0.50, 0.25, 0.80)])
        picture = picture + veil * folds * light * 0.62
    picture = picture + 0.7 * _points(dice, 2.8, 0.75)
    hills = _hill(across, 0.86, 0.06, 1.4, 0.1) + 0.04 * (dice.bumps(10, 24) - 0.5)
    return lerp(picture, colour_plane((0.01, 0.02, 0.04)), step_edge(down - hills, 100))


def clouds(dice: Dice, height: int, width: int) -> Tensor:
    """White clouds in a blue sky."""
    down, _ = _frame(height, width)
    picture = colour_map(down, [(0.16, 0.40, 0.82), (0.40, 0.66, 0.94), (0.74, 0.88, 0.98)])
    mass = dice.cloud(width * 0.30, height * 0.24, octaves=4)
    cover = ((mass - 0.47) * 4).clamp(0, 1)
    body = colour_map((mass - 0.42) * 2.0, [(1, 1, 1), (0.97, 0.98, 1), (0.74, 0.79, 0.88)])
    return lerp(picture, body, cover)


def meadow(dice: Dice, height: int, width: int) -> Tensor:
    """Green hills with flowers in front."""
    down, across = _frame(height, width)
    picture = colour_map(down * 1.9, [(0.36, 0.62, 0.92), (0.66, 0.82, 0.96), (0.92, 0.96, 0.94)])
    sky_clouds = ((dice.cloud(70, 26) - 0.54) * 4).clamp(0, 0.9) * step_edge(0.4 - down, 20)
    picture = lerp(picture, torch.ones_like(picture), sky_clouds)
    greens: list[Colour] = [(0.50, 0.68, 0.48), (0.36, 0.62, 0.27), (0.24, 0.52, 0.15)]
    for layer, (green, turns, shift) in enumerate(zip(greens, (1.2, 0.9, 0.6), (0.1, 0.55, 0.9), strict=True)):
        top = _hill(across, 0.48 + 0.13 * layer, 0.05, turns, shift) + 0.015 * (dice.bumps(10) - 0.5)
        grass = dice.bumps(5 + 2 * layer, 6 + 6 * layer)
        hill = colour_plane(green) * (0.70 + 0.6 * grass)
        picture = lerp(picture, hill, step_edge(down - top, 90))
    flowers = _points(dice, 2.45, 1.3) * ((down - 0.68) * 5).clamp(0, 1)
    petals = colour_map((dice.bumps(40) - 0.2) * 1.6, [(1, 0.9, 0.3), (1, 0.98, 0.95), (0.95, 0.35, 0.45)])
    return lerp(picture, petals, flowers)


def ocean(dice: Dice, height: int, width: int) -> Tensor:
    """Under water: light shafts from above, darkness below."""
    down, across = _frame(height, width)
    picture = colour_map(down, [(0.45, 0.88, 0.92), (0.10, 0.58, 0.76), (0.03, 0.32, 0.56), (0.01, 0.12, 0.30)])
    angle = (across - 0.62) / (down + 0.35)
    waves = sum(torch.cos(angle * rate + rate) for rate in (9.0, 17.0)) / 2
    shafts = (waves * 0.8 + 0.9 * (dice.bumps(26, 70) - 0.4)).clamp(0) * (1 - down * 1.05).clamp(0)
    ripple = ((dice.cloud(44, 9, octaves=2) - 0.48) * 3).clamp(0, 1) * (0.3 - down).clamp(0) * 2.2
    motes = 0.45 * _points(dice, 2.9, 1.1)
    return picture + (shafts * 0.55 + ripple + motes) * colour_plane((0.6, 0.9, 0.9))


SCENES: Mapping[str, Scene] = {
    "sunset": sunset,
    "beach": beach,
    "desert": desert,
    "city": city,
    "stars": stars,
    "aurora": aurora,
    "clouds": clouds,
    "meadow": meadow,
    "ocean": ocean,
}


def draw(name: str, count: int, height: int, width: int, dice: Dice | None = None) -> Tensor:
    """Pictures of the scene `name`, uniformly soft.

    Args:
        dice: None throws fresh ones.
    """
    painted = SCENES[name](dice or Dice.thrown(count, height, width), height, width).clamp(0, 1)
    return blur(painted.expand(count, -1, -1, -1), 0.6).clamp(0, 1)
