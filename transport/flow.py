"""Who may send how much: the viewer's window, the flood rule, the throttle; pure.

Each is an object that is told what happened and when, and answers. None reads a clock, sleeps or touches a socket;
each belongs to one connection. `ViewerWindow.has_room` may be read from another thread, the rest is the event
loop's.
"""

import math
from collections import deque

from liveglass.transport.header import is_at_or_before

BASE_WINDOW = 3
FIRST_CREDIT = 3

_GREETING_S = 1.0
_UNANSWERED_INTERVAL_S = 0.5
_LONGEST_TRIP_S = 1.0
_REMEMBERED = 256


class ViewerWindow:
    """How many frames may be on their way to one viewer.

    Before its first acknowledgement a viewer gets every frame for 1 s, then 2 a second: enough for a program that
    never acknowledges, and nothing that piles up. After it at most `3 + ceil(minimum round trip × fps)` frames are
    unacknowledged, so a far viewer keeps its rate and a stuck one keeps nothing waiting. Round trips count up to
    1 s: one stall must not open the window for good.
    """

    def __init__(self, fps: int) -> None:
        self._fps = fps
        self._on_the_way: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._first_sent_at: float | None = None
        self._last_sent_at = -math.inf
        self._newest = 0
        self._trip_s: float | None = None

    @property
    def round_trip_s(self) -> float | None:
        """The shortest time from sending to acknowledgement, in seconds; None before the first."""
        return self._trip_s

    @property
    def limit(self) -> int | None:
        """Frames that may be unacknowledged; None before the first acknowledgement."""
        return None if self._trip_s is None else allowance(self._trip_s, self._fps)

    @property
    def unacknowledged(self) -> int:
        """Frames sent and not yet acknowledged."""
        return len(self._on_the_way)

    def has_room(self, now: float, waiting: int = 0) -> bool:
        """Whether one more frame may go out at `now`, with `waiting` handed over but not yet sent."""
        limit = self.limit
        if limit is not None:
            return len(self._on_the_way) + waiting < limit
        if self._first_sent_at is None or now - self._first_sent_at < _GREETING_S:
            return True
        return waiting == 0 and now - self._last_sent_at >= _UNANSWERED_INTERVAL_S

    def sent(self, slot: int, now: float) -> None:
        """The frame of `slot` was handed to the socket."""
        if self._first_sent_at is None:
            self._first_sent_at = now
        self._last_sent_at = now
        self._newest = slot
        self._on_the_way.append((slot, now))

    def acknowledged(self, slot: int, now: float) -> int:
        """The viewer has decoded `slot` and is done with all before it; returns how many frames that settles.

        What was never sent, or was acknowledged before, settles nothing.
        """
        if self._first_sent_at is None or not is_at_or_before(slot, self._newest):
            return 0
        settled, sent_at = 0, now
        while self._on_the_way and is_at_or_before(self._on_the_way[0][0], slot):
            _, sent_at = self._on_the_way.popleft()
            settled += 1
        if settled:
            trip = max(0.0, now - sent_at)
            self._trip_s = trip if self._trip_s is None else min(self._trip_s, trip)
        return settled


def allowance(round_trip_s: float | None, fps: int) -> int:
    """Frames that may be on their way: 3, and as many as a round trip takes."""
    if round_trip_s is None:
        return FIRST_CREDIT
    return BASE_WINDOW + math.ceil(min(round_trip_s, _LONGEST_TRIP_S) * fps)


class FloodRule:
    """Tells a flood: more than `limit` in each of `seconds` consecutive seconds.

    A burst after a stall is no flood; a program in a tight loop is one.
    """

    def __init__(self, limit: int, seconds: int = 2) -> None:
        self._limit = limit
        self._seconds = seconds
        self._began = -math.inf
        self._count = 0
        self._run = 0

    def count(self, now: float) -> bool:
        """One more came at `now`; True if this is a flood."""
        elapsed = now - self._began
        if elapsed >= 1.0:
            over = self._count > self._limit and elapsed < 2.0
            self._run = self._run + 1 if over else 0
            self._began = self._began + 1.0 if elapsed < 2.0 else now
            self._count = 0
        self._count += 1
        return self._run >= self._seconds


class Throttle:
    """Lets one through every `interval_s` seconds."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._last = -math.inf

    def allows(self, now: float) -> bool:
        """Whether this one may pass at `now`."""
        if now - self._last < self._interval_s:
            return False
        self._last = now
        return True
