"""Real models on a GPU, beside the field: one session and many, stage by stage, against what the card can do.

    python benchmarks/gpu.py --all [--presets sd15-lcm …] [--steps 4 2 1] [--seconds 10] [--limit 540] [--fresh]

For each preset and step count: diffusers' own image-to-image as its documentation writes it, with its own decoder and
with the tiny one; StreamDiffusion, eager and compiled, where that package is installed; the adapter alone (p50, p95,
p99 of a frame from uint8 to uint8, its stages, memory, cold start); sessions in the whole engine until the worst of
them is older than 100 ms (with one: input age by a flash, and how long a prompt takes to settle); the roofline, from a
matrix product and a copy of the same run.

Each cell is a process of its own and is written to `results/gpu.json` as soon as it is there; what is there already is
not measured again (`--fresh` does), so a run that was cut off goes on where it was, and `--limit` cuts it off after so
many seconds. Weights are random ones of the true configurations (`checkpoints.py`). `--tiny`: networks of a few
channels, for machines without a GPU; its figures say nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_cells import CELLS
from gpu_given import Given
from machine import RESULTS, describe, table

from liveglass.engine.models.devices import choose_device
from liveglass.engine.models.diffusion.presets import PRESETS

DEFAULT_STEPS = {
    "sd15-lcm": (4, 2, 1),
    "sd15-lcm-edge": (4,),
    "sd15-lcm-depth": (4,),
    "sd-turbo": (1,),
    "sdxl-turbo": (4, 1),
}
SECONDS, TINY_SECONDS = 10.0, 0.3
CELL_LIMIT_S = 400.0
HEAD = ("model", "steps", "what", "p50", "p95", "p99", "fps", "more")


def cells(presets: Sequence[str], steps: Sequence[int], only: Sequence[str]) -> list[tuple[str, int, str]]:
    """What is to be measured: preset, steps, what."""
    return [
        (preset, count, what)
        for preset in presets
        for count in (steps or DEFAULT_STEPS[preset])
        if count in PRESETS[preset].valid_steps
        for what in only or CELLS
    ]


def measured(cell: tuple[str, int, str], models_dir: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One cell in a process of its own: its figures, or why there are none."""
    given = {"models_dir": str(models_dir), "device": options.device, "seconds": options.seconds, "tiny": options.tiny}
    command = [sys.executable, __file__, "--cell", json.dumps([*cell, given])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CELL_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"it took longer than {CELL_LIMIT_S:.0f} s"}
    last = done.stdout.strip().rsplit("\n", 1)[-1]
    if done.returncode or not last.startswith("{"):
        return {"failed": (done.stderr.strip().rsplit("\n", 1)[-1] or "it ended without a word")[:300]}
    return dict(json.loads(last))


def one(argument: str) -> int:
    """The process of one cell."""
    preset, steps, what, given = json.loads(argument)
    models_dir = Path(given.pop("models_dir"))
    print(json.dumps(CELLS[what](Given(PRESETS[preset], steps, models_dir, **given))))
    return 0


def write_weights(presets: Sequence[str], models_dir: Path, *, device: str, is_tiny: bool) -> None:
    """Random weights for what the presets lack in `models_dir`."""
    from checkpoints import TRUE_SIZE, write_preset  # noqa: PLC0415 - takes seconds
    from diffusers.utils import logging  # noqa: PLC0415

    logging.set_verbosity_error()
    for name in presets:
        if all((models_dir / one.name).exists() for one in PRESETS[name].repositories):
            continue
        print(f"writing random weights of {name}", flush=True)
        if is_tiny:
            write_preset(PRESETS[name], models_dir)
        else:
            with torch.device(device):
                write_preset(PRESETS[name], models_dir, TRUE_SIZE[name], torch.bfloat16)


def line(key: str, figures: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    preset, steps, what = key.split("/")
    if "failed" in figures:
        return (preset, steps, what, "-", "-", "-", "-", str(figures["failed"]))
    times = [f"{figures[name]:.1f}" if name in figures else "-" for name in ("p50", "p95", "p99", "fps")]
    return (preset, steps, what, *times, str(figures.get("more", "")))


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every preset")
    parser.add_argument("--presets", nargs="*", default=["sd15-lcm"], choices=tuple(PRESETS))
    parser.add_argument("--steps", nargs="*", type=int, default=[])
    parser.add_argument("--only", nargs="*", default=[], choices=tuple(CELLS), help="of what is measured")
    parser.add_argument("--seconds", type=float, default=None, help="for one figure; 10, tiny 0.3")
    parser.add_argument("--limit", type=float, default=540.0, help="seconds after which no other cell is begun")
    parser.add_argument("--models-dir", type=Path, default=None, help="where weights lie, or are written")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--fresh", action="store_true", help="measure again what is there")
    parser.add_argument("--tiny", action="store_true", help="networks of a few channels")
    parser.add_argument("--results", type=Path, default=RESULTS / "gpu.json", help="the file of the figures")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """Measure what is missing, and print the table."""
    options = parser().parse_args()
    if options.cell:
        return one(options.cell)
    began = time.perf_counter()
    options.device = choose_device(options.device)
    if options.device == "cpu" and not options.tiny:
        sys.stderr.write("There is no GPU here. `--tiny` runs everything on networks of a few channels.\n")
        return 2
    options.seconds = options.seconds or (TINY_SECONDS if options.tiny else SECONDS)
    presets = tuple(PRESETS) if options.all else options.presets
    kept: dict[str, dict[str, Any]] = {}
    if not options.fresh and options.results.exists():
        kept = json.loads(options.results.read_text())["cells"]
    with tempfile.TemporaryDirectory() as folder:
        models_dir = options.models_dir or Path(folder)
        write_weights(presets, models_dir, device=options.device, is_tiny=options.tiny)
        wanted = cells(presets, options.steps, options.only)
        for cell in wanted:
            key = "/".join(map(str, cell))
            if key in kept and "failed" not in kept[key]:
                continue
            if time.perf_counter() - began > options.limit:
                print(f"stopped after {options.limit:.0f} s; run it again for what is left")
                break
            kept[key] = measured(cell, models_dir, options)
            print("  ".join(line(key, kept[key])), flush=True)
            options.results.write_text(json.dumps({"machine": _card(options.device), "cells": kept}, indent=1) + "\n")
    keys = ["/".join(map(str, cell)) for cell in wanted]
    print(table("milliseconds of a frame at 512 x 512", [HEAD, *(line(key, kept[key]) for key in keys if key in kept)]))
    return 0


def _card(device: str) -> dict[str, str]:
    """The machine, and its GPU."""
    if not device.startswith("cuda"):
        return {**describe(), "gpu": "none"}
    return {**describe(), "gpu": torch.cuda.get_device_name(device), "cuda": str(torch.version.cuda)}


if __name__ == "__main__":
    raise SystemExit(main())
