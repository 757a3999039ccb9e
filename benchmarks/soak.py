"""An hour of live sessions, as many as admission grants: what grows is drawn.

    liveglass bench soak [--minutes 60] [--model nano]

Sessions with a camera and a viewer over the socket are opened until one is queued; that one leaves again. Every ten
seconds: memory, descriptors and threads of server and worker, slots missed, ages, and how far the grid has drifted from
this program's own clock. The first tenth of the time is warming up; the slope of the rest is told per hour. A run in
which a viewer lost a tenth of its slots is refused.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import psutil
from live import publish
from machine import describe, plot, save, table

from liveglass.engine.frame import Size
from liveglass.transport.client import Live, connect
from liveglass.web.chaos.server import Server, server

SIZE = Size(640, 360)
FPS = 24
EVERY_S = 10.0
MOST = 8


@dataclass
class Watcher:
    """One session's viewer."""

    live: Live
    slots: list[tuple[float, int]] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)
    first: int = -1
    last: int = -1
    count: int = 0

    async def watch(self) -> None:
        """Write down when each slot came, until cancelled."""
        async for frame in self.live.frames():
            self.slots.append((time.perf_counter(), frame.slot))
            self.first = frame.slot if self.first < 0 else self.first
            self.last, self.count = frame.slot, self.count + 1
            if frame.content_age_ms is not None:
                self.ages.append(frame.content_age_ms)

    def take(self) -> tuple[float, float]:
        """Since the last call: median of arrival less place on the grid in seconds, and of the age in ms."""
        slots, self.slots = self.slots, []
        ages, self.ages = self.ages, []
        phase = statistics.median(at - slot / FPS for at, slot in slots) if slots else float("nan")
        return phase, statistics.median(ages) if ages else float("nan")


def held(process: psutil.Process) -> dict[str, float]:
    """What a process holds."""
    with process.oneshot():
        return {
            "memory": process.memory_info().rss / 2**20,
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
        }


async def run(running: Server, minutes: float) -> tuple[int, list[dict[str, float]]]:
    """The samples, one for every ten seconds, and how many sessions there were."""
    samples: list[dict[str, float]] = []
    async with contextlib.AsyncExitStack() as stack:
        watchers: list[Watcher] = []
        tasks: list[asyncio.Task[None]] = []
        while len(watchers) < MOST:
            opened = connect(
                running.url, prompt="ink drawing, blue", camera_visible="all", size=(SIZE.width, SIZE.height)
            )
            live = await opened.__aenter__()
            if live.state.state == "queued":
                await opened.__aexit__(None, None, None)
                break
            stack.push_async_exit(opened)
            watcher = Watcher(live)
            watchers.append(watcher)
            tasks += [asyncio.create_task(publish(live, SIZE, [0])), asyncio.create_task(watcher.watch())]
            await asyncio.sleep(12.0)  # what a session costs is measured before another one is let in
        began = time.perf_counter()
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, began + number * EVERY_S - time.perf_counter()))
            worker = running.worker()
            taken = [watcher.take() for watcher in watchers]
            samples.append({
                "at_s": time.perf_counter() - began,
                **{f"server {name}": value for name, value in held(running.process).items()},
                **({f"worker {name}": value for name, value in held(worker).items()} if worker else {}),
                "missed": running.total("liveglass_slots_missed_total"),
                "phase_s": taken[0][0],
                "age_ms": max(age for _, age in taken),
            })  # fmt: skip
            if number * EVERY_S >= 60 * minutes:
                break
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for watcher in watchers:
            expected = watcher.last - watcher.first + 1
            if watcher.count < 0.9 * expected:
                raise SystemExit(f"Invalid run: a viewer got {watcher.count} of {expected} slots.")
    return len(watchers), samples


def slope(samples: list[dict[str, float]], name: str) -> float:
    """Growth per hour, by least squares, without the first tenth."""
    rest = [sample for sample in samples[len(samples) // 10 :] if name in sample and np.isfinite(sample[name])]
    hours = [sample["at_s"] / 3600 for sample in rest]
    return float(np.polyfit(hours, [sample[name] for sample in rest], 1)[0]) if len(rest) > 1 else float("nan")


def draw(samples: list[dict[str, float]]) -> None:
    """Everything over time, as a picture beside the figures."""
    minutes = [sample["at_s"] / 60 for sample in samples]
    with plot("soak", rows=4, height=8) as axes:
        for who in ("server", "worker"):
            axes[0].plot(minutes, [sample.get(f"{who} memory", np.nan) for sample in samples], label=who)
            axes[1].plot(
                minutes, [sample.get(f"{who} descriptors", np.nan) for sample in samples], label=f"{who}: files"
            )
            axes[1].plot(minutes, [sample.get(f"{who} threads", np.nan) for sample in samples], label=f"{who}: threads")
        axes[2].plot(minutes, [sample["age_ms"] for sample in samples])
        axes[3].plot(minutes, [1000 * (sample["phase_s"] - samples[0]["phase_s"]) for sample in samples])
        for axis, label in zip(axes, ("memory, MB", "open", "age, ms", "grid drift, ms"), strict=True):
            axis.set_ylabel(label)
            axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        axes[3].set_xlabel("minutes")
        for axis in axes[:2]:
            axis.legend(fontsize=7)


def main() -> None:
    """Run it, print it, keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    with server(options.model) as running:
        sessions, samples = asyncio.run(run(running, options.minutes))
    first, last = samples[len(samples) // 10], samples[-1]
    names = [name for name in last if name not in {"at_s", "phase_s"}]
    rows = [("", "at a tenth", "at the end", "growth an hour")]
    rows += [(name, f"{first[name]:.1f}", f"{last[name]:.1f}", f"{slope(samples, name):+.2f}") for name in names]
    drift = 1000 * (last["phase_s"] - first["phase_s"])
    rows.append(("grid drift, ms", "0.0", f"{drift:.1f}", f"{1000 * slope(samples, 'phase_s'):+.2f}"))
    print(
        table(
            f"{options.model}, {sessions} session(s), {options.minutes:g} minutes; bars: memory < 1 MB/h, drift 0", rows
        )
    )
    draw(samples)
    figures = {"machine": describe(), "model": options.model, "sessions": sessions, "samples": samples}
    print(f"raw figures: {save('soak', figures)}")


if __name__ == "__main__":
    main()
