"""What of a generated picture moves with the camera, and what is fixed to the screen; one stream, one thread.

A style may print paper, hatching or scan lines that stay where they are while the camera moves. Whether it does is not
known beforehand; it is seen by foretelling each generated picture from the one before it.
"""

from collections import deque
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.frame import Pixels
from liveglass.engine.reproject.motion import CameraMotion, Flow

Gain = NDArray[np.float32]
"""float32 [H, W, 3]: by what the texture multiplies the picture; darkness has none (it is learnt 8 levels up)."""

_PICTURES = 6
_SIGMA = 3.0
_DARKEST = 8.0
_MOVED_PX = 0.5
_MEMORY = 0.7
_BETTER = 0.95
_LOGARITHM = np.log(np.arange(256, dtype=np.float32) + _DARKEST)


class Anchor(Enum):
    """What a picture is fixed to.

    Attributes:
        CAMERA: all of it moves with the camera.
        BOTH: a texture stays on the screen, the rest moves.
        SCREEN: nothing of it moves with the camera.
    """

    CAMERA = "camera"
    BOTH = "both"
    SCREEN = "screen"


class ScreenTexture:
    """The mean of what is fine in the last six pictures: what moves is blurred away in it, what stands still stays."""

    def __init__(self) -> None:
        self._details: deque[Gain] = deque(maxlen=_PICTURES)

    def add(self, picture: Pixels) -> None:
        """A picture (uint8 [H, W, 3]) was generated."""
        logarithm = cv2.LUT(picture, _LOGARITHM)
        self._details.append(np.asarray(logarithm - cv2.GaussianBlur(logarithm, (0, 0), _SIGMA), np.float32))

    def gain(self) -> Gain | None:
        """The texture; None before there are six pictures."""
        if len(self._details) < _PICTURES:
            return None
        return np.asarray(np.exp(sum(self._details) / _PICTURES), np.float32)

    def clear(self) -> None:
        """Another style: forget it."""
        self._details.clear()


def without(picture: Pixels, texture: Gain) -> Pixels:
    """`picture` with its texture taken out, uint8."""
    return np.asarray(cv2.divide(picture, texture, dtype=cv2.CV_8U), np.uint8)


def printed(picture: Pixels, texture: Gain) -> Pixels:
    """`picture` with the texture put back, uint8."""
    return np.asarray(cv2.multiply(picture, texture, dtype=cv2.CV_8U), np.uint8)


class AnchorJudge:
    """Sees what generated pictures are fixed to, by small copies of them of a view's size."""

    def __init__(self, motion: CameraMotion) -> None:
        self._motion = motion
        self._size = (motion.size.width, motion.size.height)
        self._texture = ScreenTexture()
        self._before: Pixels | None = None
        self._errors: dict[Anchor, float] = {}

    @property
    def anchor(self) -> Anchor:
        """What foretells best; the camera, until something else does clearly better."""
        errors = self._errors
        if not errors:
            return Anchor.CAMERA
        if errors[Anchor.BOTH] < _BETTER * min(errors[Anchor.CAMERA], errors[Anchor.SCREEN]):
            return Anchor.BOTH
        return Anchor.SCREEN if errors[Anchor.SCREEN] < _BETTER * errors[Anchor.CAMERA] else Anchor.CAMERA

    def look(self, picture: Pixels, flow: Flow | None) -> None:
        """The next picture was generated.

        Args:
            picture: uint8 [H, W, 3].
            flow: from its camera picture to that of the one before; None where that is not known.
        """
        small = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        before, self._before = self._before, small
        texture = self._texture.gain()
        self._texture.add(small)
        if before is None or flow is None or np.abs(flow).mean() < _MOVED_PX:
            return
        guesses = {Anchor.CAMERA: self._motion.along(before, flow), Anchor.SCREEN: before}
        if texture is not None:
            guesses[Anchor.BOTH] = printed(self._motion.along(without(before, texture), flow), texture)
        guesses.setdefault(Anchor.BOTH, guesses[Anchor.CAMERA])
        for anchor, guess in guesses.items():
            error = float(cv2.norm(guess, small, cv2.NORM_L1))
            self._errors[anchor] = _MEMORY * self._errors.get(anchor, error) + (1 - _MEMORY) * error

    def forget(self) -> None:
        """Another style: what was seen does not count any more."""
        self._before = None
        self._errors.clear()
        self._texture.clear()
