"""A frame of a latent model in three stages, each a function of its arena, its rows and the step; runs in the worker.

Nothing in them waits for the device. A captured graph reads fixed addresses, so rows and step come as tensors: `rows`
int64 [B], `step` int64 [1], both on the arena's device; an index without a dimension would be read by the host.
"""

from collections.abc import Callable, Hashable
from typing import Any, Protocol, Self, TypeVar

import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch import _dynamo as dynamo

from liveglass.engine.models.arena import FrameArena
from liveglass.engine.models.compiling import compiling

MODE = "max-autotune-no-cudagraphs"
"""Of inductor's modes the one that measures kernels and leaves capturing to `captured.py`."""

SHAPES = 256
"""Of one network that may be compiled: each batch at each picture size that ever comes."""

Call = Callable[..., Any]
"""A network, or a part of one."""

Backend = str | Callable[..., Any]
"""A backend of `torch.compile` by its name, or a function that is one."""


class Way(Hashable, Protocol):
    """What a cohort's passes are made of; all of its rows go the same way."""

    @property
    def beginning(self) -> Self:
        """As much of it as `begin` asks for."""
        ...


A_contra = TypeVar("A_contra", bound=FrameArena, contravariant=True)
W_contra = TypeVar("W_contra", bound=Way, contravariant=True)


class Stages(Protocol[A_contra, W_contra]):
    """How a frame is made, for all rows of a cohort at once."""

    @property
    def backend(self) -> str:
        """What runs the stages, as far as a picture may depend on it."""
        ...

    def begin(self, arena: A_contra, rows: Tensor, way: W_contra) -> None:
        """Sources into latents, with as much noise as each row's start has."""
        ...

    def denoise(self, arena: A_contra, rows: Tensor, step: Tensor, way: W_contra) -> None:
        """One pass."""
        ...

    def finish(self, arena: A_contra, rows: Tensor) -> None:
        """Latents into pictures of the size outside."""
        ...

    def forget(self, arena: A_contra) -> None:
        """Nobody will ask for this arena again."""
        ...


def named(backend: Backend | None) -> str:
    """What runs networks that go through `backend` of `torch.compile`, or as they are."""
    return "torch" if backend is None else "torch, compiled"


def compiler(backend: Backend) -> Callable[[Call], Call]:
    """Compiles a network as one whole graph for each shape: of a batch, of a picture size, with a hint or without.

    While that goes on, `compiling.py` says so.
    """
    # Past its limit torch gives up on a network, and one that has to be whole raises in every frame.
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, SHAPES)
    mode = MODE if backend == "inductor" else None

    def compiled(network: Call) -> Call:
        made = torch.compile(network, backend=backend, mode=mode, fullgraph=True, dynamic=False)
        known: set[Hashable] = set()

        def call(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the network takes and gives
            shape = tuple(map(_shape, pytree.tree_leaves((given, named))))
            if shape in known:
                return made(*given, **named)
            with compiling():
                result = made(*given, **named)
            known.add(shape)
            return result

        return call

    return compiled


def _shape(part: object) -> Hashable:
    return (part.shape, part.dtype) if isinstance(part, Tensor) else str(part)
