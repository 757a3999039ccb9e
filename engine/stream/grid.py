"""The output grid: which slot is when; pure.

The grid is absolute, `deadline(k) = t0 + k / fps`, so that rounding never adds up to drift. Nobody ever sleeps "one
twenty-fourth of a second".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TICKS_PER_SECOND = 90_000
_EPSILON_S = 1e-9


@dataclass(frozen=True, slots=True)
class Grid:
    """Slot k ↔ deadline in seconds ↔ presentation time in 90 kHz ticks.

    Attributes:
        t0: deadline of slot 0, seconds.
        fps: slots a second: 24, 25, 30, 50 or 60, each a divisor of 90,000.
    """

    t0: float
    fps: int

    @property
    def period(self) -> float:
        """Seconds from one slot to the next."""
        return 1.0 / self.fps

    def deadline(self, slot: int) -> float:
        """When `slot` is due, in seconds."""
        return self.t0 + slot / self.fps

    def pts(self, slot: int) -> int:
        """Presentation time of `slot`, in 90 kHz ticks since slot 0."""
        return slot * (TICKS_PER_SECOND // self.fps)

    def slot_at(self, now: float) -> int:
        """The newest slot whose deadline has come; -1 before the first."""
        return max(-1, math.floor((now - self.t0) * self.fps + _EPSILON_S * self.fps))

    def next_slot(self, now: float) -> int:
        """The first slot whose deadline is at `now` or later."""
        return max(0, math.ceil((now - self.t0) * self.fps - _EPSILON_S * self.fps))


def staggered_start(now: float, fps: int, others: Sequence[Grid]) -> float:
    """A t0 just after `now` in the middle of the widest gap that the `others` leave within a slot.

    Sessions that all wake at the same instant would queue for the same core.
    """
    period = 1.0 / fps
    phases = sorted((grid.t0 - now) % period for grid in others)
    if not phases:
        return now + period
    following = [*phases[1:], phases[0] + period]
    gaps = [(after - before, before) for before, after in zip(phases, following, strict=True)]
    width, before = max(gaps)
    return now + period + (before + width / 2) % period
