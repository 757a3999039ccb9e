"""What frames cost on this machine, measured by size, passes and batch; pure.

The table is filled while the model warms up, at the usual size and a small one, and kept up to date by every frame. Its
95th percentiles decide when a frame starts and who is admitted; what was never measured is estimated from what was.
"""

from collections import deque
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import msgspec

WINDOW = 96
"""Frames that a percentile looks back on."""

USUAL_PIXELS = 640 * 360
"""Of a session that asks for no size."""

MOST_SIZES = 8
"""So many sizes are kept: the first one, which the others are scaled by, and those that were measured last."""

_OUTER = 0.01
"""What a pixel that goes in and out costs of one that is painted, about: it is only made smaller and larger again."""

_FAR_APART = 2.0
"""Measured at so many times the size, two times tell what a frame takes that does not depend on it."""


class Case(NamedTuple):
    """What a frame's cost depends on: pixels of the session's pictures, passes, and frames that run together."""

    pixels: int
    steps: int
    batch: int = 1


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """Seconds for one frame of a cohort."""

    p50: float
    p95: float


class CostTable(msgspec.Struct, frozen=True):
    """Seconds for a whole cohort.

    Attributes:
        entries: as measured.
        inner_pixels: that the model paints whatever the picture's size; 0: as many as the picture has.
    """

    entries: dict[Case, Cost] = {}
    inner_pixels: int = 0

    def frame(self, steps: int, batch: int = 1, *, pixels: int = USUAL_PIXELS) -> Cost:
        """The cost of a cohort of `batch` frames of `steps` passes and `pixels` pixels each.

        As it was measured, or an estimate: more with every pixel and every pass, and never nothing once anything was
        measured. Before that it is 0.
        """
        case = Case(pixels, steps, batch)
        exact = self.entries.get(case)
        if exact is not None or not self.entries:
            return exact or Cost(0.0, 0.0)
        near = min({known.batch for known in self.entries}, key=lambda known: abs(known - batch))
        measured = {known: cost for known, cost in self.entries.items() if known.batch == near}
        p50 = self._estimate(case, {known: cost.p50 for known, cost in measured.items()})
        p95 = self._estimate(case, {known: cost.p95 for known, cost in measured.items()})
        return Cost(p50 * batch / near, p95 * batch / near)

    def knowing(self, cases: Iterable[Case]) -> "CostTable":
        """The same with the estimates of `cases` written down, for whoever asks for them again and again."""
        known = {case: self.frame(case.steps, case.batch, pixels=case.pixels) for case in cases}
        return CostTable({**known, **self.entries} if self.entries else {}, self.inner_pixels)

    def _estimate(self, case: Case, measured: dict[Case, float]) -> float:
        """Along the passes as the size that knows most of them has it, then along the sizes."""
        sizes: dict[int, dict[int, float]] = {}
        for known, seconds in measured.items():
            sizes.setdefault(known.pixels, {})[known.steps] = seconds
        fullest = max(sizes.values(), key=len)

        def along(steps: int) -> float:
            return _between([(float(known), seconds) for known, seconds in fullest.items()], steps)

        def along_sizes(steps: int) -> float:
            points = []
            for pixels, passes in sizes.items():
                here = [(along(known), seconds) for known, seconds in passes.items()]
                points.append((self._work(pixels), _between(here, along(steps))))
            return _between(points, self._work(case.pixels))

        # Beyond the sizes that were measured a line may fall with the passes, where those times do not agree.
        return max(along_sizes(steps) for steps in range(1, case.steps + 1))

    def _work(self, pixels: int) -> float:
        """What a size asks for, in painted pixels."""
        return min(pixels, self.inner_pixels or pixels) + _OUTER * pixels


class CostMeter:
    """Rolling windows of measured frame times, in seconds. The worker's thread adds.

    Args:
        inner_pixels: that the model paints whatever the picture's size; 0: as many as the picture has.
    """

    def __init__(self, inner_pixels: int = 0) -> None:
        self._inner_pixels = inner_pixels
        self._windows: dict[Case, deque[float]] = {}
        self._costs: dict[Case, Cost] = {}
        self._sizes: list[int] = []  # the first one, then the one that was measured longest ago

    def __contains__(self, case: Case) -> bool:
        """Whether it was measured."""
        return case in self._windows

    def add(self, steps: int, batch: int, seconds: float, *, pixels: int = USUAL_PIXELS) -> None:
        """A cohort of `batch` frames of `steps` passes and `pixels` pixels each took `seconds`."""
        self._make_room(pixels)
        case = Case(pixels, steps, batch)
        window = self._windows.setdefault(case, deque(maxlen=WINDOW))
        window.append(seconds)
        self._costs[case] = _cost(window)

    def table(self) -> CostTable:
        """The table as measured by now. Any thread."""
        return CostTable(self._costs.copy(), self._inner_pixels)

    def _make_room(self, pixels: int) -> None:
        """`pixels` was measured last; the size that nobody has used for longest goes where there are too many."""
        sizes = self._sizes
        if pixels in sizes[1:]:
            sizes.remove(pixels)
        if pixels not in sizes:
            sizes.append(pixels)
        if len(sizes) > MOST_SIZES:
            gone = sizes.pop(1)
            for case in [case for case in self._windows if case.pixels == gone]:
                del self._windows[case], self._costs[case]


def _cost(window: deque[float]) -> Cost:
    ordered = sorted(window)
    return Cost(percentile(ordered, 0.5), percentile(ordered, 0.95))


def _between(points: list[tuple[float, float]], at: float) -> float:
    """The value at `at` of a line through `points` that never falls: straight between them, and on as they rise.

    Where they lie close together they say nothing about that, and it goes on in proportion.
    """
    rising: list[tuple[float, float]] = []
    for place, value in sorted(points):
        rising.append((place, max(value, rising[-1][1]) if rising else value))
    (first, least), (last, most) = rising[0], rising[-1]
    if first < at < last:
        (left, before), (right, after) = next(pair for pair in pairwise(rising) if at <= pair[1][0])
        return before + (at - left) / (right - left) * (after - before)
    slope = (most - least) / (last - first) if last >= _FAR_APART * first > 0 else None
    if at <= first:
        part = least * at / first if first else least
        return part if slope is None else max(part, least - slope * (first - at))
    if slope is None:
        return most * at / last if last else most
    return most + slope * (at - last)


def percentile(ordered: list[float], q: float) -> float:
    """The `q` quantile of an ascending list by linear interpolation; nan of an empty one."""
    if not ordered:
        return float("nan")
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
