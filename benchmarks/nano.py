"""The built-in model by itself: what runs its networks, on how many threads; and three ways to bring its picture up.

Every alternative takes its turn within each round, so that a busy machine is equally unfair to all. Writes
`results/nano.json` and `results/upsampling.png`.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from machine import RESULTS, describe

from liveglass.engine.control import ControlState, Prompt
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.nano.adapter import NanoAdapter, load_nano
from liveglass.engine.models.nano.sizes import working_size
from liveglass.engine.training.photographs import held_out_photographs

ROUNDS = 60
SIZE = Size(640, 360)
SHEET_PROMPTS = ("watercolour", "cartoon", "thermal", "ink drawing, blue")


@dataclass(frozen=True)
class Row:
    """One way of running the model: milliseconds a frame, and where they go.

    Attributes:
        prompt: what a new one costs before its first frame.
    """

    backend: str
    threads: int
    p50: float
    p95: float
    begin: float
    denoise: float
    finish: float
    prompt: float


def portrait(size: Size) -> Pixels:
    """A held-out photograph, uint8 [H, W, 3]."""
    whole = (held_out_photographs()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)[:288]
    return np.asarray(cv2.resize(whole, (size.width, size.height), interpolation=cv2.INTER_AREA), np.uint8)


class Runner:
    """One adapter with a lane that is written."""

    def __init__(self, adapter: NanoAdapter, prompt: str, size: Size = SIZE) -> None:
        self.adapter = adapter
        self.lane = adapter.open_lane(size)
        self.size, self.noise = size, adapter.draw_noise(1, size)
        self.steps = self.write(prompt)

    def write(self, prompt: str) -> int:
        """Another prompt; returns how many passes a frame has."""
        state = ControlState(version=1, prompts=(Prompt(prompt),))
        schedule = self.adapter.schedule(state, self.size)
        self.adapter.write(self.lane, self.adapter.encode_control(state), schedule, self.noise, state.params.strength)
        return schedule.steps

    def frame(self, picture: Pixels) -> tuple[Pixels, list[float]]:
        """One frame and the times at its four ends."""
        times = [time.perf_counter()]
        self.adapter.begin([self.lane], [picture])
        times.append(time.perf_counter())
        for step in range(self.steps):
            self.adapter.denoise([self.lane], step)
        times.append(time.perf_counter())
        made = self.adapter.finish([self.lane])[0]
        times.append(time.perf_counter())
        return made, times


def backends(rounds: int) -> list[Row]:
    """torch and OpenVINO on one thread and on two."""
    rows = []
    picture = portrait(SIZE)
    for threads in (1, 2):
        runners = {
            name: Runner(load_nano(device="cpu", threads=threads, openvino=name == "OpenVINO")[0], "ink drawing, blue")
            for name in ("torch", "OpenVINO")
        }
        torch.set_num_threads(threads)
        taken: dict[str, list[list[float]]] = {name: [] for name in runners}
        changed: dict[str, list[float]] = {name: [] for name in runners}
        for number in range(rounds + 5):
            for name, runner in runners.items():
                began = time.perf_counter()
                runner.write(SHEET_PROMPTS[number % len(SHEET_PROMPTS)])
                took = time.perf_counter() - began
                _, times = runner.frame(picture)
                if number >= 5:
                    taken[name].append(times)
                    changed[name].append(1000 * took)
        for name, frames in taken.items():
            spent = np.array(frames) * 1000
            whole = spent[:, 3] - spent[:, 0]
            parts = np.median(np.diff(spent, axis=1), axis=0)
            values = (*np.quantile(whole, (0.5, 0.95)), *parts, statistics.median(changed[name]))
            rows.append(Row(name, threads, *(round(float(value), 1) for value in values)))
    return rows


def cubic(made: Pixels, _small: Pixels, camera: Pixels) -> Pixels:
    """What is shipped."""
    return np.asarray(cv2.resize(made, camera.shape[1::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def lanczos(made: Pixels, _small: Pixels, camera: Pixels) -> Pixels:
    """Eight taps each way."""
    return np.asarray(cv2.resize(made, camera.shape[1::-1], interpolation=cv2.INTER_LANCZOS4), np.uint8)


def guided(made: Pixels, small: Pixels, camera: Pixels) -> Pixels:
    """The fine detail of the camera's luma, by its local slope in the picture (fast guided filter, He and Sun 2015)."""
    side, height, width = 5, *camera.shape[:2]

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)

    low = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    high = cv2.cvtColor(camera, cv2.COLOR_RGB2GRAY).astype(np.float32)
    wanted = made.astype(np.float32)
    centre = mean(low)
    spread = mean(low * low) - centre * centre + 20.0
    slope = (mean(low[..., None] * wanted) - centre[..., None] * mean(wanted)) / spread[..., None]
    detail = high - cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)
    up = cv2.resize(wanted, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(up + cv2.resize(slope, (width, height)) * detail[..., None], 0, 255).astype(np.uint8)


def upsampling(rounds: int) -> dict[str, float]:
    """Milliseconds of each way from 320 x 176 to 640 x 360, and a sheet of what they look like."""
    ways: dict[str, Callable[[Pixels, Pixels, Pixels], Pixels]] = {
        "cubic (shipped)": cubic,
        "Lanczos": lanczos,
        "guided by the camera": guided,
    }
    camera = portrait(SIZE)
    inner = Size(*working_size(SIZE.width, SIZE.height))
    small = portrait(inner)
    adapter = load_nano(device="cpu", threads=1)[0]
    sheet, taken = [], {name: [] for name in ways}
    for prompt in SHEET_PROMPTS:
        made = Runner(adapter, prompt, inner).frame(small)[0].copy()
        sheet.append(np.hstack([way(made, small, camera)[20:200, 200:420] for way in ways.values()]))
        for _ in range(rounds):
            for name, way in ways.items():
                began = time.perf_counter()
                way(made, small, camera)
                taken[name].append((time.perf_counter() - began) * 1000)
    cv2.imwrite(str(RESULTS / "upsampling.png"), cv2.cvtColor(np.vstack(sheet), cv2.COLOR_RGB2BGR))
    return {name: round(statistics.median(times), 1) for name, times in taken.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args(argv)
    cv2.setNumThreads(1)
    machine = describe()
    rows = backends(arguments.rounds)
    print("| backend | threads | frame p50 / p95 ms | begin | 4 steps | finish | a new prompt before it |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        stages = f"{row.begin} | {row.denoise} | {row.finish} | {row.prompt}"
        print(f"| {row.backend} | {row.threads} | {row.p50} / {row.p95} | {stages} |")
    ways = upsampling(arguments.rounds)
    print("\n| from 320 x 176 to 640 x 360 | ms |\n|---|---|")
    for name, spent in ways.items():
        print(f"| {name} | {spent} |")
    kept = {"machine": machine, "backends": [asdict(row) for row in rows], "upsampling_ms": ways}
    (RESULTS / "nano.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
