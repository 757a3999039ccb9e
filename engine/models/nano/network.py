"""The networks of the built-in model: camera encoder, denoiser, decoder. Plain torch, no text and no files.

The latent is a fixed low pass of the picture, `[B, 12, H/8, W/8]`; there is no autoencoder to train. Everything that
depends on the prompt alone (`Denoiser.conditions`, `Decoder.conditions`) or on the prompt and the noise alone
(`Texture`) is computed apart, so that a stream pays for it once and not for every frame. That is why the decoder can
afford kernels of each prompt's own: mixed from a shared basis (Ha et al. 2016, HyperNetworks; Yang et al. 2019,
CondConv), they cost a frame nothing. Heights and widths are multiples of 16. Runs in the worker process.
"""

import math
from collections.abc import Sequence
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
_KERNEL_RANK = 24
_HEAD_WIDTH = 32
_PIXEL_CHANNELS = 16
_FALLS_SLOW = 20_480
"""Elements of an input of one row up to which torch passes oneDNN by on a CPU, and is a third slower for it."""
_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # torch leaves it untyped
_PHASE_CHANNELS = 32
_RARE = (2.4, 2.9)
"""Deviations of the noise from which a point of light begins; a cell in 120 and one in 540."""


class Features(NamedTuple):
    """The camera: its pixels `[B, 16, H/2, W/2]`, and what was found at 1/2, 1/4 and 1/8 of its size.

    The 16 are the twelve colours of 2 x 2 pixels, whether a camera shows at all, and a blur over some 10 pixels.
    """

    pixels: Tensor
    half: Tensor
    quarter: Tensor
    eighth: Tensor


class PassCondition(NamedTuple):
    """One prompt at one noise level: scale and shift for each block, and the layout map `[B, 128, H/16, W/16]`."""

    films: tuple[Tensor, ...]
    layout: Tensor


class Kernel(NamedTuple):
    """One prompt's own convolution: weight `[B, out, in, k, k]`, bias `[B, out]`."""

    weight: Tensor
    bias: Tensor


class PaintCondition(NamedTuple):
    """One prompt for the decoder.

    Attributes:
        films: scale and shift for the blocks at 1/8 and 1/4.
        see_quarter, see_half, first, second, leave: kernels by their place.
        grain: how much texture each channel lets in, `[B, C, 1, 1]`.
        code: what the texture's kernels are mixed by, `[B, 24]`.
    """

    films: tuple[Tensor, ...]
    see_quarter: Kernel
    see_half: Kernel
    first: Kernel
    second: Kernel
    leave: Kernel
    grain: Tensor
    code: Tensor


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


def sparks(noise: Tensor) -> Tensor:
    """Where noise `[B, C, h, w]` is rare, in 0..1: `[B, 2 * C, h, w]`.

    Stars and lamps lie there. A network would have to find the threshold for each of its 64 kinds of pixels by itself,
    from one cell in hundreds, and what it finds last shows as a grid.
    """
    return torch.cat([((noise - level) * 2).clamp(0, 1) for level in _RARE], 1)


def layout_basis(places: Tensor) -> Tensor:
    """Slow cosines of position, eight down and four across: `[B, 12, h, w]` from coordinates `[B, 2, h, w]`."""
    angles = (places + 1) * (math.pi / 2)
    down = [torch.cos(wave * angles[:, :1]) for wave in range(1, 9)]
    across = [torch.cos(wave * angles[:, 1:]) for wave in range(1, 5)]
    return torch.cat(down + across, 1)


class Conv(nn.Conv2d):
    """A convolution that keeps its zero border, by oneDNN for small inputs, too."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, size, stride, size // 2, bias=bias)
        self._reach, self._stride = [size // 2] * 2, [stride] * 2

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs, h, w]` to `[B, outputs, h / stride, w / stride]`."""
        if x.numel() > _FALLS_SLOW or torch.is_grad_enabled() or x.device.type != "cpu" or not _ONEDNN:
            return super().forward(x)
        return torch.mkldnn_convolution(x, self.weight, self.bias, self._reach, self._stride, [1, 1], 1)


class Block(nn.Module):
    """Two 3x3 convolutions with a residual path, FiLM between them where it is conditioned; starts as the identity."""

    def __init__(self, channels: int, condition: int = 0) -> None:
        super().__init__()
        self.first = Conv(channels, channels)
        self.second = Conv(channels, channels)
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


class Attention(nn.Module):
    """Self-attention over the few cells of the lowest level, so that a picture has one sun; starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD_WIDTH or 1
        self.enter = nn.Linear(channels, 3 * channels)
        self.leave = nn.Linear(channels, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, channels, h, w]` in and out."""
        batch, channels, height, width = x.shape
        cells = x.flatten(2).transpose(1, 2)
        parts = self.enter(cells).view(batch, height * width, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        added: Tensor = self.leave(seen.transpose(1, 2).reshape(batch, height * width, channels))
        return x + added.transpose(1, 2).view(batch, channels, height, width)


class PromptConv(nn.Module):
    """A convolution with a kernel for each prompt: a base and 24 variations, mixed by the prompt's code."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, *, dilation: int = 1, zero: bool = False) -> None:
        super().__init__()
        self.shape = (outputs, inputs, size, size)
        self.dilation = dilation
        self.kernels = nn.Linear(_KERNEL_RANK, outputs * inputs * size * size)
        self.biases = nn.Linear(_KERNEL_RANK, outputs)
        deviation = 0.0 if zero else 1 / math.sqrt(3 * inputs * size * size)
        with torch.no_grad():
            self.kernels.bias.normal_(0, deviation)
            self.kernels.weight.normal_(0, deviation * 0.5 / math.sqrt(_KERNEL_RANK))
            self.biases.bias.zero_()
            self.biases.weight.zero_()

    def kernel(self, code: Tensor) -> Kernel:
        """The kernels for codes `[B, 24]`."""
        return Kernel(self.kernels(code).view(-1, *self.shape), self.biases(code))

    def forward(self, x: Tensor, kernel: Kernel) -> Tensor:
        """`[B, inputs, h, w]` to `[B, outputs, h, w]`, each row by its own kernel."""
        return (_row_by_row if len(x) == 1 or x.device.type == "cpu" else _as_groups)(x, kernel, self.dilation)


def _row_by_row(x: Tensor, kernel: Kernel, dilation: int) -> Tensor:
    """Each row by its own kernel: the faster way on a CPU."""
    reach = dilation * (kernel.weight.shape[-1] // 2)
    rows = [
        F.conv2d(x[row : row + 1], kernel.weight[row], kernel.bias[row], padding=reach, dilation=dilation)
        for row in range(len(x))
    ]
    return rows[0] if len(rows) == 1 else torch.cat(rows)


def _as_groups(x: Tensor, kernel: Kernel, dilation: int) -> Tensor:
    """Each row by its own kernel, as the groups of one convolution: the faster way on a GPU."""
    rows, _, height, width = x.shape
    reach = dilation * (kernel.weight.shape[-1] // 2)
    weight, bias = kernel.weight.flatten(0, 1), kernel.bias.flatten()
    result = F.conv2d(x.reshape(1, -1, height, width), weight, bias, padding=reach, dilation=dilation, groups=rows)
    return result.view(rows, -1, height, width)


class Drawn(NamedTuple):
    """What a texture is made of, whatever the prompt.

    Attributes:
        noise: of a seed, `[B, 4, H/2, W/2]`.
        patterns: of a size, `[B, 32, H/2, W/2]`.
        broad: the noise of larger cells, and where they lie, `[B, 6, H/8, W/8]`.
    """

    noise: Tensor
    patterns: Tensor
    broad: Tensor


class Texture(nn.Module):
    """What a prompt prints on the picture whatever the camera shows: grain, strokes, paper, screens, stars.

    Made of one fixed noise and the fixed patterns (`drawn`, once for a seed), by kernels of the prompt's own; computed
    once for each prompt.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.fine = PromptConv((1 + len(_RARE)) * TEXTURE_CHANNELS + _PHASE_CHANNELS, width)
        self.coarse = PromptConv(TEXTURE_CHANNELS + 2, width)
        self.spread = PromptConv(width, width, dilation=2)
        self.leave = PromptConv(width, channels, dilation=2)

    def forward(self, noise: Tensor, places: Tensor, code: Tensor) -> Tensor:
        """`[B, channels, H/2, W/2]` from noise `[B, 4, H/2, W/2]`, places `[B or 1, 2, H/8, W/8]`, codes `[B, 24]`."""
        height, width = noise.shape[-2:]
        patterns = phases(2 * height, 2 * width).to(noise).expand(len(noise), -1, -1, -1)
        return self.printed(self.drawn(noise, places, patterns), self.kernels(code))

    def drawn(self, noise: Tensor, places: Tensor, patterns: Tensor) -> Drawn:
        """What it is made of, whatever the prompt."""
        broad = torch.cat([F.avg_pool2d(noise, 4) * 4, places.expand(len(noise), -1, -1, -1)], 1)
        return Drawn(noise, patterns, broad)

    def kernels(self, code: Tensor) -> tuple[Kernel, Kernel, Kernel, Kernel]:
        """Of each layer for codes `[B, 24]`: coarse, fine, spread, leave."""
        return self.coarse.kernel(code), self.fine.kernel(code), self.spread.kernel(code), self.leave.kernel(code)

    def printed(self, drawn: Drawn, kernels: Sequence[Kernel]) -> Tensor:
        """`[B, channels, H/2, W/2]`."""
        coarse, fine, spread, leave = kernels
        broad = F.relu(self.coarse(drawn.broad, coarse))
        broad = F.interpolate(broad, size=drawn.noise.shape[-2:], mode="bilinear", align_corners=False)
        given = torch.cat([drawn.noise, drawn.patterns, sparks(drawn.noise)], 1)
        hidden = F.relu(self.fine(given, fine) + broad)
        hidden = hidden + F.relu(self.spread(hidden, spread))
        result: Tensor = self.leave(hidden, leave)
        return result


class CameraEncoder(nn.Module):
    """The camera picture as features at three sizes, once for each frame; shared by denoiser and decoder."""

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        eighth, quarter, half = widths
        self.to_half = Conv(_PIXEL_CHANNELS, half)
        self.to_quarter = Conv(half, quarter, stride=2)
        self.quarter_block = Block(quarter)
        self.to_eighth = Conv(quarter, eighth, stride=2)
        self.eighth_block = Block(eighth)

    def forward(self, picture: Tensor, visible: Tensor) -> Features:
        """Encode `picture` `[B, 3, H, W]` in 0..1, scaled by `visible` `[B, 1, 1, 1]` in 0..1 (0: no camera)."""
        planes = F.pixel_unshuffle(picture * 2 - 1, 2) * visible
        height, width = planes.shape[-2:]
        cells = F.avg_pool2d(planes.view(-1, 3, 4, height, width).mean(2), 5, 1, 2, count_include_pad=False)
        pixels = torch.cat([planes, visible.expand(-1, 1, height, width), cells], 1)
        half = F.relu_(self.to_half(pixels))
        quarter = F.relu_(self.quarter_block(self.to_quarter(half)))
        eighth = self.eighth_block(self.to_eighth(quarter))
        return Features(pixels, half, quarter, F.relu_(eighth))


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
        self.enter = Conv(LATENT_CHANNELS, top)
        self.place = Conv(2, top, bias=False)
        self.camera = Conv(camera, top, 1)
        self.layout = nn.Linear(CONDITION_WIDTH, middle * _LAYOUT_WAVES)
        nn.init.normal_(self.layout.weight, 0, 0.03)
        nn.init.zeros_(self.layout.bias)
        self.top_in = Block(top, CONDITION_WIDTH)
        self.to_middle = Conv(top, middle, stride=2)
        self.middle_in = Block(middle, CONDITION_WIDTH)
        self.to_low = Conv(middle, low, stride=2)
        self.low = Block(low, CONDITION_WIDTH)
        self.attention = Attention(low)
        self.from_low = Conv(low, middle, 1)
        self.middle_out = Block(middle, CONDITION_WIDTH)
        self.from_middle = Conv(middle, top, 1)
        self.join = Conv(top, top, 1)
        self.top_out = Block(top, CONDITION_WIDTH)
        self.leave = Conv(top, LATENT_CHANNELS)

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
        low = self.from_low(self.attention(self.low(self.to_low(middle), films[2])))
        middle = self.middle_out(middle + _grow(low, middle), films[3])
        top = self.join(top) + _grow(self.from_middle(middle), top)
        clean: Tensor = self.leave(F.relu_(self.top_out(top, films[4])))
        return clean


class Decoder(nn.Module):
    """Paints the picture from the clean latent, the camera's features, the prompt and its texture."""

    def __init__(self, widths: tuple[int, int, int], texture: int) -> None:
        super().__init__()
        eighth, quarter, half = widths
        self.condition = nn.Sequential(nn.Linear(TEXT_WIDTH + 2, CONDITION_WIDTH), nn.SiLU())
        self.code = nn.Linear(CONDITION_WIDTH, _KERNEL_RANK)
        nn.init.normal_(self.code.weight, 0, 0.15)
        nn.init.zeros_(self.code.bias)
        self.enter = Conv(LATENT_CHANNELS + eighth, eighth)
        self.eighth_block = Block(eighth, CONDITION_WIDTH)
        self.to_quarter = Conv(eighth, quarter, 1)
        self.see_quarter = PromptConv(quarter, quarter)
        self.quarter_block = Block(quarter, CONDITION_WIDTH)
        self.to_half = Conv(quarter, half, 1)
        self.see_half = PromptConv(half + _PIXEL_CHANNELS, half)
        self.texture = Texture(texture, half)
        self.gate = Conv(half, half, 1)
        self.grain = nn.Linear(CONDITION_WIDTH, half)
        self.first = PromptConv(half, half)
        self.second = PromptConv(half, half, zero=True)
        self.leave = PromptConv(half, 12)
        with torch.no_grad():
            # ICNR: the four pixels of a cell start alike, so that shuffling adds no weave (Aitken et al. 2017).
            base = self.leave.kernels.bias.view(12, -1)
            base.copy_(base[::4].repeat_interleave(4, 0))

    def conditions(self, text: Tensor, strength: Tensor, present: Tensor) -> PaintCondition:
        """What the decoder needs to know of the prompt: text `[B, 64]`, strength and present `[B]`."""
        condition = self.condition(torch.cat([text, strength[:, None], present[:, None]], 1))
        code = self.code(condition)
        return PaintCondition(
            films=tuple(block.modulation(condition) for block in (self.eighth_block, self.quarter_block)),
            see_quarter=self.see_quarter.kernel(code),
            see_half=self.see_half.kernel(code),
            first=self.first.kernel(code),
            second=self.second.kernel(code),
            leave=self.leave.kernel(code),
            grain=self.grain(condition)[:, :, None, None],
            code=code,
        )

    def planes(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """The picture before its pixels are put in place, `[B, 12, H/2, W/2]`, about -1..1 and not clamped."""
        films = condition.films
        hidden = self.eighth_block(self.enter(torch.cat([latent, features.eighth], 1)), films[0])
        hidden = _smooth(self.to_quarter(F.relu_(hidden)))
        hidden = self.quarter_block(hidden.add_(self.see_quarter(features.quarter, condition.see_quarter)), films[1])
        hidden = _smooth(self.to_half(F.relu_(hidden)))
        hidden = hidden.add_(self.see_half(torch.cat([features.half, features.pixels], 1), condition.see_half))
        hidden = torch.addcmul(hidden, texture, F.hardtanh_(self.gate(hidden) + condition.grain))
        inner = F.relu_(self.first(F.relu(hidden), condition.first))
        hidden = hidden + self.second(inner, condition.second)
        result: Tensor = self.leave(F.relu_(hidden), condition.leave)
        return result

    def forward(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """The picture, `[B, 3, H, W]`, about 0..1 and not clamped."""
        return F.pixel_shuffle(self.planes(latent, features, condition, texture), 2) * 0.5 + 0.5


def _smooth(small: Tensor) -> Tensor:
    """Twice the size, interpolated: what is repeated shows its cells on a sky."""
    return F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)


def _grow(small: Tensor, like: Tensor) -> Tensor:
    """Twice the size, cut to the size of `like` (odd sizes round up on the way down)."""
    height, width = like.shape[-2:]
    return _smooth(small)[..., :height, :width]
