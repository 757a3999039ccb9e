"""Where the person is in a camera picture: MediaPipe's selfie segmentation by LiteRT, steadied and sharpened.

The network (Apache-2.0, 250 kB) answers at 256x144 whatever the picture's shape. Its answer is steadied over time, so
that only what changes much changes at once, and brought up to the picture's size along the picture's own edges (fast
guided filter, He and Sun 2015). One stream for each `PersonMasker`, one thread at a time.
"""

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]  # LiteRT ships no types
from numpy.typing import ArrayLike, NDArray

from liveglass.engine.frame import Pixels

Alpha = NDArray[np.float32]
"""float32 [H, W]: 1 where the person is, 0 where not."""

_INPUT = (256, 144)
_SLOWEST = 0.45
_GUIDE_WIDTH = 320
_RADIUS = 4
_EPSILON = 2e-3
_MIDDLE, _SLOPE = 0.55, 1.8


class PersonMasker:
    """Finds the person in the pictures of one stream.

    Args:
        model: the `.tflite` file.

    Raises:
        ValueError: the file is not a network.
    """

    def __init__(self, model: Path) -> None:
        # One thread: a second one spins at barriers that the model's own threads are waiting for the core of.
        self._net = Interpreter(str(model), num_threads=1)
        self._net.allocate_tensors()
        self._enters = self._net.get_input_details()[0]["index"]
        self._leaves = self._net.get_output_details()[0]["index"]
        self._steady: Alpha | None = None

    def alpha(self, picture: Pixels) -> Alpha:
        """The person in `picture` (uint8 [H, W, 3] RGB)."""
        small = cv2.resize(picture, _INPUT, interpolation=cv2.INTER_AREA)
        self._net.set_tensor(self._enters, small[None] * np.float32(1 / 255))
        self._net.invoke()
        answer = _floats(self._net.get_tensor(self._leaves)).reshape(_INPUT[::-1])
        return _along_edges(self._steadied(answer), picture)

    def _steadied(self, answer: Alpha) -> Alpha:
        """Follow what changes much at once, and what flickers slowly."""
        if self._steady is None:
            self._steady = answer
        change = answer - self._steady
        pace = _SLOWEST + (1 - _SLOWEST) * np.abs(change)
        self._steady = _floats(self._steady + pace * change)
        return self._steady


def _along_edges(mask: Alpha, picture: Pixels) -> Alpha:
    height, width = picture.shape[:2]
    size = (_GUIDE_WIDTH, max(16, round(_GUIDE_WIDTH * height / width)))
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    guide = _floats(cv2.resize(luma, size, interpolation=cv2.INTER_AREA)) / np.float32(255)
    wanted = _floats(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR))
    mean_guide, mean_wanted = _mean(guide), _mean(wanted)
    spread = _mean(_floats(guide * guide)) - mean_guide * mean_guide
    slope = _floats((_mean(_floats(guide * wanted)) - mean_guide * mean_wanted) / (spread + np.float32(_EPSILON)))
    offset = _floats(mean_wanted - slope * mean_guide)
    whole_slope, whole_offset = (_floats(cv2.resize(_mean(part), (width, height))) for part in (slope, offset))
    alpha = whole_slope * (_floats(luma) / np.float32(255)) + whole_offset
    # What is half a person at its edge shows half of the room behind: rather a little less of both.
    return _floats(np.clip((alpha - _MIDDLE) * _SLOPE + 0.5, 0, 1))


def _floats(values: ArrayLike) -> Alpha:
    return np.asarray(values, np.float32)


def _mean(values: Alpha) -> Alpha:
    side = 2 * _RADIUS + 1
    return _floats(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE))
