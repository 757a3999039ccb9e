"""How fast packets come in, for aiortc's bandwidth estimator; pure.

aiortc keeps a thousand objects for each estimator, one for each millisecond of its window, which the garbage collector
looks at again and again: four of five objects of a server with some peers. This keeps what came, and nothing else.
"""

from aiortc.rate import RateCounter, RemoteBitrateEstimator

from liveglass.transport.webrtc.recent import Recent

_WINDOW_MS = 1000


class IncomingRate(RateCounter):
    """What came in over the last second; answers as aiortc's own with a window of 1000 ms does."""

    def __init__(self) -> None:
        self._came = Recent(_WINDOW_MS - 1)
        self._since_ms: int | None = None

    def add(self, value: int, now_ms: int) -> None:
        """`value` bytes came at `now_ms`, which never goes back."""
        self._since_ms = now_ms if self._since_ms is None else self._since_ms
        self._came.add(now_ms, value)

    def rate(self, now_ms: int) -> int | None:
        """Bits a second; None where nothing came for a second, or too little to say."""
        if self._since_ms is None:
            return None
        self._since_ms = max(self._since_ms, now_ms - _WINDOW_MS + 1)
        span_ms, total = now_ms - self._since_ms + 1, self._came.total(now_ms)
        return round(8000 * total / span_ms) if self._came and span_ms > 1 else None

    def reset(self) -> None:
        """Begin anew."""
        self._came = Recent(_WINDOW_MS - 1)
        self._since_ms = None


class LightEstimator(RemoteBitrateEstimator):
    """aiortc's estimator of what a link carries (draft-alvestrand-rmcat-remb), in little memory."""

    def __init__(self) -> None:
        super().__init__()
        self.incoming_bitrate = IncomingRate()
