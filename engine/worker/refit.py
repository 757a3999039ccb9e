"""Low-rank weights on their way into the model: read on a thread, put in by slices between frames. Worker process."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from liveglass.engine.clock import Clock
from liveglass.engine.models.base import Loras, ModelAdapter
from liveglass.engine.worker.messages import LorasSet, SetLoras

SLICE_S = 0.005
"""So long at most, and the layer that was begun, at a time: a slice is planned for before each frame."""


class Refit:
    """Changes the weights of one model, one change after the other.

    Args:
        wake: called on any thread when there is something to do.
    """

    def __init__(self, adapter: ModelAdapter, clock: Clock, wake: Callable[[], None]) -> None:
        self._adapter, self._clock, self._wake = adapter, clock, wake
        self._reader: ThreadPoolExecutor | None = None
        self._asked: SetLoras | None = None
        self._begun = 0.0
        self._reading: Future[Loras] | None = None
        self._steps: Iterator[None] | None = None

    @property
    def is_due(self) -> bool:
        """Whether `slice` has something to do."""
        return self._reading is not None and self._reading.done()

    def begin(self, asked: SetLoras) -> None:
        """Start to read what was asked for; whatever was not finished before is given up."""
        self._reader = self._reader or ThreadPoolExecutor(1, "read-loras")
        self._asked, self._begun, self._steps = asked, self._clock.now(), None
        self._reading = self._reader.submit(self._adapter.read_loras, asked.files)
        self._reading.add_done_callback(lambda _: self._wake())

    def slice(self) -> LorasSet | None:
        """Do a slice of the work; returns the answer with the last one, which changes the weights.

        Raises:
            Exception: whatever reading or adding them did; nothing was changed, and the change is given up.
        """
        if self._reading is None or self._asked is None:
            return None
        try:
            loras, begun = self._reading.result(), self._clock.now()
            self._steps = self._steps or self._adapter.fuse(loras)
            for _ in self._steps:
                if self._clock.now() - begun >= SLICE_S:
                    return None
        except BaseException:
            self._give_up()
            raise
        answer = LorasSet(self._asked.id, self._clock.now() - self._begun, loras.fused, None)
        self._give_up()
        return answer

    def close(self) -> None:
        """Read nothing any more."""
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def asked(self) -> SetLoras | None:
        """What is under way."""
        return self._asked

    def _give_up(self) -> None:
        self._reading = self._steps = self._asked = None
