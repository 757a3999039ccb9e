"""The photographs that training uses and the ones it must never see.

All come inside scikit-image and scikit-learn (extra `train`), so nothing is downloaded. `HELD_OUT` pictures are for
evaluation only. Every licence is listed in the model card.
"""

from pathlib import Path

import numpy as np
import skimage
import sklearn.datasets
from PIL import Image
from torch import Tensor

from liveglass.engine.training.fields import from_bytes

TRAINING = (
    "chelsea.png",
    "coffee.png",
    "flower.jpg",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "brick.png",
    "gravel.png",
    "grass.png",
)
"""File names used for training, in order of declining weight."""

HELD_OUT = ("astronaut.png", "china.jpg")


def _folders() -> tuple[Path, ...]:
    return Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent / "images"


def load(name: str) -> Tensor:
    """One photograph as float32 `[3, H, W]` in 0..1.

    Raises:
        FileNotFoundError: the installed scikit-image or scikit-learn no longer ships it.
    """
    for folder in _folders():
        path = folder / name
        if path.exists():
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            return from_bytes(pixels).permute(2, 0, 1)
    raise FileNotFoundError(f"no photograph {name!r} in scikit-image or scikit-learn")


def training_photographs() -> list[Tensor]:
    """Every photograph that training may crop."""
    return [load(name) for name in TRAINING]


def held_out_photographs() -> list[Tensor]:
    """Photographs that no training run has seen."""
    return [load(name) for name in HELD_OUT]
