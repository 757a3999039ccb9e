"""What the command line offers besides serving: models, chaos, benchmarks, the trainer. Loads no model itself."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from liveglass.engine.errors import InvalidValue, ModelNotFound, NotAvailable
from liveglass.engine.listing import list_models
from liveglass.engine.models import registry
from liveglass.engine.models.diffusion.presets import PRESETS, Preset
from liveglass.engine.models.lora_files import FOLDER, lora_names
from liveglass.engine.person import model_file
from liveglass.engine.validation import did_you_mean
from liveglass.engine.worker.worker import WorkerStatus

_TRAIN_NEEDS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}
_CHAOS_NEEDS = {"psutil": "psutil"}
_NOT_BENCHMARKS = frozenset({
    "camera_sequences", "checkpoints", "crowd", "gpu_cells", "gpu_given", "gpu_rivals", "gpu_sessions", "machine",
    "peer_servers",
})  # fmt: skip


def table(models_dir: Path) -> str:
    """The models known here, one a line."""
    listings = list_models(registry.NAMES[0], WorkerStatus("stopped"))
    rows = [("name", "on disk", "licence", "steps", "what")]
    for listing in listings:
        steps = ",".join(map(str, listing.valid_steps))
        where = "yes" if is_on_disk(listing.name, models_dir) else "no"
        rows.append((listing.name, where, listing.licence, steps, listing.title))
    here = "yes" if model_file.find(models_dir) else "no"
    what = "who is in front of the camera, for apply: background and person"
    rows.append((model_file.NAME, here, "Apache-2.0", "", what))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    loras = lora_names(models_dir)
    if loras:
        lines.append(f"Low-rank weights in {models_dir / FOLDER}: {', '.join(loras)}.")
    lines.append("PUT /v1/model and PUT /v1/model/loras put others under a running stream.")
    lines.append("`liveglass models get NAME` fetches one that is not on the disk. What each one measures here:")
    lines.append("GET /v1/models of a server that runs it, or `liveglass bench`.")
    return "\n".join(lines)


def is_on_disk(name: str, models_dir: Path) -> bool:
    """Whether a model can be loaded without fetching anything: the built-in one has its weights in the package."""
    if name == "nano":
        found = importlib.util.find_spec("liveglass.engine.models.nano")
        folder = Path(found.origin).parent / "weights" if found is not None and found.origin is not None else None
        return folder is not None and any(folder.glob("*.safetensors"))
    try:
        registry.check(name, models_dir)
    except NotAvailable:
        return False
    return True


def fetch(name: str, models_dir: Path, tell: Callable[[str], None], agrees: Callable[[str], bool]) -> None:
    """Make sure that a model is on the disk, and tell how it goes.

    Args:
        agrees: shows a question about a licence to somebody; whether they said yes.

    Raises:
        ModelNotFound: no model of that name.
        NotAvailable: it is known, but its weights are not in this installation; or its licence was not agreed to.
        Unavailable: it cannot be fetched.
    """
    if name == model_file.NAME:
        model_file.get(models_dir, tell)
        return
    registry.spec(name)
    if is_on_disk(name, models_dir):
        tell(f"{name} is here already.")
    elif name in PRESETS:
        _fetch_preset(PRESETS[name], models_dir, tell, agrees)
    else:
        registry.check(name, models_dir)  # says itself what is wrong with files that nobody fetches
        raise NotAvailable(
            f"The weights of {name} are not in this installation.", hint="pip install --force-reinstall liveglass"
        )


def _fetch_preset(preset: Preset, models_dir: Path, tell: Callable[[str], None], agrees: Callable[[str], bool]) -> None:
    from liveglass.engine.models.diffusion import checkpoint  # noqa: PLC0415 - only read when it is asked for

    megabytes = sum(repository.megabytes for repository in preset.repositories)
    tell(f"{preset.title}: {preset.licence}, {preset.licence_url}")
    if not agrees(f"About {megabytes} MB go to {models_dir}. Do you agree to that licence? [y/N] "):
        raise NotAvailable(f"{preset.name} was not fetched.", hint="Its licence has to be agreed to; --yes does.")
    checkpoint.fetch(preset, models_dir, tell)
    tell(f"{preset.name} is here: liveglass serve --model {preset.name}")


def no_name() -> ModelNotFound:
    """The error of `liveglass models get` without a name."""
    return ModelNotFound("Which model?", hint=f"Known here: {', '.join((*registry.NAMES, model_file.NAME))}.")


def benchmark(name: str) -> Path:
    """The script of a benchmark.

    Raises:
        NotAvailable: this is an installed package; the benchmarks are in the repository only.
        InvalidValue: there is none of that name.
    """
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    if not (folder.parent / "pyproject.toml").is_file() or not folder.is_dir():
        raise NotAvailable(
            "The benchmarks are not in the installed package.",
            hint="Clone the repository, pip install -e '.[test]' there, and run liveglass bench again.",
        )
    known = sorted(path.stem for path in folder.glob("*.py") if path.stem not in _NOT_BENCHMARKS)
    if name not in known:
        raise InvalidValue(f"There is no benchmark {name!r}.", hint=did_you_mean(name, known) if known else "")
    return folder / f"{name}.py"


def train(rest: list[str]) -> int:
    """Run the trainer of the built-in model.

    Raises:
        NotAvailable: the extra that it needs is not installed.
    """
    _check_extra("Training", "train", _TRAIN_NEEDS)
    from liveglass.engine.training import cli  # noqa: PLC0415 - imports torch

    return int(cli.main(rest) or 0)


def chaos(rest: list[str]) -> int:
    """Break a server on purpose.

    Raises:
        NotAvailable: the extra that it needs is not installed.
    """
    _check_extra("Chaos", "chaos", _CHAOS_NEEDS)
    from liveglass.web.chaos import cli  # noqa: PLC0415 - its extra may not be there

    return cli.main(rest)


def _check_extra(what: str, extra: str, needs: Mapping[str, str]) -> None:
    missing = [package for module, package in needs.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise NotAvailable(
            f"{what} needs {', '.join(missing)}.", hint=f"pip install 'liveglass[{extra}]' and run it again."
        )
