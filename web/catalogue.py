"""What the command line offers besides serving: models, chaos, benchmarks, the trainer. Loads no model itself."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

from liveglass.engine.errors import InvalidValue, ModelNotFound, NotAvailable
from liveglass.engine.listing import ModelListing, list_models
from liveglass.engine.models import registry
from liveglass.engine.person import model_file
from liveglass.engine.validation import did_you_mean
from liveglass.engine.worker.worker import WorkerStatus

_TRAIN_NEEDS = {"PIL": "pillow", "skimage": "scikit-image", "sklearn": "scikit-learn"}
_CHAOS_NEEDS = {"psutil": "psutil"}
_NOT_BENCHMARKS = frozenset({"camera_sequences", "machine", "peer_servers"})


def table(models_dir: Path) -> str:
    """The models known here, one a line."""
    listings = list_models(registry.NAMES[0], WorkerStatus("stopped"))
    lines = [f"{'name':<12} {'on disk':<8} {'licence':<24} {'steps':<10} what"]
    for listing in listings:
        steps = ",".join(map(str, listing.valid_steps))
        where = "yes" if is_on_disk(listing) else "no"
        lines.append(f"{listing.name:<12} {where:<8} {listing.licence:<24} {steps:<10} {listing.title}")
    here = "yes" if model_file.find(models_dir) else "no"
    what = "who is in front of the camera, for apply: background and person"
    lines.append(f"{model_file.NAME:<12} {here:<8} {'Apache-2.0':<24} {'':<10} {what}")
    lines.append("")
    lines.append("What each one measures here: GET /v1/models of a server that runs it, or `liveglass bench`.")
    return "\n".join(lines)


def is_on_disk(listing: ModelListing) -> bool:
    """Whether a model can be loaded without fetching anything: the built-in one has its weights in the package."""
    if registry.spec(listing.name).passes_camera:
        return True
    found = importlib.util.find_spec("liveglass.engine.models.nano")
    if found is None or found.origin is None:
        return False
    return any((Path(found.origin).parent / "weights").glob("*.safetensors"))


def fetch(name: str, models_dir: Path, tell: Callable[[str], None]) -> None:
    """Make sure that a model is on the disk, and tell how it goes.

    Raises:
        ModelNotFound: no model of that name.
        NotAvailable: it is known, but its weights are not in this installation.
        Unavailable: it cannot be fetched.
    """
    if name == model_file.NAME:
        model_file.get(models_dir, tell)
        return
    spec = registry.spec(name)
    listing = next((known for known in list_models(name, WorkerStatus("stopped")) if known.name == spec.name), None)
    if listing is None or not is_on_disk(listing):
        raise NotAvailable(
            f"The weights of {name} are not in this installation.", hint="pip install --force-reinstall liveglass"
        )
    tell(f"{name} is here already: it comes with the package.")


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
