"""The scene programs: backgrounds that the built-in model learns to paint from words.

Each draws `batch` pictures `[B, 3, height, width]` in 0..1 of any aspect, different on every call. They are made soft
on purpose: a background behind a person is out of focus.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from liveglass.engine.training.fields import (
    Colour,
    blur,
    cloud,
    colour_map,
    colour_plane,
    lerp,
    pixel_grid,
    ridge,
    step_edge,
    uniform,
)

Scene = Callable[[int, int, int], Tensor]


def _frame(batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    rows, columns = pixel_grid(height, width)
    down = ((rows + 0.5) / height).expand(batch, 1, height, width)
    return down, ((columns + 0.5) / width).expand(batch, 1, height, width)


def _disc(down: Tensor, across: Tensor, centre_down: Tensor, centre_across: Tensor) -> Tensor:
    """Distance from a centre in units of the picture's height."""
    aspect = across.shape[-1] / across.shape[-2]
    return (((across - centre_across) * aspect) ** 2 + (down - centre_down) ** 2).sqrt()


def _sky(down: Tensor, stops: list[Colour], stretch: float = 1.0) -> Tensor:
    return colour_map(down * stretch, stops)


def sunset(batch: int, height: int, width: int) -> Tensor:
    """A low sun over the sea."""
    down, across = _frame(batch, height, width)
    horizon = uniform(batch, 0.55, 0.65)
    sun_across = uniform(batch, 0.2, 0.8)
    sun_down = horizon - uniform(batch, 0.03, 0.18)
    stops = [(0.15, 0.12, 0.35), (0.45, 0.22, 0.48), (0.85, 0.40, 0.42), (1.0, 0.62, 0.35), (1.0, 0.80, 0.50)]
    sky = colour_map(down / horizon, stops)
    distance = _disc(down, across, sun_down, sun_across)
    sky = sky + step_edge(0.05 - distance, 120) * colour_plane((0.5, 0.45, 0.3))
    sky = sky + torch.exp(-distance * 7) * colour_plane((0.4, 0.22, 0.05))
    clouds = ((cloud(batch, height, width, width * 0.35, down=height * 0.09, octaves=5) - 0.52) * 4).clamp(0, 1)
    height_above = ((1 - down / horizon).clamp(0, 1) * 1.2).clamp(0, 1)
    sky = lerp(sky, colour_plane((0.95, 0.45, 0.40)), clouds * height_above * 0.6)
    depth = ((down - horizon) / (1 - horizon)).clamp(0, 1)
    waves = cloud(batch, height, width, 40, down=5)
    sea = colour_map(depth, [(0.95, 0.60, 0.42), (0.45, 0.30, 0.45), (0.12, 0.14, 0.30)]) * (0.75 + 0.5 * waves)
    glitter = torch.exp(-(((across - sun_across) / (0.03 + 0.12 * depth)) ** 2))
    sea = sea + glitter * ((waves - 0.45) * 5).clamp(0, 1) * (1 - 0.6 * depth) * colour_plane((0.8, 0.56, 0.28))
    return lerp(sky, sea, step_edge(down - horizon, 200))


def beach(batch: int, height: int, width: int) -> Tensor:
    """Sand, surf and a bright sky."""
    down, _ = _frame(batch, height, width)
    picture = _sky(down, [(0.22, 0.52, 0.88), (0.50, 0.75, 0.95), (0.85, 0.94, 0.98)], 1.8)
    clouds = ((cloud(batch, height, width, 70, down=32, octaves=5) - 0.50) * 4).clamp(0, 0.95)
    picture = lerp(picture, torch.ones_like(picture), clouds * step_edge(0.45 - down, 30))
    horizon = uniform(batch, 0.43, 0.53)
    depth = ((down - horizon) / 0.30).clamp(0, 1)
    sea = colour_map(depth, [(0.05, 0.35, 0.62), (0.10, 0.58, 0.72), (0.45, 0.85, 0.82)])
    sea = sea * (0.8 + 0.4 * cloud(batch, height, width, 50, down=6))
    picture = lerp(picture, sea, step_edge(down - horizon, 200))
    shore = ridge(batch, width, 0.0, 0.06, 120, octaves=3) + horizon + 0.31
    sand = colour_plane((0.93, 0.83, 0.64)) * (0.88 + 0.24 * cloud(batch, height, width, 5, octaves=3))
    picture = lerp(picture, sand, step_edge(down - shore, 120))
    foam = torch.exp(-(((down - shore) / 0.014) ** 2)) * (0.5 + 0.8 * cloud(batch, height, width, 10, octaves=3))
    return lerp(picture, torch.ones_like(picture), foam.clamp(0, 1))


def desert(batch: int, height: int, width: int) -> Tensor:
    """Sand dunes in layers under a pale sky."""
    down, across = _frame(batch, height, width)
    picture = _sky(down, [(0.30, 0.55, 0.85), (0.62, 0.78, 0.90), (0.96, 0.88, 0.75)], 1.6)
    shadow, light = colour_plane((0.55, 0.32, 0.18)), colour_plane((0.95, 0.70, 0.42))
    for layer in range(1, 4):
        near = layer / 3
        top = ridge(batch, width, 0.36 + 0.16 * layer, 0.16, 150, octaves=3)
        below = (down - top).clamp(0)
        bend = ridge(batch, width, 0.5, 0.6, 110, octaves=3)
        lit = torch.sigmoid((torch.sin((across * 3 + bend * 3 + below * 5) * 3.1) + 0.2 - below * 2) * 3)
        dune = lerp(shadow, light, lit)
        dune = lerp(dune, colour_plane((0.96, 0.85, 0.70)), (1 - near) * 0.5)
        picture = lerp(picture, dune, step_edge(down - top, 150))
    return picture


def city(batch: int, height: int, width: int) -> Tensor:
    """City lights at night: dim towers, out-of-focus lamps."""
    down, across = _frame(batch, height, width)
    picture = _sky(down, [(0.02, 0.03, 0.10), (0.06, 0.07, 0.20), (0.18, 0.12, 0.28), (0.30, 0.18, 0.28)])
    block = int(torch.randint(22, 40, ()).item())
    towers = (torch.rand(batch, 1, 1, width // block + 2) * 0.4 + 0.12).repeat_interleave(block, 3)[..., :width]
    inside = (down > 0.95 - towers).float()
    windows = (torch.rand(batch, 1, height // 6 + 1, width // 5 + 1) < 0.35).float()
    hues = torch.rand(batch, 1, height // 6 + 1, width // 5 + 1)
    rows, columns = pixel_grid(height, width)

    def spread(cells: Tensor) -> Tensor:
        return cells.repeat_interleave(6, 2).repeat_interleave(5, 3)[..., :height, :width]

    glass = spread(windows) * (rows % 6 < 4) * (columns % 5 < 3)
    glow = colour_map(spread(hues), [(1, 0.85, 0.45), (1, 0.70, 0.30), (0.85, 0.92, 1), (1, 0.55, 0.30)])
    picture = lerp(picture, colour_plane((0.04, 0.05, 0.11)) + glass * glow * 0.75, inside)
    picture = blur(picture, 1.4)
    for _ in range(16):
        radius = uniform(batch, 0.025, 0.07)
        distance = _disc(down, across, uniform(batch, 0.55, 1.0), uniform(batch, 0.0, 1.0))
        lamp = colour_map(torch.rand(batch, 1, 1, 1), [(1, 0.75, 0.3), (1, 0.4, 0.25), (0.4, 0.7, 1), (1, 0.5, 0.75)])
        picture = picture + torch.sigmoid((radius - distance) * 200) * lamp * 0.62
    return picture


def stars(batch: int, height: int, width: int) -> Tensor:
    """The Milky Way over dark hills."""
    down, across = _frame(batch, height, width)
    picture = _sky(down, [(0.01, 0.01, 0.05), (0.03, 0.04, 0.13), (0.07, 0.08, 0.22), (0.14, 0.14, 0.30)])
    slope = uniform(batch, -0.7, 0.7)
    band = torch.exp(-(((down - 0.42 + slope * (across - 0.5)) / 0.18) ** 2))
    dust = cloud(batch, height, width, 70, octaves=5)
    gas = cloud(batch, height, width, 40, octaves=5)
    picture = picture + band * (dust - 0.25).clamp(0) * colour_plane((0.55, 0.45, 0.70))
    picture = picture + band * (gas - 0.5).clamp(0) * colour_plane((0.8, 0.4, 0.55))
    points = torch.zeros(batch, 1, height, width)
    for sigma, share in ((0.8, 0.005), (1.2, 0.0014)):
        seeds = (torch.rand(batch, 1, height, width) < share * (1 + 2 * band)).float()
        seeds = blur(seeds * torch.rand(batch, 1, height, width), sigma)
        points = points + seeds / (seeds.amax((2, 3), keepdim=True) + 1e-6)
    picture = picture + points.clamp(0, 1) * colour_plane((0.95, 0.95, 1.0))
    return lerp(picture, colour_plane((0.01, 0.015, 0.03)), step_edge(down - ridge(batch, width, 0.88, 0.10, 80), 120))


def aurora(batch: int, height: int, width: int) -> Tensor:
    """Green and violet curtains over a dark horizon."""
    down, _ = _frame(batch, height, width)
    picture = _sky(down, [(0.01, 0.02, 0.08), (0.02, 0.05, 0.15), (0.04, 0.10, 0.20)])
    for _ in range(3):
        foot = ridge(batch, width, 0.0, 0.22, 170, octaves=3) + uniform(batch, 0.35, 0.62)
        rise = (foot - down) / uniform(batch, 0.22, 0.42)
        veil = torch.where(rise > 0, torch.exp(-2.2 * rise), torch.exp(24 * rise))
        folds = 0.45 + 1.1 * ridge(batch, width, 0.5, 0.5, 34, octaves=3).clamp(0, 1)
        light = colour_map(rise.clamp(0, 1), [(0.25, 1.0, 0.55), (0.12, 0.75, 0.60), (0.45, 0.25, 0.75)])
        picture = picture + veil * folds * light * 0.62
    seeds = (torch.rand(batch, 1, height, width) < 0.003).float() * torch.rand(batch, 1, height, width)
    picture = picture + (blur(seeds, 0.8) * 4).clamp(0, 0.7)
    return lerp(picture, colour_plane((0.01, 0.02, 0.04)), step_edge(down - ridge(batch, width, 0.85, 0.12, 70), 120))


def clouds(batch: int, height: int, width: int) -> Tensor:
    """White clouds in a blue sky."""
    down, _ = _frame(batch, height, width)
    picture = _sky(down, [(0.16, 0.40, 0.82), (0.40, 0.66, 0.94), (0.74, 0.88, 0.98)])
    mass = cloud(batch, height, width, width * 0.32, down=height * 0.26, octaves=5)
    cover = ((mass - 0.47) * 5).clamp(0, 1)
    body = colour_map((mass - 0.45) * 2.2, [(1, 1, 1), (0.97, 0.98, 1), (0.76, 0.80, 0.88)])
    return lerp(picture, body, cover)


def meadow(batch: int, height: int, width: int) -> Tensor:
    """Green hills with flowers in front."""
    down, _ = _frame(batch, height, width)
    picture = _sky(down, [(0.36, 0.62, 0.92), (0.66, 0.82, 0.96), (0.92, 0.96, 0.94)], 1.9)
    greens: list[Colour] = [(0.50, 0.68, 0.48), (0.34, 0.60, 0.26), (0.22, 0.50, 0.14)]
    for layer, green in enumerate(greens):
        top = ridge(batch, width, 0.46 + 0.13 * layer, 0.14, 160, octaves=3)
        grass = cloud(batch, height, width, 14 + 6 * layer, down=8 + 8 * layer)
        hill = colour_plane(green) * (0.72 + 0.56 * grass)
        picture = lerp(picture, hill, step_edge(down - top, 120))
    seeds = blur((torch.rand(batch, 1, height, width) < 0.012 * (down - 0.72).clamp(0) * 4).float(), 1.6)
    petals = colour_map(cloud(batch, height, width, 60), [(1, 0.9, 0.3), (1, 0.98, 0.95), (0.95, 0.35, 0.45)])
    return lerp(picture, petals, (seeds * 16).clamp(0, 1))


def ocean(batch: int, height: int, width: int) -> Tensor:
    """Under water: light shafts from above, darkness below."""
    down, across = _frame(batch, height, width)
    picture = _sky(down, [(0.45, 0.88, 0.92), (0.10, 0.58, 0.76), (0.03, 0.32, 0.56), (0.01, 0.12, 0.30)])
    source = uniform(batch, 0.2, 0.8)
    angle = (across - source) / (down + 0.35)
    waves = torch.zeros_like(down)
    for rate in (9.0, 17.0, 31.0):
        waves = waves + torch.cos(angle * rate + uniform(batch, 0, 6.28))
    shafts = ((waves / 3) * 0.9 + 0.1).clamp(0) * (1 - down * 1.1).clamp(0)
    ripple = ((cloud(batch, height, width, 44, down=9) - 0.5) * 3).clamp(0, 1) * (0.3 - down).clamp(0) * 2
    motes = blur((torch.rand(batch, 1, height, width) < 0.0015).float(), 1.2) * 3
    return picture + (shafts * 0.5 + ripple + motes.clamp(0, 0.4)) * colour_plane((0.6, 0.9, 0.9))


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


def draw(name: str, batch: int, height: int, width: int) -> Tensor:
    """Pictures of the scene `name`, uniformly soft; `KeyError` for a name that is not in `SCENES`."""
    return blur(SCENES[name](batch, height, width).clamp(0, 1), 0.9).clamp(0, 1)
