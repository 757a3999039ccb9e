"""Which of two flows to believe at each point, or none: by how well the camera's own picture is foretold; pure.

A flow that moves the older camera picture onto the newest one will move the generated picture, too. No pixel of the
camera enters the picture: it is only measured against itself.
"""

from typing import NamedTuple

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from liveglass.engine.reproject.motion import CameraMotion, Flow, View

_FINE_SIGMA = 1.5
_BROAD_SIGMA = 8.0
_FREE_MOTION = 0.5
_MOST_PENALTY = 2.0
_STAND_STILL = 0.8
_CUT = 25.0
_WRONG = 12.0
_WELL_FORETOLD = 0.01
"""Where no more of the picture than that is wrong by the steps, the direct flow is not looked for: it is a third of the
time of a slot."""

Error = NDArray[np.float32]


class Choice(NamedTuple):
    """A flow from the newest camera picture to an older one, as far as it can be believed.

    Attributes:
        flow: float32 [h, w, 2].
        is_cut: nothing foretells the newest picture: it shows something else.
        doubt: share of the points where even the best flow is wrong by more than 12 levels, 0..1; it tells how good
            the moved picture will be (rank correlation with its true error 0.66 to 0.93).
    """

    flow: Flow
    is_cut: bool
    doubt: float


def choose(motion: CameraMotion, newest: View, older: View, composed: Flow | None) -> Choice:
    """The flow from `newest` to `older`: direct, put together from steps, or none, whichever is right at each point.

    Args:
        composed: the one put together from steps; None where there are not all of them.
    """
    flow, moving_error = composed, None if composed is None else _error(motion, newest, older, composed)
    if flow is None or moving_error is None or (moving_error > _WRONG).mean() > _WELL_FORETOLD:
        direct = motion.direct(newest.grey, older.grey)
        direct_error = _error(motion, newest, older, direct)
        if flow is None or moving_error is None:
            flow, moving_error = direct, direct_error
        else:
            flow = np.where((moving_error < direct_error)[..., None], flow, direct)
            moving_error = np.minimum(moving_error, direct_error)
    still_error = _smooth(cv2.absdiff(older.colour, newest.colour), _FINE_SIGMA)
    stays = (still_error <= moving_error) | (_broad(moving_error) > _STAND_STILL * _broad(still_error))
    flow = np.where(stays[..., None], np.float32(0), flow)
    best = np.where(stays, still_error, moving_error)
    return Choice(flow, bool(best.mean() > _CUT), float((best > _WRONG).mean()))


def _error(motion: CameraMotion, newest: View, older: View, flow: Flow) -> Error:
    """How wrong `flow` is in levels, [h, w]; a long way counts a little against it."""
    came = motion.along(older.colour, flow)
    wrong = _smooth(cv2.absdiff(came, newest.colour), _FINE_SIGMA)
    length = cv2.magnitude(flow[..., 0], flow[..., 1])
    return np.asarray(wrong + np.clip(length - _FREE_MOTION, 0, _MOST_PENALTY), np.float32)


def _smooth(difference: MatLike, sigma: float) -> Error:
    grey = cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)


def _broad(error: Error) -> Error:
    """`error` as its wide neighbourhood has it; a blur so wide loses nothing at a quarter of the size."""
    height, width = error.shape
    small = cv2.resize(error, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), _BROAD_SIGMA / 4), (width, height)), np.float32)
