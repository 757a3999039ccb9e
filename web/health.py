"""Is the process alive, is the event loop on time; runs on the event loop.

`/livez` fails only when the process is stuck: a server that is merely overloaded must not be restarted, because that
would end every stream.
"""

import asyncio

from liveglass.engine.clock import Clock
from liveglass.engine.metrics import Metrics

STUCK_S = 10.0
_BEAT_S = 0.25


class LoopWatch:
    """Measures how late the event loop runs a timer, and when it ran one last."""

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._last_beat = clock.now()

    def beat(self, lag_s: float) -> None:
        """The loop ran its timer, `lag_s` late."""
        self._last_beat = self._clock.now()
        self._metrics.loop_lag.observe(max(0.0, lag_s))

    def silent_s(self) -> float:
        """Seconds since the loop last ran its timer."""
        return self._clock.now() - self._last_beat

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            before = self._clock.now()
            await asyncio.sleep(_BEAT_S)
            self.beat(self._clock.now() - before - _BEAT_S)


def stuck_because(loop_silent_s: float, output_silent_s: float) -> str:
    """Why the process counts as stuck; empty while it does not."""
    if loop_silent_s > STUCK_S:
        return f"the event loop has been silent for {loop_silent_s:.0f} s"
    if output_silent_s > STUCK_S:
        return f"the output thread has been silent for {output_silent_s:.0f} s"
    return ""
