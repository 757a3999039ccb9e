"""A language model as the text encoder of the packed family: Qwen3, three of its inner layers. In the worker."""

from typing import Any

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import Qwen2Tokenizer, Qwen3ForCausalLM

from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.words import TextEncoder
from liveglass.engine.models.packed.checkpoint import TAPS

TOKENS = 512
"""Of every prompt: shorter ones are filled up, and the transformer was trained to read what they are filled with."""


class QwenText(TextEncoder):
    """A prompt as the message of a user, read but never answered.

    It takes `model` over: what lies behind the last layer that is listened to is given away.
    """

    def __init__(self, tokenizer: Qwen2Tokenizer, model: Qwen3ForCausalLM) -> None:
        super().__init__()
        network: Any = model.model
        # One layer more than is listened to: the outcome of the last one there is would come normalised.
        network.layers = network.layers[: TAPS[-1] + 1]
        network.config.num_hidden_layers = len(network.layers)
        self._tokenizer: Any = tokenizer
        self._network = network

    def encode(self, text: str) -> Words:
        """See `TextEncoder`: tokens `[1, 512, 3 * D]`.

        Raises:
            ValueError: the checkpoint's chat template cannot be used.
        """
        given = self._tokenizer(
            self._message(text), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        said = self._network(
            input_ids=given.input_ids,
            attention_mask=given.attention_mask,
            output_hidden_states=True,
            use_cache=False,
        )
        heard: list[Tensor] = [said.hidden_states[tap] for tap in TAPS]
        return Words(torch.cat(heard, 2))

    def _message(self, text: str) -> str:
        """`text` as the checkpoint's chat template hands it to its language model."""
        told = [{"role": "user", "content": text}]
        try:
            message: str = self._tokenizer.apply_chat_template(
                told, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except TemplateError as fault:  # which is of no kind that loading expects
            raise ValueError(f"its chat template does not read: {fault}") from fault
        return message
