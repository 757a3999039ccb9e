"""From a packed checkpoint's files to an adapter; runs in the worker process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_flux2 import AutoencoderKLFlux2
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel
from transformers import Qwen2Tokenizer, Qwen3ForCausalLM

from liveglass.engine.models.captured import capture_for
from liveglass.engine.models.diffusion.schedules import FlowScheduler, flow_scheduler, klein_shift
from liveglass.engine.models.loading import WHOLE, make_sure_it_fits, prepare, read, refusing, weights_type
from liveglass.engine.models.packed import checkpoint
from liveglass.engine.models.packed.adapter import PackedAdapter, Parts
from liveglass.engine.models.packed.checkpoint import Flow, Looked
from liveglass.engine.models.packed.codec import TokenCodec
from liveglass.engine.models.packed.recipe import Recipe, recipe_spec
from liveglass.engine.models.packed.words import QwenText


def load_packed(
    recipe: Recipe,
    models_dir: Path,
    device: str,
    threads: int,
    on_stage: Callable[[str], None],
    *,
    captures: bool = True,
    compiles: bool = False,
) -> tuple[PackedAdapter, str]:
    """A checkpoint of the packed family, loaded, and the device that it is on.

    Args:
        device: `auto`, `cpu`, `cuda`, `mps`.
        threads: CPU threads; 0 leaves torch's choice.
        on_stage: told what is going on, for people who wait.
        captures: passes are captured and replayed, where the device can.
        compiles: networks go through torch.compile.

    Raises:
        NotAvailable: its files are not here.
        WeightsRefused: they are damaged, unsafe, incomplete, of another class or shape, or too large for this machine.
    """
    device = prepare(device, threads)
    on_stage("looking at the weights")
    looked = checkpoint.look(recipe, models_dir, whole=device == "cpu")
    make_sure_it_fits(recipe.name, looked.bytes, device)
    on_stage("loading")
    with refusing(recipe.name, looked.folder):
        parts = _parts(recipe, looked, device, weights_type(device))
        capture = capture_for(device) if captures else None
        return PackedAdapter(parts, capture, "inductor" if compiles else None), device


def _parts(recipe: Recipe, looked: Looked, device: str, kind: torch.dtype) -> Parts:
    base = looked.folder
    laid: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}  # torch's types lack the second
    transformer = read(Flux2Transformer2DModel, base / "transformer", kind, **WHOLE)
    codec = TokenCodec(read(AutoencoderKLFlux2, base / "vae", kind, **WHOLE))
    return Parts(
        recipe_spec(recipe),
        _text(base, kind).to(device),
        transformer.to(device),
        codec.to(**laid),
        _scheduler(looked.flow),
        recipe.sees_camera,
        looked.files,
    )


def _text(base: Path, kind: torch.dtype) -> QwenText:
    tokenizer = Qwen2Tokenizer.from_pretrained(base / "tokenizer", local_files_only=True)
    model = read(Qwen3ForCausalLM, base / "text_encoder", kind)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError("its tokenizer has more tokens than its text encoder knows")
    return QwenText(tokenizer, model)


def _scheduler(flow: Flow) -> FlowScheduler:
    """The sampler, over the noise levels that the checkpoint says it was trained with."""
    return flow_scheduler(klein_shift if flow.use_dynamic_shifting else lambda _tokens, _steps: flow.shift)
