"""The tiny autoencoder between pixels and latents (Ollin Boer Bohan's TAESD), as diffusers has it. In the worker."""

from typing import Any

from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import Tensor, nn


class Codec(nn.Module):
    """Pixels to latents and back.

    Attributes:
        channels: of a latent.
        times: pixels to a latent's cell, along a side.
    """

    def __init__(self, tiny: AutoencoderTiny) -> None:
        super().__init__()
        config: Any = tiny.config
        self.channels: int = config.latent_channels
        self.times: int = 2 ** (len(config.encoder_block_out_channels) - 1)
        self._scale: float = config.scaling_factor
        self._tiny = tiny

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents `[B, C, h, w]` of pixels `[B, 3, H, W]` in -1..1."""
        encoded: Tensor = self._tiny.encode(pixels, return_dict=False)[0]
        return encoded * self._scale

    def decode(self, latent: Tensor) -> Tensor:
        """Pixels, about -1..1, of latents."""
        decoded: Tensor = self._tiny.decode(latent / self._scale, return_dict=False)[0]
        return decoded
