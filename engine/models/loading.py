"""What every family needs on its way from files to an adapter; runs in the worker process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
import transformers

from liveglass.engine.errors import WeightsRefused
from liveglass.engine.memory import ROOM
from liveglass.engine.models.devices import choose_device, free_bytes
from liveglass.engine.models.diffusion import checkpoint

_COUNTER = "num_batches_tracked"
"""Of a batch norm: how long it was trained, which nothing reads afterwards."""

WHOLE = {"low_cpu_mem_usage": False}
"""Else diffusers asks for one more package at every start."""


def prepare(device: str, threads: int) -> str:
    """The device that a model will be on; torch takes `threads` CPU threads, 0 leaves its own choice."""
    if threads:
        torch.set_num_threads(threads)
    return choose_device(device)


def weights_type(device: str) -> torch.dtype:
    """What weights are kept in: half precision wherever that is faster."""
    return torch.float32 if device == "cpu" else torch.bfloat16


def make_sure_it_fits(name: str, wanted: int, device: str) -> None:
    """Weights of `wanted` bytes have room on `device`.

    Raises:
        WeightsRefused: they have not.
    """
    free = free_bytes(device)
    if wanted > ROOM * free:
        raise WeightsRefused(
            f"{name} takes {wanted / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on {device}.",
            hint="Choose a smaller model, or end what else uses that memory.",
        )


@contextmanager
def refusing(name: str, folder: Path) -> Iterator[None]:
    """Whatever the libraries raise over files that they cannot make a model of becomes one error.

    Raises:
        WeightsRefused: they do not load.
    """
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    try:
        yield
    except (OSError, ValueError, RuntimeError, msgspec.DecodeError) as fault:
        if isinstance(fault, torch.OutOfMemoryError):
            raise
        raise WeightsRefused(f"{name} does not load from {folder}: {fault}") from fault


def read(part: Any, folder: Path, kind: torch.dtype, **more: Any) -> Any:  # noqa: ANN401 - any class of theirs
    """A network from its folder: safetensors, nothing from a network, the file that was looked at, all of its weights.

    Raises:
        ValueError: weights are missing; their libraries would make them up.
    """
    variant = "fp16" if ".fp16." in checkpoint.weights(folder).name else None
    where = {"use_safetensors": True, "local_files_only": True, "variant": variant}
    network, told = part.from_pretrained(folder, torch_dtype=kind, output_loading_info=True, **where, **more)
    missing = sorted(name for name in told["missing_keys"] if not name.endswith(_COUNTER))
    if missing:
        raise ValueError(f"{folder.name} lacks {len(missing)} weights, {missing[0]} for one")
    return network
