"""Which of a camera's pictures the one on show is right for, and for how long a newer one has been waiting; pure.

A picture is right for the source that it was made from, and for every later one that the worker found like that one.
"""

import math
from collections import deque

from liveglass.engine.frame import Frame, SourceStamp

_MOST_STAMPS = 256
"""Over ten seconds of a camera; a picture that is older is on its way to standby."""

_UNJUDGED_SLOTS = 2
"""So long after a newer source came in the camera still counts as still: the worker may be busy with somebody else."""


class Sight:
    """Of one session.

    Args:
        period_s: a slot's length, seconds.
    """

    def __init__(self, period_s: float) -> None:
        self._unjudged_s = _UNJUDGED_SLOTS * period_s
        self._stamps: deque[SourceStamp] = deque(maxlen=_MOST_STAMPS)
        self._still: tuple[int, SourceStamp] | None = None

    def see(self, stamp: SourceStamp) -> None:
        """A source picture came in. Any thread."""
        self._stamps.append(stamp)

    def confirm(self, base: int, source: SourceStamp) -> None:
        """`source` is like the one that the newest frame was made from, whose `seq` is `base`."""
        self._still = base, source

    def seen_at(self, base: Frame | None) -> float:
        """When the camera last showed what `base` was made from, seconds; -inf where nothing is known beyond that."""
        like = self._like(base)
        return -math.inf if like is None else like.captured_at

    def waited(self, base: Frame | None, now: float) -> float:
        """For how long the first source picture that `base` is not right for has been there, seconds."""
        source = None if base is None else base.provenance.source
        if source is None:
            return 0.0
        like = self._like(base)
        right_for = source.seq if like is None else like.seq
        while self._stamps and self._stamps[0].seq <= right_for:
            self._stamps.popleft()
        return max(0.0, now - self._stamps[0].captured_at) if self._stamps else 0.0

    def is_still(self, base: Frame | None, now: float) -> bool:
        """Whether the camera was found to show what `base` was made from, and no newer picture says otherwise yet."""
        return self._like(base) is not None and self.waited(base, now) <= self._unjudged_s

    def _like(self, base: Frame | None) -> SourceStamp | None:
        """The newest source that was found like the one of `base`."""
        source = None if base is None else base.provenance.source
        if self._still is None or source is None or source.seq != self._still[0]:
            return None
        return self._still[1]
