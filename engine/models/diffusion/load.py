"""From a preset's files to an adapter; runs in the worker process."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, DepthAnythingForDepthEstimation

from liveglass.engine.models.captured import capture_for
from liveglass.engine.models.diffusion import checkpoint, lora
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.checkpoint import Files
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.depth import DepthEstimator
from liveglass.engine.models.diffusion.edges import EdgeDetector
from liveglass.engine.models.diffusion.presets import Preset, preset_spec
from liveglass.engine.models.diffusion.schedules import (
    TRAIN_STEPS,
    Scheduler,
    lcm_scheduler,
    signal_left,
    turbo_scheduler,
)
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText, TextEncoder, TwoClipTexts
from liveglass.engine.models.loading import WHOLE, make_sure_it_fits, prepare, read, refusing, weights_type

_KNOWN = ("scaled_linear", TRAIN_STEPS, "epsilon")


def load_preset(
    preset: Preset,
    models_dir: Path,
    device: str,
    threads: int,
    on_stage: Callable[[str], None],
    *,
    captures: bool = True,
    compiles: bool = False,
) -> tuple[DiffusionAdapter, str]:
    """A preset, loaded, and the device that it is on.

    Args:
        device: `auto`, `cpu`, `cuda`, `mps`.
        threads: CPU threads; 0 leaves torch's choice.
        on_stage: told what is going on, for people who wait.
        captures: passes are captured and replayed, where the device can.
        compiles: networks go through torch.compile.

    Raises:
        NotAvailable: its files are not here.
        WeightsRefused: they are damaged, unsafe, of another shape, or too large for this machine.
    """
    device = prepare(device, threads)
    on_stage("looking at the weights")
    files = checkpoint.find(preset, models_dir)
    make_sure_it_fits(preset.name, checkpoint.check(preset, files, whole=device == "cpu"), device)
    on_stage("loading")
    with refusing(preset.name, files.base):
        parts = _parts(preset, files, device, weights_type(device))
    capture = capture_for(device) if captures else None
    return DiffusionAdapter(parts, capture, "inductor" if compiles else None), device


def _parts(preset: Preset, files: Files, device: str, kind: torch.dtype) -> Parts:
    unet = read(UNet2DConditionModel, files.base / "unet", kind, **WHOLE)
    if files.lora is not None:
        lora.fuse(unet, checkpoint.weights(files.lora), 1.0)
    codec = read(AutoencoderTiny, files.codec, kind, **WHOLE)
    laid = {"device": device, "memory_format": torch.channels_last}
    return Parts(
        preset_spec(preset),
        _text(preset, files.base, kind).to(device),
        PromptedUNet(unet.to(**laid)),
        Codec(codec.to(**laid)),
        _scheduler(preset, files.base),
        _guide(files, kind, laid),
        tuple(checkpoint.used(preset, files)),
    )


def _guide(files: Files, kind: torch.dtype, laid: Mapping[str, Any]) -> PromptedControlNet | None:
    if files.guide is None:
        return None
    look: nn.Module = EdgeDetector(laid["device"])
    if files.estimator is not None:
        look = DepthEstimator(read(DepthAnythingForDepthEstimation, files.estimator, kind).to(**laid))
    return PromptedControlNet(read(ControlNetModel, files.guide, kind, **WHOLE).to(**laid), look)


def _text(preset: Preset, base: Path, kind: torch.dtype) -> TextEncoder:
    first = CLIPTokenizer.from_pretrained(base / "tokenizer", local_files_only=True)
    model = read(CLIPTextModel, base / "text_encoder", kind)
    if preset.family == "sd":
        return ClipText(first, model)
    second = CLIPTokenizer.from_pretrained(base / "tokenizer_2", local_files_only=True)
    other = read(CLIPTextModelWithProjection, base / "text_encoder_2", kind)
    return TwoClipTexts((first, second), (model, other))


class _Noise(msgspec.Struct):
    """What `scheduler_config.json` says of the noise that a model was trained with."""

    beta_start: float
    beta_end: float
    beta_schedule: str
    num_train_timesteps: int = TRAIN_STEPS
    prediction_type: str = "epsilon"


def _scheduler(preset: Preset, base: Path) -> Scheduler:
    """The preset's sampler, over the noise that the checkpoint says it was trained with."""
    noise = msgspec.json.decode((base / "scheduler" / "scheduler_config.json").read_bytes(), type=_Noise)
    if (noise.beta_schedule, noise.num_train_timesteps, noise.prediction_type) != _KNOWN:
        raise ValueError(f"its noise is not of a kind that is known here: {noise}")
    signal = signal_left(noise.beta_start, noise.beta_end)
    return lcm_scheduler(signal) if preset.sampler == "lcm" else turbo_scheduler(signal)
