"""How steady the generated pictures of a session are, measured once a second on two that follow each other.

Flicker is what changes where the camera's picture stands still; the warp error is what is left when the picture before
is moved along with the camera by its optical flow (DIS, Kroeger et al. 2016). Both in levels of 255, 160 pixels wide.
A few milliseconds a second, in the worker, between two frames.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.frame import Pixels, Size, Steady
from liveglass.engine.reproject.motion import places, sampled

_EVERY_S = 1.0
_WIDTH = 160
_STILL = 2.0
_LEAST_STILL = 0.05

Grey = NDArray[np.uint8]


class Steadiness:
    """The pictures of one session, looked at now and then."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._before: tuple[int, Grey, Grey] | None = None
        self._due = 0.0

    def look(self, source: Pixels, picture: Pixels, version: int, now: float) -> Steady | None:
        """`picture` was made from `source` (uint8 [H, W, 3] each) by control `version`; the figures, once a second."""
        if now < self._due:
            return None
        shown = version, _small(source), _small(picture)
        before, self._before = self._before, shown
        if before is None or before[0] != version:
            return None
        self._before, self._due = None, now + _EVERY_S
        return self._compare(before[1:], shown[1:])

    def _compare(self, before: tuple[Grey, Grey], after: tuple[Grey, Grey]) -> Steady:
        (source_before, made_before), (source_after, made_after) = before, after
        changed = cv2.absdiff(made_before, made_after)
        still = cv2.blur(cv2.absdiff(source_before, source_after), (9, 9)) < _STILL
        flicker = float(changed[still].mean()) if still.mean() > _LEAST_STILL else None
        # From the newer picture to the older one: where each of its points came from.
        flow = self._flow.calc(source_after, source_before, None)  # type: ignore[call-overload]  # None: a new one
        height, width = source_after.shape
        came = sampled(made_before, places(Size(width, height)) + flow)
        return Steady(flicker, float(cv2.absdiff(came, made_after).mean()))


def _small(picture: Pixels) -> Grey:
    height, width = picture.shape[:2]
    size = (_WIDTH, max(16, round(_WIDTH * height / width)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
