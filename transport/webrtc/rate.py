"""How fast packets come in, for aiortc's bandwidth estimator; pure.

aiortc keeps a thousand objects for each estimator, one for each millisecond of its window, which the garbage collector
looks at again and again: four of five objects of a server with some peers. This keeps what came, and nothing else.
"""

from collections import deque

from aiortc.rate import RateCounter, RemoteBitrateEstimator

_WINDOW_MS = 1000


class IncomingRate(RateCounter):
    """What came in over the last second; answers as aiortc's own with a window of 1000 ms does."""

    def __init__(self) -> None:
        self._came: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._since_ms: int | None = None

    def add(self, value: int, now_ms: int) -> None:
        """`value` bytes came at `now_ms`, which never goes back."""
        self._since_ms = now_ms if self._since_ms is None else self._since_ms
        self._forget(now_ms)
        self._came.append((now_ms, value))
        self._bytes += value

    def rate(self, now_ms: int) -> int | None:
        """Bits a second; None where nothing came for a second, or too little to say."""
        if self._since_ms is None:
            return None
        self._forget(now_ms)
        span_ms = now_ms - self._since_ms + 1
        return round(8000 * self._bytes / span_ms) if self._came and span_ms > 1 else None

    def reset(self) -> None:
        """Begin anew."""
        self._came.clear()
        self._bytes = 0
        self._since_ms = None

    def _forget(self, now_ms: int) -> None:
        oldest = now_ms - _WINDOW_MS + 1
        if self._since_ms is not None:
            self._since_ms = max(self._since_ms, oldest)
        while self._came and self._came[0][0] < oldest:
            self._bytes -= self._came.popleft()[1]


class LightEstimator(RemoteBitrateEstimator):
    """aiortc's estimator of what a link carries (draft-alvestrand-rmcat-remb), in little memory."""

    def __init__(self) -> None:
        super().__init__()
        self.incoming_bitrate = IncomingRate()
