"""The only module that reads the time.

Everything else takes a `Clock` or a `now` in seconds. The clock is monotonic and shared by the processes of one
machine (CLOCK_MONOTONIC), so that times may cross from the worker to the server. Any thread may read it.
"""

import time
from typing import Protocol


def now() -> float:
    """Seconds on the machine's monotonic clock; only differences mean anything."""
    return time.monotonic()


def wall() -> float:
    """Seconds since the epoch, for logs, tokens and files; never for durations."""
    return time.time()


def cpu() -> float:
    """CPU seconds that this process has used."""
    return time.process_time()


def pause(seconds: float) -> None:
    """Give the thread away for `seconds`; only models that are slow on purpose call it."""
    time.sleep(max(0.0, seconds))


class Clock(Protocol):
    """Where a component takes its time from."""

    def now(self) -> float:
        """Seconds; only differences mean anything."""
        ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return now()


class ManualClock:
    """A clock for tests: stands still until it is told to move."""

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        """Seconds, as last set."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move on by `seconds` and return the new time."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._now += seconds
        return self._now

    def set(self, at: float) -> None:
        """Jump forward to `at`."""
        self.advance(at - self._now)
