"""Whether two pictures are the same, and by how much they are not; pure."""

import hashlib

import msgspec
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.frame import Pixels


class Difference(msgspec.Struct, frozen=True):
    """Between two pictures of one size, in levels of 255.

    Attributes:
        max: of any value.
        mean: over all values.
        share: of the pixels that differ at all, 0 to 1.
    """

    max: int
    mean: float
    share: float


def difference(one: Pixels, other: Pixels) -> Difference:
    """How far two pictures, uint8 [H, W, 3], are apart.

    Raises:
        ValueError: they are of different shapes.
    """
    if one.shape != other.shape:
        raise ValueError(f"{one.shape} and {other.shape} are not pictures of one size")
    apart = np.maximum(one, other) - np.minimum(one, other)
    return Difference(int(apart.max()), float(apart.mean()), float(apart.any(axis=2).mean()))


def sha256(values: NDArray[np.generic]) -> str:
    """SHA-256 of an array's bytes, row by row, in hexadecimal; of a picture: of its RGB values."""
    return hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
