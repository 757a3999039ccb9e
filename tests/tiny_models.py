"""Models of real families, so small that a test can hold them, with weights of a seed."""

import json
from pathlib import Path

import torch
from diffusers import EulerAncestralDiscreteScheduler, LCMScheduler
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from liveglass.engine.models.diffusion.presets import Preset

TEXT_WIDTH = 32
POOLED_WIDTH = 16


def tiny_unet(*, xl: bool = False) -> UNet2DConditionModel:
    """Stable Diffusion's network, or SDXL's, with two levels."""
    torch.manual_seed(1)
    added = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + POOLED_WIDTH,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
    }
    return UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        **(added if xl else {}),
    ).eval()


def tiny_autoencoder() -> AutoencoderTiny:
    """TAESD with a quarter of its channels; its random weights are made loud enough for pictures to differ."""
    torch.manual_seed(2)
    made = AutoencoderTiny(
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(16,) * 4,
        num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4,
    ).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2)
    return made


def tiny_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's tokenizer over single letters, written into `folder` and read from there."""
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789,.!"]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def tiny_text_model(width: int = TEXT_WIDTH, *, pooled: bool = False) -> CLIPTextModel | CLIPTextModelWithProjection:
    """CLIP's text model with two layers; `pooled`: with the projection of SDXL's second one."""
    torch.manual_seed(3)
    config = CLIPTextConfig(
        vocab_size=100,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=POOLED_WIDTH,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if pooled else CLIPTextModel)(config).eval()


def write_preset(preset: Preset, models_dir: Path) -> None:
    """A checkpoint of a preset's classes, as its repositories have it, with tiny networks in it."""
    base = models_dir / preset.base.name
    base.mkdir(parents=True)
    (base / "tokenizer").mkdir()
    tokenizer = tiny_tokenizer(base / "tokenizer")
    tokenizer.save_pretrained(base / "tokenizer")
    is_xl = preset.family == "sdxl"
    half = TEXT_WIDTH // 2
    tiny_text_model(half if is_xl else TEXT_WIDTH).save_pretrained(base / "text_encoder")
    if is_xl:
        tokenizer.save_pretrained(base / "tokenizer_2")
        tiny_text_model(half, pooled=True).save_pretrained(base / "text_encoder_2")
    tiny_unet(xl=is_xl).save_pretrained(base / "unet")
    (LCMScheduler if preset.sampler == "lcm" else EulerAncestralDiscreteScheduler)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    ).save_pretrained(base / "scheduler")
    tiny_autoencoder().save_pretrained(models_dir / preset.codec.name)
    if preset.lora is not None:
        (models_dir / preset.lora.name).mkdir(parents=True)
        save_file(tiny_lora(tiny_unet()), models_dir / preset.lora.name / "pytorch_lora_weights.safetensors")


def tiny_lora(network: nn.Module, size: float = 0.05) -> dict[str, torch.Tensor]:
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
