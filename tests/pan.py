"""A camera that pans over something, and a style to paint it in: motion whose truth is known."""

import cv2
import numpy as np

from liveglass.engine.frame import Pixels, Size

SIZE = Size(160, 96)
STEP = 4
"""Pixels that the camera pans in a picture."""


def world(seed: int = 1) -> Pixels:
    """Something to look at, wider than a picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (14, 80, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (640, SIZE.height + 16), interpolation=cv2.INTER_CUBIC), np.uint8)


def seen(index: int, wide: Pixels) -> Pixels:
    """The camera's picture after so many steps of the pan."""
    return np.ascontiguousarray(wide[8 : 8 + SIZE.height, index * STEP : index * STEP + SIZE.width])


def negative(picture: Pixels) -> Pixels:
    """A style: what is bright is dark."""
    return np.asarray(255 - picture, np.uint8)


def psnr(one: Pixels, other: Pixels) -> float:
    inner = (slice(8, -8), slice(24, -24))
    error = np.mean((one[inner].astype(float) - other[inner]) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-3)))
