"""Checkpoints of real families with weights of a seed: so small that a test can hold them, or of the true size.

Random weights take the same time as trained ones, and need no download. Folders are written by `save_pretrained`, as
the hub has them, so that whatever reads them is the code that reads real ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import (
    AutoencoderKLFlux2,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    LCMScheduler,
)
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from liveglass.engine.models.diffusion.presets import ControlNet, Preset

TEXT_WIDTH = 32
POOLED_WIDTH = 16

Config = Mapping[str, Any]


class Networks(NamedTuple):
    """Configurations of one checkpoint: what is not said is as in the class.

    Attributes:
        texts: one, or SDXL's two.
    """

    unet: Config
    texts: tuple[Config, ...]
    codec: Config


_TINY_CODEC = {
    "encoder_block_out_channels": (16,) * 4,
    "decoder_block_out_channels": (16,) * 4,
    "num_encoder_blocks": (1,) * 4,
    "num_decoder_blocks": (1,) * 4,
}
_TINY_TEXT = {
    "vocab_size": 100,
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "projection_dim": POOLED_WIDTH,
}
_TINY_UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": (2, 4),
    "norm_num_groups": 8,
}
_TINY_XL = _TINY_UNET | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + POOLED_WIDTH,
    "transformer_layers_per_block": (1, 2),
    "use_linear_projection": True,
}
_TINY_QWEN = {
    "vocab_size": 300,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 30,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "tie_word_embeddings": True,
}
_TINY_KLEIN = {
    "in_channels": 16,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 48,
    "timestep_guidance_channels": 16,
    "axes_dims_rope": (4, 4, 4, 4),
    "guidance_embeds": False,
}
_TINY_KLEIN_CODEC = {
    "block_out_channels": (8, 8, 16, 16),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 64,
}
_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    "{% if not enable_thinking %}<think></think>\n{% endif %}"
)
_NOT_THE_GUIDES = {"sample_size", "out_channels", "up_block_types"}
"""Of a U-Net's configuration, what its ControlNet has no part of."""

_TINY_HINTS = {"conditioning_embedding_out_channels": (4, 8, 8, 8)}
_TINY_DEPTH = {
    "backbone_config": Dinov2Config(
        image_size=28,
        patch_size=14,
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    ),
    "reassemble_hidden_size": 8,
    "neck_hidden_sizes": [4, 4, 8, 8],
    "fusion_hidden_size": 8,
    "head_hidden_size": 4,
}
_CLIP_L = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
_CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
_CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
_SDXL = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_SD21 = {
    "sample_size": 64,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}

_SD15 = {"sample_size": 64, "cross_attention_dim": 768}

TRUE_SIZE = {
    "sd15-lcm": Networks(_SD15, (_CLIP_L,), {}),
    "sd15-lcm-edge": Networks(_SD15, (_CLIP_L,), {}),
    "sd15-lcm-depth": Networks(_SD15, (_CLIP_L,), {}),
    "sd-turbo": Networks(_SD21, (_CLIP_H | {"hidden_act": "gelu"},), {}),
    "sdxl-turbo": Networks(_SDXL, (_CLIP_L, _CLIP_G | {"hidden_act": "gelu"}), {}),
}
"""Configurations of the presets' own checkpoints."""


def tiny(preset: Preset) -> Networks:
    """A preset's classes with two levels and a few channels."""
    if preset.family == "sdxl":
        half = _TINY_TEXT | {"hidden_size": TEXT_WIDTH // 2}
        return Networks(_TINY_XL, (half, half), _TINY_CODEC)
    return Networks(_TINY_UNET, (_TINY_TEXT,), _TINY_CODEC)


def unet(config: Config) -> UNet2DConditionModel:
    """Stable Diffusion's network, or SDXL's."""
    torch.manual_seed(1)
    return UNet2DConditionModel(**config).eval()


def controlnet(config: Config) -> ControlNetModel:
    """A ControlNet of a U-Net; its last layers, which begin at zero, are given weights for its word to count."""
    torch.manual_seed(5)
    made = ControlNetModel(**config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.2)
    return made


def estimator(config: Config) -> DepthAnythingForDepthEstimation:
    """Depth Anything; its random weights are made loud enough for depths to differ."""
    torch.manual_seed(6)
    made = DepthAnythingForDepthEstimation(DepthAnythingConfig(**config)).eval()
    with torch.no_grad():
        for part in (made.neck, made.head):
            for parameter in part.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(std=parameter[0].numel() ** -0.5)
        made.head.conv3.bias.fill_(1)
    return made


def tiny_estimator(**more: str) -> DepthAnythingForDepthEstimation:
    """Depth Anything with a backbone of four layers."""
    return estimator(_TINY_DEPTH | more)


def autoencoder(config: Config) -> AutoencoderTiny:
    """TAESD; its random weights are made loud enough for pictures to differ."""
    torch.manual_seed(2)
    made = AutoencoderTiny(**config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2)
    return made


def text_model(config: Config, *, pooled: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    """CLIP's text model; `pooled`: with the projection of SDXL's second one."""
    torch.manual_seed(3)
    whole = CLIPTextConfig(**{**config, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1})
    return (CLIPTextModelWithProjection if pooled else CLIPTextModel)(whole).eval()


def tiny_unet(*, xl: bool = False) -> UNet2DConditionModel:
    """Stable Diffusion's network, or SDXL's, with two levels."""
    return unet(_TINY_XL if xl else _TINY_UNET)


def tiny_controlnet(**more: str) -> ControlNetModel:
    """A ControlNet of the tiny U-Net."""
    own = {name: _TINY_UNET[name] for name in _TINY_UNET if name not in _NOT_THE_GUIDES}
    return controlnet(own | _TINY_HINTS | more)


def tiny_autoencoder() -> AutoencoderTiny:
    """TAESD with a quarter of its channels."""
    return autoencoder(_TINY_CODEC)


def tiny_text_model() -> CLIPTextModel | CLIPTextModelWithProjection:
    """CLIP's text model with two layers."""
    return text_model(_TINY_TEXT)


def letters(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer over single letters, written into `folder` and read from there."""
    known = [*"abcdefghijklmnopqrstuvwxyz0123456789,.!"]
    tokens = ["<|startoftext|>", "<|endoftext|>", *known, *(f"{letter}</w>" for letter in known)]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def write_preset(
    preset: Preset, models_dir: Path, networks: Networks | None = None, kind: torch.dtype = torch.float32
) -> None:
    """A checkpoint of type `kind` as the preset's repositories have it; tiny where nothing is said of its networks.

    What is there already stays: presets share parts.
    """
    networks = networks or tiny(preset)
    if not (base := models_dir / preset.base.name).exists():
        _write_base(preset, base, networks, kind)
    if not (codec := models_dir / preset.codec.name).exists():
        autoencoder(networks.codec).to(kind).save_pretrained(codec)
    if preset.guide is not None:
        _write_guide(preset.guide, models_dir, networks, kind)
    if preset.lora is not None and not (lora := models_dir / preset.lora.name).exists():
        lora.mkdir(parents=True)
        save_file(lora_of(unet(networks.unet)), lora / "pytorch_lora_weights.safetensors")


def _write_guide(guide: ControlNet, models_dir: Path, networks: Networks, kind: torch.dtype) -> None:
    is_tiny = bool(networks.codec)
    if not (folder := models_dir / guide.network.name).exists():
        own = {name: networks.unet[name] for name in networks.unet if name not in _NOT_THE_GUIDES}
        controlnet(own | (_TINY_HINTS if is_tiny else {})).to(kind).save_pretrained(folder)
    if guide.estimator is not None and not (folder := models_dir / guide.estimator.name).exists():
        estimator(_TINY_DEPTH if is_tiny else {}).to(kind).save_pretrained(folder)


def _write_base(preset: Preset, base: Path, networks: Networks, kind: torch.dtype) -> None:
    base.mkdir(parents=True)
    for number, config in enumerate(networks.texts):
        ending = f"_{number + 1}" if number else ""
        (base / f"tokenizer{ending}").mkdir()
        letters(base / f"tokenizer{ending}").save_pretrained(base / f"tokenizer{ending}")
        text_model(config, pooled=number > 0).to(kind).save_pretrained(base / f"text_encoder{ending}")
    unet(networks.unet).to(kind).save_pretrained(base / "unet")
    (LCMScheduler if preset.sampler == "lcm" else EulerAncestralDiscreteScheduler)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    ).save_pretrained(base / "scheduler")


def lora_of(network: nn.Module, size: float = 0.05) -> dict[str, torch.Tensor]:
    """Low-rank weights for every attention of `network`, named as most trainers name them."""
    torch.manual_seed(4)
    tensors = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear) and name.endswith(("to_q", "to_k", "to_v", "to_out.0")):
            stem = f"lora_unet_{name.replace('.', '_')}"
            tensors[f"{stem}.lora_down.weight"] = torch.randn(2, layer.in_features) * size
            tensors[f"{stem}.lora_up.weight"] = torch.randn(layer.out_features, 2) * size
            tensors[f"{stem}.alpha"] = torch.tensor(4.0)
    return tensors


def tiny_klein() -> Flux2KleinPipeline:
    """FLUX.2 Klein as diffusers runs it, each part of its own class and hardly wider than its heads."""
    torch.manual_seed(5)
    autoencoder = AutoencoderKLFlux2(**_TINY_KLEIN_CODEC)
    transformer = Flux2Transformer2DModel(**_TINY_KLEIN)
    with torch.no_grad():
        autoencoder.bn.running_mean.uniform_(-0.5, 0.5)
        autoencoder.bn.running_var.uniform_(0.5, 2)
        # Loud enough for words, and the camera's few tokens among hundreds of words, to be seen in a picture.
        for network, gain in ((autoencoder.decoder, 1.5), (transformer, 3)):
            for parameter in network.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(gain)
    return Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        autoencoder.eval(),
        Qwen3ForCausalLM(Qwen3Config(**_TINY_QWEN)).eval(),
        _bytes(),
        transformer.eval(),
        is_distilled=True,
    )


def _bytes() -> Qwen2Tokenizer:
    """Qwen's tokenizer over single bytes."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    known = {token: place for place, token in enumerate((*special, *sorted(ByteLevel.alphabet())))}
    made = Qwen2Tokenizer(vocab=known, merges=[], additional_special_tokens=list(special[1:]))
    made.chat_template = _CHAT
    return made


def write_packed(repository: str, models_dir: Path) -> Path:
    """A tiny checkpoint of the packed family as `models_dir/OWNER/NAME`, and where it is."""
    folder = models_dir / repository
    tiny_klein().save_pretrained(folder)
    return folder
