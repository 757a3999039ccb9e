"""The style programs: what the built-in model learns to imitate, and what it is measured against.

Each takes a camera picture `[B, 3, H, W]` in 0..1 and paints it in one style. Patterns are anchored at the picture's
top left corner. `EXACT` styles are functions of the picture, `STOCHASTIC` ones of the picture and a throw of dice.
"""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from liveglass.engine.training.dice import Dice
from liveglass.engine.training.fields import (
    Colour,
    blur,
    colour_map,
    colour_plane,
    contrast,
    edges,
    kuwahara,
    lerp,
    luma,
    pixel_grid,
    saturate,
)

COLOURS: Mapping[str, Colour] = {
    "red": (0.92, 0.10, 0.12),
    "orange": (1.00, 0.50, 0.06),
    "yellow": (1.00, 0.86, 0.10),
    "green": (0.10, 0.80, 0.25),
    "teal": (0.05, 0.78, 0.78),
    "blue": (0.10, 0.32, 1.00),
    "violet": (0.55, 0.18, 0.95),
    "pink": (1.00, 0.18, 0.70),
    "gold": (0.95, 0.72, 0.28),
    "white": (0.96, 0.96, 0.96),
}

_WARM_PAPER: Colour = (0.96, 0.94, 0.89)


def _ink_colour(colour: str) -> Tensor:
    if not colour or colour == "white":
        return colour_plane((0.06, 0.06, 0.08))
    return colour_plane(COLOURS[colour]) * 0.62


def _lines(grey: Tensor, fine: float, coarse: float, threshold: float) -> Tensor:
    """Drawn lines, 1 on the line: an extended difference of Gaussians (Winnemoeller 2012)."""
    return torch.sigmoid((blur(grey, fine) - 0.955 * blur(grey, coarse) - threshold) * -110)


def _below(tone: Tensor, limit: float) -> Tensor:
    """1 where `tone` is darker than `limit`, with a soft rim: camera noise must not switch it."""
    return torch.sigmoid((limit - tone) * 24)


def _posterised(grey: Tensor, steps: int) -> Tensor:
    """Brightness in `steps` flat steps with soft risers between them."""
    turn = 2 * math.pi * steps
    return grey - 0.9 * torch.sin(turn * grey) / turn


def ink(picture: Tensor, colour: str) -> Tensor:
    """Pen lines and two layers of hatching, on warm paper."""
    grey = luma(picture)
    rows, columns = pixel_grid(*picture.shape[-2:])
    tone = blur(grey, 1.5)
    rising = 0.5 + 0.5 * torch.cos(2 * math.pi * (columns + rows) / 8)
    falling = 0.5 + 0.5 * torch.cos(2 * math.pi * (columns - rows) / 8)
    first = torch.sigmoid((rising - (tone / 0.46).clamp(0, 1) * 1.15) * 7) * _below(tone, 0.46)
    second = torch.sigmoid((falling - (tone / 0.26).clamp(0, 1) * 1.15) * 7) * _below(tone, 0.28)
    cover = 1 - (1 - _lines(grey, 0.9, 2.2, 0.004)) * (1 - 0.85 * first) * (1 - 0.85 * second)
    return lerp(colour_plane(_WARM_PAPER), _ink_colour(colour), cover)


def neon(picture: Tensor, colour: str) -> Tensor:
    """Glowing tubes along the edges, over near black."""
    grey = luma(picture)
    core = ((edges(blur(grey, 1.0)) - 0.012) * 14).clamp(0, 1)
    glow = blur(core, 2.0) * 0.9 + blur(core, 6.0) * 1.1
    light = colour_plane(COLOURS[colour or "pink"])
    dark = colour_plane((0.03, 0.02, 0.07)) + 0.30 * grey**1.3 * light + 0.04 * picture
    return (dark + glow * light * 0.75 + core**2 * (light * 0.35 + 0.65)).clamp(0, 1)


def thermal(picture: Tensor, colour: str) -> Tensor:
    """A heat camera's palette over brightness."""
    grey = (blur(luma(picture), 1.2) - 0.5) * 1.1 + 0.5
    stops = [(0, 0, 0.12), (0.2, 0, 0.5), (0.6, 0, 0.58), (0.92, 0.2, 0.22), (1, 0.58, 0), (1, 0.9, 0.2), (1, 1, 0.95)]
    return tint(colour_map(grey, stops), colour)


def night_vision(picture: Tensor, colour: str, dice: Dice) -> Tensor:
    """An image intensifier: green phosphor, scan lines, grain, blooming lights."""
    rows, _ = pixel_grid(*picture.shape[-2:])
    light = blur(luma(picture), 0.7).clamp(1e-3) ** 0.75
    light = light * 0.9 + 0.08 * dice.grain(0.6) * (0.5 + 0.5 * (1 - light))
    light = light * (0.88 + 0.12 * torch.cos(2 * math.pi * rows / 4))
    light = (light + blur((light - 0.7).clamp(0), 4) * 1.5).clamp(0, 1)
    stops = [(0, 0.03, 0.01), (0.02, 0.30, 0.06), (0.10, 0.70, 0.18), (0.55, 1, 0.5), (0.95, 1, 0.9)]
    return tint(colour_map(light, stops), "" if colour == "green" else colour)


def blueprint(picture: Tensor, colour: str) -> Tensor:
    """White construction lines on blue paper."""
    grey = luma(picture)
    line = ((edges(blur(grey, 1.0)) - 0.012) * 13).clamp(0, 1)
    rows, columns = pixel_grid(*picture.shape[-2:])
    grid = 0.13 * ((torch.remainder(columns, 16) < 1) | (torch.remainder(rows, 16) < 1)).float()
    base = colour_plane(COLOURS[colour]) * 0.42 if colour and colour != "blue" else colour_plane((0.03, 0.16, 0.45))
    paper = base * (0.55 + 0.95 * blur(grey, 1.0))
    return lerp(paper, colour_plane((0.90, 0.96, 1.0)), (line + grid * (1 - line)).clamp(0, 1))


def comic(picture: Tensor, colour: str) -> Tensor:
    """Flat bright colour, a dot screen in the shadows, bold outlines."""
    smooth = saturate(contrast(blur(picture, 1.2), 1.2), 1.8)
    grey = luma(smooth).clamp(0.02)
    flat = (smooth * _posterised(grey, 4) / grey).clamp(0, 1)
    rows, columns = pixel_grid(*picture.shape[-2:])
    screen = 0.5 + 0.5 * torch.cos(2 * math.pi * (columns + rows) / 8) * torch.cos(2 * math.pi * (columns - rows) / 8)
    dots = torch.sigmoid((screen - (grey * 1.35 + 0.12)) * 9)
    printed = tint(flat * 0.8 + 0.2, colour) * (1 - dots * 0.7)
    return printed * (1 - _lines(luma(picture), 1.0, 2.4, 0.002) * 0.95)


def pencil(picture: Tensor, colour: str, dice: Dice) -> Tensor:
    """Graphite: dodge-and-burn contours with slanted shading."""
    grey = blur(luma(picture), 0.8)
    contour = (grey / (blur(grey, 4.0) + 0.02)).clamp(0, 1) ** 2.2
    shade = dice.strokes(math.pi * 0.75, 15)
    dark = ((0.62 - blur(grey, 1.5)) * 1.5).clamp(0, 0.85)
    hatch = (dark * (0.75 + 0.35 * shade)).clamp(0, 0.9)
    cover = 1 - contour * (1 - hatch)
    graphite = colour_plane(COLOURS[colour]) * 0.7 if colour and colour != "white" else colour_plane((0.16, 0.16, 0.18))
    return lerp(colour_plane((0.95, 0.95, 0.93)), graphite, cover.clamp(0, 1)).clamp(0, 1)


def fire(picture: Tensor, colour: str, dice: Dice) -> Tensor:
    """Flames that lick upwards from edges and bright places."""
    grey = blur(luma(picture), 1.0)
    edge = blur((edges(grey) * 6).clamp(0, 1), 1.2)
    broad, fine = dice.cloud(22, 60), dice.cloud(9, 24, octaves=2)
    lick = torch.zeros_like(grey)
    for power, rise in enumerate((4, 9, 15)):
        lick = lick + F.pad(edge, (0, 0, 0, rise))[..., rise:, :] * 0.75**power
    flames = 0.30 * (broad - 0.5) * (0.4 + grey) + 0.22 * (fine - 0.5) * (0.4 + grey)
    heat = 0.70 * grey**1.3 + flames + 0.5 * lick * fine
    stops = [(0.02, 0, 0.02), (0.30, 0.02, 0), (0.75, 0.12, 0), (1, 0.45, 0.02), (1, 0.80, 0.20), (1, 1, 0.8)]
    return tint(colour_map(heat, stops), colour)


def watercolour(picture: Tensor, colour: str, dice: Dice) -> Tensor:
    """Pale washes with darker rims and paper grain."""
    wash = saturate(lerp(kuwahara(kuwahara(picture, 3), 4), picture, 0.2), 1.7)
    wash = 1 - (1 - wash) * 0.78
    pools = dice.cloud(40)
    grain = dice.bumps(2.2) * 0.6 + dice.bumps(5) * 0.4
    grey = luma(wash)
    rim = (blur(grey, 0.8) - blur(grey, 3)).abs() * 3
    density = 1 + 0.9 * (pools - 0.5) + 0.8 * (grain - 0.5) + 2.0 * rim
    washed = tint(wash.clamp(0.02, 1) ** density, colour)
    return (washed * (1 - 0.45 * _lines(luma(picture), 0.9, 2.0, 0.0)) - 0.10 * (grain - 0.5)).clamp(0, 1)


def cartoon(picture: Tensor, colour: str) -> Tensor:
    """Flat shapes with dark outlines."""
    flat = saturate(kuwahara(kuwahara(picture, 3), 4), 1.7)
    grey = luma(flat).clamp(0.02)
    flat = tint((flat * _posterised(grey, 4) / grey).clamp(0, 1), colour)
    return flat * (1 - _lines(blur(luma(picture), 0.7), 1.1, 2.6, 0.0) * 0.85)


def noir(picture: Tensor, colour: str) -> Tensor:
    """Hard black and white with a little glow."""
    grey = luma(picture)
    grey = torch.sigmoid((blur(grey, 0.6) - 0.52) * 8)
    grey = (grey * 0.92 + 0.18 * blur(grey, 5)).clamp(0, 1)
    return tint(grey.expand(-1, 3, -1, -1), colour)


def vintage(picture: Tensor, colour: str, dice: Dice) -> Tensor:
    """A faded sepia print with grain."""
    grey = blur(luma(picture), 0.8) + 0.014 * dice.grain(0.7)
    stops = [(0.16, 0.10, 0.06), (0.45, 0.30, 0.18), (0.76, 0.60, 0.40), (0.96, 0.88, 0.70)]
    return tint(colour_map(grey, stops), colour)


def hologram(picture: Tensor, colour: str) -> Tensor:
    """Projected light: cyan scan lines and bright contours over darkness."""
    grey = blur(luma(picture), 0.8)
    rows, _ = pixel_grid(*picture.shape[-2:])
    line = ((edges(blur(grey, 0.8)) - 0.01) * 9).clamp(0, 1)
    light = colour_plane(COLOURS[colour or "teal"])
    scan = 0.72 + 0.28 * torch.cos(2 * math.pi * rows / 4)
    beam = (0.10 + 0.85 * grey) * scan + 0.5 * line
    return (colour_plane((0.01, 0.03, 0.06)) + light * beam + 0.5 * (beam - 0.6).clamp(0)).clamp(0, 1)


def plain(picture: Tensor, colour: str) -> Tensor:
    """What an empty prompt gives: the picture as soft paint."""
    return tint(saturate(kuwahara(picture, 2), 1.2), colour)


def tint(picture: Tensor, colour: str) -> Tensor:
    """Turn a picture towards one colour and keep its light and dark; no colour leaves it."""
    if not colour:
        return picture
    grey = luma(picture)
    light = colour_plane(COLOURS[colour])
    toned = torch.where(grey < 0.5, light * grey * 2, lerp(light, torch.ones_like(light), grey * 2 - 1))
    return lerp(picture, toned, 0.75).clamp(0, 1)


EXACT: Mapping[str, Callable[[Tensor, str], Tensor]] = {
    "ink": ink,
    "neon": neon,
    "thermal": thermal,
    "blueprint": blueprint,
    "comic": comic,
    "cartoon": cartoon,
    "noir": noir,
    "hologram": hologram,
}
STOCHASTIC: Mapping[str, Callable[[Tensor, str, Dice], Tensor]] = {
    "nightvision": night_vision,
    "pencil": pencil,
    "fire": fire,
    "watercolour": watercolour,
    "vintage": vintage,
}
STYLES = (*EXACT, *STOCHASTIC)


def stylise(style: str, picture: Tensor, colour: str = "", dice: Dice | None = None) -> Tensor:
    """`picture` `[B, 3, H, W]` in `style`, in 0..1.

    Args:
        colour: one of `COLOURS`, or none.
        dice: for a stochastic style; None throws fresh ones.
    """
    if style in EXACT:
        return EXACT[style](picture, colour).clamp(0, 1)
    count, _, height, width = picture.shape
    return STOCHASTIC[style](picture, colour, dice or Dice.thrown(count, height, width)).clamp(0, 1)


def _night(picture: Tensor) -> Tensor:
    grey = luma(picture)
    return (lerp(grey, picture, 0.55) * colour_plane((0.28, 0.36, 0.62))).clamp(0, 1)


def _soft(picture: Tensor) -> Tensor:
    return blur(picture, 2.2) * 0.8 + 0.16


MODIFIERS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "dark": lambda picture: picture**1.5 * 0.7,
    "bright": lambda picture: 1 - (1 - picture) ** 1.6 * 0.9,
    "soft": _soft,
    "vivid": lambda picture: contrast(saturate(picture, 1.7), 1.2),
    "warm": lambda picture: (picture * colour_plane((1.12, 0.98, 0.74)) + colour_plane((0.05, 0.02, 0))).clamp(0, 1),
    "cold": lambda picture: (picture * colour_plane((0.74, 0.95, 1.12)) + colour_plane((0, 0.02, 0.05))).clamp(0, 1),
    "night": _night,
    "foggy": lambda picture: lerp(blur(picture, 1.5), colour_plane((0.80, 0.83, 0.85)), 0.5),
}
