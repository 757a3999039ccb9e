"""The stages of the packed family (see `engine/models/stages.py`); runs in the worker process."""

from typing import NamedTuple

import torch
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel
from torch import Tensor

from liveglass.engine.models.arena import ROW
from liveglass.engine.models.packed.arena import TokenArena
from liveglass.engine.models.packed.codec import TokenCodec
from liveglass.engine.models.stages import Backend, Call, compiler, named


class Way(NamedTuple):
    """What a cohort's passes are made of.

    Attributes:
        masked: not every row has a camera to look at.
    """

    masked: bool = False

    @property
    def beginning(self) -> "Way":
        """All begin alike."""
        return Way()


class Networks:
    """The stages by the networks themselves.

    Args:
        backend: of `torch.compile`, which the networks then go through, a shape at a time; None: they run as they are.

    Attributes:
        backend: see `Stages`.
    """

    def __init__(self, transformer: Flux2Transformer2DModel, codec: TokenCodec, backend: Backend | None = None) -> None:
        self.backend = named(backend)
        self._type = next(transformer.parameters()).dtype
        self._transformer: Call = transformer
        self._encode, self._decode = codec.encode, codec.decode
        if backend is not None:
            compiled = compiler(backend)
            self._transformer = compiled(transformer)
            self._encode, self._decode = compiled(codec.encode), compiled(codec.decode)

    def begin(self, arena: TokenArena, rows: Tensor, way: Way) -> None:
        """See `Stages`; sources become tokens."""
        encoded = self._encode(2 * arena.sources(rows, arena.shape.inner, self._type) - 1)
        keep, noise = arena.start[rows].view(-1, 2, 1, 1).unbind(1)
        arena.latent[rows] = keep * encoded + noise * arena.noise[rows, 0]
        if arena.camera.shape[1]:
            arena.camera[rows] = encoded.to(arena.camera.dtype)

    def denoise(self, arena: TokenArena, rows: Tensor, step: Tensor, way: Way) -> None:
        """A row of the sampler's table: x <- a x + b F(c_in x, t)."""
        latent = arena.latent[rows]
        time, scale, keep, take, _ = arena.table[rows, step].view(-1, ROW, 1, 1).unbind(1)
        given = torch.cat([(latent * scale).to(self._type), arena.camera[rows]], 1)
        said = self._transformer(
            hidden_states=given,
            encoder_hidden_states=arena.words[rows],
            timestep=time.flatten(),
            img_ids=arena.places,
            txt_ids=arena.word_places,
            joint_attention_kwargs={"attention_mask": arena.visible[rows, None, None]} if way.masked else None,
            return_dict=False,
        )[0]
        arena.latent[rows] = keep * latent + take * said[:, : latent.shape[1]].float()

    def finish(self, arena: TokenArena, rows: Tensor) -> None:
        """See `Stages`."""
        arena.paint(rows, self._decode(arena.latent[rows], arena.shape.grid).float())

    def forget(self, arena: TokenArena) -> None:
        """Nothing is kept of an arena."""
