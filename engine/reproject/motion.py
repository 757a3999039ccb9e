"""How the camera's picture has moved: small views of it, and the optical flow between any two; one thread.

A flow is float32 [h, w, 2] in pixels of a view: for each point of the newer view, how far off it lies in the older one
(right, down). Flow is DIS (Kroeger et al. 2016) with the parameters that were measured to be worth their time: every
scale down to the finest, patches of 8 with a stride of 5, 12 steps of descent, no variational refinement.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.frame import Size, SourceFrame, SourceStamp

Flow = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Values = TypeVar("Values", np.uint8, np.float32)

_REMEMBERED = 30
"""Views that are kept, so that a picture finds the one that it was made from: 1.25 s at 24 a second."""


@dataclass(frozen=True, slots=True)
class View:
    """A camera picture as motion is looked for in it.

    Attributes:
        stamp: of the picture.
        colour: uint8 [h, w, 3].
        grey: uint8 [h, w].
        step: flow from it to the view before; None where nobody asked.
    """

    stamp: SourceStamp
    colour: Bytes
    grey: Bytes
    step: Flow | None


class CameraMotion:
    """The newest views of one camera.

    Args:
        size: of a view.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._views: deque[View] = deque(maxlen=_REMEMBERED)
        self._dis = _dis()

    @property
    def newest(self) -> View | None:
        """The view that came in last."""
        return self._views[-1] if self._views else None

    def see(self, source: SourceFrame, *, follow: bool = True) -> View | None:
        """The camera shows `source` (uint8 [H, W, 3] of any size); None where it is no newer than what was seen.

        Args:
            follow: whether to look how it moved since the picture before.
        """
        before = self.newest
        if before is not None and source.stamp.seq <= before.stamp.seq:
            return None
        size = (self.size.width, self.size.height)
        colour = np.asarray(cv2.resize(source.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        grey = np.asarray(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), np.uint8)
        step = None if before is None or not follow else self.direct(grey, before.grey)
        view = View(source.stamp, colour, grey, step)
        self._views.append(view)
        return view

    def at(self, seconds: float) -> View | None:
        """The view of the picture that was taken nearest to `seconds` of the server's clock."""
        return min(self._views, key=lambda view: abs(view.stamp.captured_at - seconds), default=None)

    def find(self, stamp: SourceStamp) -> View | None:
        """The view of the picture that `stamp` is of; None where it is forgotten or was never seen."""
        return next((view for view in reversed(self._views) if view.stamp.seq == stamp.seq), None)

    def direct(self, newer: Bytes, older: Bytes) -> Flow:
        """The flow between two grey views, looked for at once."""
        return np.asarray(self._dis.calc(newer, older, None), np.float32)  # type: ignore[call-overload]  # None: a new one

    def composed(self, newer: View, older: View) -> Flow | None:
        """The flow from one remembered view to another, put together from picture to picture; None across a gap."""
        total: Flow | None = None
        for view in reversed(self._views):
            if view.stamp.seq > newer.stamp.seq:
                continue
            if view.stamp.seq <= older.stamp.seq:
                break
            if view.step is None:
                return None
            total = view.step if total is None else total + self.along(view.step, total)
        return np.zeros((*self.size.shape[:2], 2), np.float32) if total is None else total

    def along(self, picture: NDArray[Values], flow: Flow) -> NDArray[Values]:
        """`picture` of a view's size as the newer view has it, of the same type; its border is repeated."""
        return sampled(picture, places(self.size) + flow)


@lru_cache(maxsize=16)
def places(size: Size) -> Flow:
    """Where each pixel lies, float32 [h, w, 2], right and down; shared and read-only."""
    rows, columns = np.indices(size.shape[:2], np.float32)
    result = np.dstack((columns, rows))
    result.flags.writeable = False
    return result


def sampled(picture: NDArray[Values], there: Flow) -> NDArray[Values]:
    """What `picture` shows at `there` (float32 [h, w, 2], pixels right and down), between its pixels linearly."""
    is_colour = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    # Of four channels OpenCV reads a pixel at once: two conversions and that are half the time of three channels.
    read = cv2.cvtColor(picture, cv2.COLOR_RGB2RGBA) if is_colour else picture
    shown = cv2.remap(read, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]  # None: the first map has both
    return np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGBA2RGB) if is_colour else shown, picture.dtype)


def _dis() -> cv2.DISOpticalFlow:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setFinestScale(0)
    dis.setPatchSize(8)
    dis.setPatchStride(5)
    dis.setGradientDescentIterations(12)
    dis.setVariationalRefinementIterations(0)
    return dis
