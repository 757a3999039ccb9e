"""diffusers' conditional U-Net with everything that a prompt alone decides taken out of its passes.

A stream paints thousands of frames with one prompt. Keys and values of the cross-attention, and the embedding of time,
pooled text and picture size, are made once for each control version and handed to every pass: the same numbers as the
stock network's, from a sixth fewer operations. Runs in the worker process.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from liveglass.engine.errors import ModelFailed


class Words(NamedTuple):
    """A prompt as text encoders give it.

    Attributes:
        tokens: `[B, T, D]`.
        pooled: `[B, P]`, for networks that take it (SDXL).
    """

    tokens: Tensor
    pooled: Tensor | None = None


class _Attend:
    """Attention by torch's own kernel, to the layer's own input or to a prompt whose keys and values were made before.

    Args:
        place: of this layer's memory among all; None: it looks at its own input.
    """

    def __init__(self, place: int | None) -> None:
        self._place = place

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        *,
        memory: Sequence[Tensor],
    ) -> Tensor:
        """`[B, N, C]` to `[B, N, C]`."""
        if self._place is None:
            keys, values = (_heads(project(hidden_states), attn.heads) for project in (attn.to_k, attn.to_v))
        else:
            keys, values = memory[self._place].unbind(1)
        seen = F.scaled_dot_product_attention(_heads(attn.to_q(hidden_states), attn.heads), keys, values)
        mixed: Tensor = attn.to_out[0](seen.transpose(1, 2).flatten(2))
        return mixed


def _heads(x: Tensor, heads: int) -> Tensor:
    """`[B, N, C]` to `[B, heads, N, C / heads]`."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


class _Given(nn.Module):
    """In place of the time embedding: it was made beforehand."""

    def forward(self, embedding: Tensor, condition: None = None) -> Tensor:
        """`embedding` as it is."""
        return embedding


class PromptedUNet(nn.Module):
    """A U-Net whose passes take a remembered prompt. It takes `unet` over: that is good for nothing else afterwards.

    Raises:
        ModelFailed: a kind of attention or embedding that no preset has.
    """

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        network: Any = unet  # its types do not say what it is made of
        config = network.config
        if config.class_embed_type is not None or config.encoder_hid_dim_type is not None:
            raise ModelFailed("This U-Net is conditioned in a way that is not known here.")
        if config.addition_embed_type not in {None, "text_time"}:
            raise ModelFailed(f"This U-Net adds {config.addition_embed_type!r} to its time, which is not known here.")
        self._takes_pooled = config.addition_embed_type == "text_time"
        attentions: list[Any] = [layer for layer in unet.modules() if isinstance(layer, Attention)]
        self._crossing = [layer for layer in attentions if layer.is_cross_attention]
        for layer in attentions:
            norms = (layer.norm_cross, layer.norm_k, layer.group_norm, layer.residual_connection or None)
            if any(norm is not None for norm in norms):
                raise ModelFailed("This U-Net attends in a way that is not known here.")
            is_crossing = layer.is_cross_attention
            layer.set_processor(_Attend(self._crossing.index(layer) if is_crossing else None))
        self._project_time, self._embed_time = network.time_proj, network.time_embedding
        network.time_embedding = _Given()
        network.get_time_embed = _sample_and_time
        network.get_aug_embed = _nothing_added
        self._unet = network

    def remember(self, words: Words) -> tuple[Tensor, ...]:
        """Keys and values of each cross-attention for `words`: `[B, 2, heads, T, C / heads]` each."""
        return tuple(_keys_and_values(layer, words.tokens) for layer in self._crossing)

    def embed(self, timesteps: Tensor, words: Words, size: tuple[int, int]) -> Tensor:
        """What the network is told of time, pooled text and picture size: `[B, n, E]` for timesteps `[n]`.

        Args:
            size: height and width of the picture, in pixels: SDXL takes it as original and as target size, uncropped.
        """
        weight = next(self._embed_time.parameters())
        time: Tensor = self._embed_time(self._project_time(timesteps).to(weight.dtype))
        time = time[None].expand(len(words.tokens), -1, -1)
        if not self._takes_pooled:
            return time
        if words.pooled is None:
            raise ModelFailed("This model's text encoder gives no pooled text, and its U-Net needs it.")
        ids = torch.tensor([*size, 0, 0, *size], device=weight.device)
        sizes = self._unet.add_time_proj(ids).view(1, -1).expand(len(words.tokens), -1)
        added: Tensor = self._unet.add_embedding(torch.cat([words.pooled, sizes.to(words.pooled)], 1).to(weight.dtype))
        return time + added[:, None]

    def forward(self, sample: Tensor, embedding: Tensor, memory: Sequence[Tensor]) -> Tensor:
        """What the network says of `sample` `[B, C, h, w]`, given an embedding `[B, E]` and a remembered prompt."""
        said: Tensor = self._unet(
            sample, embedding, None, cross_attention_kwargs={"memory": memory}, return_dict=False
        )[0]
        return said


def _keys_and_values(layer: Attention, tokens: Tensor) -> Tensor:
    return torch.stack([_heads(project(tokens), layer.heads) for project in (layer.to_k, layer.to_v)], 1)


def _sample_and_time(*, timestep: Tensor, **_: Any) -> Tensor:  # noqa: ANN401 - whatever diffusers passes
    return timestep


def _nothing_added(**_: Any) -> None:  # noqa: ANN401 - whatever diffusers passes
    return None
