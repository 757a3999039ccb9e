"""A transformer over packed latents behind the adapter contract: lanes in arenas, cohorts as batches, words read once.

A frame is `begin` (encode, noise), passes, `finish` (decode); nothing between them waits for the device. Runs on the
worker's one thread.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel
from numpy.typing import NDArray

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Makings
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule, no_loras
from liveglass.engine.models.captured import Capture, Captured
from liveglass.engine.models.devices import kernels
from liveglass.engine.models.diffusion.schedules import FlowScheduler
from liveglass.engine.models.diffusion.words import TextEncoder, between, weighted
from liveglass.engine.models.lanes import LANES, Lane, Lanes
from liveglass.engine.models.packed.arena import Shape, TokenArena
from liveglass.engine.models.packed.codec import TokenCodec
from liveglass.engine.models.packed.stages import Networks, Way
from liveglass.engine.models.sizes import working_size
from liveglass.engine.models.stages import Backend, Stages


@dataclass(frozen=True)
class Parts:
    """A checkpoint, loaded.

    Attributes:
        codec: pixels in -1..1 to tokens and back.
        scheduler: strength, passes, tokens and whether there is a source, to a schedule.
        sees_camera: passes are shown the camera's tokens, too.
        weights: the files that it was loaded from.
    """

    spec: ModelSpec
    text: TextEncoder
    transformer: Flux2Transformer2DModel
    codec: TokenCodec
    scheduler: FlowScheduler
    sees_camera: bool
    weights: tuple[Path, ...]


_Lane = Lane[TokenArena]

KEPT_EMPTY = 1
"""Sizes that nobody uses and that stay: the words of 33 lanes are some 260 MB each."""


class PackedAdapter:
    """A loaded model of the packed family.

    Args:
        parts: on their device, in the type that they run in.
        capture: what captures passes, where they are replayed.
        backend: what compiles them (see `Networks`).
    """

    def __init__(self, parts: Parts, capture: Capture | None = None, backend: Backend | None = None) -> None:
        self._parts = parts
        for network in (parts.text, parts.transformer, parts.codec):
            # Nothing is recorded for gradients then, in whatever mode it is called.
            network.eval().requires_grad_(requires_grad=False)
        self._blank = parts.text.encode("")
        networks = Networks(parts.transformer, parts.codec, backend)
        self._stages: Stages[TokenArena, Way] = networks if capture is None else Captured(networks, capture)
        self._steps = torch.arange(max(parts.spec.valid_steps), device=self._blank.tokens.device)
        self._lanes: Lanes[TokenArena, _Lane] = Lanes(self._arena, Lane, self._stages.forget, kept=KEPT_EMPTY)

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._parts.spec

    @property
    def makings(self) -> Makings:
        """Torch, in the type that the transformer is in, how its stages are run, and the files of all parts."""
        weight = next(self._parts.transformer.parameters())
        return Makings(kernels(weight, self._stages.backend, ["diffusers", "transformers"]), self._parts.weights)

    def open_lane(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where none fits."""
        return self._lanes.open(size)

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        self._lanes.close(lane)

    def encode_control(self, control: ControlState) -> Cond:
        """The prompts, encoded and mixed: `Words`."""
        return weighted(self._parts.text, control.spoken)

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The words `progress` (0 to 1) of the way from `a` to `b`."""
        return between(a, b, progress)

    def schedule(self, control: ControlState, size: Size) -> Schedule:
        """The passes of a frame that is made from a source; larger pictures stay longer where there is much noise."""
        params, tokens = control.params, self._shape(size).tokens
        return self._parts.scheduler(params.strength, params.steps, tokens, has_source=True)

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        """Noise for the start, float32 [1, tokens, channels]."""
        shape = self._shape(size)
        return np.random.default_rng(seed).standard_normal((1, shape.tokens, shape.channels), np.float32)

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Put a control version into its lane."""
        place = self._lanes[lane]
        place.schedule = schedule
        place.arena.write_words(place.row, cond)
        place.write_noise(noise)
        self._write_schedule(place)

    def _write_schedule(self, place: _Lane) -> None:
        """The passes of a lane, which are others without a source, and whether there is one to look at."""
        schedule = place.written
        place.arena.show_camera(place.row, is_shown=place.has_source)
        if not place.has_source:
            schedule = self._parts.scheduler(1.0, schedule.steps, place.arena.shape.tokens, has_source=False)
        place.arena.write_passes(place.row, schedule)

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Encode the sources (uint8 [H, W, 3] each, None: from words alone) and set the start of each lane."""
        place, rows = self._lanes.put(lanes, pixels, self._write_schedule)
        self._stages.begin(place.arena, rows, Way())

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        place, rows = self._lanes.cohort(lanes)
        masked = self._parts.sees_camera and not all(self._lanes[lane].has_source for lane in lanes)
        self._stages.denoise(place.arena, rows, self._steps[step : step + 1], Way(masked))

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane, valid until its next finish."""
        place, rows = self._lanes.cohort(lanes)
        self._stages.finish(place.arena, rows)
        return self._lanes.fetch(lanes)

    def reset(self, lane: int) -> None:
        """Nothing is carried from frame to frame."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal sizes and passes share a pass."""
        return (size.width, size.height, control.params.steps)

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """None are known for this family."""
        raise no_loras(self.spec)

    def fuse(self, loras: Loras) -> Iterator[None]:
        """None are known for this family."""
        raise no_loras(self.spec)

    def _shape(self, size: Size) -> Shape:
        codec = self._parts.codec
        width, height = working_size(size.width, size.height, self.spec.inner_pixels, codec.times)
        grid = (height // codec.times, width // codec.times)
        return Shape(size, (height, width), grid, codec.channels, max(self.spec.valid_steps))

    def _arena(self, size: Size) -> TokenArena:
        return TokenArena(self._shape(size), LANES, self._blank, sees_camera=self._parts.sees_camera)
