"""The stages of a U-Net family (see `engine/models/stages.py`); runs in the worker process."""

from typing import NamedTuple

from torch import Tensor

from liveglass.engine.models.arena import ROW
from liveglass.engine.models.diffusion.arena import Arena
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.stages import Backend, Call, compiler, named


class Way(NamedTuple):
    """What a cohort's passes are made of; all of its rows go the same way.

    Attributes:
        guided: the network is told prompt and negative prompt apart.
        hinted: a ControlNet is asked, too.
    """

    guided: bool = False
    hinted: bool = False

    @property
    def beginning(self) -> "Way":
        """As much of it as `begin` asks for: a hint."""
        return Way(hinted=self.hinted)


class Networks:
    """The stages by the networks themselves.

    Args:
        backend: of `torch.compile`, which the networks then go through, a shape at a time; None: they run as they are.

    Attributes:
        backend: see `Stages`.
    """

    def __init__(
        self,
        unet: PromptedUNet,
        codec: Codec,
        guide: PromptedControlNet | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.backend = named(backend)
        self._type = next(unet.parameters()).dtype
        self._unet: Call = unet
        self._encode, self._decode = codec.encode, codec.decode
        self._guide: Call | None = guide
        self._hint = None if guide is None else guide.hint
        if backend is not None:
            compiled = compiler(backend)
            self._unet, self._encode, self._decode = compiled(unet), compiled(codec.encode), compiled(codec.decode)
            if guide is not None:
                self._guide, self._hint = compiled(guide), compiled(guide.hint)

    def begin(self, arena: Arena, rows: Tensor, way: Way) -> None:
        """See `Stages`."""
        pixels = arena.sources(rows, arena.shape.inner, self._type)
        if way.hinted and self._hint is not None:
            arena.hint[rows] = self._hint(pixels)
        encoded = self._encode(2 * pixels - 1).float()
        keep, noise = arena.start[rows].view(-1, 2, 1, 1, 1).unbind(1)
        arena.latent[rows] = keep * encoded + noise * arena.noise[rows, 0]

    def denoise(self, arena: Arena, rows: Tensor, step: Tensor, way: Way) -> None:
        """A row of the sampler's table: x <- a x + b F(c_in x, t) + s noise."""
        latent = arena.latent[rows]
        _, scale, keep, take, fresh = arena.table[rows, step].view(-1, ROW, 1, 1, 1).unbind(1)
        given = (latent * scale).to(self._type)
        # Two rows of one pass: with the prompt and with the negative prompt.
        sides = 2 if way.guided else 1
        given = given.repeat(sides, 1, 1, 1)
        embedding, memory = arena.told.of(rows, step, guided=way.guided)
        added = None
        if way.hinted and self._guide is not None and arena.hinted is not None:
            hint, hold = arena.hint[rows].repeat(sides, 1, 1, 1), arena.hold[rows].repeat(sides)
            added = self._guide(given, *arena.hinted.of(rows, step, guided=way.guided), hint, hold)
        said = self._unet(given, embedding, memory, added).float()
        if way.guided:
            said, other = said.chunk(2)
            said = other + arena.guidance[rows].view(-1, 1, 1, 1) * (said - other)
        arena.latent[rows] = keep * latent + take * said + fresh * arena.noise[rows, step + 1]

    def finish(self, arena: Arena, rows: Tensor) -> None:
        """See `Stages`."""
        arena.paint(rows, self._decode(arena.latent[rows].to(self._type)).float())

    def forget(self, arena: Arena) -> None:
        """Nothing is kept of an arena."""
