"""The networks of the built-in model: camera encoder, denoiser, decoder. Plain torch, no text and no files.

The latent is a fixed low pass of the picture, `[B, 12, H/8, W/8]`; there is no autoencoder to train. Everything that
depends on the prompt alone (`Denoiser.conditions`, `Decoder.conditions`) or on the picture's size alone (`place`,
`texture`) is computed apart, so that a stream pays for it once and not for every frame. Heights and widths are
multiples of 16. Runs in the worker process.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

LATENT_CHANNELS = 12
TEXTURE_CHANNELS = 4
TEXT_WIDTH = 64
CONDITION_WIDTH = 128
LATENT_SCALE = 1.6
_TIME_WAVES = 16
_LAYOUT_WAVES = 12


class Features(NamedTuple):
    """What the camera encoder found, at 1/2, 1/4 and 1/8 of the picture's size."""

    half: Tensor
    quarter: Tensor
    eighth: Tensor


class PassCondition(NamedTuple):
    """One prompt at one noise level: scale and shift for each block, and the layout map `[B, 128, H/16, W/16]`."""

    films: tuple[Tensor, ...]
    layout: Tensor


class PaintCondition(NamedTuple):
    """One prompt for the decoder: scale and shift for each block, and how much texture it lets in."""

    films: tuple[Tensor, ...]
    grain: Tensor


def to_latent(picture: Tensor) -> Tensor:
    """The latent of a picture `[B, 3, H, W]` in 0..1: `[B, 12, H/8, W/8]`, variance near 1."""
    return F.pixel_unshuffle(F.avg_pool2d(picture, 4) * 2 - 1, 2) * LATENT_SCALE


def coordinates(height: int, width: int, window: tuple[float, float, float, float] = (0, 0, 1, 1)) -> Tensor:
    """Where each cell lies in the whole picture, in -1..1: `[1, 2, height, width]` (down, across).

    Args:
        window: top, left, bottom, right of these cells within the whole picture, as fractions of it.
    """
    top, left, bottom, right = window
    down = top + (torch.arange(height) + 0.5) / height * (bottom - top)
    across = left + (torch.arange(width) + 0.5) / width * (right - left)
    planes = torch.stack([down[:, None].expand(height, width), across[None].expand(height, width)])
    return planes[None] * 2 - 1


def phases(height: int, width: int) -> Tensor:
    """Fixed patterns that printing and screens are made of, `[1, 32, height/2, width/2]`.

    Diagonal waves of 8 pixels, lines of 4, a grid of 16: a network of convolutions cannot count pixels by itself.
    """
    rows = torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
    columns = torch.arange(width, dtype=torch.float32)[None].expand(height, width)
    turn = 2 * math.pi
    waves = [turn * (columns + rows) / 8, turn * (columns - rows) / 8, turn * rows / 4]
    planes = [f(wave) for wave in waves for f in (torch.cos, torch.sin)]
    planes += [(torch.remainder(rows, 16) < 1).float(), (torch.remainder(columns, 16) < 1).float()]
    return F.pixel_unshuffle(torch.stack(planes)[None], 2)


def layout_basis(places: Tensor) -> Tensor:
    """Slow cosines of position, eight down and four across: `[B, 12, h, w]` from coordinates `[B, 2, h, w]`."""
    angles = (places + 1) * (math.pi / 2)
    down = [torch.cos(wave * angles[:, :1]) for wave in range(1, 9)]
    across = [torch.cos(wave * angles[:, 1:]) for wave in range(1, 5)]
    return torch.cat(down + across, 1)


class Block(nn.Module):
    """Two 3x3 convolutions with a residual path, FiLM between them where it is conditioned; starts as the identity."""

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.second.parameters():
            nn.init.zeros_(parameter)
        self.film = nn.Linear(condition, 2 * channels) if condition else None
        if self.film is not None:
            nn.init.normal_(self.film.weight, 0, 0.12)
            nn.init.zeros_(self.film.bias)

    def modulation(self, condition: Tensor) -> Tensor:
        """Scale and shift `[B, 2 * channels, 1, 1]` for a condition `[B, condition]`."""
        if self.film is None:
            raise TypeError("this block has no condition")
        scale, shift = self.film(condition).chunk(2, 1)
        return torch.cat([1 + scale, shift], 1)[:, :, None, None]

    def forward(self, x: Tensor, film: Tensor | None = None) -> Tensor:
        """`[B, channels, h, w]` in and out."""
        hidden = self.first(F.relu(x))
        if film is not None:
            scale, shift = film.chunk(2, 1)
            hidden = torch.addcmul(shift, hidden, scale)
        result: Tensor = x + self.second(F.relu_(hidden))
        return result


class CameraEncoder(nn.Module):
    """The camera picture as features at three sizes, once for each frame; shared by denoiser and decoder."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        eighth, quarter, half = widths
        self.to_half = nn.Conv2d(13, half, 3, padding=1)
        self.to_quarter = nn.Conv2d(half, quarter, 3, 2, 1)
        self.quarter_block = Block(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 3, 2, 1)
        self.eighth_block = Block(eighth)

    def forward(self, picture: Tensor, visible: Tensor) -> Features:
        """Encode `picture` `[B, 3, H, W]` in 0..1, scaled by `visible` `[B, 1, 1, 1]` in 0..1 (0: no camera)."""
        planes = F.pixel_unshuffle(picture * 2 - 1, 2) * visible
        shown = visible.expand(-1, 1, *planes.shape[2:])
        half = F.relu_(self.to_half(torch.cat([planes, shown], 1)))
        quarter = F.relu_(self.quarter_block(self.to_quarter(half)))
        eighth = self.eighth_block(self.to_eighth(quarter))
        return Features(half, quarter, F.relu_(eighth))


class Denoiser(nn.Module):
    """A three-level U-Net over the latent that predicts the clean latent."""

    def __init__(self, widths: tuple[int, int, int], camera: int) -> None:
        super().__init__()
        top, middle, low = widths
        self.condition = nn.Sequential(
            nn.Linear(TEXT_WIDTH + 2 * _TIME_WAVES + 3, CONDITION_WIDTH),
            nn.SiLU(),
            nn.Linear(CONDITION_WIDTH, CONDITION_WIDTH),
            nn.SiLU(),
        )
        self.enter = nn.Conv2d(LATENT_CHANNELS, top, 3, padding=1)
        self.place = nn.Conv2d(2, top, 3, padding=1, bias=False)
        self.camera = nn.Conv2d(camera, top, 1)
        self.layout = nn.Linear(CONDITION_WIDTH, middle * _LAYOUT_WAVES)
        nn.init.normal_(self.layout.weight, 0, 0.03)
        nn.init.zeros_(self.layout.bias)
        self.top_in = Block(top, CONDITION_WIDTH)
        self.to_middle = nn.Conv2d(top, middle, 3, 2, 1)
        self.middle_in = Block(middle, CONDITION_WIDTH)
        self.to_low = nn.Conv2d(middle, low, 3, 2, 1)
        self.low = Block(low, CONDITION_WIDTH)
        self.from_low = nn.Conv2d(low, middle, 1)
        self.middle_out = Block(middle, CONDITION_WIDTH)
        self.from_middle = nn.Conv2d(middle, top, 1)
        self.join = nn.Conv2d(top, top, 1)
        self.top_out = Block(top, CONDITION_WIDTH)
        self.leave = nn.Conv2d(top, LATENT_CHANNELS, 3, padding=1)

    def conditions(
        self, text: Tensor, sigma: Tensor, stride: Tensor, strength: Tensor, present: Tensor, *, places: Tensor
    ) -> PassCondition:
        """What one noise level needs to know of the prompt.

        Args:
            text: `[B, 64]`.
            sigma: noise level in 0..1, `[B]`.
            stride: length of the step: 1 (of four), 0.5 (of two), 0 (the only one), `[B]`.
            strength: 0..1, `[B]`.
            present: 1 where a camera is shown, `[B]`.
            places: coordinates of the latent's cells, `[B or 1, 2, h, w]`.
        """
        waves = torch.exp(torch.arange(_TIME_WAVES, device=sigma.device) * (-math.log(100.0) / (_TIME_WAVES - 1))) * 20
        angles = sigma[:, None] * waves
        numbers = torch.stack([stride, strength, present], 1)
        condition = self.condition(torch.cat([text, angles.sin(), angles.cos(), numbers], 1))
        blocks = (self.top_in, self.middle_in, self.low, self.middle_out, self.top_out)
        basis = layout_basis(F.avg_pool2d(places, 2))
        weights = self.layout(condition).view(len(condition), -1, _LAYOUT_WAVES)
        layout = torch.einsum("bck,bkyx->bcyx", weights, basis.expand(len(condition), -1, -1, -1))
        return PassCondition(tuple(block.modulation(condition) for block in blocks), layout)

    def context(self, features: Features, places: Tensor) -> Tensor:
        """What every pass over one frame adds to its input: the camera and the place, `[B, 64, h, w]`."""
        result: Tensor = self.camera(features.eighth) + self.place(places)
        return result

    def forward(self, latent: Tensor, context: Tensor, condition: PassCondition) -> Tensor:
        """The clean latent as far as it can be told, `[B, 12, h, w]`."""
        films = condition.films
        top = self.top_in(self.enter(latent) + context, films[0])
        middle = self.middle_in(self.to_middle(top) + condition.layout, films[1])
        low = self.from_low(self.low(self.to_low(middle), films[2]))
        middle = self.middle_out(middle + _grow(low, middle), films[3])
        top = self.join(top) + _grow(self.from_middle(middle), top)
        clean: Tensor = self.leave(F.relu_(self.top_out(top, films[4])))
        return clean


class Decoder(nn.Module):
    """Paints the picture from the clean latent, the camera's features, the prompt and one fixed noise."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        eighth, quarter, half = widths
        self.condition = nn.Sequential(nn.Linear(TEXT_WIDTH + 2, CONDITION_WIDTH), nn.SiLU())
        self.enter = nn.Conv2d(LATENT_CHANNELS + eighth, eighth, 3, padding=1)
        self.eighth_block = Block(eighth, CONDITION_WIDTH)
        self.to_quarter = nn.Conv2d(eighth, quarter, 1)
        self.join_quarter = nn.Conv2d(2 * quarter, quarter, 3, padding=1)
        self.quarter_block = Block(quarter, CONDITION_WIDTH)
        self.to_half = nn.Conv2d(quarter, half, 1)
        self.join_half = nn.Conv2d(2 * half, half, 3, padding=1)
        self.pattern = nn.Conv2d(TEXTURE_CHANNELS + 32, half, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(half, half, 1)
        self.grain = nn.Linear(CONDITION_WIDTH, half)
        self.half_block = Block(half, CONDITION_WIDTH)
        self.leave = nn.Conv2d(half, 12, 3, padding=1)
        with torch.no_grad():
            # ICNR: the four pixels of a cell start alike, so that shuffling adds no weave (Aitken et al. 2017).
            for parameter in self.leave.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, 0))

    def conditions(self, text: Tensor, strength: Tensor, present: Tensor) -> PaintCondition:
        """What the decoder needs to know of the prompt: text `[B, 64]`, strength and present `[B]`."""
        condition = self.condition(torch.cat([text, strength[:, None], present[:, None]], 1))
        films = tuple(block.modulation(condition) for block in (self.eighth_block, self.quarter_block, self.half_block))
        return PaintCondition(films, self.grain(condition)[:, :, None, None])

    def texture(self, noise: Tensor) -> Tensor:
        """Fixed noise `[B, 4, H/2, W/2]` and the fixed patterns as features; constant for a stream."""
        height, width = noise.shape[-2:]
        patterns = phases(2 * height, 2 * width).to(noise).expand(len(noise), -1, -1, -1)
        result: Tensor = self.pattern(torch.cat([noise, patterns], 1))
        return result

    def planes(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """The picture before its pixels are put in place, `[B, 12, H/2, W/2]`, about -1..1 and not clamped."""
        films = condition.films
        hidden = self.eighth_block(self.enter(torch.cat([latent, features.eighth], 1)), films[0])
        hidden = F.interpolate(self.to_quarter(F.relu_(hidden)), scale_factor=2.0, mode="nearest")
        hidden = self.quarter_block(self.join_quarter(torch.cat([hidden, features.quarter], 1)), films[1])
        hidden = F.interpolate(self.to_half(F.relu_(hidden)), scale_factor=2.0, mode="nearest")
        hidden = self.join_half(torch.cat([hidden, features.half], 1))
        hidden = hidden + texture * torch.tanh(self.gate(hidden) + condition.grain)
        result: Tensor = self.leave(F.relu_(self.half_block(hidden, films[2])))
        return result

    def forward(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """The picture, `[B, 3, H, W]`, about 0..1 and not clamped."""
        return F.pixel_shuffle(self.planes(latent, features, condition, texture), 2) * 0.5 + 0.5


def _grow(small: Tensor, like: Tensor) -> Tensor:
    """Twice the size by repetition, cut to the size of `like` (odd sizes round up on the way down)."""
    height, width = like.shape[-2:]
    return F.interpolate(small, scale_factor=2.0, mode="nearest")[..., :height, :width]
