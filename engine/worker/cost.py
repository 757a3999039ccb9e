"""What frames cost on this machine, measured; pure.

The table is filled while the model warms up and kept up to date by every frame. Its 95th percentiles decide when a
frame starts and who is admitted.
"""

from collections import defaultdict, deque

import msgspec

WINDOW = 96
"""Frames that a percentile looks back on."""


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """Seconds for one frame of a cohort."""

    p50: float
    p95: float


class CostTable(msgspec.Struct, frozen=True):
    """Seconds for a whole frame by (steps, batch)."""

    entries: dict[str, Cost] = {}

    def frame(self, steps: int, batch: int = 1) -> Cost:
        """The cost of a cohort of `batch` frames of `steps` passes; scaled from the nearest entry if never seen."""
        exact = self.entries.get(f"{steps}x{batch}")
        if exact is not None:
            return exact
        if not self.entries:
            return Cost(0.0, 0.0)
        known = {tuple(map(int, key.split("x"))): cost for key, cost in self.entries.items()}
        near = min(known, key=lambda key: (abs(key[1] - batch), abs(key[0] - steps)))
        scale = max(steps, 1) / max(near[0], 1) * (batch / near[1])
        return Cost(known[near].p50 * scale, known[near].p95 * scale)


class CostMeter:
    """Rolling windows of measured frame times, in seconds."""

    def __init__(self) -> None:
        self._windows: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=WINDOW))

    def add(self, steps: int, batch: int, seconds: float) -> None:
        """A cohort of `batch` frames of `steps` passes took `seconds`."""
        self._windows[f"{steps}x{batch}"].append(seconds)

    def table(self) -> CostTable:
        """The table as measured by now. Any thread."""
        return CostTable({key: _cost(window) for key, window in list(self._windows.items())})


def _cost(window: deque[float]) -> Cost:
    ordered = sorted(window)
    return Cost(percentile(ordered, 0.5), percentile(ordered, 0.95))


def percentile(ordered: list[float], q: float) -> float:
    """The `q` quantile of an ascending list by linear interpolation; nan of an empty one."""
    if not ordered:
        return float("nan")
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
