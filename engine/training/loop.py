"""One training loop for every phase: a budget in seconds, a moving average, checkpoints that resume.

The learning rate follows elapsed time and not steps, so that a phase ends when it was promised to, however busy the
machine is. Several processes may run the same loop together: gradients are averaged, the first one keeps the time and
writes. Prints through the callback that it is given; writes only into its run folder.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from liveglass.engine.clock import now
from liveglass.engine.errors import InvalidValue
from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.training.muon import Muon

_FLOOR = 0.03
_WORDS_FASTER = 2.5
_KERNELS_FASTER = 3.0
_WORD_LAYERS = (".words.", ".condition.", ".film.", ".layout.", ".grain.", ".code.")
_REPORT_EVERY_S = 20.0
_MOST_SKIPPED = 20


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


def _optimisers(model: NanoModel, rate: float) -> dict[str, torch.optim.Optimizer]:
    """Muon for kernels; AdamW for the rest, where what carries the words learns faster and does not decay.

    Else the words lag far behind the picture.
    """
    kernels: list[Tensor] = []
    words: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in model.named_parameters():
        if parameter.dim() == 4:
            kernels.append(parameter)
        elif any(part in f".{name}" for part in _WORD_LAYERS):
            words.append(parameter)
        else:
            others.append(parameter)
    groups = [
        {"params": others, "lr": rate, "weight_decay": 0.01, "factor": 1.0},
        {"params": words, "lr": rate, "weight_decay": 0.0, "factor": _WORDS_FASTER},
    ]
    kernel_groups = [{"params": kernels, "factor": _KERNELS_FASTER}]
    return {"adamw": torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98)), "muon": Muon(kernel_groups, rate)}


def _average(average: NanoModel, model: NanoModel, step: int, share: float) -> None:
    """Move `average` on; it remembers 500 steps, at the end of the phase 2,000."""
    keep = min(0.998 + 0.0015 * share, 1 - 1 / (step * 0.1 + 2))
    with torch.no_grad():
        for ours, theirs in zip(average.parameters(), model.parameters(), strict=True):
            ours.lerp_(theirs, 1 - keep)


def first() -> bool:
    """Whether this is the process that keeps the time and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def _share(model: NanoModel, spent: float) -> float:
    """Average the gradients over all processes; returns the first one's `spent`."""
    if not dist.is_initialized():
        return spent
    parameters = list(model.parameters())
    flat = torch.cat([(torch.zeros_like(one) if one.grad is None else one.grad).flatten() for one in parameters])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = torch.split(flat, [one.numel() for one in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        # What no process used stays without a gradient, so that the optimiser leaves it alone.
        parameter.grad = part.view_as(parameter).clone() if part.any() else None
    time = torch.tensor(spent if first() else 0.0, dtype=torch.float64)
    dist.all_reduce(time)
    return float(time)


class _Run:
    """A model on its way: its average, its optimisers, how far it is, and where that is kept."""

    def __init__(self, model: NanoModel, phase: Phase, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.model, self.step, self.spent, self._skipped = model, 0, 0.0, 0
        self.average = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self.optimisers = _optimisers(model, phase.rate)
        self._path = folder / f"{phase.name}.pt"

    def resume(self) -> bool:
        """Go on from the last checkpoint; False where there is none."""
        if not self._path.exists():
            return False
        stored = torch.load(self._path, map_location="cpu", weights_only=True)
        try:
            self.model.load_state_dict(stored["model"])
        except RuntimeError:
            raise InvalidValue(
                f"{self._path} is of another network than this version trains.",
                hint="Choose another folder with --run.",
            ) from None
        self.average.load_state_dict(stored["average"])
        for name, optimiser in self.optimisers.items():
            factors = [group["factor"] for group in optimiser.param_groups]
            optimiser.load_state_dict(stored[name])
            for group, factor in zip(optimiser.param_groups, factors, strict=True):
                group["factor"] = factor  # of this version, not of the one that wrote the checkpoint
        self.step, self.spent = stored["step"], stored["spent"]
        return True

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        stored = {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()}
        stored |= {"model": self.model.state_dict(), "average": self.average.state_dict()}
        torch.save({**stored, "step": self.step, "spent": self.spent}, self._path.with_suffix(".tmp"))
        self._path.with_suffix(".tmp").replace(self._path)

    def learn(self, phase: Phase, share: float, began: float) -> Mapping[str, float]:
        """One step at `share` of the budget; returns the phase's figures.

        Raises:
            FloatingPointError: many steps in a row came to nothing; what was learnt before is in the checkpoint.
        """
        rate = _rate(phase, share, self.step)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["factor"] * rate
        loss, numbers = phase.loss(self.model, self.step)
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.spent = _share(self.model, now() - began)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.step += 1
        if not torch.isfinite(norm):
            return self._skip(numbers)
        self._skipped = 0
        for optimiser in self.optimisers.values():
            optimiser.step()
        _average(self.average, self.model, self.step, share)
        return {**numbers, "skipped": 0.0}

    def _skip(self, numbers: Mapping[str, float]) -> Mapping[str, float]:
        """One gradient that is not finite would end everything that was learnt; the step is left out, and counted."""
        self._skipped += 1
        if self._skipped == _MOST_SKIPPED:
            raise FloatingPointError(f"{_MOST_SKIPPED} gradients in a row were not finite; the last figures: {numbers}")
        return {**{name: value for name, value in numbers.items() if math.isfinite(value)}, "skipped": 1.0}


def _report(name: str, run: _Run, budget: float, figures: Mapping[str, list[float]]) -> str:
    about = max(run.step, round(run.step * budget / max(run.spent, 1e-6)))
    left = max(0.0, budget - run.spent) / 60
    means = "  ".join(f"{key} {sum(values) / len(values):.4f}" for key, values in sorted(figures.items()))
    return f"{name}  step {run.step} of about {about}  {run.spent / 60:.1f} min  ETA {left:.1f} min (estimate)  {means}"


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
    run = _Run(model, phase, settings.folder)
    if run.resume() and first():
        tell(f"{phase.name}  resumes at step {run.step}, {run.spent / 60:.1f} min")
    began = now() - run.spent
    reported = saved = looked = run.spent
    figures: dict[str, list[float]] = {}
    while run.spent < settings.seconds:
        for key, value in run.learn(phase, run.spent / settings.seconds, began).items():
            figures.setdefault(key, []).append(value)
        if not first():
            continue
        if run.spent - reported > _REPORT_EVERY_S:
            tell(_report(phase.name, run, settings.seconds, figures))
            figures, reported = {}, run.spent
        if run.spent - saved > settings.save_every_s:
            run.save()
            saved = run.spent
        if look is not None and run.spent - looked > settings.look_every_s:
            look(run.average, run.spent)
            looked = run.spent
    if first():
        run.save()
        tell(_report(phase.name, run, settings.seconds, figures))
    if dist.is_initialized():
        dist.barrier()  # the others read what the first one wrote
    return run.average
