"""Checkpoints of the packed family by name, and what may be asked of them; no torch.

`packed:OWNER/NAME` is any checkpoint of the family's class that lies in the models folder or in the hub's cache.
"""

import re

import msgspec

from liveglass.engine.errors import ModelNotFound
from liveglass.engine.models.base import ModelSpec

PREFIX = "packed:"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint and how it is run.

    Attributes:
        repository: owner and name on the hub: tokenizer, text encoder, transformer, autoencoder and scheduler.
        pixels: that it works at inside, about.
        sees_camera: the camera's picture is shown to every pass as reference tokens, too: twice the tokens, and what
            the family calls editing.
    """

    name: str
    title: str
    licence: str
    repository: str
    valid_steps: tuple[int, ...] = (1, 2, 3, 4)
    default_steps: int = 4
    pixels: int = 512 * 512
    sees_camera: bool = False


def recipe_of(name: str) -> Recipe:
    """The checkpoint that `packed:OWNER/NAME` names.

    Raises:
        ModelNotFound: it does not read like that.
    """
    repository = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or not _NAME.fullmatch(repository):
        raise ModelNotFound(f"{name!r} is not a model.", hint=f"Write {PREFIX}OWNER/NAME.", field="model")
    return Recipe(
        name=name, title=f"{repository}, a packed transformer", licence="as its repository says", repository=repository
    )


def recipe_spec(recipe: Recipe) -> ModelSpec:
    """What the server may know of a checkpoint without loading it."""
    seen = " It sees the camera's picture besides, whatever the strength." if recipe.sees_camera else ""
    return ModelSpec(
        name=recipe.name,
        title=recipe.title,
        licence=recipe.licence,
        valid_steps=recipe.valid_steps,
        default_steps=recipe.default_steps,
        strength="The share of noise that a frame starts with, and the rest is the camera: 1 is noise alone. "
        f"It never changes how many passes a frame takes.{seen}",
        inner_pixels=recipe.pixels,
    )
