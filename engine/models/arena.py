"""Memory of all lanes of one picture size: every tensor has one address for good, so that passes can be captured.

A lane is a control version of a session: what it needs is written into its row of each tensor; a cohort is a list of
rows. Here is what every family of latent models needs; each adds what its own prompts leave. Runs in the worker.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.errors import ModelFailed, OutOfMemory
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import Schedule

ROW = 5
"""Numbers in a row of a schedule."""

_COHORTS = 4096
"""Lists of rows that are kept on the device; then they are made anew."""


class FrameArena:
    """`lanes` lanes: pictures in and out, latents, their noise, where they start and their passes.

    Args:
        size: of the pictures outside.
        latent: the shape of one lane's latent.
        passes: the most that a schedule has.
        noises: latents of noise that a lane keeps: for its start, and for each pass after which some is added.

    Attributes:
        rows: of every tensor: one for each lane, and `scratch`, which is no lane's.
    """

    def __init__(
        self, size: Size, lanes: int, latent: tuple[int, ...], *, passes: int, noises: int, device: torch.device
    ) -> None:
        self.lanes, self.scratch, self.rows = lanes, lanes, lanes + 1
        self.pixels = torch.zeros(self.rows, *size.shape, dtype=torch.uint8, device=device)
        self.made = torch.zeros_like(self.pixels)
        self.latent = torch.zeros(self.rows, *latent, device=device)
        self.noise = torch.zeros(self.rows, noises, *latent, device=device)
        self.start = torch.zeros(self.rows, 2, device=device)
        self.table = torch.zeros(self.rows, passes, ROW, device=device)
        is_cuda = device.type == "cuda"
        self._into = torch.zeros(self.pixels.shape, dtype=torch.uint8, pin_memory=is_cuda)
        self._out = torch.zeros(self.pixels.shape, dtype=torch.uint8, pin_memory=is_cuda)
        self._taken_up: list[torch.cuda.Event] = []
        if is_cuda:
            self._taken_up = [torch.cuda.Event() for _ in range(lanes)]  # type: ignore[no-untyped-call]  # torch's own
        self._free = list(range(lanes))[::-1]
        self._cohorts: dict[tuple[int, ...], Tensor] = {}

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

    def cohort(self, lanes: Iterable[int]) -> Tensor:
        """These lanes as rows, int64 [B] on the device; copied there once for each cohort that there ever is."""
        rows = tuple(lanes)
        if rows not in self._cohorts:
            if len(self._cohorts) >= _COHORTS:
                self._cohorts.clear()
            self._cohorts[rows] = torch.tensor(rows, device=self.latent.device)
        return self._cohorts[rows]

    def write_passes(self, lane: int, schedule: Schedule) -> None:
        """Where a lane starts, and its passes."""
        self.start[lane] = torch.tensor([schedule.keep, schedule.noise])
        self.table[lane, : schedule.steps] = torch.tensor(schedule.rows)

    def write_noise(self, lane: int, noise: NDArray[np.float32]) -> None:
        """The noise of a stream, float32 [noises, *latent].

        Raises:
            ModelFailed: it was drawn for another size.
        """
        if noise.shape != self.noise.shape[1:]:
            raise ModelFailed(f"Noise of {noise.shape} was drawn for another size: {tuple(self.noise.shape[1:])}.")
        self.noise[lane] = torch.from_numpy(noise).to(self.noise.device)

    def put(self, lane: int, picture: Pixels) -> None:
        """A source for a lane, uint8 [H, W, 3].

        Raises:
            ModelFailed: it has another size.
        """
        if picture.shape != self.pixels.shape[1:]:
            raise ModelFailed(f"A source of {picture.shape} does not fit a lane of {tuple(self.pixels.shape[1:])}.")
        if self._taken_up:
            # A frame that was given up may still be on its way from here.
            self._taken_up[lane].synchronize()
        self._into[lane].numpy()[:] = picture
        self.pixels[lane].copy_(self._into[lane], non_blocking=True)
        if self._taken_up:
            self._taken_up[lane].record()

    def sources(self, rows: Tensor, inner: tuple[int, int], kind: torch.dtype) -> Tensor:
        """The sources of `rows` at the size inside: `[B, 3, H, W]` of `inner` height and width, in 0..1."""
        pixels = self.pixels[rows].permute(0, 3, 1, 2).to(kind) / 255
        if pixels.shape[-2:] != inner:
            pixels = F.interpolate(pixels, inner, mode="bilinear", align_corners=False, antialias=True)
        return pixels

    def paint(self, rows: Tensor, pixels: Tensor) -> None:
        """What a decoder made for `rows`, float32 `[B, 3, H, W]` about -1..1, as pictures of the size outside."""
        size = self.made.shape[1:3]
        if pixels.shape[-2:] != size:
            pixels = F.interpolate(pixels, size, mode="bicubic", align_corners=False)
        self.made[rows] = (pixels * 127.5 + 128).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)

    def fetch(self, lanes: Sequence[int]) -> list[Pixels]:
        """What was made in these lanes, uint8 [H, W, 3] each; valid until their next fetch."""
        for lane in lanes:
            self._out[lane].copy_(self.made[lane], non_blocking=True)
        if self.made.is_cuda:
            torch.cuda.current_stream().synchronize()
        return [self._out[lane].numpy() for lane in lanes]
