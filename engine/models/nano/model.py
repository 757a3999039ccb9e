"""The built-in model: configuration and weights in one folder as diffusers writes them, `forward` gives a velocity.

A flow-matching model over a fixed latent: x_t = (1 - sigma) x_0 + sigma noise, `forward` returns (x_t - x_0) / sigma,
so that a stock `FlowMatchEulerDiscreteScheduler` samples it. Importing diffusers takes longer than everything else of a
worker's start together, so its format is kept without it. Runs in the worker process.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from liveglass.engine.models.nano.network import (
    TEXT_WIDTH,
    CameraEncoder,
    Decoder,
    Denoiser,
    Features,
    PaintCondition,
    PassCondition,
    coordinates,
)
from liveglass.engine.models.nano.text import BUCKETS, buckets

SIGMAS = {4: (1.0, 0.818, 0.6, 0.333), 2: (1.0, 0.5), 1: (1.0,)}
"""Noise levels of each step count that the model was trained for; every schedule ends at 0."""

STRIDES = {4: 1.0, 2: 0.5, 1: 0.0}
"""How the network is told the length of its steps."""


def visibility(strength: Tensor, present: Tensor) -> Tensor:
    """How much of the camera the network sees, `[B, 1, 1, 1]`: all up to strength 0.7, nothing at 1 or without one."""
    return (((1 - strength) / 0.3).clamp(0, 1) * present)[:, None, None, None]


def voice(strength: Tensor, present: Tensor) -> Tensor:
    """How loud the words are, `[B, 1]`: with a camera they fade below strength 0.5, so that it shines through."""
    return torch.where(present > 0, (strength / 0.5).clamp(0, 1), torch.ones_like(strength))[:, None]


_CONFIG = "config.json"
_WEIGHTS = "diffusion_pytorch_model.safetensors"


def weight_file(folder: Path | str) -> Path:
    """Where a folder has its weights."""
    return Path(folder) / _WEIGHTS


class NanoConfig(msgspec.Struct, frozen=True):
    """What `config.json` says.

    Attributes:
        denoiser_widths: channels at 1/8, 1/16 and 1/32 of the picture.
        painter_widths: channels of camera encoder and decoder at 1/8, 1/4 and 1/2.
        texture_width: channels inside the part that makes a prompt's texture.
        trained_steps: step counts that these weights were trained for.
    """

    denoiser_widths: tuple[int, int, int] = (48, 80, 128)
    painter_widths: tuple[int, int, int] = (48, 32, 16)
    texture_width: int = 24
    trained_steps: tuple[int, ...] = (4, 2, 1)


class NanoModel(nn.Module):
    """Camera encoder, text table, denoiser and decoder.

    Attributes:
        config: what it is built by.
    """

    def __init__(self, config: NanoConfig | None = None) -> None:
        """Build the networks with fresh weights."""
        super().__init__()
        self.config = config = config or NanoConfig()
        top, middle, low = config.denoiser_widths
        eighth, quarter, half = config.painter_widths
        self.words = nn.Embedding(BUCKETS, TEXT_WIDTH)
        self.camera = CameraEncoder((eighth, quarter, half))
        self.denoiser = Denoiser((top, middle, low), eighth)
        self.decoder = Decoder((eighth, quarter, half), config.texture_width)

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> "NanoModel":
        """The model of a folder, ready to sample.

        Raises:
            OSError: a file is missing.
            msgspec.DecodeError: `config.json` is not one of this model.
            safetensors.SafetensorError, RuntimeError: the weights are damaged, or of another shape.
        """
        config = msgspec.json.decode((Path(folder) / _CONFIG).read_bytes(), type=NanoConfig)
        model = cls(config)
        model.load_state_dict(load_file(weight_file(folder)))
        return model.eval()

    def save_pretrained(self, folder: Path | str) -> None:
        """Write configuration and weights as diffusers would."""
        written = {"_class_name": "NanoModel", **msgspec.to_builtins(self.config)}
        (Path(folder) / _CONFIG).write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
        tensors = {name: part.contiguous() for name, part in self.state_dict().items()}
        save_file(tensors, weight_file(folder), metadata={"format": "pt"})

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """One vector for each prompt, `[B, 64]`, variance near 1; zeros for a prompt without words."""
        rows = [self._encode(prompt) for prompt in prompts]
        return torch.stack(rows)

    def _encode(self, prompt: str) -> Tensor:
        found = buckets(prompt)
        if not found.indices:
            return self.words.weight.new_zeros(TEXT_WIDTH)
        weights = self.words.weight.new_tensor(found.weights)
        vector: Tensor = weights @ self.words(torch.tensor(found.indices, device=weights.device))
        return vector

    def encode_camera(self, picture: Tensor, strength: Tensor, present: Tensor) -> Features:
        """Features of `picture` `[B, 3, H, W]` in 0..1; `strength`, `present` `[B]`."""
        features: Features = self.camera(picture, visibility(strength, present))
        return features

    def condition(
        self, text: Tensor, sigma: Tensor, steps: int, strength: Tensor, present: Tensor, *, places: Tensor
    ) -> PassCondition:
        """The denoiser's conditions at one noise level of a schedule of `steps` passes."""
        stride = torch.full_like(sigma, STRIDES[steps])
        return self.denoiser.conditions(text, sigma, stride, strength, present, places=places)

    def predict(self, latent: Tensor, context: Tensor, condition: PassCondition) -> Tensor:
        """The clean latent, `[B, 12, H/8, W/8]`."""
        clean: Tensor = self.denoiser(latent, context, condition)
        return clean

    def paint(
        self, latent: Tensor, features: Features, condition: PaintCondition, noise: Tensor, places: Tensor
    ) -> Tensor:
        """The picture `[B, 3, H, W]`, not clamped, with decoder noise `[B, 4, H/2, W/2]` and the cells' places."""
        texture = self.decoder.texture(noise, places, condition.code)
        picture: Tensor = self.decoder(latent, features, condition, texture)
        return picture

    def forward(
        self,
        latent: Tensor,
        sigma: Tensor,
        text: Tensor,
        picture: Tensor,
        *,
        strength: Tensor,
        present: Tensor,
        steps: int = 4,
    ) -> Tensor:
        """Velocity (x_t - x_0) / sigma at one noise level, `[B, 12, H/8, W/8]`.

        Args:
            latent: x_t, `[B, 12, H/8, W/8]`.
            sigma: in (0, 1], `[B]`.
            text: from `encode_text`, `[B, 64]`.
            picture: the camera, `[B, 3, H, W]` in 0..1; any values where `present` is 0.
            strength: 0..1, `[B]`.
            present: 1 with a camera, 0 without, `[B]`.
            steps: how many passes the whole schedule has; one of `trained_steps`.
        """
        places = coordinates(*latent.shape[-2:]).to(latent)
        features = self.encode_camera(picture, strength, present)
        context = self.denoiser.context(features, places)
        clean = self.predict(latent, context, self.condition(text, sigma, steps, strength, present, places=places))
        return (latent - clean) / sigma[:, None, None, None]
