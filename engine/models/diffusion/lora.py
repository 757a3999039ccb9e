"""Low-rank changes of a network's weights (Hu et al. 2021, arXiv:2106.09685): read, matched by name, added.

The names that trainers write differ in dots, prefixes and suffixes; what is left of them is the path of a layer.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from liveglass.engine.errors import WeightsRefused

_PREFIX = re.compile(r"^(base_model\.model\.|lora_unet_|unet\.)+")
_DOWN = re.compile(r"[._](lora_down|lora_A|lora\.down|lora_linear_layer\.down)\.weight$|_lora\.down\.weight$")
_TEXT = re.compile(r"^(lora_te|text_encoder|text_model)")


class Change(NamedTuple):
    """What is added to one layer: `scale * up @ down`."""

    down: Tensor
    up: Tensor
    scale: float

    @property
    def numel(self) -> int:
        """Numbers of the sum."""
        return self.up.shape[0] * self.down[0].numel()

    def delta(self) -> Tensor:
        """The sum, as rows of outputs."""
        return self.scale * (self.up.flatten(1).float() @ self.down.flatten(1).float())

    def to(self, device: torch.device) -> "Change":
        """The same on `device`."""
        return Change(self.down.to(device), self.up.to(device), self.scale)


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """What can be changed of a network, by the path of the layer."""
    named = network.named_parameters()
    return {name.removesuffix(".weight"): weight for name, weight in named if name.endswith(".weight")}


def read(path: Path, weights: Mapping[str, Tensor]) -> dict[str, Change]:
    """The changes in a file, by the path of the layer; `weights` are only asked for their shapes.

    Raises:
        WeightsRefused: it is no safetensors file, changes text encoders, layers that are not there or are of another
            shape, or nothing, or holds something else beside.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as fault:
        raise WeightsRefused(f"{path.name} cannot be read: {fault}.", hint="Only safetensors are read.") from None
    texts = [name for name in tensors if _TEXT.match(_PREFIX.sub("", name)) or _TEXT.match(name)]
    if texts:
        raise WeightsRefused(
            f"{path.name} changes the text encoder, too ({texts[0]}).",
            hint="Use one that was trained on the U-Net alone.",
        )
    layers = {layer.replace(".", "_"): layer for layer in weights}
    changes, used = {}, set[str]()
    for name, down in tensors.items():
        if _DOWN.search(name):
            stem = _PREFIX.sub("", _DOWN.sub("", name)).replace(".processor", "").replace(".", "_")
            layer = layers.get(stem) or layers.get(f"{stem}_0")
            if layer is None:
                raise WeightsRefused(f"{path.name} changes {name}, which this model does not have.", hint=_OTHER)
            changes[layer] = _change(path, tensors, name, down)
            if changes[layer].numel != weights[layer].numel():
                raise WeightsRefused(f"{path.name} does not fit {layer}.", hint=_OTHER)
            used |= {name, _other_half(name), f"{_DOWN.sub('', name)}.alpha"}
    if not changes:
        raise WeightsRefused(f"{path.name} holds no low-rank weights.", hint=_OTHER)
    more = sorted(tensors.keys() - used)
    if more:
        raise WeightsRefused(
            f"{path.name} holds {more[0]}, which is no low-rank change.",
            hint="Other kinds of changes are not known here.",
        )
    return changes


_OTHER = "It was made for another family of models."


def _change(path: Path, tensors: dict[str, Tensor], name: str, down: Tensor) -> Change:
    up = tensors.get(_other_half(name))
    if up is None or min(up.dim(), down.dim()) < 2 or up.shape[1] != down.shape[0]:
        raise WeightsRefused(f"{path.name} has no fitting other half of {name}.")
    if not (up.isfinite().all() and down.isfinite().all()):
        raise WeightsRefused(f"{path.name} holds numbers that are none, in {name}.")
    alpha = tensors.get(f"{_DOWN.sub('', name)}.alpha")
    rank = down.shape[0]
    return Change(down, up, 1.0 if alpha is None else float(alpha) / rank)


def _other_half(name: str) -> str:
    return name.replace("lora_down", "lora_up").replace("lora_A", "lora_B").replace(".down.", ".up.")


def fuse(network: nn.Module, path: Path, weight: float) -> None:
    """Add a file's changes to `network`, `weight` times.

    Raises:
        WeightsRefused: it does not fit.
    """
    weights = weights_of(network)
    for layer, change in read(path, weights).items():
        target = weights[layer]
        with torch.no_grad():
            target.add_(change.delta().view_as(target).to(target), alpha=weight)
