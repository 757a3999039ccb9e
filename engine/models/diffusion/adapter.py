"""A U-Net family behind the adapter contract: lanes in arenas, cohorts as batches, nothing of a prompt computed twice.

A frame is `begin` (encode, noise), passes, `finish` (decode); nothing between them waits for the device. Runs on the
worker's one thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Makings
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule
from liveglass.engine.models.captured import Capture, Captured
from liveglass.engine.models.devices import kernels
from liveglass.engine.models.diffusion.arena import Arena, Shape
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.fusing import Fuser
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.schedules import Scheduler
from liveglass.engine.models.diffusion.stages import Networks, Way
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import TextEncoder, between, weighted
from liveglass.engine.models.lanes import LANES, Lane, Lanes
from liveglass.engine.models.sizes import working_size
from liveglass.engine.models.stages import Backend, Stages

_UNIT = 8

KEPT_EMPTY = 2
"""Sizes that nobody uses and that stay."""


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
    """What a control version asks for: prompt, negative prompt, how much they are told apart, how much a hint holds."""

    words: Words
    negative: Words
    guidance: float
    hold: float = 0.0

    @property
    def sides(self) -> tuple[Words, ...]:
        """What the network is told in one pass: the prompt, and beside it the negative prompt where that counts."""
        return (self.words, self.negative) if self.guidance > 1 else (self.words,)


@dataclass
class _Lane(Lane[Arena]):
    """A lane, and what it was told last."""

    wish: Wish | None = None

    @property
    def wished(self) -> Wish:
        """The wish that it was written with."""
        if self.wish is None:
            raise RuntimeError("a lane is written before it begins")
        return self.wish

    @property
    def way(self) -> Way:
        """What its passes are made of."""
        return Way(len(self.wished.sides) > 1, self.wished.hold > 0)


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
        self._stages: Stages[Arena, Way] = networks if capture is None else Captured(networks, capture)
        self._steps = torch.arange(max(parts.spec.valid_steps), device=self._device)
        self._fuser = Fuser(parts.unet.stock_weights)
        self._lanes = Lanes(self._arena, _Lane, self._stages.forget, kept=KEPT_EMPTY)

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
        return self._lanes.open(size)

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        self._lanes.close(lane)

    def encode_control(self, control: ControlState) -> Cond:
        """Prompt and negative prompt, encoded: a `Wish`."""
        text = self._parts.text
        guidance = self._guidance(control)
        negative = text.encode(control.negative) if guidance > 1 else self._blank
        return Wish(weighted(text, control.spoken), negative, guidance, self._hold(control))

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The wish `progress` (0 to 1) of the way from `a` to `b`."""
        # What passes are made of is `b`'s from the start: a cohort goes one way.
        guidance = _from_to(a.guidance, b.guidance, progress) if min(a.guidance, b.guidance) > 1 else b.guidance
        hold = _from_to(a.hold, b.hold, progress) if min(a.hold, b.hold) > 0 else b.hold
        return Wish(between(a.words, b.words, progress), between(a.negative, b.negative, progress), guidance, hold)

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
        place.write_noise(noise)
        self._write_schedule(place)

    def _write_words(self, place: _Lane, wish: Wish) -> None:
        """What a lane's words leave in the network's attention."""
        for told in place.arena.everything_told:
            told.write_words(place.row, wish.sides)

    def _write_schedule(self, place: _Lane) -> None:
        """The passes of a lane, which are others without a source."""
        schedule, wish = place.written, place.wished
        if not place.has_source:
            schedule = self._parts.scheduler(1.0, schedule.steps, has_source=False)
        times = torch.tensor([row[0] for row in schedule.rows], device=self._device)
        for told in place.arena.everything_told:
            told.write_times(place.row, wish.sides, times)
        place.arena.write_passes(place.row, schedule)
        if place.arena.hinted is not None:
            # A frame from words alone has nothing to be held by.
            place.arena.hold[place.row] = wish.hold if place.has_source else 0.0

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Encode the sources (uint8 [H, W, 3] each, None: from words alone) and set the start of each lane."""
        place, rows = self._lanes.put(lanes, pixels, self._write_schedule)
        self._stages.begin(place.arena, rows, place.way)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        place, rows = self._lanes.cohort(lanes)
        self._stages.denoise(place.arena, rows, self._steps[step : step + 1], place.way)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane, valid until its next finish."""
        place, rows = self._lanes.cohort(lanes)
        self._stages.finish(place.arena, rows)
        return self._lanes.fetch(lanes)

    def reset(self, lane: int) -> None:
        """Nothing is carried from frame to frame."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal sizes, passes and ways share a pass."""
        guided, hinted = self._guidance(control) > 1, self._hold(control) > 0
        return (size.width, size.height, control.params.steps, guided, hinted)

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """Read and check low-rank weights for the U-Net. Any thread."""
        return self._fuser.read(files)

    def fuse(self, loras: Loras) -> Iterator[None]:
        """Put these low-rank weights into the U-Net, a layer at a time; lanes are written anew with the last step."""
        yield from self._fuser.prepare(loras)
        self._fuser.switch(loras)
        for place in self._lanes.every:
            if place.wish is not None:
                self._write_words(place, place.wish)
                self._write_schedule(place)

    def _guidance(self, control: ControlState) -> float:
        """As asked for, where the model knows guidance."""
        return control.params.guidance if self.spec.guidance == "cfg" else 1.0

    def _hold(self, control: ControlState) -> float:
        """As asked for, where there is a ControlNet for it."""
        return 0.0 if self.spec.guide is None else getattr(control.params, self.spec.guide)

    def _shape(self, size: Size) -> Shape:
        width, height = working_size(size.width, size.height, self.spec.inner_pixels, _UNIT)
        codec = self._parts.codec
        latent = (codec.channels, height // codec.times, width // codec.times)
        return Shape(size, (height, width), latent, max(self.spec.valid_steps))

    def _arena(self, size: Size) -> Arena:
        return Arena(self._shape(size), LANES, self._parts.unet, self._blank, self._parts.guide)


def _from_to(a: float, b: float, progress: float) -> float:
    return a + (b - a) * progress
