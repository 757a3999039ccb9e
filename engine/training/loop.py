"""One training loop for every phase: a budget in seconds, a moving average, checkpoints that resume.

The learning rate follows elapsed time and not steps, so that a phase ends when it was promised to, however busy the
machine is. Prints through the callback that it is given; writes only into its run folder.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from liveglass.engine.clock import now
from liveglass.engine.models.nano.model import NanoModel

_FLOOR = 0.03
_WORDS_FASTER = 2.5
_WORD_LAYERS = (".words.", ".condition.", ".film.", ".layout.", ".grain.")
_REPORT_EVERY_S = 20.0


class Phase(Protocol):
    """What one phase of training does in a step."""

    name: str
    rate: float
    warmup: int

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """The loss of one batch, and figures to report."""
        ...


@dataclass(frozen=True)
class Settings:
    """Where and how long.

    Attributes:
        folder: of checkpoints and sheets.
        seconds: budget of this phase, wall clock.
        save_every_s: between checkpoints.
        look_every_s: between calls of `look`.
    """

    folder: Path
    seconds: float
    save_every_s: float = 60.0
    look_every_s: float = 300.0


def _rate(phase: Phase, share: float, step: int) -> float:
    cosine = _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return phase.rate * min(1.0, (step + 1) / phase.warmup) * cosine


def _optimiser(model: NanoModel, rate: float) -> torch.optim.AdamW:
    """AdamW; what carries the words learns faster and does not decay, else it lags far behind the picture."""
    words: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        slow = not any(part in f".{name}" for part in _WORD_LAYERS)
        (others if slow else words).append(parameter)
    groups = [
        {"params": others, "lr": rate, "weight_decay": 0.01, "factor": 1.0},
        {"params": words, "lr": rate, "weight_decay": 0.0, "factor": _WORDS_FASTER},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def _average(average: NanoModel, model: NanoModel, step: int) -> None:
    keep = min(0.998, 1 - 1 / (step * 0.1 + 2))
    with torch.no_grad():
        for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - keep)


def _report(name: str, step: int, spent: float, budget: float, figures: Mapping[str, list[float]]) -> str:
    about = max(step, round(step * budget / max(spent, 1e-6)))
    left = max(0.0, budget - spent) / 60
    means = "  ".join(f"{key} {sum(values) / len(values):.4f}" for key, values in sorted(figures.items()))
    return f"{name}  step {step} of about {about}  {spent / 60:.1f} min  ETA {left:.1f} min (estimate)  {means}"


def fit(
    model: NanoModel,
    phase: Phase,
    settings: Settings,
    tell: Callable[[str], None],
    look: Callable[[NanoModel, float], None] | None = None,
) -> NanoModel:
    """Train `model` in place and return its moving average.

    Args:
        look: called with the average and the seconds spent, every `look_every_s`.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = settings.folder / f"{phase.name}.pt"
    average = copy.deepcopy(model).requires_grad_(requires_grad=False)
    optimiser = _optimiser(model, phase.rate)
    step, before = 0, 0.0
    if checkpoint.exists():
        stored = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(stored["model"])
        average.load_state_dict(stored["average"])
        optimiser.load_state_dict(stored["optimiser"])
        step, before = stored["step"], stored["spent"]
        tell(f"{phase.name}  resumes at step {step}, {before / 60:.1f} min")

    def save(spent: float) -> None:
        parts = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict()}
        torch.save({**parts, "step": step, "spent": spent}, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)

    start = now() - before
    reported, saved, looked = before, before, before
    figures: dict[str, list[float]] = {}
    while (spent := now() - start) < settings.seconds:
        for group in optimiser.param_groups:
            group["lr"] = group["factor"] * _rate(phase, spent / settings.seconds, step)
        loss, numbers = phase.loss(model, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step += 1
        _average(average, model, step)
        for key, value in numbers.items():
            figures.setdefault(key, []).append(value)
        if spent - reported > _REPORT_EVERY_S:
            tell(_report(phase.name, step, spent, settings.seconds, figures))
            figures, reported = {}, spent
        if spent - saved > settings.save_every_s:
            save(spent)
            saved = spent
        if look is not None and spent - looked > settings.look_every_s:
            look(average, spent)
            looked = spent
    save(spent)
    tell(_report(phase.name, step, spent, settings.seconds, figures))
    return average
