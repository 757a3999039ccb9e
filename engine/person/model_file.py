"""The person mask's network on the disk: where it lies, where it comes from, and whether it is the right one.

MediaPipe's selfie segmentation, landscape (Apache-2.0, Google), as its own npm package carries it. It is fetched when
somebody first needs it, never at a start, and kept in the user's cache. Blocking.
"""

import hashlib
import io
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from liveglass.engine.errors import Unavailable

NAME = "person-mask"
LICENCE = "Apache-2.0, Google (MediaPipe selfie segmentation)"
ADDRESS = "https://registry.npmjs.org/@mediapipe/selfie_segmentation/-/selfie_segmentation-0.1.1675465747.tgz"
FILE = "selfie_segmentation_landscape.tflite"
SHA256 = "4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894"
_MEMBER = f"package/{FILE}"
_PACKAGE_BYTES = 4_049_373
_TIMEOUT_S = 30.0


def find(folder: Path) -> Path | None:
    """The file in `folder`, if it is there and is the one that was read."""
    path = folder / FILE
    return path if path.is_file() and _is_right(path.read_bytes()) else None


def get(folder: Path, tell: Callable[[str], None], address: str = ADDRESS) -> Path:
    """Make sure that the file is in `folder`.

    Args:
        tell: gets a line of progress now and then.
        address: of the package (.tgz), http(s) or file.

    Raises:
        Unavailable: it cannot be fetched or kept, or what came is something else.
    """
    found = find(folder)
    if found is not None:
        tell(f"{NAME} is here already: {found}")
        return found
    tell(f"{NAME}: {LICENCE}, 250 kB, from {address}")
    try:
        network = _unpacked(_fetched(address, tell))
    except (urllib.error.URLError, OSError, tarfile.TarError, KeyError) as fault:
        raise Unavailable(f"{NAME} cannot be fetched: {fault}.", hint=f"Or put {FILE} into {folder}.") from None
    if not _is_right(network):
        raise Unavailable(f"What came from {address} is not the file that was expected.", hint="Nothing was kept.")
    try:
        _keep(network, folder)
    except OSError as fault:
        raise Unavailable(f"{NAME} cannot be kept: {fault}.", hint="Choose another folder for models.") from None
    tell(f"{NAME} is at {folder / FILE}")
    return folder / FILE


def _keep(network: bytes, folder: Path) -> None:
    """Whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{FILE}.{os.getpid()}"
    part.write_bytes(network)
    part.replace(folder / FILE)


def _fetched(address: str, tell: Callable[[str], None]) -> bytes:
    came = io.BytesIO()
    with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response:  # noqa: S310 - an address of ours, or the user's own
        while block := response.read(1 << 20):
            came.write(block)
            if came.tell() > 2 * _PACKAGE_BYTES:
                raise OSError("it is far too large")
            tell(f"{came.tell() / 1e6:.1f} of {_PACKAGE_BYTES / 1e6:.1f} MB")
    return came.getvalue()


def _unpacked(package: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        member = archive.extractfile(_MEMBER)
        return member.read() if member is not None else b""


def _is_right(network: bytes) -> bool:
    return hashlib.sha256(network).hexdigest() == SHA256
