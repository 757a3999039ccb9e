"""Small private files that survive a crash whole: written beside their place, then moved onto it.

Never leaves half a file and never one that others may read. Blocking; callers on the event loop use a thread.
"""

import os
import secrets
from pathlib import Path

_PRIVATE = 0o600


def make_private_dir(path: Path) -> None:
    """Create `path` and what it lies in, for this user only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step; a reader sees the old file or the new one."""
    beside = _written_beside(path, data)
    try:
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync_dir(path.parent)


def create_private(path: Path, data: bytes) -> bytes:
    """Put `data` at `path` unless something is there; returns what is there afterwards.

    Two processes that start together end up with the same content.
    """
    beside = _written_beside(path, data)
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        return path.read_bytes()
    finally:
        beside.unlink(missing_ok=True)
    _sync_dir(path.parent)
    return data


def read_if_there(path: Path) -> bytes | None:
    """The content of `path`, or None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _written_beside(path: Path, data: bytes) -> Path:
    make_private_dir(path.parent)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside


def _sync_dir(path: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
