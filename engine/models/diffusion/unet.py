"""diffusers' conditional U-Net behind `Prompted`: what it says of a latent, given a prompt. Runs in the worker."""

from collections.abc import Sequence
from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from liveglass.engine.models.diffusion.lora import weights_of
from liveglass.engine.models.diffusion.prompted import Prompted


class _Given(nn.Module):
    """In place of the time embedding: it was made beforehand."""

    def forward(self, embedding: Tensor, condition: None = None) -> Tensor:
        """`embedding` as it is."""
        return embedding


class PromptedUNet(Prompted):
    """A U-Net whose passes take a remembered prompt. It takes `unet` over: that is good for nothing else afterwards.

    Attributes:
        stock_weights: by the paths that its layers had in `unet`.

    Raises:
        ModelFailed: a kind of attention or embedding that no preset has.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__(unet)
        self.stock_weights = weights_of(unet)
        self.stock.time_embedding = _Given()
        self.stock.get_time_embed = _sample_and_time
        self.stock.get_aug_embed = _nothing_added

    def forward(
        self,
        sample: Tensor,
        embedding: Tensor,
        memory: Sequence[Tensor],
        added: tuple[Sequence[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """What the network says of `sample` `[B, C, h, w]`, given an embedding `[B, E]` and a remembered prompt.

        Args:
            added: to its way down and to its middle, by a ControlNet.
        """
        down, middle = added or (None, None)
        said: Tensor = self.stock(
            sample,
            embedding,
            None,
            cross_attention_kwargs={"memory": memory},
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        return said


def _sample_and_time(*, timestep: Tensor, **_: Any) -> Tensor:  # noqa: ANN401 - whatever diffusers passes
    return timestep


def _nothing_added(**_: Any) -> None:  # noqa: ANN401 - whatever diffusers passes
    return None
