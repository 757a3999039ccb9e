"""Words to hash buckets: a text encoder small enough to train in minutes. Pure; imports no torch.

Each word is itself and its character trigrams, hashed with crc32, so that any UTF-8 has a place and a misspelt word
lands near the right one.
"""

import math
import zlib
from typing import NamedTuple

from liveglass.engine.models.nano.vocabulary import tokens

BUCKETS = 8192
_TRIGRAM_WEIGHT = 0.35
_UNKNOWN_WEIGHT = 0.4
_MAX_TOKENS = 64


class Buckets(NamedTuple):
    """Hash buckets of a prompt and their weights; the squares of the weights sum to 1, or there are none."""

    indices: tuple[int, ...]
    weights: tuple[float, ...]


def _bucket(piece: str) -> int:
    return zlib.crc32(piece.encode("utf-8", "surrogatepass")) % BUCKETS


def buckets(text: str) -> Buckets:
    """Where the first 64 words of `text` fall; empty for a text without words."""
    indices: list[int] = []
    weights: list[float] = []
    for word, known in tokens(text)[:_MAX_TOKENS]:
        share = 1.0 if known else _UNKNOWN_WEIGHT
        framed = f"#{word[:32]}#"
        indices.append(_bucket("w:" + word))
        weights.append(share)
        for start in range(len(framed) - 2):
            indices.append(_bucket("t:" + framed[start : start + 3]))
            weights.append(share * _TRIGRAM_WEIGHT)
    length = math.sqrt(sum(weight * weight for weight in weights)) or 1.0
    return Buckets(tuple(indices), tuple(weight / length for weight in weights))
