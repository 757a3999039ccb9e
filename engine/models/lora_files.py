"""Files of low-rank weights in the models folder, by name; no torch. The server process."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from liveglass.engine.errors import InvalidValue, NotAvailable
from liveglass.engine.models.base import LoraFile
from liveglass.engine.validation import did_you_mean

FOLDER = "loras"
MOST = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ENDING = ".safetensors"


class LoraWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Low-rank weights as they are asked for: the name of a file in the models folder, and how much of it."""

    name: str
    weight: Annotated[float, Meta(ge=-2, le=2)] = 1.0


def lora_names(models_dir: Path) -> list[str]:
    """The names of the files that are there. Blocking."""
    return sorted(path.name.removesuffix(_ENDING) for path in (models_dir / FOLDER).glob(f"*{_ENDING}"))


def find_loras(models_dir: Path, wishes: Sequence[LoraWish]) -> tuple[LoraFile, ...]:
    """The files of `wishes`: `models_dir/loras/NAME.safetensors`. Blocking.

    Raises:
        InvalidValue: a name that no such file can have, one that is there twice, or more than 8.
        NotAvailable: there is no such file; names the nearest one.
    """
    if len(wishes) > MOST:
        raise InvalidValue(f"{len(wishes)} low-rank weights are more than {MOST}.", field="loras")
    names = [wish.name for wish in wishes]
    for name in names:
        if not _NAME.fullmatch(name):
            raise InvalidValue(
                f"{name[:64]!r} is no name of a file.",
                hint="Letters, digits, dots, dashes and underscores; without .safetensors.",
                field="loras",
            )
        if names.count(name) > 1:
            raise InvalidValue(f"{name!r} is there twice.", hint="Give it one weight.", field="loras")
    folder = models_dir / FOLDER
    for name in names:
        if not (folder / f"{name}{_ENDING}").is_file():
            known = lora_names(models_dir)
            hint = did_you_mean(name, known) if known else f"Put {name}{_ENDING} into {folder}."
            raise NotAvailable(f"There is no {name}{_ENDING} in {folder}.", hint=hint, field="loras")
    return tuple(LoraFile(wish.name, str(folder / f"{wish.name}{_ENDING}"), wish.weight) for wish in wishes)
