"""Work that is asked for from anywhere and done in a pool, one run at a time, in turn with everybody else's."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor


class Turns:
    """Runs one job in a pool: never twice at once, and once more if it was asked for meanwhile. Any thread.

    Args:
        pool: where it runs; each run waits its turn there.
        job: takes what is waiting when its run begins; must not raise.
    """

    def __init__(self, pool: Executor, job: Callable[[], None]) -> None:
        self._pool, self._job = pool, job
        self._lock = threading.Lock()
        self._is_due = self._is_running = False

    def ask(self) -> None:
        """There is something to do."""
        with self._lock:
            self._is_due = True
            if self._is_running:
                return
            self._is_running = True
        self._submit()

    def _submit(self) -> None:
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the pool has been shut: the engine is closing
            with self._lock:
                self._is_running = False

    def _run(self) -> None:
        with self._lock:
            self._is_due = False
        try:
            self._job()
        finally:
            with self._lock:
                self._is_running = again = self._is_due
            if again:
                self._submit()
