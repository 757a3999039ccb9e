"""What `/v1/models` and `liveglass models` tell of each model; pure, loads nothing."""

from typing import Literal

import msgspec

from liveglass.engine.models import registry
from liveglass.engine.models.base import Look, ModelSpec, Vocabulary
from liveglass.engine.worker.worker import WorkerStatus


class Controls(msgspec.Struct, frozen=True):
    """Which controls have an effect."""

    prompt: bool
    negative: bool
    strength: bool
    steps: bool
    seed: bool
    guidance: bool
    edge: bool
    depth: bool


class Measured(msgspec.Struct, frozen=True):
    """Milliseconds for one frame on this machine, with its default steps."""

    p50_ms: float
    p95_ms: float


class ModelListing(msgspec.Struct, frozen=True):
    """A model as clients see it.

    Attributes:
        resident: whether this server has it loaded.
        measured: None until it was measured here.
    """

    name: str
    title: str
    licence: str
    resident: bool
    valid_steps: tuple[int, ...]
    default_steps: int
    guidance: Literal["none", "embedded", "cfg"]
    negative: bool
    strength: str
    controls: Controls
    vocabulary: Vocabulary
    looks: tuple[Look, ...]
    measured: Measured | None


def list_models(resident: str, worker: WorkerStatus) -> list[ModelListing]:
    """The known models, the resident one first."""
    names = [resident, *(name for name in registry.NAMES if name != resident)]
    return [_listing(registry.spec(name), worker if name == resident else None) for name in names]


def _listing(spec: ModelSpec, worker: WorkerStatus | None) -> ModelListing:
    measured = None
    if worker is not None and worker.state == "ready":
        cost = worker.cost.frame(spec.default_steps)
        measured = Measured(round(cost.p50 * 1000, 1), round(cost.p95 * 1000, 1))
    return ModelListing(
        name=spec.name,
        title=spec.title,
        licence=spec.licence,
        resident=worker is not None,
        valid_steps=spec.valid_steps,
        default_steps=spec.default_steps,
        guidance=spec.guidance,
        negative=spec.negative,
        strength=spec.strength,
        controls=Controls(
            prompt=spec.prompt_has_effect,
            negative=spec.negative,
            strength=spec.strength_has_effect,
            steps=len(spec.valid_steps) > 1,
            seed=not spec.passes_camera,
            guidance=spec.guidance != "none",
            edge=spec.guide == "edge",
            depth=spec.guide == "depth",
        ),
        vocabulary=spec.vocabulary,
        looks=spec.looks,
        measured=measured,
    )
