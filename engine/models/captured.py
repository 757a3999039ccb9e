"""The stages of a cohort, captured once and replayed; runs in the worker process.

A pass is a thousand small launches, and a host is slower than the device that it feeds. A graph reads and writes fixed
addresses. What differs from one call to the next, rows and step, lies in small tensors of its own, filled before each
replay; what a control changes lies in the arena. So nothing that a user does captures again, and a cohort is a chain of
replays that the host does not wait in.
"""

from collections.abc import Callable
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import structlog
import torch
from torch import Tensor

from liveglass.engine.models.arena import FrameArena
from liveglass.engine.models.stages import Stages, Way

log = structlog.get_logger()

BATCHES = (1, 2, 4, 8)
"""Sizes that are captured; a cohort of three runs as four, of which one row is nobody's."""

_WARM_RUNS = 3
"""Before a capture: libraries choose their kernels and take their memory at the first calls."""

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Takes work on fixed addresses, returns what does it again."""


A = TypeVar("A", bound=FrameArena)
W = TypeVar("W", bound=Way)


_Stage = Callable[[Tensor, Tensor], None]
"""One stage of an arena, of its rows and the step."""


class _Key(NamedTuple):
    stage: str
    way: Way | None
    batch: int


class Captured(Generic[A, W]):
    """The stages, replayed.

    Args:
        capture: raises RuntimeError where something cannot be captured: from then on the stages run as they are.

    Attributes:
        captures: how many graphs have been captured so far.
    """

    def __init__(self, stages: Stages[A, W], capture: Capture) -> None:
        self.captures = 0
        self._stages = stages
        self._capture: Capture | None = capture
        self._graphs: dict[A, dict[_Key, Work]] = {}
        self._rows: dict[int, Tensor] = {}
        self._step: Tensor | None = None

    @property
    def backend(self) -> str:
        """See `Stages`."""
        if self._capture is None:
            return self._stages.backend
        return f"{self._stages.backend}, captured for batches of {', '.join(map(str, BATCHES))}"

    def begin(self, arena: A, rows: Tensor, way: W) -> None:
        """See `Stages`."""
        part = way.beginning
        self._do(arena, rows, None, ("begin", part), lambda rows, _: self._stages.begin(arena, rows, part))

    def denoise(self, arena: A, rows: Tensor, step: Tensor, way: W) -> None:
        """See `Stages`."""
        self._do(arena, rows, step, ("denoise", way), lambda rows, step: self._stages.denoise(arena, rows, step, way))

    def finish(self, arena: A, rows: Tensor) -> None:
        """See `Stages`."""
        self._do(arena, rows, None, ("finish", None), lambda rows, _: self._stages.finish(arena, rows))

    def forget(self, arena: A) -> None:
        """Let go of an arena's graphs, which hold its memory."""
        self._graphs.pop(arena, None)
        self._stages.forget(arena)

    def _do(self, arena: A, rows: Tensor, step: Tensor | None, what: tuple[str, Way | None], stage: _Stage) -> None:
        key = _Key(*what, _captured_size(len(rows)))
        given, at = self._inputs(key.batch, rows)
        replay = self._graphs.get(arena, {}).get(key)
        if replay is None and self._capture is not None:
            # On a row that is nobody's: passes change what they read.
            given.fill_(arena.scratch)
            at.zero_()
            replay = self._captured(self._capture, partial(stage, given, at))
            if replay is not None:
                self._graphs.setdefault(arena, {})[key] = replay
        if replay is None:
            return stage(rows, rows.new_zeros(1) if step is None else step)
        given[: len(rows)].copy_(rows)
        given[len(rows) :].fill_(arena.scratch)
        if step is not None:
            at.copy_(step)
        return replay()

    def _captured(self, capture: Capture, work: Work) -> Work | None:
        """The graph of one stage; None where that cannot be, from then on."""
        try:
            replay = capture(work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as fault:
            log.warning("passes cannot be captured here and are launched one by one", error=str(fault))
            self._capture = None
            return None
        self.captures += 1
        return replay

    def _inputs(self, batch: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors that graphs of a batch read their rows and their step from."""
        if self._step is None:
            self._step = rows.new_zeros(1)
        if batch not in self._rows:
            self._rows[batch] = rows.new_zeros(batch)
        return self._rows[batch], self._step


def _captured_size(count: int) -> int:
    """The smallest captured batch that holds `count` rows."""
    return next((batch for batch in BATCHES if batch >= count), count)


def capture_for(device: str) -> Capture | None:
    """What captures passes on `device`; None where nothing does."""
    return _cuda_capture() if device.startswith("cuda") else None


def _cuda_capture() -> Capture:
    """Captures CUDA graphs that share one pool of memory, as they never run at once."""
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Work) -> Work:
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_RUNS):
                work()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            work()
        return graph.replay

    return capture
