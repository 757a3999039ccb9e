"""A ControlNet behind `Prompted`: what a U-Net is told of edges or depth (Zhang et al. 2023, arXiv:2302.05543).

The hint is encoded once a frame, not once a pass, and the prompt once a control version, as for the U-Net. Runs in the
worker process.
"""

from collections.abc import Sequence

from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_blocks import CrossAttnDownBlock2D
from torch import Tensor, nn

from liveglass.engine.errors import ModelFailed
from liveglass.engine.models.diffusion.prompted import Prompted


class PromptedControlNet(Prompted):
    """A ControlNet whose passes take a remembered prompt and an encoded hint. It takes `controlnet` over.

    Args:
        look: what is seen in pictures `[B, 3, H, W]` in 0..1: a hint of that shape.

    Raises:
        ModelFailed: a kind of attention, embedding or hint that is not known here.
    """

    def __init__(self, controlnet: ControlNetModel, look: nn.Module) -> None:
        super().__init__(controlnet)
        self._look = look
        if self.stock.config.controlnet_conditioning_channel_order != "rgb":
            raise ModelFailed("This ControlNet takes its hint in another order of colours.")
        if self.stock.config.mid_block_type != "UNetMidBlock2DCrossAttn":
            raise ModelFailed("This ControlNet has a middle that is not known here.")

    def hint(self, pixels: Tensor) -> Tensor:
        """What is seen in pictures `[B, 3, H, W]` in 0..1, as the passes take it: `[B, C, h, w]`."""
        encoded: Tensor = self.stock.controlnet_cond_embedding(self._look(pixels))
        return encoded

    def forward(
        self, sample: Tensor, embedding: Tensor, memory: Sequence[Tensor], hint: Tensor, scale: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """What is added on a U-Net's way down, and in its middle.

        Args:
            sample: `[B, C, h, w]`.
            embedding: of time, pooled text and size, by this network: `[B, E]`.
            memory: of the prompt, by this network.
            hint: encoded.
            scale: how much it counts, `[B]`.
        """
        stock, told = self.stock, {"cross_attention_kwargs": {"memory": memory}}
        x = stock.conv_in(sample) + hint
        passed = [x]
        for block in stock.down_blocks:
            x, more = block(x, embedding, **(told if isinstance(block, CrossAttnDownBlock2D) else {}))
            passed += more
        x = stock.mid_block(x, embedding, **told)
        scale = scale.view(-1, 1, 1, 1).to(x.dtype)
        down = [zero(part) * scale for zero, part in zip(stock.controlnet_down_blocks, passed, strict=True)]
        return down, stock.controlnet_mid_block(x) * scale
