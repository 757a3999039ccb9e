"""On what a model runs."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from liveglass.engine.makings import Kernels, processor, versions
from liveglass.engine.memory import available_bytes

_DRIVER = Path("/proc/driver/nvidia/version")


def choose_device(wanted: str) -> str:
    """`auto` is cuda, then mps, then cpu; any other name is taken as it is."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def kernels(weight: torch.Tensor, backend: str = "torch", libraries: Sequence[str] = ()) -> Kernels:
    """What runs the passes of a network that `weight` is a part of.

    Args:
        backend: what runs its passes.
        libraries: packages that its pictures go through, beside torch and numpy.
    """
    device = weight.device
    on_card = device.type == "cuda"
    return Kernels(
        backend=backend,
        libraries=versions("torch", "numpy", *libraries),
        device=str(device),
        hardware=torch.cuda.get_device_name(device) if on_card else processor(),
        driver=_driver() if on_card else "",
        dtype=str(weight.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        settings=_card_settings(device) if on_card else _settings(),
    )


def _settings() -> tuple[str, ...]:
    """What chooses between torch's kernels everywhere."""
    return (
        f"float32 matmul {torch.get_float32_matmul_precision()}",
        f"deterministic {torch.are_deterministic_algorithms_enabled()}",
        f"instructions {torch.backends.cpu.get_cpu_capability()}",
    )


def _card_settings(device: torch.device) -> tuple[str, ...]:
    """The same, and what chooses on a card."""
    major, minor = torch.cuda.get_device_capability(device)
    return (
        *_settings(),
        f"compute capability {major}.{minor}",
        f"convolutions in tf32 {torch.backends.cudnn.allow_tf32}",
        f"convolutions by trial {torch.backends.cudnn.benchmark}",
    )


def _driver() -> str:
    """CUDA as torch was built for it, cuDNN, and the driver where the system tells."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    parts = [f"CUDA {torch.version.cuda}", f"cuDNN {cudnn}"]
    with suppress(OSError):
        found = re.search(r"Kernel Module.*?\s([\d.]+)\s", _DRIVER.read_text())
        parts += [f"driver {found[1]}"] if found else []
    return ", ".join(parts)


def free_bytes(device: str) -> int:
    """Memory that is free on `device`, in bytes."""
    return torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else available_bytes()
