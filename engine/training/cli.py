"""`liveglass train teacher | distil | evaluate | all`: the commands, their options and their progress lines.

Everything is written under one run folder: the picture pool, checkpoints that resume, sample sheets, and the exported
model in `model/` (and wherever `--export` says).
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.training.distil import Distil
from liveglass.engine.training.evaluate import evaluate, table
from liveglass.engine.training.examples import Examples
from liveglass.engine.training.export import export
from liveglass.engine.training.loop import Phase, Settings, fit
from liveglass.engine.training.photographs import training_photographs
from liveglass.engine.training.pictures import pool
from liveglass.engine.training.sheets import save_galleries, save_sheets
from liveglass.engine.training.teacher import Teacher

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
        scenes: pictures in a batch of scenes.
        shape: of scene pictures; None: several.
    """

    pictures: int = 500
    picture_side: int = 256
    wishes: int = 6
    side: int = 128
    scenes: int = 3
    shape: tuple[int, int] | None = None


TINY = Size(pictures=4, picture_side=96, wishes=2, side=64, scenes=1, shape=(64, 96))


def tell(line: str) -> None:
    """One progress line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _pictures(folder: Path, size: Size, seed: int) -> NDArray[np.uint8]:
    path = folder / f"pictures-{size.pictures}-{size.picture_side}-{seed}.npy"
    if path.exists():
        stored: NDArray[np.uint8] = np.load(path)
        return stored
    tell(f"data  drawing {size.pictures} pictures")
    torch.manual_seed(seed)
    pictures = pool(training_photographs(), size.pictures, size.picture_side)
    np.save(path, pictures)
    return pictures


def _train(arguments: argparse.Namespace, model: NanoModel, phase: Phase, seconds: float) -> NanoModel:
    folder: Path = arguments.run

    def look(average: NanoModel, spent: float) -> None:
        if arguments.tiny:
            return
        save_sheets(average, folder / "sheets", f"{phase.name}-{spent / 60:04.0f}min")
        _export(arguments, average)

    average = fit(model, phase, Settings(folder, seconds, look_every_s=arguments.look_minutes * 60), tell, look)
    _export(arguments, average)
    if not arguments.tiny:
        save_sheets(average, folder / "sheets", f"{phase.name}-final")
    return average


def _export(arguments: argparse.Namespace, model: NanoModel) -> None:
    for folder in (arguments.run / "model", arguments.export):
        if folder is not None:
            export(model, folder)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("liveglass train", description="Train the built-in model.")
    parser.add_argument("command", choices=("teacher", "distil", "evaluate", "all"))
    parser.add_argument("--run", type=Path, default=Path("runs/nano"), help="folder of this run; a run resumes")
    parser.add_argument("--minutes", type=float, default=150.0, help="budget, wall clock")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: as many as there are")
    parser.add_argument("--tiny", action="store_true", help="a toy run that takes seconds, to see that all works")
    parser.add_argument("--export", type=Path, default=None, help="also export the model here as it gets better")
    parser.add_argument("--look-minutes", type=float, default=5.0, help="between sample sheets")
    return parser


def _teach(arguments: argparse.Namespace, seconds: float) -> None:
    size = TINY if arguments.tiny else Size()
    examples = Examples(_pictures(arguments.run, size, arguments.seed), arguments.seed)
    model = NanoModel(trained_steps=(4,)).to(memory_format=torch.channels_last)
    _train(arguments, model, Teacher(examples, size.wishes, size.side, size.scenes, size.shape), seconds)


def _distil(arguments: argparse.Namespace, seconds: float) -> None:
    size = TINY if arguments.tiny else Size()
    examples = Examples(_pictures(arguments.run, size, arguments.seed), arguments.seed + 1)
    stored = torch.load(arguments.run / f"{Teacher.name}.pt", weights_only=True)
    teacher = NanoModel().to(memory_format=torch.channels_last)
    teacher.load_state_dict(stored["average"])
    student = copy.deepcopy(teacher)
    phase = Distil(teacher, examples, size.wishes, size.side, scenes=max(1, size.scenes - 1), shape=size.shape)
    _train(arguments, student, phase, seconds)


def _evaluate(arguments: argparse.Namespace) -> None:
    """The table for the card, printed and written to `evaluation.md`."""
    folder: Path = arguments.run
    student = NanoModel.from_pretrained(str(folder / "model"), local_files_only=True, low_cpu_mem_usage=False)
    teacher = None
    if (folder / f"{Teacher.name}.pt").exists():
        teacher = NanoModel()
        teacher.load_state_dict(torch.load(folder / f"{Teacher.name}.pt", weights_only=True)["average"])
    text = table(evaluate(student, teacher))
    (folder / "evaluation.md").write_text(text + "\n", encoding="utf-8")
    save_galleries(student, folder / "sheets")
    tell(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = _options().parse_args(argv)
    arguments.run.mkdir(parents=True, exist_ok=True)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    seconds = arguments.minutes * 60
    if arguments.command == "teacher":
        _teach(arguments, seconds)
    elif arguments.command == "distil":
        _distil(arguments, seconds)
    elif arguments.command == "all":
        _teach(arguments, seconds * JOINT_SHARE)
        _distil(arguments, seconds * (1 - JOINT_SHARE))
    else:
        _evaluate(arguments)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
