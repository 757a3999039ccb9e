"""A U-Net family behind the adapter contract: lanes in arenas, cohorts as batches, nothing of a prompt computed twice.

A frame is `begin` (encode, noise), passes, `finish` (decode); nothing between them waits for the device. Runs on the
worker's one thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import Cond, GroupKey, ModelSpec, Schedule
from liveglass.engine.models.diffusion.arena import ROW, Arena, Shape
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.schedules import Scheduler
from liveglass.engine.models.diffusion.unet import PromptedUNet, Words
from liveglass.engine.models.diffusion.words import TextEncoder, between, weighted
from liveglass.engine.models.sizes import working_size

LANES = 32
_UNIT = 8


@dataclass(frozen=True)
class Parts:
    """A checkpoint, loaded.

    Attributes:
        codec: pixels in -1..1 to latents and back.
        scheduler: strength, passes and whether there is a source, to a schedule.
    """

    spec: ModelSpec
    text: TextEncoder
    unet: PromptedUNet
    codec: Codec
    scheduler: Scheduler


class Wish(NamedTuple):
    """What a control version asks for in words: the prompt, the negative prompt, and how much they are told apart."""

    words: Words
    negative: Words
    guidance: float

    @property
    def sides(self) -> tuple[Words, ...]:
        """What the network is told in one pass: the prompt, and beside it the negative prompt where that counts."""
        return (self.words, self.negative) if self.guidance > 1 else (self.words,)


class Networks:
    """The three stages of a cohort, as functions of its arena and its rows.

    Rows are int64 `[B]` on the device; nothing in here waits for it.
    """

    def __init__(self, unet: PromptedUNet, codec: Codec) -> None:
        self._unet, self._codec = unet, codec
        self._type = next(unet.parameters()).dtype

    def begin(self, arena: Arena, rows: Tensor) -> None:
        """Sources into latents, with as much noise as each row's start has."""
        pixels = arena.pixels[rows].permute(0, 3, 1, 2).to(self._type) / 127.5 - 1
        if pixels.shape[-2:] != arena.shape.inner:
            pixels = F.interpolate(pixels, arena.shape.inner, mode="bilinear", align_corners=False, antialias=True)
        encoded = self._codec.encode(pixels).float()
        keep, noise = arena.start[rows].view(-1, 2, 1, 1, 1).unbind(1)
        arena.latent[rows] = keep * encoded + noise * arena.noise[rows, 0]

    def denoise(self, arena: Arena, rows: Tensor, step: int, *, guided: bool) -> None:
        """One pass: x <- a x + b F(c_in x, t) + s noise; guided, F is told prompt and negative prompt apart."""
        latent = arena.latent[rows]
        _, scale, keep, take, fresh = arena.table[rows, step].view(-1, ROW, 1, 1, 1).unbind(1)
        given = (latent * scale).to(self._type)
        if guided:
            # Two rows of one pass: with the prompt and with the negative prompt.
            memory = [part[rows].transpose(0, 1).flatten(0, 1) for part in arena.memory]
            embedding = arena.embedding[rows, :, step].transpose(0, 1).flatten(0, 1)
            said, other = self._unet(given.repeat(2, 1, 1, 1), embedding, memory).float().chunk(2)
            said = other + arena.guidance[rows].view(-1, 1, 1, 1) * (said - other)
        else:
            memory = [part[rows, 0] for part in arena.memory]
            said = self._unet(given, arena.embedding[rows, 0, step], memory).float()
        arena.latent[rows] = keep * latent + take * said + fresh * arena.noise[rows, step + 1]

    def finish(self, arena: Arena, rows: Tensor) -> None:
        """Latents into pictures of the size outside."""
        pixels = self._codec.decode(arena.latent[rows].to(self._type)).float()
        size = (arena.shape.size.height, arena.shape.size.width)
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False)
        arena.made[rows] = (pixels * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


@dataclass
class _Lane:
    """What a lane was written with, as long as it may have to be written again."""

    arena: Arena
    row: int
    wish: Wish | None = None
    schedule: Schedule | None = None
    noise: NDArray[np.float32] | None = None
    has_source: bool = True

    @property
    def is_guided(self) -> bool:
        """Whether its passes have two rows."""
        return self.wish is not None and len(self.wish.sides) > 1


class DiffusionAdapter:
    """A loaded model of a U-Net family.

    Args:
        parts: on their device, in the type that they run in.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        for network in (parts.text, parts.unet, parts.codec):
            # Nothing is recorded for gradients then, in whatever mode it is called.
            network.eval().requires_grad_(requires_grad=False)
        self._blank = parts.text.encode("")
        self._device = self._blank.tokens.device
        self._networks = Networks(parts.unet, parts.codec)
        self._arenas: dict[Size, Arena] = {}
        self._lanes: dict[int, _Lane] = {}

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._parts.spec

    def open_lane(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where none fits."""
        arena = self._arenas.get(size) or self._arena(size)
        row = arena.take()
        lane = next(number for number in range(len(self._lanes) + 1) if number not in self._lanes)
        self._lanes[lane] = _Lane(arena, row)
        return lane

    def close_lane(self, lane: int) -> None:
        """Give a lane back; the last one of its size gives its arena back."""
        closed = self._lanes.pop(lane)
        closed.arena.give(closed.row)
        if closed.arena.is_empty:
            del self._arenas[closed.arena.shape.size]

    def encode_control(self, control: ControlState) -> Cond:
        """Prompt and negative prompt, encoded: a `Wish`."""
        text = self._parts.text
        guidance = self._guidance(control)
        negative = text.encode(control.negative) if guidance > 1 else self._blank
        return Wish(weighted(text, control.spoken), negative, guidance)

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The wish `progress` (0 to 1) of the way from `a` to `b`."""
        guidance = a.guidance + (b.guidance - a.guidance) * progress
        return Wish(between(a.words, b.words, progress), between(a.negative, b.negative, progress), guidance)

    def schedule(self, control: ControlState) -> Schedule:
        """The passes of a frame that is made from a source."""
        return self._parts.scheduler(control.params.strength, control.params.steps, has_source=True)

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        """Noise for the start and after each pass, float32 [passes + 1, channels, height, width]."""
        shape = self._shape(size)
        return np.random.default_rng(seed).standard_normal((shape.passes + 1, *shape.latent), np.float32)

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Put a control version into its lane."""
        place, wish = self._lanes[lane], cond
        place.wish, place.schedule = wish, schedule
        place.arena.write_words(place.row, [self._parts.unet.remember(words) for words in wish.sides])
        place.arena.guidance[place.row] = wish.guidance
        if place.noise is not noise:  # a transition writes its words for every frame, and the same noise each time
            place.noise = noise
            place.arena.write_noise(place.row, noise)
        self._write_schedule(place)

    def _write_schedule(self, place: _Lane) -> None:
        """The passes of a lane, which are others without a source."""
        schedule = place.schedule
        if place.wish is None or schedule is None:
            raise RuntimeError("a lane is written before it begins")
        if not place.has_source:
            schedule = self._parts.scheduler(1.0, schedule.steps, has_source=False)
        times = torch.tensor([row[0] for row in schedule.rows], device=self._device)
        embeddings = [self._parts.unet.embed(times, words, place.arena.shape.inner) for words in place.wish.sides]
        place.arena.write_schedule(place.row, schedule, embeddings)

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Encode the sources (uint8 [H, W, 3] each, None: from words alone) and set the start of each lane."""
        for lane, picture in zip(lanes, pixels, strict=True):
            place = self._lanes[lane]
            if place.has_source != (picture is not None):
                place.has_source = picture is not None
                self._write_schedule(place)
            if picture is not None:
                place.arena.put(place.row, picture)
        arena, rows = self._rows(lanes)
        self._networks.begin(arena, rows)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        arena, rows = self._rows(lanes)
        self._networks.denoise(arena, rows, step, guided=self._lanes[lanes[0]].is_guided)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane, valid until its next finish."""
        arena, rows = self._rows(lanes)
        self._networks.finish(arena, rows)
        return arena.fetch([self._lanes[lane].row for lane in lanes])

    def reset(self, lane: int) -> None:
        """Nothing is carried from frame to frame."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal sizes, passes and kinds of guidance share a pass."""
        return (size.width, size.height, control.params.steps, self._guidance(control) > 1)

    def _rows(self, lanes: Sequence[int]) -> tuple[Arena, Tensor]:
        places = [self._lanes[lane] for lane in lanes]
        return places[0].arena, torch.tensor([place.row for place in places], device=self._device)

    def _guidance(self, control: ControlState) -> float:
        """As asked for, where the model knows guidance."""
        return control.params.guidance if self.spec.guidance == "cfg" else 1.0

    def _shape(self, size: Size) -> Shape:
        width, height = working_size(size.width, size.height, self.spec.inner_pixels, _UNIT)
        codec = self._parts.codec
        latent = (codec.channels, height // codec.times, width // codec.times)
        return Shape(size, (height, width), latent, max(self.spec.valid_steps))

    def _arena(self, size: Size) -> Arena:
        arena = self._arenas[size] = Arena(self._shape(size), LANES, self._parts.unet, self._blank)
        return arena
