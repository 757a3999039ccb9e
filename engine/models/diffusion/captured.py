"""The stages of a cohort, captured once and replayed; runs in the worker process.

A pass is a thousand small launches, and a host is slower than the device that it feeds. A graph reads and writes fixed
addresses. What differs from one call to the next, rows and step, lies in small tensors of its own, filled before each
replay; what a control changes lies in the arena. So nothing that a user does captures again, and a cohort is a chain of
replays that the host does not wait in.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import structlog
import torch
from torch import Tensor

from liveglass.engine.models.diffusion.arena import Arena
from liveglass.engine.models.diffusion.stages import Stages, Way

log = structlog.get_logger()

BATCHES = (1, 2, 4, 8)
"""Sizes that are captured; a cohort of three runs as four, of which one row is nobody's."""

_WARM_RUNS = 3
"""Before a capture: libraries choose their kernels and take their memory at the first calls."""

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Takes work on fixed addresses, returns what does it again."""


class _Key(NamedTuple):
    stage: str
    batch: int
    way: Way


class Captured:
    """The stages, replayed.

    Args:
        capture: raises RuntimeError where something cannot be captured: from then on the stages run as they are.

    Attributes:
        captures: how many graphs have been captured so far.
    """

    def __init__(self, stages: Stages, capture: Capture) -> None:
        self.captures = 0
        self._stages = stages
        self._capture: Capture | None = capture
        self._graphs: dict[Arena, dict[_Key, Work]] = {}
        self._rows: dict[int, Tensor] = {}
        self._step: Tensor | None = None

    @property
    def backend(self) -> str:
        """See `Stages`."""
        if self._capture is None:
            return self._stages.backend
        return f"{self._stages.backend}, captured for batches of {', '.join(map(str, BATCHES))}"

    def begin(self, arena: Arena, rows: Tensor, way: Way) -> None:
        """See `Stages`."""
        self._do(_Key("begin", _captured_size(len(rows)), Way(hinted=way.hinted)), arena, rows, None)

    def denoise(self, arena: Arena, rows: Tensor, step: Tensor, way: Way) -> None:
        """See `Stages`."""
        self._do(_Key("denoise", _captured_size(len(rows)), way), arena, rows, step)

    def finish(self, arena: Arena, rows: Tensor) -> None:
        """See `Stages`."""
        self._do(_Key("finish", _captured_size(len(rows)), Way()), arena, rows, None)

    def forget(self, arena: Arena) -> None:
        """Let go of an arena's graphs, which hold its memory."""
        self._graphs.pop(arena, None)
        self._stages.forget(arena)

    def _do(self, key: _Key, arena: Arena, rows: Tensor, step: Tensor | None) -> None:
        given, at = self._inputs(key.batch, rows)
        replay = self._graphs.get(arena, {}).get(key)
        if replay is None and self._capture is not None:
            replay = self._captured(self._capture, key, arena, given, at)
        if replay is None:
            return self._work(key, arena, rows, rows.new_zeros(()) if step is None else step)()
        given[: len(rows)].copy_(rows)
        given[len(rows) :].fill_(arena.scratch)
        if step is not None:
            at.copy_(step)
        return replay()

    def _captured(self, capture: Capture, key: _Key, arena: Arena, given: Tensor, at: Tensor) -> Work | None:
        """The graph of one stage, captured on a row that is nobody's: passes change what they read."""
        given.fill_(arena.scratch)
        at.zero_()
        try:
            replay = capture(self._work(key, arena, given, at))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as fault:
            log.warning("passes cannot be captured here and are launched one by one", error=str(fault))
            self._capture = None
            return None
        self.captures += 1
        self._graphs.setdefault(arena, {})[key] = replay
        return replay

    def _work(self, key: _Key, arena: Arena, rows: Tensor, step: Tensor) -> Work:
        match key.stage:
            case "begin":
                return partial(self._stages.begin, arena, rows, key.way)
            case "denoise":
                return partial(self._stages.denoise, arena, rows, step, key.way)
            case _:
                return partial(self._stages.finish, arena, rows)

    def _inputs(self, batch: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors that graphs of a batch read their rows and their step from."""
        if self._step is None:
            self._step = rows.new_zeros(())
        if batch not in self._rows:
            self._rows[batch] = rows.new_zeros(batch)
        return self._rows[batch], self._step


def _captured_size(count: int) -> int:
    """The smallest captured batch that holds `count` rows."""
    return next((batch for batch in BATCHES if batch >= count), count)


def cuda_capture() -> Capture:
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
