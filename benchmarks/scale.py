"""How many sessions one machine holds, and whether what admission promised came true.

    liveglass bench scale [--models nano sleep:20 sleep:5] [--most 12] [--seconds 10]

Sessions with a camera and a viewer over the socket come in one by one until one is queued. After each: pictures and new
pictures a second of the worst one, what the forecast said, slots missed, lateness, what server, worker and this program
take of the cores. The clients run on the same machine; where they themselves lose slots, no more is measured.
"""

import argparse
import asyncio
import os
import time

import psutil
from crowd import Crowd
from machine import cpu_seconds, describe, histogram_quantile, plot, save, table

from liveglass.web.chaos.server import Server, server

MISSED = "liveglass_slots_missed_total"
MOST_LOST = 0.05
HEAD = ("sessions", "out", "new", "forecast", "missed", "late p99 ms", "age ms", "server", "worker", "clients")


async def run(running: Server, most: int, seconds: float) -> tuple[list[dict[str, float]], str]:
    """The figures with one session, with two, and so on; and why there are no more."""
    rows: list[dict[str, float]] = []
    async with Crowd(running) as crowd:
        while len(rows) < most:
            if not await crowd.another():
                return rows, "the next one was queued"
            row = await measure(running, crowd, seconds)
            if row["lost"] > MOST_LOST:
                return rows, f"with {row['sessions']:.0f} the clients themselves lost {row['lost']:.0%} of their slots"
            rows.append(row)
    return rows, f"no more than {most} were asked for"


async def measure(running: Server, crowd: Crowd, seconds: float) -> dict[str, float]:
    """The next `seconds`."""
    for watcher in crowd.watchers:
        watcher.glance()
    worker, here = running.worker(), psutil.Process(os.getpid())
    family = {"server": running.process, "clients": here, **({"worker": worker} if worker else {})}
    used = {name: cpu_seconds(process) for name, process in family.items()}
    before, began = await asyncio.to_thread(running.metrics), time.perf_counter()
    await asyncio.sleep(seconds)
    after, took = await asyncio.to_thread(running.metrics), time.perf_counter() - began
    glances = [watcher.glance() for watcher in crowd.watchers]
    handed = 'at="handoff"'
    return {
        "sessions": len(glances),
        "lost": max(glance.lost / max(1, glance.lost + glance.out) for glance in glances),
        "out_fps": min(glance.out for glance in glances) / took,
        "new_fps": min(glance.new for glance in glances) / took,
        "forecast_fps": after.get("liveglass_forecast_fps", float("nan")),
        "missed": sum(value - before.get(name, 0) for name, value in after.items() if name.startswith(MISSED)),
        "late_p99_ms": 1000 * histogram_quantile(before, after, "liveglass_lateness_seconds", handed, 0.99),
        "age_ms": max(glance.age_ms for glance in glances),
        **{name: (cpu_seconds(process) - used[name]) / took for name, process in family.items()},
    }


def cells(one: dict[str, float]) -> tuple[str, ...]:
    """A row of the table."""
    rates = [f"{one[name]:.1f}" for name in ("out_fps", "new_fps", "forecast_fps")]
    whole = [f"{one[name]:.0f}" for name in ("missed", "late_p99_ms", "age_ms")]
    cores = [f"{one.get(name, float('nan')):.0%}" for name in ("server", "worker", "clients")]
    return (f"{one['sessions']:.0f}", *rates, *whole, *cores)


def draw(figures: dict[str, list[dict[str, float]]]) -> None:
    """New pictures a second of the worst session, and what was forecast."""
    with plot("scale") as [axis]:
        for model, rows in figures.items():
            counts = [row["sessions"] for row in rows]
            [line] = axis.plot(counts, [row["new_fps"] for row in rows], marker="o", label=model)
            axis.plot(counts, [row["forecast_fps"] for row in rows], "--", color=line.get_color())
        axis.set_xlabel("sessions (dashed: forecast)")
        axis.set_ylabel("new pictures a second, worst session")
        axis.set_ylim(0, 26)
        axis.legend(fontsize=7)


def main() -> None:
    """Run it, print it, keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["nano", "sleep:20", "sleep:5"])
    parser.add_argument("--most", type=int, default=12, help="sessions")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each number of sessions")
    options = parser.parse_args()
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    figures: dict[str, list[dict[str, float]]] = {}
    for model in options.models:
        with server(model) as running:
            figures[model], why = asyncio.run(run(running, options.most, options.seconds))
        print(table(f"{model}: {why}", [HEAD, *map(cells, figures[model])]))
    draw(figures)
    print(f"raw figures: {save('scale', {'machine': describe(), 'models': figures})}")


if __name__ == "__main__":
    main()
