"""A preset's files: found in the models folder or in the hub's cache, and looked at before they are loaded; no torch.

Weights are safetensors and nothing else: a pickle runs whatever its author wrote.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from liveglass.engine.errors import NotAvailable, Unavailable, WeightsRefused
from liveglass.engine.models.diffusion.presets import Preset, Repository

_HALVES = {"F16", "BF16"}
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


class Files(msgspec.Struct, frozen=True):
    """Where a preset's parts are."""

    base: Path
    codec: Path
    lora: Path | None
    guide: Path | None
    estimator: Path | None


def find(preset: Preset, models_dir: Path) -> Files:
    """The folders of a preset: `models_dir/OWNER/NAME` as on the hub, or else the hub's own cache. Fetches nothing.

    Raises:
        NotAvailable: something is not there; says what, and how to get it.
    """
    found = {one: folder for one in preset.repositories if (folder := locate(one, models_dir)) is not None}
    missing = [one.name for one in preset.repositories if one not in found]
    if missing:
        raise NotAvailable(
            f"{preset.name} needs {', '.join(missing)}, which is neither in {models_dir} nor in the hub's cache.",
            hint=f"liveglass models get {preset.name} fetches it, or put it into {models_dir / missing[0]}.",
        )
    return Files(
        found[preset.base],
        found[preset.codec],
        None if preset.lora is None else found[preset.lora],
        None if preset.guide is None else found[preset.guide.network],
        None if preset.guide is None or preset.guide.estimator is None else found[preset.guide.estimator],
    )


def locate(repository: Repository, models_dir: Path) -> Path | None:
    """A repository's folder: `models_dir/OWNER/NAME`, or else the hub's own cache; None where it is in neither."""
    local = models_dir / repository.name
    if local.is_dir():
        return local
    try:
        return Path(snapshot_download(repository.name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def fetch(preset: Preset, models_dir: Path, tell: Callable[[str], None]) -> None:
    """Fetch what is missing of a preset into `models_dir`, as the hub has it; goes on where it was interrupted.

    Raises:
        Unavailable: the hub cannot be reached, or does not give it.
    """
    for repository in preset.repositories:
        if locate(repository, models_dir) is not None:
            tell(f"{repository.name} is here already.")
            continue
        tell(f"{repository.name}: about {repository.megabytes} MB")
        folder = models_dir / repository.name
        try:
            snapshot_download(repository.name, local_dir=folder, allow_patterns=repository.patterns)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as fault:
            raise Unavailable(
                f"{repository.name} cannot be fetched: {fault}", hint=f"Or put it into {folder}."
            ) from None


def check(preset: Preset, files: Files, *, whole: bool) -> int:
    """Look at every weight file's header; returns the bytes that all tensors together take once they are loaded.

    Args:
        whole: they are loaded as float32 (on a CPU), also those that are written in half precision.

    Raises:
        WeightsRefused: a pickle, a damaged file, or none at all.
    """
    return sum(tensor_bytes(path, whole=whole) for path in used(preset, files))


def used(preset: Preset, files: Files) -> list[Path]:
    """The weight files that a preset is made of.

    Raises:
        WeightsRefused: a folder has none, or only a pickle.
    """
    holders = [files.base / folder for folder in preset.base.folders if folder.startswith(("text_encoder", "unet"))]
    holders += [files.codec, *(folder for folder in (files.lora, files.guide, files.estimator) if folder is not None)]
    return [weights(folder) for folder in holders]


def weights(folder: Path) -> Path:
    """The weight file of a folder, the one in half precision where there are two.

    Raises:
        WeightsRefused: there is none, or only a pickle.
    """
    found = sorted(folder.glob("*.safetensors"), key=lambda path: (".fp16." not in path.name, path.name))
    if found:
        return found[0]
    pickles = [path.name for path in folder.glob("*") if path.suffix in _PICKLES]
    if pickles:
        raise WeightsRefused(
            f"{folder} holds {pickles[0]}, a pickle, which runs whatever its author wrote.",
            hint="Get the safetensors of the same model.",
        )
    raise WeightsRefused(f"There are no weights in {folder}.", hint="Fetch the model again.")


class _Index(msgspec.Struct, frozen=True):
    """What a file of shards says: which of them holds which tensor."""

    weight_map: dict[str, str]


def shards(folder: Path) -> list[Path]:
    """The weight files of a folder whose network may be cut into several.

    Raises:
        WeightsRefused: there is none, only a pickle, or one of several is missing.
    """
    index = next(folder.glob("*.safetensors.index.json"), None)
    if index is None:
        return [weights(folder)]
    try:
        names = sorted(set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values()))
    except msgspec.MsgspecError as fault:
        raise WeightsRefused(f"{index} cannot be read: {fault}.", hint="Fetch the model again.") from None
    for name in names:
        # A name with a folder in it would be read from anywhere on this machine.
        if Path(name).name != name or not (folder / name).is_file():
            raise WeightsRefused(f"{index} names {name}, which is not beside it.", hint="Fetch the model again.")
    return [folder / name for name in names]


def tensor_bytes(path: Path, *, whole: bool) -> int:
    """Bytes that a weight file takes in memory, about.

    Args:
        whole: it is loaded as float32, also where it is written in half precision.

    Raises:
        WeightsRefused: it is damaged, or no safetensors file.
    """
    try:
        with safe_open(path, "numpy") as file:  # reads the header, and compares it with what follows
            kinds = {file.get_slice(name).get_dtype() for name in list(file.keys())[:1]}
            is_half = ".fp16." in path.name or bool(kinds & _HALVES)
            return path.stat().st_size * (2 if whole and is_half else 1)
    except (SafetensorError, OSError) as fault:
        raise WeightsRefused(f"{path} cannot be read: {fault}.", hint="Fetch the model again.") from None
