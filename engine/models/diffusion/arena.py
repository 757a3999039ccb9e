"""Memory of all lanes of one picture size of a U-Net family: the frames', and what each network is told of words."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from liveglass.engine.frame import Size
from liveglass.engine.models.arena import FrameArena
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.prompted import Prompted, Words
from liveglass.engine.models.diffusion.unet import PromptedUNet


@dataclass(frozen=True)
class Shape:
    """What an arena is cut for.

    Attributes:
        size: of the pictures outside.
        inner: height and width inside, in pixels.
        latent: channels, height and width of a latent.
        passes: the most that a schedule has.
    """

    size: Size
    inner: tuple[int, int]
    latent: tuple[int, int, int]
    passes: int


class Told:
    """What one network is told of the words of every lane: made once for a control version, read by every pass.

    Attributes:
        embedding: of time, text and size for prompt and negative prompt: `[rows, 2, passes, E]`.
        memory: keys and values of each cross-attention for both: `[rows, 2, 2, heads, T, C / heads]` each.
    """

    def __init__(self, rows: int, shape: Shape, network: Prompted, blank: Words) -> None:
        device, dtype = blank.tokens.device, blank.tokens.dtype
        self._network, self._inner = network, shape.inner
        embedding = network.embed(torch.zeros(shape.passes, device=device), blank, shape.inner)
        self.embedding = torch.zeros(rows, 2, *embedding.shape[1:], dtype=dtype, device=device)
        self.memory = tuple(
            torch.zeros(rows, 2, *part.shape[1:], dtype=dtype, device=device) for part in network.remember(blank)
        )

    def write_words(self, row: int, sides: Sequence[Words]) -> None:
        """The prompt, and the negative prompt where it counts."""
        for place, words in enumerate(sides):
            for kept, part in zip(self.memory, self._network.remember(words), strict=True):
                kept[row, place] = part[0]

    def write_times(self, row: int, sides: Sequence[Words], times: Tensor) -> None:
        """The times of a schedule's passes, with the words that they come with."""
        for place, words in enumerate(sides):
            self.embedding[row, place, : len(times)] = self._network.embed(times, words, self._inner)[0]

    def of(self, rows: Tensor, step: Tensor, *, guided: bool) -> tuple[Tensor, list[Tensor]]:
        """Embedding `[B, E]` and memory of a pass; guided: of the prompt for all rows, then of the negative prompt."""
        if not guided:
            return self.embedding[rows, 0, step], [part[rows, 0] for part in self.memory]
        embedding = torch.cat([self.embedding[rows, side, step] for side in (0, 1)])
        return embedding, [part[rows].transpose(0, 1).flatten(0, 1) for part in self.memory]


class Arena(FrameArena):
    """`lanes` lanes of one shape.

    Args:
        unet: says how much a remembered prompt takes.
        blank: any prompt, encoded.
        guide: a ControlNet, where there is one.

    Attributes:
        told: what the U-Net is told of each lane's words.
        hinted: what the ControlNet is told of them, and `hint` of the camera picture; None where there is none.
    """

    def __init__(
        self, shape: Shape, lanes: int, unet: PromptedUNet, blank: Words, guide: PromptedControlNet | None = None
    ) -> None:
        device, noises = blank.tokens.device, shape.passes + 1
        super().__init__(shape.size, lanes, shape.latent, passes=shape.passes, noises=noises, device=device)
        self.shape = shape
        self.guidance = torch.ones(self.rows, device=device)
        self.told = Told(self.rows, shape, unet, blank)
        self.hinted: Told | None = None
        if guide is not None:
            self.hinted = Told(self.rows, shape, guide, blank)
            sample = torch.zeros(1, 3, *shape.inner, dtype=blank.tokens.dtype, device=device)
            self.hint = torch.zeros(self.rows, *guide.hint(sample).shape[1:], dtype=sample.dtype, device=device)
            self.hold = torch.zeros(self.rows, device=device)

    @property
    def everything_told(self) -> tuple[Told, ...]:
        """What each network is told."""
        return (self.told,) if self.hinted is None else (self.told, self.hinted)
