"""Text encoders of the Stable Diffusion families: words in, what a U-Net takes out. Runs in the worker process."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from liveglass.engine.control import Prompt
from liveglass.engine.models.diffusion.prompted import Words


class TextEncoder(nn.Module, ABC):
    """Turns one text into one row."""

    @abstractmethod
    def encode(self, text: str) -> Words:
        """`text` as one row; longer texts are cut at the encoder's length, as the family does."""


class ClipText(TextEncoder):
    """One CLIP text model, its last layer (Stable Diffusion 1 and 2)."""

    def __init__(self, tokenizer: CLIPTokenizer, model: CLIPTextModel) -> None:
        super().__init__()
        self._tokenizer, self._model = tokenizer, model

    def encode(self, text: str) -> Words:
        """See `TextEncoder`."""
        return Words(self._model(_ids(self._tokenizer, text, _place(self._model))).last_hidden_state)


class TwoClipTexts(TextEncoder):
    """Two CLIP text models side by side, the layer before their last; the second one's pooled text (SDXL)."""

    def __init__(
        self,
        tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
        models: tuple[CLIPTextModel, CLIPTextModelWithProjection],
    ) -> None:
        super().__init__()
        self._tokenizers, self._models = tokenizers, nn.ModuleList(models)

    def encode(self, text: str) -> Words:
        """See `TextEncoder`."""
        said = [
            model(_ids(tokenizer, text, _place(model)), output_hidden_states=True)
            for tokenizer, model in zip(self._tokenizers, self._models, strict=True)
        ]
        return Words(torch.cat([one.hidden_states[-2] for one in said], 2), said[1].text_embeds)


def _ids(tokenizer: CLIPTokenizer, text: str, device: torch.device) -> Tensor:
    given = tokenizer(
        text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    ids: Tensor = given.input_ids.to(device)
    return ids


def _place(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def weighted(encoder: TextEncoder, prompts: Sequence[Prompt]) -> Words:
    """Several prompts as one row: their rows by their weights, which add up to 1 without their signs."""
    if not prompts:
        return encoder.encode("")
    total = sum(abs(prompt.weight) for prompt in prompts)
    rows = [(prompt.weight / total, encoder.encode(prompt.text)) for prompt in prompts]
    tokens = sum((share * words.tokens for share, words in rows), torch.zeros(()))
    pooled = [share * words.pooled for share, words in rows if words.pooled is not None]
    return Words(tokens, sum(pooled, torch.zeros(())) if pooled else None)


def between(a: Words, b: Words, progress: float) -> Words:
    """`progress` (0 to 1) of the way from `a` to `b`."""
    pooled = None if a.pooled is None or b.pooled is None else torch.lerp(a.pooled, b.pooled, progress)
    return Words(torch.lerp(a.tokens, b.tokens, progress), pooled)
