"""Measured figures of one session over the last seconds; pure, times are passed in."""

from collections import Counter, defaultdict, deque
from dataclasses import dataclass

from liveglass.engine.events import Percentiles, Stats
from liveglass.engine.frame import FrameKind, OutputFrame, Steady
from liveglass.engine.worker.cost import percentile

WINDOW_S = 5.0
STAGE_SAMPLES = 240
_STEADY_SAMPLES = 5
_SERVER_STAGES = frozenset({"decode", "mask", "warp", "encode"})
FEWEST_SAMPLES = 24
"""Below so many a percentile is not told."""


@dataclass(frozen=True, slots=True)
class _Slot:
    at: float
    kind: FrameKind
    is_new: bool
    is_still: bool
    motion_age: float | None
    content_age: float | None


class Meter:
    """Counts slots and stages of one session.

    Attributes:
        missed, replaced, dropped, still: since the session opened.
        busy_s: seconds that the server's own stages took since then.
    """

    def __init__(self) -> None:
        self.busy_s = 0.0
        self.missed = 0
        self.replaced = 0
        self.dropped = 0
        self.still = 0
        self._slots: deque[_Slot] = deque()
        self._steady: deque[Steady] = deque(maxlen=_STEADY_SAMPLES)
        self._stages: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=STAGE_SAMPLES))

    def stage(self, name: str, seconds: float) -> None:
        """A frame spent `seconds` in stage `name`."""
        self._stages[name].append(seconds)
        if name in _SERVER_STAGES:
            self.busy_s += seconds

    def steady(self, steady: Steady) -> None:
        """How steady two generated pictures were."""
        self._steady.append(steady)

    def slot(self, output: OutputFrame, at: float) -> tuple[float | None, float | None]:
        """`output` was handed over at `at`; returns its motion and content age in seconds, where it has a source."""
        source = output.base.provenance.source if output.base and output.kind is not FrameKind.STANDBY else None
        content = None if source is None else at - source.captured_at
        motion = None if content is None or output.captured_at is None else at - output.captured_at
        self._slots.append(_Slot(at, output.kind, output.is_new, output.is_still, motion, content))
        while self._slots[0].at < at - WINDOW_S:
            self._slots.popleft()
        return motion, content

    def new_in(self, seconds: float, now: float) -> int:
        """How many slots of the last `seconds` showed a base for the first time."""
        return sum(slot.is_new for slot in self._slots if slot.at >= now - seconds)

    def still_in(self, seconds: float, now: float) -> int:
        """How many slots of the last `seconds` needed no newer base."""
        return sum(slot.is_still and not slot.is_new for slot in self._slots if slot.at >= now - seconds)

    def stats(self, now: float) -> Stats:
        """The figures as of `now`, seconds."""
        recent = [slot for slot in self._slots if slot.at >= now - WINDOW_S]
        # A rate needs an interval: from the first to the last hand-off, plus the slot that the first one filled.
        span = recent[-1].at - recent[0].at if len(recent) > 1 else 0.0
        per_second = (len(recent) - 1) / span / len(recent) if span > 0 else 0.0
        kinds = Counter(slot.kind for slot in recent if not slot.is_new)
        return Stats(
            out_fps=round(len(recent) * per_second, 2),
            generated_fps=round(sum(slot.is_new for slot in recent) * per_second, 2),
            standin_fps={kind.value: round(count * per_second, 2) for kind, count in sorted(kinds.items())},
            missed=self.missed,
            replaced=self.replaced,
            dropped=self.dropped,
            latency={
                name: figures
                for name, samples in sorted(self._stages.items())
                if (figures := percentiles_ms(list(samples))) is not None
            },
            motion_age=percentiles_ms([slot.motion_age for slot in recent if slot.motion_age is not None]),
            content_age=percentiles_ms([slot.content_age for slot in recent if slot.content_age is not None]),
            flicker=_mean([steady.flicker for steady in self._steady if steady.flicker is not None]),
            warp_error=_mean([steady.warp_error for steady in self._steady]),
            still=self.still,
        )


def _mean(levels: list[float]) -> float | None:
    return round(sum(levels) / len(levels), 2) if levels else None


def percentiles_ms(seconds: list[float]) -> Percentiles | None:
    """p50, p95 and p99 in milliseconds; None under 24 samples."""
    if len(seconds) < FEWEST_SAMPLES:
        return None
    ordered = sorted(seconds)
    return Percentiles(*(round(percentile(ordered, q) * 1000, 2) for q in (0.5, 0.95, 0.99)))
