"""Whether the grid holds: every slot on time while the model makes 24, 12, 8, 3 or 0 pictures a second.

    liveglass bench hold [--seconds 60] [--sessions 1]

The model is `sleep`, which takes a chosen time for each picture, so that nothing but the time differs; for the last row
every worker is killed as soon as it is there. Prints slots missed, lateness at the hand-off, ages, how much the age
grew from the first tenth of the time to the last, what was shown, and what the hypervisor gave to others meanwhile
(`stolen`). Then the whole server is stopped for five seconds (SIGSTOP) under a model of a third of the camera's rate:
the age of what was painted before and after. A run in which a viewer lost slots is refused.
"""

import argparse
import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import psutil
from crowd import Crowd
from live import watch
from machine import describe, plot, save, table

from liveglass.engine.frame import Size
from liveglass.web.chaos.server import Server, server

SIZE = Size(640, 360)
RATES = {24: "sleep:30", 12: "sleep:80", 8: "sleep:120", 3: "sleep:330", 0: "sleep:80"}
"""Model by the pictures a second that it makes."""
SLOW = RATES[8]
"""A third of the camera's rate: three pictures come for each that is made."""
STALL_S, LOOK_S = 5.0, 10.0
SETTLE_S = 3.0
"""So long pictures come before the first worker is killed."""


async def kill_workers(running: Server) -> None:
    """End every worker process as soon as there is one."""
    while True:
        worker = running.worker()
        if worker is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()
        await asyncio.sleep(0.2)


async def run(running: Server, sessions: int, seconds: float, *, dead: bool) -> list[dict[str, object]]:
    """`sessions` cameras and viewers at once."""
    watching = [
        asyncio.create_task(watch(running, seconds, SIZE, visible="all", prompts=False)) for _ in range(sessions)
    ]
    killing = None
    if dead:
        await asyncio.sleep(SETTLE_S)
        killing = asyncio.create_task(kill_workers(running))
    try:
        return await asyncio.gather(*watching)
    finally:
        if killing is not None:
            killing.cancel()


async def stall(running: Server) -> dict[str, float]:
    """Stop the server for five seconds: age of what was painted before, and from a second after it on."""
    async with Crowd(running) as crowd:
        await crowd.another()
        [watcher] = crowd.watchers
        watcher.glance()
        await asyncio.sleep(LOOK_S)
        before = watcher.glance()
        running.process.suspend()
        await asyncio.sleep(STALL_S)
        running.process.resume()
        await asyncio.sleep(1.0)
        during = watcher.glance()
        await asyncio.sleep(LOOK_S)
        after = watcher.glance()
    return {
        "before_ms": before.age_ms,
        "after_ms": after.age_ms,
        "out_in_the_stall": during.out,
        "out_fps": after.out / LOOK_S,
    }


def row(rate: int, runs: Sequence[dict[str, object]]) -> tuple[str, ...]:
    """The worst of all sessions."""
    worst = max(runs, key=lambda one: one["lateness_ms"]["p99.9"])
    late, kinds = worst["lateness_ms"], worst["kinds"]
    shown = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
    ages = worst["motion_age_ms"], worst["content_age_ms"]
    age = " / ".join(f"{one['p50']:.0f}" if one else "-" for one in ages)
    grew = worst["growth_ms"]
    return (
        f"{rate}",
        f"{min(one['out_fps'] for one in runs):.2f}",
        f"{worst['generated_fps']:.1f}",
        f"{max(one['missed'] for one in runs):.0f}",
        f"{late['p50']:.0f} / {late['p99.9']:.0f}",
        age,
        "-" if grew is None else f"{grew:+.0f}",
        f"{worst['stolen']:.1%}",
        shown,
    )


def share_stolen(before: psutil.cpu_times, after: psutil.cpu_times) -> float:  # type: ignore[valid-type]
    """The part of the processors' time that the hypervisor gave to somebody else, 0..1; 0 where none is told."""
    took = sum(after) - sum(before)
    return float(getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / took if took else 0.0


def draw(figures: dict[str, list[dict[str, Any]]]) -> None:
    """What was shown, by the pictures a second that the model made, and how old what moves and what was painted is."""
    colours = {"generated": "#2a7", "warped": "#27a", "repeated": "#bbb", "standby": "#444"}
    with plot("hold") as [axis]:
        for place, runs in enumerate(figures.values()):
            left = 0.0
            for kind, colour in colours.items():
                share = 24 * sum(run["kinds"][kind] for run in runs) / sum(sum(run["kinds"].values()) for run in runs)
                axis.barh(place, share, left=left, color=colour, label=kind if place == 0 else None)
                left += share
            moves, painted = (runs[0][f"{what}_age_ms"] for what in ("motion", "content"))
            made = sum(run["generated_fps"] for run in runs) / len(runs)
            ages = [f"{moves['p50']:.0f} ms", f"{painted['p50']:.0f} ms" if made > 1 else "–"]
            axis.text(24.3, place, f"{made:.1f} new/s; moves {ages[0]}, painted {ages[1]}", va="center", fontsize=8)
        axis.set_yticks(range(len(figures)), [f"model: {name}" for name in figures])
        axis.set_xlim(0, 40)
        axis.set_xticks(range(0, 25, 4))
        axis.set_xlabel("frames a second on the grid; ages are medians")
        axis.invert_yaxis()
        axis.legend(ncols=5, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))


def main() -> None:
    """Run it all, print it, keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--sessions", type=int, default=1)
    options = parser.parse_args()
    figures: dict[str, list[dict[str, object]]] = {}
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    head = ("model, fps", "out, fps", "new, fps", "missed", "late ms p50 / p99.9", "motion / content age ms",
            "growth ms", "stolen", "shown")  # fmt: skip
    rows: list[tuple[str, ...]] = [head]
    for rate, model in RATES.items():
        with server(model) as running:
            before = psutil.cpu_times()
            runs = asyncio.run(run(running, options.sessions, options.seconds, dead=rate == 0))
            stolen = share_stolen(before, psutil.cpu_times())
        figures[f"{rate} fps"] = [{**one, "stolen": stolen} for one in runs]
        runs = figures[f"{rate} fps"]
        rows.append(row(rate, runs))
        print("  ".join(rows[-1]), flush=True)
    print()
    print(
        table(
            f"{options.sessions} session(s), {options.seconds:.0f} s each; bars: 24.0 out, none missed, 3 / 20 ms", rows
        )
    )
    draw(figures)
    with server(SLOW) as running:
        stalled = asyncio.run(stall(running))
    print(
        f"the server stood still for {STALL_S:.0f} s: what was painted is {stalled['before_ms']:.0f} ms old before it "
        f"and {stalled['after_ms']:.0f} ms after it, {stalled['out_fps']:.1f} frames a second"
    )
    kept = {"machine": describe(), "sessions": options.sessions, **figures, "stall": stalled}
    print(f"raw figures: {save('hold', kept)}")


if __name__ == "__main__":
    main()
