"""Models of the Stable Diffusion families by name: where their parts come from, what they may be asked; no torch."""

from typing import Literal

import msgspec

from liveglass.engine.control import Guide
from liveglass.engine.models.base import Look, ModelSpec

_LOOKS = (
    Look("Oil portrait", "oil painting of a person, thick brush strokes, warm light", 0.5),
    Look("Watercolour", "watercolour painting, soft paper, loose edges", 0.5),
    Look("Neon city", "neon city at night, rain, reflections, cinematic", 0.6),
    Look("Clay", "clay animation figure, studio light, shallow focus", 0.6),
    Look("Ink", "black ink drawing, white paper, confident lines", 0.6),
    Look("Marble", "marble statue, museum light", 0.6),
)


class Repository(msgspec.Struct, frozen=True):
    """A repository on the hub.

    Attributes:
        name: owner and name.
        folders: of it that are used; none: the repository itself.
        half: whether its weights are there in half precision, too, by another file name.
        megabytes: that come over the network, about.
    """

    name: str
    folders: tuple[str, ...] = ()
    half: bool = False
    megabytes: int = 0

    @property
    def patterns(self) -> list[str]:
        """Its files that are used."""
        weights = "*.fp16.safetensors" if self.half else "*.safetensors"
        return [f"{folder}{name}" for folder in self._places for name in ("*.json", "*.txt", weights)]

    @property
    def _places(self) -> list[str]:
        return [f"{folder}/" for folder in self.folders] or [""]


class ControlNet(msgspec.Struct, frozen=True):
    """A ControlNet.

    Attributes:
        of: what of the camera picture it is told of.
        network: where it comes from.
        estimator: where the network that sees this in a picture comes from; None: no network is needed for that.
    """

    of: Guide
    network: Repository
    estimator: Repository | None = None

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Everything that it is made of."""
        return (self.network,) if self.estimator is None else (self.network, self.estimator)


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One model by name.

    Attributes:
        licence_url: where the licence can be read.
        family: how its words are encoded.
        sampler: how its frames come from noise.
        base: text encoders, tokenizers, U-Net and scheduler.
        codec: the tiny autoencoder.
        lora: low-rank weights that are fused at the start.
        guide: a ControlNet, and what it is told of.
        pixels: that it works at inside, about.
    """

    name: str
    title: str
    licence: str
    licence_url: str
    family: Literal["sd", "sdxl"]
    sampler: Literal["lcm", "turbo"]
    base: Repository
    codec: Repository
    lora: Repository | None = None
    guide: ControlNet | None = None
    valid_steps: tuple[int, ...]
    default_steps: int
    is_guided: bool
    pixels: int = 512 * 512

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """Everything that it is made of."""
        lora = () if self.lora is None else (self.lora,)
        return (self.base, self.codec, *lora, *(() if self.guide is None else self.guide.repositories))


_SD_FOLDERS = ("tokenizer", "text_encoder", "unet", "scheduler")
_SDXL_FOLDERS = (*_SD_FOLDERS, "tokenizer_2", "text_encoder_2")
_TAESD = Repository("madebyollin/taesd", megabytes=10)

_SD15_LCM = Preset(
    name="sd15-lcm",
    title="Stable Diffusion 1.5 with LCM-LoRA",
    licence="CreativeML Open RAIL-M",
    licence_url="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    family="sd",
    sampler="lcm",
    base=Repository("stable-diffusion-v1-5/stable-diffusion-v1-5", _SD_FOLDERS, half=True, megabytes=1970),
    codec=_TAESD,
    lora=Repository("latent-consistency/lcm-lora-sdv1-5", megabytes=135),
    valid_steps=(1, 2, 3, 4, 5, 6, 7, 8),
    default_steps=4,
    is_guided=True,
)

PRESETS = {
    preset.name: preset
    for preset in (
        _SD15_LCM,
        msgspec.structs.replace(
            _SD15_LCM,
            name="sd15-lcm-edge",
            title="Stable Diffusion 1.5 with LCM-LoRA, held by edges",
            guide=ControlNet("edge", Repository("lllyasviel/control_v11p_sd15_canny", half=True, megabytes=723)),
        ),
        msgspec.structs.replace(
            _SD15_LCM,
            name="sd15-lcm-depth",
            title="Stable Diffusion 1.5 with LCM-LoRA, held by depth",
            licence="CreativeML Open RAIL-M, Apache-2.0",
            licence_url=f"{_SD15_LCM.licence_url}, https://huggingface.co/depth-anything/Depth-Anything-V2-Small-hf",
            guide=ControlNet(
                "depth",
                Repository("lllyasviel/control_v11f1p_sd15_depth", half=True, megabytes=723),
                Repository("depth-anything/Depth-Anything-V2-Small-hf", megabytes=99),
            ),
        ),
        Preset(
            name="sd-turbo",
            title="SD-Turbo",
            licence="Stability AI Community License",
            licence_url="https://huggingface.co/stabilityai/sd-turbo/blob/main/LICENSE.md",
            family="sd",
            sampler="turbo",
            base=Repository("stabilityai/sd-turbo", _SD_FOLDERS, half=True, megabytes=2410),
            codec=_TAESD,
            valid_steps=(1, 2, 3, 4),
            default_steps=1,
            is_guided=False,
        ),
        Preset(
            name="sdxl-turbo",
            title="SDXL-Turbo",
            licence="Stability AI Community License",
            licence_url="https://huggingface.co/stabilityai/sdxl-turbo/blob/main/LICENSE.md",
            family="sdxl",
            sampler="turbo",
            base=Repository("stabilityai/sdxl-turbo", _SDXL_FOLDERS, half=True, megabytes=6770),
            codec=Repository("madebyollin/taesdxl", megabytes=10),
            valid_steps=(1, 2, 3, 4),
            default_steps=1,
            is_guided=False,
        ),
    )
}


def preset_spec(preset: Preset) -> ModelSpec:
    """What the server may know of a preset without loading it."""
    turbo = "the nearest of the four places where the model was trained"
    start = "where the frame starts" if preset.sampler == "lcm" else turbo
    return ModelSpec(
        name=preset.name,
        title=preset.title,
        licence=preset.licence,
        valid_steps=preset.valid_steps,
        default_steps=preset.default_steps,
        guidance="cfg" if preset.is_guided else "none",
        negative=preset.is_guided,
        guide=preset.guide.of if preset.guide else None,
        strength=f"How much noise hides the camera: {start}. It never changes how many passes a frame takes.",
        inner_pixels=preset.pixels,
        looks=_LOOKS,
        takes_loras=True,
    )
