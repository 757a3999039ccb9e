"""What a session's frames cost and how old they were, for its own statistics and the server's metrics; any thread."""

import threading

from liveglass.engine.events import Stats
from liveglass.engine.frame import OutputFrame, Stages, Steady
from liveglass.engine.metrics import Metrics
from liveglass.engine.stream.measure import Meter


class Ledger:
    """Writes every figure down twice: for the session's `stats` and for `/metrics`."""

    def __init__(self, metrics: Metrics, period_s: float) -> None:
        self._metrics = metrics
        self._period_s = period_s
        self._meter = Meter()
        self._lock = threading.Lock()

    @property
    def busy_s(self) -> float:
        """Seconds that the server's own stages took since the session opened."""
        return self._meter.busy_s

    def stage(self, stage: str, seconds: float) -> None:
        """A frame spent `seconds` in `stage`."""
        with self._lock:
            self._meter.stage(stage, seconds)
        self._metrics.stage.labels(stage).observe(seconds)

    def generated(self, stages: Stages, *, has_source: bool) -> None:
        """The model finished a frame."""
        for name in ("queue", "begin", "denoise", "finish", "transfer"):
            if name != "queue" or has_source:
                self.stage(name, getattr(stages, name))
        self._metrics.generated.inc()

    def steady(self, steady: Steady) -> None:
        """How steady two generated pictures were."""
        with self._lock:
            self._meter.steady(steady)
        self._metrics.warp_error.observe(steady.warp_error)
        if steady.flicker is not None:
            self._metrics.flicker.observe(steady.flicker)

    def still(self) -> None:
        """A source picture needed no frame."""
        with self._lock:
            self._meter.still += 1
        self._metrics.still.inc()

    def replaced(self, n: int) -> None:
        """`n` unread inputs gave way to newer ones."""
        with self._lock:
            self._meter.replaced += n
        self._metrics.replaced.inc(n)

    def dropped(self, n: int) -> None:
        """`n` frames were not sent to one slow viewer."""
        with self._lock:
            self._meter.dropped += n

    def skipped(self, slots: int) -> None:
        """So many slots went by without a frame."""
        with self._lock:
            self._meter.missed += slots
        self._metrics.missed.labels("skipped").inc(slots)

    def handed_over(self, output: OutputFrame, at: float) -> None:
        """`output` was handed to transport at `at`, seconds."""
        metrics, late_s = self._metrics, at - output.deadline
        missed = late_s > self._period_s / 2
        with self._lock:
            self._meter.missed += missed
            motion, content = self._meter.slot(output, at)
        metrics.slots.labels(output.kind.value).inc()
        metrics.missed.labels("late").inc(missed)
        metrics.lateness.labels("pick").observe(output.picked_at - output.deadline)
        metrics.lateness.labels("handoff").observe(late_s)
        for of, age in (("motion", motion), ("content", content)):
            if age is not None:
                metrics.age.labels(of).observe(age)

    def new_in(self, seconds: float, now: float) -> int:
        """How many slots of the last `seconds` showed a base for the first time."""
        with self._lock:
            return self._meter.new_in(seconds, now)

    def still_in(self, seconds: float, now: float) -> int:
        """How many slots of the last `seconds` needed no newer base."""
        with self._lock:
            return self._meter.still_in(seconds, now)

    def stats(self, now: float) -> Stats:
        """The figures of the last seconds, as of `now`."""
        with self._lock:
            return self._meter.stats(now)
