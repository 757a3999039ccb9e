"""Whether a session's pictures follow its camera, and to which moment; pure but for the mover that does the work.

With policy `latest` every picture that is older than a slot is shown where the camera is now; with `steady` fresh
pictures are shown as made, and the ones between keep their lag. A model that keeps up with the slots has a fresh
picture for each: all of them lag alike, and moving them would only make the paint on them older, often by a slot.
"""

import math
from collections import deque
from collections.abc import Sequence

from liveglass.engine.control import Params
from liveglass.engine.frame import Frame, SourceFrame
from liveglass.engine.reproject.warp import Moved
from liveglass.engine.stream.grid import Grid
from liveglass.engine.stream.mover import Mover
from liveglass.engine.stream.scheduler import Pick

_OLD_SLOTS = 2
_LEFT_OUT_SLOTS = 1.5
"""A model that keeps up leaves a slot out now and then; that is not worth following the camera for."""

_INTERVALS = 12
_KEPT_UP, _STILL_KEPT_UP = 1.15, 1.35
"""A model keeps up once its last twelve pictures came that many slots apart or less, and for as long as they come
within the second; changing from one to the other shows as a jump."""


class Follower:
    """One session's policy.

    Args:
        mover: None: nothing is ever moved.
        full_strength_hides: whether at strength 1 nothing of the camera is in the picture.
    """

    def __init__(self, mover: Mover | None, *, full_strength_hides: bool) -> None:
        self._mover = mover
        self._full_strength_hides = full_strength_hides
        self._lag_s = 0.0
        self._made_at: deque[float] = deque(maxlen=_INTERVALS + 1)
        self._keeps_up = False

    def adopt(self, inner_pixels: int, *, full_strength_hides: bool) -> None:
        """Another model makes the pictures, painting so many pixels inside; see `view_size`."""
        self._full_strength_hides = full_strength_hides
        if self._mover is not None:
            self._mover.look_for(inner_pixels)

    def see(self, source: SourceFrame) -> None:
        """The camera shows `source`."""
        if self._mover is not None:
            self._mover.see(source)

    def takes(self, frame: Frame, params: Params, grid: Grid) -> bool:
        """`frame` was generated; whether it is held back, for `ready` to give it when it has been moved once."""
        source = frame.provenance.source
        if self._mover is None or source is None or (self._full_strength_hides and params.strength >= 1):
            return False
        self._note_pace(frame.ready_at, grid)
        shown_at = grid.deadline(grid.next_slot(frame.ready_at))
        is_old = shown_at - source.captured_at > grid.period
        return self._mover.offer(frame, hold=is_old and params.policy == "latest" and not self._keeps_up)

    def ready(self, now: float) -> Sequence[Frame]:
        """Frames that were held back and may be picked at `now`, seconds."""
        return () if self._mover is None else self._mover.ready(now)

    def place(self, pick: Pick, params: Params, grid: Grid, now: float, *, is_still: bool = False) -> Moved | None:
        """Where the picked frame is shown in the slot at `now`, seconds; None: as it was made, or as it is shown.

        Args:
            is_still: the camera stands still, so nothing but its noise could be followed.
        """
        source = None if pick.base is None else pick.base.provenance.source
        if self._mover is None or pick.base is None or source is None:
            return None
        age_s = now - source.captured_at
        if pick.is_new:
            self._lag_s = age_s
        if is_still:
            self._made_at.clear()  # that no picture comes says nothing about the model's pace
            return None
        if self._keeps_up:
            enough_s = math.inf if pick.is_new else self._lag_s + _LEFT_OUT_SLOTS * grid.period
        else:
            enough_s = (1 if pick.is_new else _OLD_SLOTS) * grid.period
        if age_s <= enough_s:
            return None
        if params.policy == "latest":
            return self._mover.moved(pick.base, None)
        # The next slot shows what the camera saw a slot later than this one.
        moved = self._mover.moved(pick.base, now + grid.period - self._lag_s)
        return None if pick.is_new else moved

    def _note_pace(self, ready_at: float, grid: Grid) -> None:
        """A picture was ready: does the model make one for nearly every slot?"""
        self._made_at.append(ready_at)
        if len(self._made_at) > _INTERVALS:
            slots = (self._made_at[-1] - self._made_at[0]) / (_INTERVALS * grid.period)
            self._keeps_up = slots <= (_STILL_KEPT_UP if self._keeps_up else _KEPT_UP)

    def forget(self) -> None:
        """Nothing that was seen or made before is moved any more."""
        if self._mover is not None:
            self._mover.forget()

    def close(self) -> None:
        """The session is over."""
        if self._mover is not None:
            self._mover.close()
