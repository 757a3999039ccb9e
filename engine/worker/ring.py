"""Memory that the server and one worker share: cells of fixed size, each owned by one side at a time.

A cell changes owner by a message on the control pipe after it was written, so there are no locks in here and no queues.
On Linux the memory is a memfd: nothing has a name, nothing stays in /dev/shm, no container limit applies, and pages
that nobody touched cost nothing. Elsewhere it is named shared memory that its creator removes.
"""

import mmap
import os
import sys
from collections import deque
from contextlib import suppress
from multiprocessing import reduction, shared_memory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liveglass.engine.errors import OutOfMemory, WorkerLost
from liveglass.engine.frame import Pixels, Size

_Bytes = NDArray[np.uint8]

CELL_BYTES = 1920 * 1080 * 3
"""Room for the largest picture."""


class Ring:
    """`cells` cells of `cell_bytes` each, in memory that survives being handed to a spawned process."""

    def __init__(self, cells: int, cell_bytes: int = CELL_BYTES) -> None:
        self.cells = cells
        self.cell_bytes = cell_bytes
        self._block: shared_memory.SharedMemory | None = None
        self._fd = -1
        if sys.platform == "linux":
            self._fd = os.memfd_create("liveglass-ring", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, cells * cell_bytes)
        else:
            self._block = shared_memory.SharedMemory(create=True, size=cells * cell_bytes)
            self._owner = True
        self._map()

    def _map(self) -> None:
        size = self.cells * self.cell_bytes
        buffer = mmap.mmap(self._fd, size) if self._block is None else memoryview(self._block.buf or b"")
        # An array that views are cut from keeps the mapping alive as long as any of them; `ndarray(buffer=...)` does
        # not, and reading from such a view after `close` would end the process.
        self._memory: _Bytes | None = np.frombuffer(buffer, np.uint8, size)

    def __getstate__(self) -> dict[str, Any]:
        """Only while a process is being spawned: the descriptor (or the name) travels, the memory stays."""
        handle = reduction.DupFd(self._fd) if self._block is None else self._block.name
        return {"cells": self.cells, "cell_bytes": self.cell_bytes, "handle": handle}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.cells, self.cell_bytes = state["cells"], state["cell_bytes"]
        self._block = None
        self._fd = -1
        if isinstance(state["handle"], str):
            self._block = shared_memory.SharedMemory(name=state["handle"])
            self._owner = False
        else:
            self._fd = state["handle"].detach()
        self._map()

    def view(self, cell: int, size: Size) -> Pixels:
        """The cell as uint8 [H, W, 3]; valid until the cell is given back.

        Raises:
            WorkerLost: the ring is closed, because the worker that it belonged to is gone.
        """
        if self._memory is None:
            raise WorkerLost("The frame ring is closed.")
        start = cell * self.cell_bytes
        return self._memory[start : start + size.nbytes].reshape(size.shape)

    def close(self) -> None:
        """Let go of the memory; views that still exist keep it mapped until they are gone."""
        self._memory = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._block is not None:
            with suppress(BufferError):
                self._block.close()
            if self._owner:
                self._block.unlink()
                self._owner = False


class CellPool:
    """The cells that this side owns; not thread-safe."""

    def __init__(self, cells: int) -> None:
        self._free = deque(range(cells))

    def __len__(self) -> int:
        return len(self._free)

    def take(self) -> int:
        """Any free cell.

        Raises:
            OutOfMemory: the other side has them all.
        """
        if not self._free:
            raise OutOfMemory("Every cell of the frame ring is in use.")
        return self._free.popleft()

    def give(self, cell: int) -> None:
        """`cell` is free again; the most recently used is taken next, while it is in the cache."""
        self._free.appendleft(cell)
