"""The built-in sample: a portrait that sways a little, so that a first visit shows a moving picture without a camera.

Pure but for reading the picture once. The photograph is NASA's portrait of the astronaut Eileen Collins, in the public
domain; the built-in model has never seen it in training.
"""

import math
from importlib.resources import files

import cv2
import numpy as np
import simplejpeg

from liveglass.engine.frame import Pixels, Size

_PERIOD_S = 12.0


class Sample:
    """The sample at one size; `picture(at)` is the same for the same `at`."""

    def __init__(self, size: Size) -> None:
        data = files("liveglass.engine.stream").joinpath("sample.jpg").read_bytes()
        self._photo: Pixels = simplejpeg.decode_jpeg(data, "RGB")
        self._size = size

    def picture(self, at: float) -> Pixels:
        """uint8 [H, W, 3], `at` seconds after its start; loops every 12 s."""
        height, width = self._photo.shape[:2]
        turn = 2 * math.pi * at / _PERIOD_S
        zoom = 1.12 + 0.06 * math.sin(turn)
        scale = max(self._size.width / width, self._size.height / height) * zoom
        angle = 0.03 * math.sin(2 * turn)
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        # The face is in the upper half; keep it there however wide the picture is.
        at_x = width * (0.46 + 0.035 * math.sin(turn + 1.0))
        at_y = height * (0.30 + 0.02 * math.sin(2 * turn))
        middle_x, middle_y = self._size.width / 2, self._size.height / 2
        matrix = np.array(
            [
                [cos, -sin, middle_x - cos * at_x + sin * at_y],
                [sin, cos, middle_y - sin * at_x - cos * at_y],
            ]
        )
        moved = cv2.warpAffine(
            self._photo,
            matrix,
            (self._size.width, self._size.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        return np.asarray(moved, np.uint8)
