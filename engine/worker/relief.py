"""Trying out a worker that is to take over, while the other one still serves. The server's event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from liveglass.engine.errors import OutOfMemory, WorkerLost
from liveglass.engine.frame import Pixels
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.worker import Worker

T = TypeVar("T")


class Coming(NamedTuple):
    """A worker that is to take over from the one that serves.

    Attributes:
        ready: set when it is warm.
    """

    worker: Worker
    on_stage: Callable[[str], None]
    ready: asyncio.Event

    def note(self) -> None:
        """Its status is news."""
        if self.worker.is_ready:
            self.ready.set()
        else:
            self.on_stage(self.worker.status.stage)


class Trial:
    """What a worker says before it serves: nobody's stream hears it."""

    def __init__(self) -> None:
        self._refusals: list[m.Failed] = []

    def hear(self, message: m.ToServer, _pixels: Pixels | None) -> None:
        """A message of its link, on the link's thread."""
        if isinstance(message, m.Failed):
            self._refusals.append(message)

    async def hold(self, worker: Worker, streams: Sequence[m.OpenStream]) -> None:
        """See whether `worker` has room for all these streams at once and makes a frame beside them.

        Raises:
            OutOfMemory: one of them does not fit.
            GenerationTimeout: it makes no frame.
            WorkerLost: it was gone before it did.
        """
        for stream in streams:
            worker.link.open(msgspec.structs.replace(stream, running=False))
        await worker.ask(m.Probe, m.Probed)
        for stream in streams:
            worker.link.close_stream(stream.session)
        if self._refusals:
            raise OutOfMemory(self._refusals[0].error.message)


async def while_there(worker: Worker, work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to, as long as `worker` is there.

    Raises:
        WorkerLost: it is gone, and why.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task, worker.gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorkerLost(worker.gone.result())
        return task.result()
    finally:
        task.cancel()
