"""A U-Net family behind the adapter contract: lanes in arenas, cohorts as batches, nothing of a prompt computed twice.

A frame is `begin` (encode, noise), passes, `finish` (decode); nothing between them waits for the device. Runs on the
worker's one thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Makings
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule
from liveglass.engine.models.devices import kernels
from liveglass.engine.models.diffusion.arena import Arena, Shape
from liveglass.engine.models.diffusion.captured import Capture, Captured
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.fusing import Fuser
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.schedules import Scheduler
from liveglass.engine.models.diffusion.stages import Backend, Networks, Stages, Way
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import TextEncoder, between, weighted
from liveglass.engine.models.sizes import working_size

LANES = 32
KEPT_EMPTY = 2
"""Arenas that nobody uses stay so long, with what was captured on them: a session of that size may come again."""

_UNIT = 8


@dataclass(frozen=True)
class Parts:
    """A checkpoint, loaded.

    Attributes:
        codec: pixels in -1..1 to latents and back.
        scheduler: strength, passes and whether there is a source, to a schedule.
        guide: a ControlNet, where there is one.
        weights: the files that it was loaded from.
    """

    spec: ModelSpec
    text: TextEncoder
    unet: PromptedUNet
    codec: Codec
    scheduler: Scheduler
    guide: PromptedControlNet | None = None
    weights: tuple[Path, ...] = ()


class Wish(NamedTuple):
    """What a control version asks for: prompt, negative prompt, how much they are told apart, how much edges hold."""

    words: Words
    negative: Words
    guidance: float
    edge: float = 0.0

    @property
    def sides(self) -> tuple[Words, ...]:
        """What the network is told in one pass: the prompt, and beside it the negative prompt where that counts."""
        return (self.words, self.negative) if self.guidance > 1 else (self.words,)


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
    def way(self) -> Way:
        """What its passes are made of."""
        return Way() if self.wish is None else Way(len(self.wish.sides) > 1, self.wish.edge > 0)


class DiffusionAdapter:
    """A loaded model of a U-Net family.

    Args:
        parts: on their device, in the type that they run in.
        capture: what captures passes, where they are replayed.
        backend: what compiles them (see `Networks`).
    """

    def __init__(self, parts: Parts, capture: Capture | None = None, backend: Backend | None = None) -> None:
        self._parts = parts
        for network in (parts.text, parts.unet, parts.codec, *([parts.guide] if parts.guide else [])):
            # Nothing is recorded for gradients then, in whatever mode it is called.
            network.eval().requires_grad_(requires_grad=False)
        self._blank = parts.text.encode("")
        self._device = self._blank.tokens.device
        networks = Networks(parts.unet, parts.codec, parts.guide, backend)
        self._stages: Stages = networks if capture is None else Captured(networks, capture)
        self._steps = torch.arange(max(parts.spec.valid_steps), device=self._device)
        self._fuser = Fuser(parts.unet.stock_weights)
        self._arenas: dict[Size, Arena] = {}
        self._lanes: dict[int, _Lane] = {}

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._parts.spec

    @property
    def makings(self) -> Makings:
        """Torch, in the type that the U-Net is in, and how its stages are run."""
        weight = next(self._parts.unet.parameters())
        return Makings(kernels(weight, self._stages.backend, ["diffusers", "transformers"]), self._parts.weights)

    def open_lane(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where none fits."""
        arena = self._arenas.pop(size, None) or self._arena(size)
        self._arenas[size] = arena  # at the end: the one used last
        row = arena.take()
        lane = next(number for number in range(len(self._lanes) + 1) if number not in self._lanes)
        self._lanes[lane] = _Lane(arena, row)
        return lane

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        closed = self._lanes.pop(lane)
        closed.arena.give(closed.row)
        self._let_go_of_empty(KEPT_EMPTY)

    def _let_go_of_empty(self, kept: int) -> None:
        """Free all but so many of the arenas that nobody uses; the ones used last stay."""
        empty = [size for size, arena in self._arenas.items() if arena.is_empty]
        for size in empty[: max(0, len(empty) - kept)]:
            self._stages.forget(self._arenas.pop(size))

    def encode_control(self, control: ControlState) -> Cond:
        """Prompt and negative prompt, encoded: a `Wish`."""
        text = self._parts.text
        guidance = self._guidance(control)
        negative = text.encode(control.negative) if guidance > 1 else self._blank
        return Wish(weighted(text, control.spoken), negative, guidance, self._edge(control))

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The wish `progress` (0 to 1) of the way from `a` to `b`."""
        # What passes are made of is `b`'s from the start: a cohort goes one way.
        guidance = _from_to(a.guidance, b.guidance, progress) if min(a.guidance, b.guidance) > 1 else b.guidance
        edge = _from_to(a.edge, b.edge, progress) if min(a.edge, b.edge) > 0 else b.edge
        return Wish(between(a.words, b.words, progress), between(a.negative, b.negative, progress), guidance, edge)

    def schedule(self, control: ControlState, size: Size) -> Schedule:
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
        self._write_words(place, wish)
        place.arena.guidance[place.row] = wish.guidance
        if place.noise is not noise:  # a transition writes its words for every frame, and the same noise each time
            place.noise = noise
            place.arena.write_noise(place.row, noise)
        self._write_schedule(place)

    def _write_words(self, place: _Lane, wish: Wish) -> None:
        """What a lane's words leave in the network's attention."""
        for told in place.arena.everything_told:
            told.write_words(place.row, wish.sides)

    def _write_schedule(self, place: _Lane) -> None:
        """The passes of a lane, which are others without a source."""
        schedule = place.schedule
        if place.wish is None or schedule is None:
            raise RuntimeError("a lane is written before it begins")
        if not place.has_source:
            schedule = self._parts.scheduler(1.0, schedule.steps, has_source=False)
        times = torch.tensor([row[0] for row in schedule.rows], device=self._device)
        for told in place.arena.everything_told:
            told.write_times(place.row, place.wish.sides, times)
        place.arena.write_passes(place.row, schedule)
        if place.arena.hinted is not None:
            # A frame from words alone has no edges to be held by.
            place.arena.hold[place.row] = place.wish.edge if place.has_source else 0.0

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
        self._stages.begin(arena, rows, self._lanes[lanes[0]].way)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        arena, rows = self._rows(lanes)
        self._stages.denoise(arena, rows, self._steps[step], self._lanes[lanes[0]].way)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane, valid until its next finish."""
        arena, rows = self._rows(lanes)
        self._stages.finish(arena, rows)
        return arena.fetch([self._lanes[lane].row for lane in lanes])

    def reset(self, lane: int) -> None:
        """Nothing is carried from frame to frame."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal sizes, passes and ways share a pass."""
        guided, hinted = self._guidance(control) > 1, self._edge(control) > 0
        return (size.width, size.height, control.params.steps, guided, hinted)

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """Read and check low-rank weights for the U-Net. Any thread."""
        return self._fuser.read(files)

    def fuse(self, loras: Loras) -> Iterator[None]:
        """Put these low-rank weights into the U-Net, a layer at a time; lanes are written anew with the last step."""
        yield from self._fuser.prepare(loras)
        self._fuser.switch(loras)
        for place in self._lanes.values():
            if place.wish is not None:
                self._write_words(place, place.wish)
                self._write_schedule(place)

    def _rows(self, lanes: Sequence[int]) -> tuple[Arena, Tensor]:
        """The cohort's arena and its rows."""
        places = [self._lanes[lane] for lane in lanes]
        arena = places[0].arena
        return arena, arena.cohort(place.row for place in places)

    def _guidance(self, control: ControlState) -> float:
        """As asked for, where the model knows guidance."""
        return control.params.guidance if self.spec.guidance == "cfg" else 1.0

    def _edge(self, control: ControlState) -> float:
        """As asked for, where there is a ControlNet for it."""
        return control.params.edge if self.spec.guide == "edge" else 0.0

    def _shape(self, size: Size) -> Shape:
        width, height = working_size(size.width, size.height, self.spec.inner_pixels, _UNIT)
        codec = self._parts.codec
        latent = (codec.channels, height // codec.times, width // codec.times)
        return Shape(size, (height, width), latent, max(self.spec.valid_steps))

    def _arena(self, size: Size) -> Arena:
        """Memory for lanes of a size; where there is not enough, what nobody uses is given up for it."""
        cut = partial(Arena, self._shape(size), LANES, self._parts.unet, self._blank, self._parts.guide)
        try:
            return cut()
        except torch.OutOfMemoryError:
            self._let_go_of_empty(0)
            return cut()


def _from_to(a: float, b: float, progress: float) -> float:
    return a + (b - a) * progress
