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

_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


class Files(msgspec.Struct, frozen=True):
    """Where a preset's parts are."""

    base: Path
    codec: Path
    lora: Path | None
    guide: Path | None


def find(preset: Preset, models_dir: Path) -> Files:
    """The folders of a preset: `models_dir/OWNER/NAME` as on the hub, or else the hub's own cache. Fetches nothing.

    Raises:
        NotAvailable: something is not there; says what, and how to get it.
    """
    found = {one: folder for one in preset.repositories if (folder := _folder(one, models_dir)) is not None}
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
        None if preset.guide is None else found[preset.guide.repository],
    )


def _folder(repository: Repository, models_dir: Path) -> Path | None:
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
        if _folder(repository, models_dir) is not None:
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
    return sum(_tensor_bytes(path, whole=whole) for path in used(preset, files))


def used(preset: Preset, files: Files) -> list[Path]:
    """The weight files that a preset is made of.

    Raises:
        WeightsRefused: a folder has none, or only a pickle.
    """
    holders = [files.base / folder for folder in preset.base.folders if folder.startswith(("text_encoder", "unet"))]
    holders += [files.codec, *(folder for folder in (files.lora, files.guide) if folder is not None)]
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


def _tensor_bytes(path: Path, *, whole: bool) -> int:
    """Bytes that a weight file takes in memory, about.

    Raises:
        WeightsRefused: it is damaged, or no safetensors file.
    """
    try:
        with safe_open(path, "numpy"):  # reads the header, and compares it with what follows
            return path.stat().st_size * (2 if whole and ".fp16." in path.name else 1)
    except (SafetensorError, OSError) as fault:
        raise WeightsRefused(f"{path} cannot be read: {fault}.", hint="Fetch the model again.") from None
