"""Which of two flows to believe at each point, or neither: by how well the camera's own picture is foretold; pure.

A flow that moves the older camera picture onto the newest one will move the generated picture, too. No pixel of the
camera enters the picture: it is only measured against itself.
"""

from collections.abc import Sequence
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
_WELL_FORETOLD = 0.05
"""Where no more of the picture than that is wrong by the steps, the direct flow is not looked for: it is a third of the
time of a slot, and gains half a decibel there."""
_EDGE_SIGMA = 1.5
"""By which one way fades into the next: a hard edge between two of them tears what it crosses."""

Error = NDArray[np.float32]
Places = NDArray[np.bool_]


class Way(NamedTuple):
    """One flow, and where it is believed.

    Attributes:
        flow: float32 [h, w, 2]; None: nothing moves.
        is_best: where it is the best of all, bool [h, w].
    """

    flow: Flow | None
    is_best: Places

    @property
    def share(self) -> NDArray[np.float32]:
        """By how much it covers the ways before it, float32 [h, w] in 0..1, with soft edges."""
        return np.asarray(cv2.GaussianBlur(self.is_best.astype(np.float32), (0, 0), _EDGE_SIGMA), np.float32)


class Choice(NamedTuple):
    """How the newest camera picture comes from an older one, as far as that can be believed.

    Attributes:
        ways: one over the other; without those that are best nowhere.
        is_cut: nothing foretells the newest picture: it shows something else.
        doubt: share of the points where even the best flow is wrong by more than 12 levels, 0..1; it tells how good
            the moved picture will be (rank correlation with its true error 0.66 to 0.93).
    """

    ways: Sequence[Way]
    is_cut: bool
    doubt: float

    @property
    def flow(self) -> Flow:
        """The best flow at each point, float32 [h, w, 2]."""
        flow = np.zeros((*self.ways[0].is_best.shape, 2), np.float32)
        for way in self.ways:
            if way.flow is not None:
                cv2.copyTo(way.flow, way.is_best.view(np.uint8), flow)
        return flow


def choose(motion: CameraMotion, newest: View, older: View, composed: Flow | None) -> Choice:
    """The flow from `newest` to `older`: direct, put together from steps, or none, whichever is right at each point.

    Args:
        composed: the one put together from steps; None where there are not all of them.
    """
    flow, moving_error = composed, None if composed is None else _error(motion, newest, older, composed)
    direct, takes_direct = None, np.zeros(newest.grey.shape, np.bool_)
    if flow is None or moving_error is None or (moving_error > _WRONG).mean() > _WELL_FORETOLD:
        direct = motion.direct(newest.grey, older.grey)
        direct_error = _error(motion, newest, older, direct)
        if flow is None or moving_error is None:
            flow, moving_error = direct, direct_error
        else:
            takes_direct = direct_error < moving_error
            moving_error = np.minimum(moving_error, direct_error)
    still_error = _smooth(cv2.absdiff(older.colour, newest.colour), _FINE_SIGMA)
    stays = (still_error <= moving_error) | (_broad(moving_error) > _STAND_STILL * _broad(still_error))
    best = np.where(stays, still_error, moving_error)
    moves = ~stays
    places = ((flow, moves & ~takes_direct), (direct, moves & takes_direct), (None, stays))
    ways = [Way(flow, is_best) for flow, is_best in places if is_best.any()]
    return Choice(ways, bool(best.mean() > _CUT), float((best > _WRONG).mean()))


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
