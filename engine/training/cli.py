"""`liveglass train teacher | distil | rival | evaluate | all`: the commands, their options and their progress lines.

Everything is written under one run folder: the picture pool, checkpoints that resume, sample sheets, and the exported
model in `model/` (and wherever `--export` says).
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch.multiprocessing.spawn import start_processes

from liveglass.engine.models.nano.model import NanoConfig, NanoModel
from liveglass.engine.training.distil import STEP_SHARES, Distil
from liveglass.engine.training.evaluate import evaluate, table
from liveglass.engine.training.evaluator import stored_evaluator
from liveglass.engine.training.examples import Examples
from liveglass.engine.training.export import export
from liveglass.engine.training.loop import Phase, Settings, first, fit
from liveglass.engine.training.photographs import training_photographs
from liveglass.engine.training.pictures import pool
from liveglass.engine.training.sheets import save_galleries, save_sheets
from liveglass.engine.training.teacher import Teacher
from liveglass.engine.worker.process import cpu_cores

RIVAL = "rival"
JOINT_SHARE = 0.6
"""Part of `--minutes` that `all` gives to the joint phase; distillation has the rest."""


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        pictures: in the pool.
        picture_side: of a pool picture, pixels.
        wishes: prompts in a batch of styles.
        side: of a training crop.
        scenes: pictures in a batch of scenes that are decoded.
        shape: of those; None: several.
    """

    pictures: int = 600
    picture_side: int = 256
    wishes: int = 6
    side: int = 128
    scenes: int = 1
    shape: tuple[int, int] | None = None


ON_GPU = Size(pictures=3000, wishes=96, scenes=16)
TINY = Size(pictures=4, picture_side=96, wishes=2, side=64, shape=(64, 96))


def tell(line: str) -> None:
    """One progress line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _pictures(folder: Path, size: Size, seed: int) -> NDArray[np.uint8]:
    """The pool of camera pictures, drawn once and kept in `folder`."""
    path = folder / f"pictures-{size.pictures}-{size.picture_side}-{seed}.npy"
    if path.exists():
        kept: NDArray[np.uint8] = np.load(path)
        return kept
    tell(f"data  drawing {size.pictures} pictures")
    torch.manual_seed(seed)
    drawn = pool(training_photographs(), size.pictures, size.picture_side)
    np.save(path, drawn)
    return drawn


def _examples(arguments: argparse.Namespace, size: Size, phase: int) -> Examples:
    """The examples of one phase, others in every process."""
    rank = dist.get_rank() if dist.is_initialized() else 0
    pictures = _pictures(arguments.run, size, arguments.seed)
    return Examples(pictures, arguments.seed + phase + 1000 * rank)


def _train(arguments: argparse.Namespace, model: NanoModel, phase: Phase, seconds: float) -> None:
    """Train for the model that is exported as it gets better."""
    average = _fit(arguments, model, phase, seconds, better=lambda average: _export(arguments, average))
    if first():
        _export(arguments, average)


def _fit(
    arguments: argparse.Namespace,
    model: NanoModel,
    phase: Phase,
    seconds: float,
    better: Callable[[NanoModel], None] = lambda _: None,
) -> NanoModel:
    """Train, with a sheet of samples now and then; returns the average."""
    folder: Path = arguments.run

    def look(average: NanoModel, spent: float) -> None:
        if not arguments.tiny:
            save_sheets(average, folder / "sheets", f"{phase.name}-{spent / 60:04.0f}min")
            better(average)

    average = fit(model, phase, Settings(folder, seconds, look_every_s=arguments.look_minutes * 60), tell, look)
    if first() and not arguments.tiny:
        save_sheets(average, folder / "sheets", f"{phase.name}-final")
    return average


def _fresh(arguments: argparse.Namespace, *steps: int) -> NanoModel:
    """A model that has learnt nothing, from the run's seed."""
    torch.manual_seed(arguments.seed)
    return _laid(NanoModel(NanoConfig(trained_steps=steps)))


def _laid(model: NanoModel) -> NanoModel:
    laid: NanoModel = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its stubs lack it
    return laid


def _export(arguments: argparse.Namespace, model: NanoModel) -> None:
    for folder in (arguments.run / "model", arguments.export):
        if folder is not None:
            export(model, folder)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("liveglass train", description="Train the built-in model.")
    parser.add_argument("command", choices=("teacher", "distil", "rival", "evaluate", "all"))
    parser.add_argument("--run", type=Path, default=Path("runs/nano"), help="folder of this run; a run resumes")
    parser.add_argument("--minutes", type=float, default=150.0, help="budget, wall clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="auto", help="cpu, cuda; auto: cuda where there is one")
    parser.add_argument("--processes", type=int, default=0, help="that train together on a CPU; 0: one for each core")
    parser.add_argument("--tiny", action="store_true", help="a toy run that takes seconds, to see that all works")
    parser.add_argument("--start", type=Path, default=None, help="checkpoint whose average distil begins with")
    parser.add_argument("--export", type=Path, default=None, help="also export the model here as it gets better")
    parser.add_argument("--look-minutes", type=float, default=5.0, help="between sample sheets")
    return parser


def _size(arguments: argparse.Namespace) -> Size:
    if arguments.tiny:
        return TINY
    return Size() if arguments.device == "cpu" else ON_GPU


def _teach(arguments: argparse.Namespace, seconds: float) -> None:
    size = _size(arguments)
    examples = _examples(arguments, size, 0)
    _train(arguments, _fresh(arguments, 4), Teacher(examples, size.wishes, size.side, size.scenes, size.shape), seconds)


def _stored(checkpoint: Path) -> NanoModel:
    """The average that a phase of training kept, on the default device."""
    model = NanoModel()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])
    return _laid(model)


def _unrolled(arguments: argparse.Namespace, shares: Mapping[int, float], name: str) -> Distil:
    size = _size(arguments)
    examples = _examples(arguments, size, 1)
    return Distil(examples, size.wishes, size.side, scenes=size.scenes, shape=size.shape, shares=shares, name=name)


def _distil(arguments: argparse.Namespace, seconds: float) -> None:
    phase = _unrolled(arguments, STEP_SHARES, "distil")
    _train(arguments, _stored(arguments.start or arguments.run / f"{Teacher.name}.pt"), phase, seconds)


def _rival(arguments: argparse.Namespace, seconds: float) -> None:
    """The same network, trained from nothing for one step alone: what few steps are compared with."""
    phase = _unrolled(arguments, {1: 1.0}, RIVAL)
    _fit(arguments, _fresh(arguments, 1), phase, seconds)


def _evaluate(arguments: argparse.Namespace) -> None:
    """The table for the card, printed and written to `evaluation.md`."""
    folder: Path = arguments.run
    student = NanoModel.from_pretrained(folder / "model")
    beside = [folder / f"{name}.pt" for name in (Teacher.name, RIVAL)]
    teacher, rival = (_stored(path) if path.exists() else None for path in beside)
    judge = stored_evaluator(folder / "evaluator.pt", _pictures(folder, Size(), arguments.seed), arguments.seed, tell)
    text = table(evaluate(student, judge, teacher, rival))
    (folder / "evaluation.md").write_text(text + "\n", encoding="utf-8")
    save_galleries(student, folder / "sheets")
    tell(text)


def _run(arguments: argparse.Namespace) -> None:
    """The phases of one command, in one process of perhaps several."""
    seconds = arguments.minutes * 60
    joint = seconds * JOINT_SHARE if arguments.command == "all" else seconds
    if arguments.command in {"teacher", "all"}:
        _teach(arguments, joint)
    if arguments.command == "rival":
        _rival(arguments, seconds)
    if arguments.command in {"distil", "all"}:
        _distil(arguments, seconds - joint if arguments.command == "all" else seconds)


def _member(rank: int, arguments: argparse.Namespace, meeting: str) -> None:
    """One of several processes; they find each other through a file."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=arguments.processes)
    try:
        _run(arguments)
    finally:
        dist.destroy_process_group()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _options().parse_args(argv)
    arguments.run.mkdir(parents=True, exist_ok=True)
    if arguments.command == "evaluate":
        _evaluate(arguments)
        return 0
    if arguments.device == "auto":
        arguments.device = "cuda" if torch.cuda.is_available() else "cpu"
    tell(f"{arguments.command}  on {arguments.device}")
    if arguments.device != "cpu":
        with torch.device(arguments.device):
            _run(arguments)
        return 0
    _examples(arguments, _size(arguments), 0)
    arguments.processes = arguments.processes or cpu_cores()
    if arguments.processes == 1:
        _run(arguments)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"{folder}/meeting"
        start_processes(_member, (arguments, meeting), arguments.processes)  # type: ignore[no-untyped-call]
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
