"""Low-rank weights into a live network: read beside its frames, made ready in a shadow, switched in place.

Sums always start from the weights as they were loaded: taking away what was added would leave rounding errors behind.
Addresses never change, so whatever was captured stays valid. Runs in the worker process.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from liveglass.engine.errors import WeightsRefused
from liveglass.engine.frame import Lora
from liveglass.engine.memory import ROOM
from liveglass.engine.models.base import LoraFile, Loras
from liveglass.engine.models.devices import free_bytes
from liveglass.engine.models.diffusion import lora
from liveglass.engine.models.diffusion.lora import Change


class Fuser:
    """The weights of one network and what is added to them.

    Args:
        weights: the live ones, by the path of their layer.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = weights
        self._base: dict[str, Tensor] = {}
        self._changed: frozenset[str] = frozenset()
        self._shadow: dict[str, Tensor] = {}

    def read(self, files: Sequence[LoraFile]) -> Loras:
        """See `ModelAdapter.read_loras`."""
        changes: defaultdict[str, list[tuple[Change, float]]] = defaultdict(list)
        fused = []
        for file in files:
            path = Path(file.path)
            for layer, change in lora.read(path, self._weights).items():
                changes[layer].append((change, file.weight))
            with path.open("rb") as opened:
                fused.append(Lora(file.name, file.weight, hashlib.file_digest(opened, "sha256").hexdigest()))
        self._check_room(changes.keys())
        return Loras(tuple(fused), dict(changes))

    def _check_room(self, layers: Iterable[str]) -> None:
        touched = {layer: self._weights[layer] for layer in layers}
        # Each of them twice: as it was loaded, and as it will be.
        wanted = 2 * sum(weight.numel() * weight.element_size() for weight in touched.values())
        if not touched:
            return
        device = str(next(iter(touched.values())).device)
        free = free_bytes(device)
        if wanted > ROOM * free:
            raise WeightsRefused(
                f"These low-rank weights take {wanted / 1e9:.1f} GB while they are put in, "
                f"and {free / 1e9:.1f} GB are free on {device}.",
                hint="End what else uses that memory.",
            )

    def prepare(self, loras: Loras) -> Iterator[None]:
        """Make the weights ready that `switch` puts in, a layer at a time; the live ones stay as they are."""
        self._shadow = {}
        try:
            for layer in sorted({*self._changed, *loras.changes}):
                weight = self._weights[layer]
                if layer not in self._base:
                    self._base[layer] = weight.detach().clone()
                self._shadow[layer] = _sum(self._base[layer], loras.changes.get(layer, ()))
                if weight.is_cuda:
                    torch.cuda.current_stream().synchronize()  # whoever looks at the time sees what it took
                yield
        except BaseException:
            self._shadow = {}
            self._keep_base()
            raise

    def switch(self, loras: Loras) -> None:
        """The weights that were made ready are the live ones from now on."""
        with torch.no_grad():
            for layer, made in self._shadow.items():
                self._weights[layer].copy_(made)
        self._shadow = {}
        self._changed = frozenset(loras.changes)
        self._keep_base()

    def _keep_base(self) -> None:
        """Of what is not changed, the live weights are the base."""
        self._base = {layer: base for layer, base in self._base.items() if layer in self._changed}


def _sum(base: Tensor, changes: Sequence[tuple[Change, float]]) -> Tensor:
    """`base` with all changes, in float32 until the end; `base` itself where there is none."""
    if not changes:
        return base
    total = base.float()
    for change, weight in changes:
        total = total + weight * change.to(base.device).delta().view_as(total)
    return total.to(base.dtype)
