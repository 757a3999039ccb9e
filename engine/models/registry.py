"""Models by name: what the server may know of them, where their weights are, and how the worker loads one.

`spec` and `check` import no torch and are called in the server process; `load` does the work and is called in the
worker.
"""

from collections.abc import Callable
from pathlib import Path

from liveglass.engine.errors import ModelNotFound
from liveglass.engine.memory import available_bytes
from liveglass.engine.models.base import ModelAdapter, ModelSpec
from liveglass.engine.models.diffusion.presets import PRESETS, preset_spec
from liveglass.engine.models.faulty import FaultyAdapter, faulty_spec
from liveglass.engine.models.packed.recipe import PREFIX, recipe_of, recipe_spec
from liveglass.engine.models.passthrough import PassthroughAdapter, passthrough_spec
from liveglass.engine.validation import did_you_mean

NAMES = ("nano", *PRESETS, "null", "sleep:60")
"""What `liveglass models` lists; `sleep` takes any time, and `packed:OWNER/NAME` is any checkpoint of that family."""


def spec(name: str) -> ModelSpec:
    """What is known of a model without loading it.

    Raises:
        ModelNotFound: no model of that name, with the nearest known one.
    """
    if name == "nano":
        from liveglass.engine.models.nano.spec import nano_spec  # noqa: PLC0415 - only read when it is asked for

        return nano_spec()
    if name in PRESETS:
        return preset_spec(PRESETS[name])
    if name.startswith(PREFIX):
        return recipe_spec(recipe_of(name))
    if name == "null" or name.startswith("sleep"):
        return passthrough_spec(name)
    if name.startswith("faulty"):
        return faulty_spec(name)
    raise ModelNotFound(f"There is no model {name!r}.", hint=did_you_mean(name, NAMES), field="model")


def check(name: str, models_dir: Path, device: str = "auto") -> int:
    """Make sure that a model could be loaded, without loading it; returns the bytes that its weights take, about.

    What comes with the package is too small to be counted.

    Raises:
        ModelNotFound: no model of that name.
        NotAvailable: its weights are not here.
        WeightsRefused: they are damaged, or a pickle.
    """
    spec(name)
    if name in PRESETS:
        from liveglass.engine.models.diffusion import checkpoint  # noqa: PLC0415 - only read when it is asked for

        return checkpoint.check(PRESETS[name], checkpoint.find(PRESETS[name], models_dir), whole=device == "cpu")
    if name.startswith(PREFIX):
        from liveglass.engine.models.packed.checkpoint import look  # noqa: PLC0415 - only read when it is asked for

        return look(recipe_of(name), models_dir, whole=device == "cpu").bytes
    return 0


def free_bytes(device: str) -> int:
    """Memory that is free where a model would be loaded, in bytes."""
    if not device.startswith("cuda"):
        return available_bytes()
    from liveglass.engine.models import devices  # noqa: PLC0415 - imports torch

    return devices.free_bytes(device)


def is_compilable(name: str) -> bool:
    """Whether a model has networks that `torch.compile` takes."""
    return name in PRESETS or name.startswith(PREFIX)


def load(
    name: str,
    device: str,
    threads: int,
    models_dir: Path,
    on_stage: Callable[[str], None],
    *,
    compiles: bool = False,
) -> tuple[ModelAdapter, str]:
    """Load a model's weights and return its adapter and the device that it runs on.

    Args:
        device: `auto` is cuda, then mps, then cpu.
        threads: CPU threads of the model.
        models_dir: where weights lie that do not come with the package.
        on_stage: told what is going on, for people who wait.
        compiles: networks go through torch.compile, where the model has some.

    Raises:
        ModelNotFound: no model of that name.
        NotAvailable, WeightsRefused: its weights are not here, or cannot be used.
    """
    if name == "nano":
        on_stage("loading")
        from liveglass.engine.models.nano.adapter import load_nano  # noqa: PLC0415 - imports torch

        return load_nano(device=device, threads=threads)
    if name in PRESETS:
        from liveglass.engine.models.diffusion.load import load_preset  # noqa: PLC0415 - imports torch

        return load_preset(PRESETS[name], models_dir, device, threads, on_stage, compiles=compiles)
    if name.startswith(PREFIX):
        from liveglass.engine.models.packed.load import load_packed  # noqa: PLC0415 - imports torch

        return load_packed(recipe_of(name), models_dir, device, threads, on_stage, compiles=compiles)
    if name.startswith("faulty"):
        return FaultyAdapter(name), "cpu"
    return PassthroughAdapter(spec(name).name), "cpu"
