"""How like two source pictures are, by which a still camera needs no other frame; pure, on the worker's thread.

A mean over the picture would overlook a finger that waves in a still room, and single pixels are never still before a
camera. So the block that changed most decides: over its 64 pixels the noise of a camera averages out to a level or two,
while something that moves by a pixel or two changes the mean of the blocks at its edge by more.
"""

import cv2
import numpy as np

from liveglass.engine.frame import Pixels

BLOCK = 8
"""Side of a block in pixels."""


class Basis:
    """What newer sources are compared with: that which the frame that went out last was made from.

    Args:
        made_by: its control version and passes.

    Attributes:
        compared: `seq` of the source that was compared last; -1: none was.
        still: `seq` of the one that was found like it last; -1: none was.
    """

    def __init__(self, made_by: tuple[int, int]) -> None:
        self.made_by = made_by
        self.compared = self.still = -1
        self._view: Pixels | None = None

    def is_like(self, source: Pixels, newer: Pixels, seq: int, similarity: float) -> bool:
        """Whether `newer`, the source of that `seq`, is at least `similarity` like `source`; uint8 [H, W, 3] each.

        Args:
            source: the same in each call; only the first one looks at it.
        """
        self.compared = seq
        if self._view is None:
            self._view = small(source)
        is_like = likeness(self._view, small(newer)) >= similarity
        if is_like:
            self.still = seq
        return is_like


def small(picture: Pixels) -> Pixels:
    """The mean colours of the blocks of `picture`, uint8 [H, W, 3] of at least one block: uint8 [H/8, W/8, 3]."""
    height, width = picture.shape[:2]
    size = (max(1, round(width / BLOCK)), max(1, round(height / BLOCK)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def likeness(one: Pixels, other: Pixels) -> float:
    """0 to 1 for two small views, uint8 [h, w, 3]: 1 less the largest difference of a block, in one channel, over 255.

    1 says that every block's mean colour is the same to the level, 0 that one turned from black to white.
    """
    return 1.0 - float(cv2.norm(one, other, cv2.NORM_INF)) / 255
