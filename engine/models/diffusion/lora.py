"""Low-rank changes of a network's weights (Hu et al. 2021, arXiv:2106.09685): read, matched by name, added.

The names that trainers write differ in dots, prefixes and suffixes; what is left of them is the path of a layer.
"""

import re
from pathlib import Path
from typing import NamedTuple

import torch
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

    def delta(self) -> Tensor:
        """The sum, as rows of outputs."""
        return self.scale * (self.up.flatten(1).float() @ self.down.flatten(1).float())


def read(path: Path, network: nn.Module) -> dict[str, Change]:
    """The changes in a file, by the path of the layer in `network`.

    Raises:
        WeightsRefused: it changes text encoders, layers that `network` lacks, or nothing.
    """
    tensors = load_file(path)
    texts = [name for name in tensors if _TEXT.match(_PREFIX.sub("", name)) or _TEXT.match(name)]
    if texts:
        raise WeightsRefused(
            f"{path.name} changes the text encoder, too ({texts[0]}).",
            hint="Use one that was trained on the U-Net alone.",
        )
    layers = {layer.replace(".", "_"): layer for layer, module in network.named_modules() if hasattr(module, "weight")}
    changes = {}
    for name, down in tensors.items():
        if _DOWN.search(name):
            stem = _PREFIX.sub("", _DOWN.sub("", name)).replace(".processor", "").replace(".", "_")
            layer = layers.get(stem) or layers.get(f"{stem}_0")
            if layer is None:
                raise WeightsRefused(f"{path.name} changes {name}, which this model does not have.", hint=_OTHER)
            changes[layer] = _change(path, tensors, name, down)
    if not changes:
        raise WeightsRefused(f"{path.name} holds no low-rank weights.", hint=_OTHER)
    return changes


_OTHER = "It was made for another family of models."


def _change(path: Path, tensors: dict[str, Tensor], name: str, down: Tensor) -> Change:
    up = tensors.get(name.replace("lora_down", "lora_up").replace("lora_A", "lora_B").replace(".down.", ".up."))
    if up is None or up.shape[1] != down.shape[0]:
        raise WeightsRefused(f"{path.name} has no fitting other half of {name}.")
    alpha = tensors.get(f"{_DOWN.sub('', name)}.alpha")
    rank = down.shape[0]
    return Change(down, up, 1.0 if alpha is None else float(alpha) / rank)


def fuse(network: nn.Module, path: Path, weight: float) -> None:
    """Add a file's changes to `network`, `weight` times.

    Raises:
        WeightsRefused: it does not fit.
    """
    for layer, change in read(path, network).items():
        target = network.get_parameter(f"{layer}.weight")
        delta = change.delta()
        if delta.numel() != target.numel():
            raise WeightsRefused(f"{path.name} does not fit {layer}.", hint=_OTHER)
        with torch.no_grad():
            target.add_(delta.view_as(target).to(target), alpha=weight)
