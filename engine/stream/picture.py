"""The pixels of stand-ins: the slate and the cross-fade; pure."""

import cv2
import numpy as np

from liveglass.engine.frame import Pixels, Size, frozen


def slate(size: Size) -> Pixels:
    """The safe picture, uint8 [H, W, 3]: a dark, soft vignette. It carries no words; causes travel in events."""
    height, width, _ = size.shape
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    glow = np.clip(1.0 - 0.55 * (x * x + y * y), 0.0, 1.0)[..., None]
    # One level of ordered noise hides the banding that eight bits give a dark gradient.
    dither = ((np.add.outer(np.arange(height) * 2, np.arange(width)) % 4) / 4.0)[..., None].astype(np.float32)
    return frozen((np.array([22, 26, 34], np.float32) * glow + 8 + dither).astype(np.uint8))


def blended(shown: Pixels, base: Pixels, toward: float) -> Pixels:
    """`toward` (0 to 1) of the way from what is shown to `base`, uint8 [H, W, 3]."""
    return np.asarray(cv2.addWeighted(shown, 1.0 - toward, base, toward, 0.0), np.uint8)
