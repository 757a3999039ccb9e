"""The autoencoder of the packed family: pixels to tokens, each of them two by two latent cells. In the worker."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from diffusers.models.autoencoders.autoencoder_kl_flux2 import AutoencoderKLFlux2
from torch import Tensor, nn

from liveglass.engine.models.packed.checkpoint import PATCH


class TokenCodec(nn.Module):
    """Pixels to tokens and back; tokens have mean 0 and spread 1, by the statistics that the autoencoder carries.

    Attributes:
        channels: of a token.
        times: pixels to a token, along a side.
    """

    def __init__(self, autoencoder: AutoencoderKLFlux2) -> None:
        super().__init__()
        network: Any = autoencoder  # its types do not say what it is made of
        self.channels: int = network.config.latent_channels * PATCH**2
        self.times: int = 2 ** (len(network.config.block_out_channels) - 1) * PATCH
        self._network = network

    def encode(self, pixels: Tensor) -> Tensor:
        """Tokens, float32 `[B, h * w, C]` row by row, of pixels `[B, 3, H, W]` in -1..1; nothing is drawn."""
        latent = self._network.encode(pixels, return_dict=False)[0].mode()
        mean, spread = self._statistics()
        packed = (F.pixel_unshuffle(latent, PATCH).float() - mean) / spread
        return packed.flatten(2).transpose(1, 2)

    def decode(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Pixels `[B, 3, H, W]`, about -1..1, of tokens `[B, h * w, C]`.

        Args:
            grid: rows and columns of tokens.
        """
        mean, spread = self._statistics()
        packed = tokens.float().transpose(1, 2).reshape(len(tokens), self.channels, *grid) * spread + mean
        latent = F.pixel_shuffle(packed, PATCH).to(self._network.dtype)
        decoded: Tensor = self._network.decode(latent, return_dict=False)[0]
        return decoded

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and spread of a packed latent's channels, float32 `[C, 1, 1]`."""
        norm = self._network.bn
        spread = torch.sqrt(norm.running_var.float() + self._network.config.batch_norm_eps)
        return norm.running_mean.float().view(-1, 1, 1), spread.view(-1, 1, 1)
