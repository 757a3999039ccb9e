"""Memory of all lanes of one picture size: every tensor has one address for good, so that passes can be captured.

A lane is a control version of a session: what it needs is written into its row of each tensor; a cohort is a list of
rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.errors import OutOfMemory
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import Schedule
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.prompted import Prompted, Words
from liveglass.engine.models.diffusion.unet import PromptedUNet

ROW = 5
"""Numbers in a row of a schedule."""


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


class Arena:
    """`lanes` lanes of one shape.

    Args:
        unet: says how much a remembered prompt takes.
        blank: any prompt, encoded.
        guide: a ControlNet, where there is one.

    Attributes:
        told: what the U-Net is told of each lane's words.
        hinted: what the ControlNet is told of them, and `hint` of the camera picture; None where there is none.
        scratch: a row that is no lane's.
    """

    def __init__(
        self, shape: Shape, lanes: int, unet: PromptedUNet, blank: Words, guide: PromptedControlNet | None = None
    ) -> None:
        device = blank.tokens.device
        height, width = shape.size.height, shape.size.width
        self.shape, self.lanes, self.scratch = shape, lanes, lanes
        rows = lanes + 1
        self.pixels = torch.zeros(rows, height, width, 3, dtype=torch.uint8, device=device)
        self.made = torch.zeros_like(self.pixels)
        self.latent = torch.zeros(rows, *shape.latent, device=device)
        self.noise = torch.zeros(rows, shape.passes + 1, *shape.latent, device=device)
        self.start = torch.zeros(rows, 2, device=device)
        self.table = torch.zeros(rows, shape.passes, ROW, device=device)
        self.guidance = torch.ones(rows, device=device)
        self.told = Told(rows, shape, unet, blank)
        self.hinted: Told | None = None
        if guide is not None:
            self.hinted = Told(rows, shape, guide, blank)
            sample = torch.zeros(1, 3, *shape.inner, dtype=blank.tokens.dtype, device=device)
            self.hint = torch.zeros(rows, *guide.encode(sample).shape[1:], dtype=sample.dtype, device=device)
            self.hold = torch.zeros(rows, device=device)
        is_cuda = device.type == "cuda"
        self._into = torch.zeros(self.pixels.shape, dtype=torch.uint8, pin_memory=is_cuda)
        self._out = torch.zeros(self.pixels.shape, dtype=torch.uint8, pin_memory=is_cuda)
        self._taken_up: list[torch.cuda.Event] = []
        if is_cuda:
            self._taken_up = [torch.cuda.Event() for _ in range(lanes)]  # type: ignore[no-untyped-call]  # torch's own
        self._free = list(range(lanes))[::-1]

    @property
    def everything_told(self) -> tuple[Told, ...]:
        """What each network is told."""
        return (self.told,) if self.hinted is None else (self.told, self.hinted)

    @property
    def is_empty(self) -> bool:
        """Whether nobody has a lane here."""
        return len(self._free) == self.lanes

    def take(self) -> int:
        """A free lane.

        Raises:
            OutOfMemory: all are taken.
        """
        if not self._free:
            raise OutOfMemory(f"All {self.lanes} lanes of this size are taken.")
        return self._free.pop()

    def give(self, lane: int) -> None:
        """Give a lane back."""
        self._free.append(lane)

    def write_schedule(self, lane: int, schedule: Schedule) -> None:
        """The passes of a lane."""
        self.start[lane] = torch.tensor([schedule.keep, schedule.noise])
        self.table[lane, : schedule.steps] = torch.tensor(schedule.rows)

    def write_noise(self, lane: int, noise: NDArray[np.float32]) -> None:
        """The noise of a stream, float32 [passes + 1, channels, height, width]: for its start and after each pass."""
        self.noise[lane] = torch.from_numpy(noise).to(self.noise.device)

    def put(self, lane: int, picture: Pixels) -> None:
        """A source for a lane, uint8 [H, W, 3]."""
        if self._taken_up:
            # A frame that was given up may still be on its way from here.
            self._taken_up[lane].synchronize()
        self._into[lane].numpy()[:] = picture
        self.pixels[lane].copy_(self._into[lane], non_blocking=True)
        if self._taken_up:
            self._taken_up[lane].record()

    def fetch(self, lanes: Sequence[int]) -> list[Pixels]:
        """What was made in these lanes, uint8 [H, W, 3] each; valid until their next fetch."""
        for lane in lanes:
            self._out[lane].copy_(self.made[lane], non_blocking=True)
        if self.made.is_cuda:
            torch.cuda.current_stream().synchronize()
        return [self._out[lane].numpy() for lane in lanes]
