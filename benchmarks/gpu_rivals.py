"""What `gpu.py` measures of others: diffusers' own image-to-image, and StreamDiffusion."""

from typing import Any

import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from gpu_given import PROMPT, Figures, Given, timed
from PIL import Image
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

STREAM_PLACES = {1: [32], 2: [32, 45], 4: [20, 30, 38, 45]}
"""Where StreamDiffusion's steps lie in its schedule of 50; its time does not depend on them."""


def documented(given: Given, *, tiny_decoder: bool) -> Figures:
    """diffusers' image-to-image, a picture of PIL in and one out; what a ControlNet is told is ready beforehand."""
    pipe_of: Any = StableDiffusionXLImg2ImgPipeline if given.preset.family == "sdxl" else StableDiffusionImg2ImgPipeline
    if given.preset.guide is not None:
        pipe_of = StableDiffusionControlNetImg2ImgPipeline
    codec: AutoencoderTiny | AutoencoderKL
    if tiny_decoder:
        codec = AutoencoderTiny.from_pretrained(given.models_dir / given.preset.codec.name)
    else:
        codec = AutoencoderKL(**_kl(given))
    pipe = _pipeline(pipe_of, given, codec)
    picture = Image.fromarray(given.picture())
    guidance = 1.0 if given.preset.sampler == "lcm" else 0.0
    hint = {"control_image": picture} if given.hold else {}

    def frame() -> None:
        # Half the strength and twice the steps: it makes int(steps * strength) passes.
        pipe(PROMPT, image=picture, num_inference_steps=2 * given.steps, strength=0.5, guidance_scale=guidance, **hint)

    return timed(given, frame)


def _pipeline(kind: Any, given: Given, codec: object) -> Any:  # noqa: ANN401 - any pipeline of theirs
    """A pipeline from parts, on its device; none of them comes over a network."""
    base = given.models_dir / given.preset.base.name
    scheduler = LCMScheduler if given.preset.sampler == "lcm" else EulerAncestralDiscreteScheduler
    parts: dict[str, Any] = {
        "vae": codec,
        "text_encoder": CLIPTextModel.from_pretrained(base / "text_encoder"),
        "tokenizer": CLIPTokenizer.from_pretrained(base / "tokenizer"),
        "unet": UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False),
        "scheduler": scheduler.from_pretrained(base / "scheduler"),
    }
    if given.preset.family == "sdxl":
        parts["text_encoder_2"] = CLIPTextModelWithProjection.from_pretrained(base / "text_encoder_2")
        parts["tokenizer_2"] = CLIPTokenizer.from_pretrained(base / "tokenizer_2")
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if kind is StableDiffusionControlNetImg2ImgPipeline:
        assert given.preset.guide is not None
        folder = given.models_dir / given.preset.guide.network.name
        parts["controlnet"] = ControlNetModel.from_pretrained(folder, low_cpu_mem_usage=False)
    pipe = kind(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(given.device, given.kind)


def _kl(given: Given) -> dict[str, Any]:
    """The configuration of the decoder that the checkpoints come with."""
    widths = (8, 8, 8, 8) if given.tiny else (128, 256, 512, 512)
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1 if given.tiny else 2,
        "norm_num_groups": 4 if given.tiny else 32,
        "latent_channels": 4,
        "force_upcast": False,
    }


def stream_diffusion(given: Given, *, is_compiled: bool) -> Figures:
    """The published package (Kodaira et al. 2023, arXiv:2312.12491), as its README drives it.

    Raises:
        RuntimeError: it is not installed, or does not know this family.
    """
    try:
        from streamdiffusion import StreamDiffusion  # noqa: PLC0415 - nothing of ours needs it
        from streamdiffusion.image_utils import postprocess_image  # noqa: PLC0415
    except ImportError as fault:
        raise RuntimeError(f"the package streamdiffusion cannot be imported here: {fault}") from None
    if given.preset.family == "sdxl":
        raise RuntimeError("its published version knows no SDXL")
    if given.hold:
        raise RuntimeError("its published version knows no ControlNet")
    codec = AutoencoderTiny.from_pretrained(given.models_dir / given.preset.codec.name)
    pipe = _pipeline(StableDiffusionPipeline, given, codec)
    places = STREAM_PLACES[given.steps]
    stream = StreamDiffusion(
        pipe, places, torch_dtype=given.kind, width=given.size.width, height=given.size.height, cfg_type="none"
    )
    if is_compiled:
        stream.unet = torch.compile(stream.unet, mode="reduce-overhead")
    stream.prepare(PROMPT)
    picture = Image.fromarray(given.picture())
    figures = timed(given, lambda: postprocess_image(stream(picture), output_type="pil"))
    # It batches its steps over time: a picture leaves as many frames after it came in as there are steps.
    return {**figures, "input_age_frames": len(places), "more": f"a picture is {len(places)} frames old when it is out"}
