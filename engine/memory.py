"""Memory of this machine: how much of it is free, and giving back what is not used any more. Any thread."""

import ctypes
import os
import re
from pathlib import Path

_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB", re.MULTILINE)

ROOM = 0.9
"""Of the memory that is free, so much may be weights."""


def trim_memory() -> None:
    """Give back what freed objects left behind in glibc's heaps (malloc_trim(3)); does nothing with another C library.

    Takes some milliseconds, without the interpreter's lock: call it where nobody waits.
    """
    if _TRIM is not None:
        _TRIM(0)


def available_bytes() -> int:
    """Memory that programs may still take: what is free, and on Linux what the page cache would give up (proc(5))."""
    try:
        said = _AVAILABLE.search(Path("/proc/meminfo").read_text())
    except OSError:
        said = None
    if said is not None:
        return int(said[1]) * 1024
    free = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(free) * os.sysconf("SC_PAGE_SIZE")
