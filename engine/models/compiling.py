"""Whether this process compiles a network right now: then a frame may take minutes and nothing hangs. No torch."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_under_way = threading.Semaphore(0)


@contextmanager
def compiling() -> Iterator[None]:
    """While inside, one more network is compiled."""
    _under_way.release()
    try:
        yield
    finally:
        _under_way.acquire()


def is_compiling() -> bool:
    """Whether one is. Any thread."""
    if not _under_way.acquire(blocking=False):
        return False
    _under_way.release()
    return True
