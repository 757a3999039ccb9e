"""What goes out in a slot; pure: no clock, no thread, no pixel is touched.

`offer` takes what the model finished, `tick` is asked once for each slot. A frame is `generated` only when inference
has just made it and it is shown as made; everything else is a stand-in and says so. That a picked frame is moved along
with its camera on the way out (`warped`) is `mover.py`'s and `composer.py`'s business.
"""

import math
from dataclasses import dataclass

from liveglass.engine.frame import Frame, FrameKind

STANDBY_AFTER_S = 10.0
"""After so many seconds without a usable picture the session's fallback is shown."""

MAX_FADE_SLOTS = 12


@dataclass(frozen=True, slots=True)
class Pick:
    """What to show in a slot.

    Attributes:
        kind: what it is.
        base: the generated frame to show; None for standby.
        toward: how far to go from what is shown now to `base`, 0 (it stays) to 1 (`base` as made).
        is_new: whether `base` is shown for the first time.
    """

    kind: FrameKind
    base: Frame | None
    toward: float = 1.0
    is_new: bool = False


class FrameScheduler:
    """Chooses for one session.

    Args:
        fps: slots a second.
        fades: whether gaps between generated frames are bridged by a causal cross-fade (streams without a camera).

    Attributes:
        late: frames that a newer one overtook before they could be shown.
    """

    def __init__(self, fps: int, *, fades: bool) -> None:
        self.late = 0
        self._fps = fps
        self.fades = fades
        self._coming: Frame | None = None
        self._base: Frame | None = None
        self._base_at = 0.0
        self._newest = (-1, -1, -1)
        self._fade_left = 0
        self._is_standby = True

    @property
    def base(self) -> Frame | None:
        """The generated frame that is on show."""
        return self._base

    def offer(self, frame: Frame) -> bool:
        """A generated frame is ready; False if a newer one is known already and it will never be shown."""
        if _order(frame) <= self._newest:
            self.late += 1
            return False
        if self._coming is not None:
            self.late += 1
        self._coming, self._newest = frame, _order(frame)
        return True

    def tick(self, now: float, seen_at: float = -math.inf) -> Pick:
        """The pick for the slot that is due at `now`, seconds.

        Args:
            seen_at: when the camera last showed what the picture on show was made from, where that is known of a
                newer source than its own.
        """
        fresh, self._coming = self._coming, None
        pick = self._take(fresh, now) if fresh is not None else self._stand_in(now, seen_at)
        self._is_standby = pick.kind is FrameKind.STANDBY
        return pick

    def hold(self) -> Pick:
        """The pick for a slot of a paused stream: what is shown stays, even half-way through a fade."""
        # What was ready but not shown will be old when the stream goes on.
        self._coming = None
        if self._base is None or self._is_standby:
            return Pick(FrameKind.STANDBY, None)
        return Pick(FrameKind.REPEATED, self._base, toward=0.0 if self._fade_left else 1.0)

    def flush(self) -> None:
        """Forget every picture: nothing made before now is shown again."""
        self._coming = self._base = None
        self._fade_left = 0

    def _take(self, fresh: Frame, now: float) -> Pick:
        before, gap_s = self._base, now - self._base_at
        self._base, self._base_at = fresh, now
        self._fade_left = self._fade_slots(before, fresh, gap_s)
        if self._fade_left:
            return self._fade(is_new=True)
        return Pick(FrameKind.GENERATED, fresh, is_new=True)

    def _stand_in(self, now: float, seen_at: float) -> Pick:
        base = self._base
        if base is None:
            return Pick(FrameKind.STANDBY, None)
        if self._fade_left:
            return self._fade(is_new=False)
        source = base.provenance.source
        if source is not None and now - max(source.captured_at, seen_at) > STANDBY_AFTER_S:
            return Pick(FrameKind.STANDBY, None)
        return Pick(FrameKind.REPEATED, base)

    def _fade(self, *, is_new: bool) -> Pick:
        """One slot of the cross-fade: 1/n of what is left, n slots before its end, makes the whole linear."""
        left = self._fade_left
        self._fade_left = left - 1
        if left == 1:
            return Pick(FrameKind.GENERATED, self._base, is_new=is_new)
        return Pick(FrameKind.BLENDED, self._base, toward=1.0 / left, is_new=is_new)

    def _fade_slots(self, before: Frame | None, fresh: Frame, gap_s: float) -> int:
        """Over how many slots to fade: as long as the model took, and never across a cut."""
        if not self.fades or before is None:
            return 0
        cut = fresh.provenance.version != before.provenance.version and fresh.provenance.progress >= 1.0
        slots = round(gap_s * self._fps)
        return slots if not cut and 1 < slots <= MAX_FADE_SLOTS else 0


def _order(frame: Frame) -> tuple[int, int, int]:
    """Newer control wins, then a newer worker, then the later frame."""
    return frame.provenance.version, frame.provenance.epoch, frame.seq
