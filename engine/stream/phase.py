"""The grid's phase follows a camera of the grid's own rate; pure, called once a slot.

A picture that comes just after its generation would have had to start waits almost a whole slot, and does so every time
where the rates are equal. So the grid slides, by at most 0.4% of a slot's length at a time, until pictures wait just
longer than they scatter. Where the rates differ every phase is met anyway, and the grid stays where it is. A source
that follows the grid by itself (it answers each frame with a picture) cannot be caught; after a slot and a half without
success the grid rests for a minute.
"""

import cmath
import math
from collections import deque

MOST_OF_A_SLOT = 0.004
WINDOW_SLOTS = 48
LEAST_WAIT_S = 0.002
ON_TARGET_S = 0.001
_NEW_SHARE = 0.6
_STEADY = 0.8
_MULTIPLES = (1, 2, 3)
_GAIN = 0.05
_FARTHEST_SLOTS = 1.5
_REST_S = 60.0


class PhaseLock:
    """Decides how far one session's grid slides.

    Args:
        period: a slot's length in seconds.

    Attributes:
        is_locked: whether pictures wait no longer than they have to.
    """

    def __init__(self, period: float) -> None:
        self.is_locked = False
        self._period = period
        self._waits: deque[float | None] = deque(maxlen=WINDOW_SLOTS)
        self._travelled = 0.0
        self._resting_slots = 0

    def slot(self, waited_s: float | None) -> float:
        """One slot went out; returns by how many seconds all later deadlines move (negative: earlier).

        Args:
            waited_s: from the arrival of a camera picture to the start of its generation, where this slot shows one
                for the first time; None where it does not.
        """
        self._waits.append(waited_s)
        if self._resting_slots:
            self._resting_slots -= 1
            return 0.0
        error = self._error()
        self.is_locked = error is not None and abs(error) <= ON_TARGET_S
        if error is None or self.is_locked:
            self._travelled = 0.0
            return 0.0
        most = MOST_OF_A_SLOT * self._period
        shift = -max(-most, min(most, _GAIN * error))
        self._travelled += abs(shift)
        if self._travelled > _FARTHEST_SLOTS * self._period:
            self._travelled = 0.0
            self._resting_slots = round(_REST_S / self._period)
            return 0.0
        # Had the grid been there before, these would have waited that much more or less.
        self._waits = deque((None if wait is None else wait + shift for wait in self._waits), WINDOW_SLOTS)
        return shift

    def _error(self) -> float | None:
        """How much too long pictures wait, seconds, the short way round the slot; None where there is no phase."""
        waits = [wait for wait in self._waits if wait is not None]
        if len(self._waits) < WINDOW_SLOTS or len(waits) < _NEW_SHARE * WINDOW_SLOTS:
            return None
        for multiple in _MULTIPLES:
            # Circular statistics (Mardia and Jupp, Directional Statistics, 2.2, 2.3): a wait is an angle. A camera of
            # twice the rate may be seen at two angles half a turn apart, which is one angle of a turn half as long.
            length = self._period / multiple
            turn = 2 * math.pi / length
            mean = sum(cmath.exp(1j * turn * wait) for wait in waits) / len(waits)
            if abs(mean) >= _STEADY:
                scatter = math.sqrt(max(0.0, -2 * math.log(min(1.0, abs(mean))))) / turn
                wanted = min(length / 2, LEAST_WAIT_S + 2 * scatter)
                return (cmath.phase(mean) / turn - wanted + length / 2) % length - length / 2
        return None
