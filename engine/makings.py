"""What a worker makes pictures with, beside what it is asked for: kernels and weights. Any process; imports no torch.

The same inputs give the same picture where these are the same; where they differ it may be another one.
"""

import hashlib
import importlib.metadata
import platform
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

_CHUNK_BYTES = 2**20


class Kernels(msgspec.Struct, frozen=True, kw_only=True):
    """What runs a model's passes.

    Attributes:
        backend: the runtime of the passes, with its version and settings where it is not torch itself.
        libraries: name and version of whatever else a picture goes through.
        device: as torch calls it.
        hardware: the processor's or the card's name.
        driver: of a card, with what was built for it; empty on a CPU.
        dtype: that the networks compute in.
        threads: of torch on the CPU; 0 where it has no part in it.
        settings: that choose between kernels.
    """

    backend: str
    libraries: tuple[str, ...]
    device: str = "cpu"
    hardware: str = ""
    driver: str = ""
    dtype: str = ""
    threads: int = 0
    settings: tuple[str, ...] = ()


class WeightFile(msgspec.Struct, frozen=True):
    """A file that weights came from: its folder's and its own name, its length, and its SHA-256 in hexadecimal."""

    name: str
    length: int
    sha256: str


class Makings(NamedTuple):
    """What an adapter's pictures depend on beside what it is given.

    Attributes:
        weights: the files that were loaded.
    """

    kernels: Kernels
    weights: tuple[Path, ...] = ()


def hashed(path: Path, is_over: Callable[[], bool]) -> WeightFile | None:
    """Read a weight file once more and hash it; None where `is_over` says so on the way.

    Raises:
        OSError: it cannot be read any more.
    """
    digest, length = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            if is_over():
                return None
            digest.update(chunk)
            length += len(chunk)
    return WeightFile(f"{path.parent.name}/{path.name}", length, digest.hexdigest())


def hash_of(files: Sequence[WeightFile]) -> str:
    """One hash for all weights together, whatever their files are called: SHA-256 of their hashes, sorted, a line each.

    `sha256sum FILES | cut -c1-64 | sort | sha256sum` gives the same.
    """
    lines = "".join(f"{one}\n" for one in sorted(file.sha256 for file in files))
    return hashlib.sha256(lines.encode()).hexdigest()


def versions(*packages: str) -> tuple[str, ...]:
    """Name and version of those of `packages` that are installed, and of this program first."""
    found = []
    for name in ("liveglass", *packages):
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return tuple(found)


def processor() -> str:
    """The processor's name, as its maker writes it where the system tells."""
    with suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()
