"""A packed checkpoint's files: found, and looked at before anything is loaded; no torch.

What does not fit together is told from the configurations, what is damaged from the headers of the weights.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from liveglass.engine.errors import NotAvailable, WeightsRefused
from liveglass.engine.models.diffusion import checkpoint
from liveglass.engine.models.diffusion.presets import Repository
from liveglass.engine.models.packed.recipe import Recipe

PATCH = 2
"""Latent cells along a side of a token."""
TAPS = (9, 18, 27)
"""Layers of the text encoder whose outputs are the words, one beside the other."""

_PARTS = ("text_encoder", "transformer", "vae")
_CLASS = "Flux2KleinPipeline"
_OTHER = "Use a step-distilled checkpoint of FLUX.2 Klein's class, as diffusers writes it."

T = TypeVar("T")


class _Pipeline(msgspec.Struct, frozen=True):
    """What `model_index.json` says."""

    kind: str = msgspec.field(name="_class_name")
    is_distilled: bool = False


class _Transformer(msgspec.Struct, frozen=True):
    in_channels: int
    joint_attention_dim: int
    out_channels: int | None = None
    patch_size: int = 1
    guidance_embeds: bool = True


class _Text(msgspec.Struct, frozen=True):
    hidden_size: int
    num_hidden_layers: int


class _Autoencoder(msgspec.Struct, frozen=True):
    latent_channels: int
    patch_size: tuple[int, int] = (PATCH, PATCH)


class Flow(msgspec.Struct, frozen=True):
    """What `scheduler_config.json` says of the noise levels; what is not known here has to be as it is by default."""

    shift: float = 1.0
    use_dynamic_shifting: bool = False
    num_train_timesteps: int = 1000
    time_shift_type: str = "exponential"
    shift_terminal: float | None = None
    invert_sigmas: bool = False
    use_karras_sigmas: bool = False
    use_exponential_sigmas: bool = False
    use_beta_sigmas: bool = False
    stochastic_sampling: bool = False


class Looked(msgspec.Struct, frozen=True):
    """A checkpoint that has been looked at.

    Attributes:
        files: its weights.
        bytes: that all tensors together take once they are loaded, about.
    """

    folder: Path
    flow: Flow
    files: tuple[Path, ...]
    bytes: int


def look(recipe: Recipe, models_dir: Path, *, whole: bool) -> Looked:
    """Find a checkpoint and see whether it could be loaded, without loading it.

    Args:
        whole: it would be loaded as float32 (on a CPU).

    Raises:
        NotAvailable: it is not here.
        WeightsRefused: of another class, parts that do not fit together, a pickle, damaged, or cut short.
    """
    folder = checkpoint.locate(Repository(recipe.repository), models_dir)
    if folder is None:
        raise NotAvailable(
            f"{recipe.repository} is neither in {models_dir} nor in the hub's cache.",
            hint=f"Put it into {models_dir / recipe.repository}.",
        )
    pipeline = _config(folder / "model_index.json", _Pipeline)
    if pipeline.kind != _CLASS or not pipeline.is_distilled:
        kind = "not distilled to a few steps" if pipeline.kind == _CLASS else f"a {pipeline.kind}"
        raise WeightsRefused(f"{recipe.repository} is {kind}.", hint=_OTHER)
    _check_parts(folder)
    flow = _config(folder / "scheduler" / "scheduler_config.json", Flow)
    usual = Flow(flow.shift, flow.use_dynamic_shifting, flow.num_train_timesteps)
    if flow != usual or flow.shift <= 0:
        raise WeightsRefused(f"The noise levels of {folder} are not of a kind that is known here: {flow}.", hint=_OTHER)
    files = tuple(path for part in _PARTS for path in checkpoint.shards(folder / part))
    return Looked(folder, flow, files, sum(checkpoint.tensor_bytes(path, whole=whole) for path in files))


def _check_parts(folder: Path) -> None:
    """Text, transformer and autoencoder speak of the same widths."""
    text = _config(folder / "text_encoder" / "config.json", _Text)
    transformer = _config(folder / "transformer" / "config.json", _Transformer)
    latents = _config(folder / "vae" / "config.json", _Autoencoder)
    channels, width = latents.latent_channels * PATCH**2, text.hidden_size * len(TAPS)
    faults = {
        "its transformer wants a guidance value": transformer.guidance_embeds,
        "its transformer cuts patches itself": transformer.patch_size != 1,
        "its latents are not packed two by two": latents.patch_size != (PATCH, PATCH),
        f"its transformer does not take the {channels} channels of a token": transformer.in_channels != channels,
        f"its transformer does not give {channels} channels": transformer.out_channels not in {None, channels},
        f"its transformer does not take words of {width} numbers": transformer.joint_attention_dim != width,
        f"its text encoder has no layer {TAPS[-1]}": text.num_hidden_layers <= TAPS[-1],
    }
    wrong = [fault for fault, is_so in faults.items() if is_so]
    if wrong:
        raise WeightsRefused(f"{folder} is of another kind: {', '.join(wrong)}.", hint=_OTHER)


def _config(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as fault:
        raise WeightsRefused(f"{path} cannot be read: {fault}.", hint="Fetch the model again.") from None
