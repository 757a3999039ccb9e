"""A network that is told of a prompt, with everything that the prompt alone decides taken out of its passes.

A stream paints thousands of frames with one prompt. Keys and values of the cross-attention, and the embedding of time,
pooled text and picture size, are made once for each control version and handed to every pass: the same numbers as the
stock network's, from a sixth fewer operations. Runs in the worker process.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from diffusers.models.attention_processor import Attention
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


class Prompted(nn.Module):
    """What a U-Net and its ControlNets share. It takes `network` over, which attends as is said here from now on.

    Raises:
        ModelFailed: a kind of attention or embedding that no preset has.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        stock: Any = network  # its types do not say what it is made of
        config = stock.config
        if config.class_embed_type is not None or config.encoder_hid_dim_type is not None:
            raise ModelFailed("This network is conditioned in a way that is not known here.")
        if config.addition_embed_type not in {None, "text_time"}:
            raise ModelFailed(f"This network adds {config.addition_embed_type!r} to its time, which is not known here.")
        self._takes_pooled = config.addition_embed_type == "text_time"
        attentions: list[Any] = [layer for layer in network.modules() if isinstance(layer, Attention)]
        self._crossing = [layer for layer in attentions if layer.is_cross_attention]
        for layer in attentions:
            norms = (layer.norm_cross, layer.norm_k, layer.group_norm, layer.residual_connection or None)
            if any(norm is not None for norm in norms):
                raise ModelFailed("This network attends in a way that is not known here.")
            is_crossing = layer.is_cross_attention
            layer.set_processor(_Attend(self._crossing.index(layer) if is_crossing else None))
        self._project_time, self._embed_time = stock.time_proj, stock.time_embedding
        self.stock = stock

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
            raise ModelFailed("This model's text encoder gives no pooled text, and its network needs it.")
        ids = torch.tensor([*size, 0, 0, *size], device=weight.device)
        sizes = self.stock.add_time_proj(ids).view(1, -1).expand(len(words.tokens), -1)
        added: Tensor = self.stock.add_embedding(torch.cat([words.pooled, sizes.to(words.pooled)], 1).to(weight.dtype))
        return time + added[:, None]


def _keys_and_values(layer: Attention, tokens: Tensor) -> Tensor:
    return torch.stack([_heads(project(tokens), layer.heads) for project in (layer.to_k, layer.to_v)], 1)
