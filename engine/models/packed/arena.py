"""Memory of all lanes of one picture size of the packed family: the frames', their words, where tokens lie."""

from dataclasses import dataclass

import torch
from torch import Tensor

from liveglass.engine.frame import Size
from liveglass.engine.models.arena import FrameArena
from liveglass.engine.models.diffusion.prompted import Words

_CAMERA = 10
"""Where the camera's tokens lie in time; what is painted lies at 0 (FLUX.2 puts its references 10 apart)."""


@dataclass(frozen=True)
class Shape:
    """What an arena is cut for.

    Attributes:
        size: of the pictures outside.
        inner: height and width inside, in pixels.
        grid: rows and columns of tokens.
        channels: of a token.
        passes: the most that a schedule has.
    """

    size: Size
    inner: tuple[int, int]
    grid: tuple[int, int]
    channels: int
    passes: int

    @property
    def tokens(self) -> int:
        """Of one picture."""
        return self.grid[0] * self.grid[1]


class TokenArena(FrameArena):
    """`lanes` lanes of one shape. Its samplers add no noise between passes, so a lane keeps that of its start alone.

    Args:
        blank: any prompt, encoded.
        sees_camera: passes are shown the camera's tokens, too.
    """

    def __init__(self, shape: Shape, lanes: int, blank: Words, *, sees_camera: bool) -> None:
        device, dtype = blank.tokens.device, blank.tokens.dtype
        latent = (shape.tokens, shape.channels)
        super().__init__(shape.size, lanes, latent, passes=shape.passes, noises=1, device=device)
        self.shape = shape
        self.words = torch.zeros(self.rows, *blank.tokens.shape[1:], dtype=dtype, device=device)
        self.word_places = places(0, (1, 1), blank.tokens.shape[1]).to(device)
        self.places = places(0, shape.grid).to(device)
        # Of the camera, for those who see it: its tokens, and which of all tokens there are to look at.
        count = shape.tokens if sees_camera else 0
        self.camera = torch.zeros(self.rows, count, shape.channels, dtype=dtype, device=device)
        self.visible = torch.ones(
            self.rows, blank.tokens.shape[1] + shape.tokens + count, dtype=torch.bool, device=device
        )
        if sees_camera:
            self.places = torch.cat([self.places, places(_CAMERA, shape.grid).to(device)])

    def write_words(self, lane: int, words: Words) -> None:
        """A lane's prompt."""
        self.words[lane] = words.tokens[0]

    def show_camera(self, lane: int, *, is_shown: bool) -> None:
        """Whether a lane's passes may look at the camera's tokens."""
        self.visible[lane, self.visible.shape[1] - self.camera.shape[1] :] = is_shown


def places(time: int, grid: tuple[int, int], words: int = 1) -> Tensor:
    """Where tokens lie, int64 `[n, 4]`: time, row, column, and place in a text; each turns a part of every head."""
    axes = (torch.tensor([time]), torch.arange(grid[0]), torch.arange(grid[1]), torch.arange(words))
    return torch.cartesian_prod(*axes)
