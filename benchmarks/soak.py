"""An hour of live sessions, as many as admission grants: what grows is drawn.

    liveglass bench soak [--minutes 60] [--model nano]

Sessions with a camera and a viewer over the socket are opened until one is queued; that one leaves again. Every ten
seconds: memory, descriptors and threads of server and worker, slots missed, ages, and how far the grid has drifted from
this program's own clock. The first tenth of the time is warming up; the slope of the rest is told per hour. A run in
which a viewer lost a tenth of its slots is refused.
"""

import argparse
import asyncio
import itertools
import time

import numpy as np
import psutil
from crowd import Crowd
from machine import describe, plot, save, table

from liveglass.web.chaos.server import Server, server

EVERY_S = 10.0
MOST = 8


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
    async with Crowd(running) as crowd:
        while len(crowd.watchers) < MOST and await crowd.another():
            pass
        began = time.perf_counter()
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, began + number * EVERY_S - time.perf_counter()))
            worker = running.worker()
            glances = [watcher.glance() for watcher in crowd.watchers]
            samples.append({
                "at_s": time.perf_counter() - began,
                **{f"server {name}": value for name, value in held(running.process).items()},
                **({f"worker {name}": value for name, value in held(worker).items()} if worker else {}),
                "missed": await asyncio.to_thread(running.total, "liveglass_slots_missed_total"),
                "phase_s": glances[0].phase_s,
                "age_ms": max(glance.age_ms for glance in glances),
            })  # fmt: skip
            if number * EVERY_S >= 60 * minutes:
                break
        crowd.check()
        return len(crowd.watchers), samples


def slope(samples: list[dict[str, float]], name: str) -> float:
    """Growth per hour, by least squares, without the first tenth."""
    rest = [sample for sample in samples[len(samples) // 10 :] if name in sample and np.isfinite(sample[name])]
    hours = [sample["at_s"] / 3600 for sample in rest]
    return float(np.polyfit(hours, [sample[name] for sample in rest], 1)[0]) if len(rest) > 1 else float("nan")


def draw(samples: list[dict[str, float]]) -> None:
    """Memory of each process on its own scale, the age of what is on show, and when its frames come, over time."""
    minutes = [sample["at_s"] / 60 for sample in samples]
    late = [1000 * (sample["phase_s"] - samples[0]["phase_s"]) for sample in samples]
    with plot("soak", rows=4, height=7) as axes:
        for axis, who in zip(axes, ("server", "worker"), strict=False):
            memory = [sample.get(f"{who} memory", np.nan) for sample in samples]
            axis.plot(minutes, memory)
            axis.set_ylabel(f"{who}, MB")
            axis.set_title(f"{slope(samples, f'{who} memory'):+.1f} MB/h by least squares", fontsize=8, loc="right")
            middle = np.nanmedian(memory)
            axis.set_ylim(middle - 12, middle + 12)
        axes[2].plot(minutes, [sample["age_ms"] for sample in samples])
        axes[2].set_ylabel("age, ms")
        axes[2].set_ylim(bottom=0)
        axes[3].plot(minutes, late)
        axes[3].set_ylabel("arrival against\nthe first, ms")
        axes[3].set_xlabel("minutes; arrival: the grid's drift, and how late this viewer is itself")


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
    figures = {
        "machine": describe(),
        "model": options.model,
        "sessions": sessions,
        "slopes": {name: slope(samples, name) for name in names},
        "drift_ms": drift,
        "samples": samples,
    }
    print(f"raw figures: {save('soak', figures)}")


if __name__ == "__main__":
    main()
