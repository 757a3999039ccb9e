"""Memory that is free goes back to the system. Any thread."""

import ctypes

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)


def trim_memory() -> None:
    """Give back what freed objects left behind in glibc's heaps (malloc_trim(3)); does nothing with another C library.

    Takes some milliseconds, without the interpreter's lock: call it where nobody waits.
    """
    if _TRIM is not None:
        _TRIM(0)
