"""The tasks of one half of a peer: started together, ended together, and never dead in silence. Event loop."""

import asyncio
from collections.abc import Callable, Coroutine

Crash = Callable[[BaseException], None]
"""Told what ended a task that was to run for ever."""


class Tasks:
    """Some tasks and who is told when one fails."""

    def __init__(self, on_crash: Crash) -> None:
        self._on_crash = on_crash
        self._tasks: list[asyncio.Task[None]] = []

    def __bool__(self) -> bool:
        """Whether any was started and not ended."""
        return bool(self._tasks)

    def start(self, *work: Coroutine[None, None, None]) -> None:
        """Run `work` until `end`."""
        for one in work:
            task = asyncio.create_task(one)
            task.add_done_callback(self._done)
            self._tasks.append(task)

    async def end(self) -> None:
        """Cancel all of them and wait until they are over."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_crash(fault)
