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
from torch import Tensor

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Makings
from liveglass.engine.models.arena import ROW
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule, no_loras
from liveglass.engine.models.devices import kernels
from liveglass.engine.models.diffusion.schedules import FlowScheduler
from liveglass.engine.models.diffusion.words import TextEncoder, between, weighted
from liveglass.engine.models.lanes import LANES, Lane, Lanes
from liveglass.engine.models.packed.arena import Shape, TokenArena
from liveglass.engine.models.packed.codec import TokenCodec
from liveglass.engine.models.sizes import working_size


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


class Networks:
    """The three stages of a cohort, as functions of its arena and its rows.

    Rows are int64 `[B]` on the device; nothing in here waits for it.
    """

    def __init__(self, transformer: Flux2Transformer2DModel, codec: TokenCodec) -> None:
        self._transformer, self._codec = transformer, codec
        self._type = next(transformer.parameters()).dtype

    def begin(self, arena: TokenArena, rows: Tensor) -> None:
        """Sources into tokens, with as much noise as each row's start has."""
        encoded = self._codec.encode(2 * arena.sources(rows, arena.shape.inner, self._type) - 1)
        keep, noise = arena.start[rows].view(-1, 2, 1, 1).unbind(1)
        arena.latent[rows] = keep * encoded + noise * arena.noise[rows, 0]
        if arena.camera.shape[1]:
            arena.camera[rows] = encoded.to(arena.camera.dtype)

    def denoise(self, arena: TokenArena, rows: Tensor, step: int, *, masked: bool) -> None:
        """One pass: x <- a x + b F(c_in x, t); masked, not every row has a camera to look at."""
        latent = arena.latent[rows]
        time, scale, keep, take, _ = arena.table[rows, step].view(-1, ROW, 1, 1).unbind(1)
        given = torch.cat([(latent * scale).to(self._type), arena.camera[rows]], 1)
        said = self._transformer(
            hidden_states=given,
            encoder_hidden_states=arena.words[rows],
            timestep=time.flatten(),
            img_ids=arena.places,
            txt_ids=arena.word_places,
            joint_attention_kwargs={"attention_mask": arena.visible[rows, None, None]} if masked else None,
            return_dict=False,
        )[0]
        arena.latent[rows] = keep * latent + take * said[:, : latent.shape[1]].float()

    def finish(self, arena: TokenArena, rows: Tensor) -> None:
        """Tokens into pictures of the size outside."""
        arena.paint(rows, self._codec.decode(arena.latent[rows], arena.shape.grid).float())


class PackedAdapter:
    """A loaded model of the packed family.

    Args:
        parts: on their device, in the type that they run in.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        for network in (parts.text, parts.transformer, parts.codec):
            # Nothing is recorded for gradients then, in whatever mode it is called.
            network.eval().requires_grad_(requires_grad=False)
        self._blank = parts.text.encode("")
        self._networks = Networks(parts.transformer, parts.codec)
        self._lanes: Lanes[TokenArena, _Lane] = Lanes(self._arena, Lane, lambda _: None)

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._parts.spec

    @property
    def makings(self) -> Makings:
        """What the transformer is in, and the files of all parts."""
        weight = next(self._parts.transformer.parameters())
        return Makings(kernels(weight, libraries=["diffusers", "transformers"]), self._parts.weights)

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
        self._networks.begin(place.arena, rows)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        place, rows = self._lanes.cohort(lanes)
        masked = self._parts.sees_camera and not all(self._lanes[lane].has_source for lane in lanes)
        self._networks.denoise(place.arena, rows, step, masked=masked)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane, valid until its next finish."""
        place, rows = self._lanes.cohort(lanes)
        self._networks.finish(place.arena, rows)
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
