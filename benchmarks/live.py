"""The live path, measured through the real server with the Python client as camera and viewer.

    liveglass bench live [--seconds 30] [--model nano]

Prints start-up time, the stage table, ages, prompt to picture, lateness, missed slots, CPU and memory. A run that lost
samples is refused.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import time

import psutil
from machine import cpu_seconds, describe, histogram_quantile, quantile, save, table

from liveglass.engine.frame import FrameKind, Size
from liveglass.engine.stream.sample import Sample
from liveglass.transport.client import LiveFrame, connect
from liveglass.web.chaos.server import Server, server

FPS = 24
PAINTED = (FrameKind.GENERATED, FrameKind.WARPED)
PROMPTS = ("ink drawing, blue", "neon, pink", "night vision green", "thermal", "blueprint", "fire")
CHANGES = 25
"""Of the prompt, in a run: few enough for the 95th percentile of a frame not to be that of a new prompt."""

GOLDEN = 0.618


async def publish(live: object, size: Size, counter: list[int]) -> None:
    """A camera of 24 frames a second: the sample's photograph, swaying."""
    sample, started = Sample(size), time.perf_counter()
    for number in itertools.count():
        due = started + number / FPS
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await live.publish(sample.picture(number / FPS))  # type: ignore[attr-defined]
        counter[0] += 1


def new_pictures(frames: list[LiveFrame]) -> int:
    """How many slots show another generated picture than the one before: its version or its camera picture changed."""
    bases = [(frame.version, frame.source_us - frame.age_us) for frame in frames if frame.kind is not FrameKind.STANDBY]
    return sum(before != after for before, after in itertools.pairwise(bases))


async def watch(
    running: Server,
    seconds: float,
    size: Size,
    *,
    visible: str,
    prompts: bool,
) -> dict[str, object]:
    """One session: publish, watch, change the prompt now and then; it counts from the first painted frame on."""
    frames: list[LiveFrame] = []
    arrivals: list[float] = []
    landed: list[float] = []
    sent = [0]
    async with connect(running.url, prompt=PROMPTS[0], camera_visible=visible, size=(size.width, size.height)) as live:
        camera = asyncio.create_task(publish(live, size, sent))

        async def steer() -> None:
            for number, prompt in enumerate(itertools.cycle(PROMPTS[1:] + PROMPTS[:1])):
                # Another place in its slot each time: a receipt comes with a slot, and all others would stand alike.
                await asyncio.sleep(seconds / CHANGES + number * GOLDEN % 1 / FPS)
                receipt = await live.prompt(prompt)
                landed.append((await receipt.applied()).latency_ms)

        async for frame in live.frames():
            frames.append(frame)
            if frame.kind in PAINTED:
                break
        frames.clear()
        server_cpu = cpu_seconds(running.process)
        worker = running.worker()
        worker_cpu = cpu_seconds(worker) if worker else 0.0
        before, started = running.metrics(), time.perf_counter()
        steering = asyncio.create_task(steer()) if prompts else None
        async for frame in live.frames():
            frames.append(frame)
            arrivals.append(time.perf_counter())
            if arrivals[-1] - started > seconds:
                break
        took = time.perf_counter() - started
        after, stats = running.metrics(), await live.stats()
        figures: dict[str, object] = {
            "seconds": took,
            "server_cpu": (cpu_seconds(running.process) - server_cpu) / took,
            "server_mb": running.process.memory_info().rss / 2**20,
        }
        with contextlib.suppress(psutil.NoSuchProcess):  # where it was killed on purpose
            if worker:
                figures["worker_cpu"] = (cpu_seconds(worker) - worker_cpu) / took
                figures["worker_mb"] = worker.memory_info().rss / 2**20
        for task in (camera, steering):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
    slots = [frame.slot for frame in frames]
    expected = slots[-1] - slots[0] + 1
    kinds = {kind.value: sum(f.kind is kind for f in frames) for kind in FrameKind}
    if len(slots) < 0.98 * expected:
        raise SystemExit(f"Invalid run: the viewer got {len(slots)} of {expected} slots.")
    figures |= {
        "slots": expected,
        "out_fps": (len(slots) - 1) / (arrivals[-1] - arrivals[0]),
        "kinds": kinds,
        "generated_fps": new_pictures(frames) / took,
        "missed": sum(v - before.get(k, 0) for k, v in after.items() if k.startswith("liveglass_slots_missed_total")),
        "lateness_ms": {
            f"p{q}": 1000 * histogram_quantile(before, after, "liveglass_lateness_seconds", 'at="handoff"', q / 100)
            for q in (50, 99, 99.9)
        },
        "stages_ms": {name: {"p50": p.p50, "p95": p.p95, "p99": p.p99} for name, p in stats.latency.items()},
        "motion_age_ms": spread([f.motion_age_ms for f in frames if f.motion_age_ms is not None]),
        "content_age_ms": spread([f.content_age_ms for f in frames if f.content_age_ms is not None]),
        "growth_ms": growth(frames),
        "prompt_to_picture_ms": spread(landed),
        "published": sent[0],
    }
    return figures


def growth(frames: list[LiveFrame]) -> float | None:
    """By how much the median age of what was painted is larger in the last tenth than in the first, milliseconds."""
    tenth = len(frames) // 10
    ends = [
        [f.content_age_ms for f in part if f.content_age_ms is not None] for part in (frames[:tenth], frames[-tenth:])
    ]
    return statistics.median(ends[1]) - statistics.median(ends[0]) if tenth and all(ends) else None


def spread(samples: list[float]) -> dict[str, float] | None:
    """p50, p95, p99 and the count; None under 5 samples."""
    if len(samples) < 5:
        return None
    ordered = sorted(samples)
    return {f"p{round(q * 100)}": quantile(ordered, q) for q in (0.5, 0.95, 0.99)} | {"n": len(ordered)}


async def idle_memory(running: Server, sessions: int = 12) -> float:
    """Megabytes that a further session without any connection costs the server."""
    before = running.process.memory_info().rss
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(sessions):
            await stack.enter_async_context(connect(running.url, source="none"))
        return float(running.process.memory_info().rss - before) / 2**20 / sessions


def show(name: str, f: dict[str, object]) -> None:
    """The figures of one run as tables."""

    def row(label: str, p: dict[str, float] | None) -> tuple[str, ...]:
        return (label, *(f"{p[k]:.1f}" if p else "—" for k in ("p50", "p95", "p99")))

    stages = f["stages_ms"]
    known = ("decode", "queue", "begin", "denoise", "finish", "transfer", "warp", "encode", "deliver")
    order = [name for name in known if name in stages]
    print(table(f"{name}: milliseconds", [
        ("", "p50", "p95", "p99"),
        *(row(s, stages[s]) for s in order),
        row("motion age at the client", f["motion_age_ms"]),
        row("content age at the client", f["content_age_ms"]),
        row("prompt to picture", f["prompt_to_picture_ms"]),
    ]))  # fmt: skip
    late, kinds = f["lateness_ms"], f["kinds"]
    print(table(f"{name}: the grid", [
        ("", ""),
        ("slots", f"{f['slots']}"),
        ("out, frames a second", f"{f['out_fps']:.2f}"),
        ("new, frames a second", f"{f['generated_fps']:.2f}"),
        *((f"of them {kind}", f"{count}") for kind, count in kinds.items() if count),
        ("missed slots", f"{f['missed']:.0f}"),
        ("lateness at hand-off, p50 at most", f"{late['p50']:.1f} ms"),
        ("lateness at hand-off, p99.9 at most", f"{late['p99.9']:.1f} ms"),
        ("server, of one core", f"{f['server_cpu']:.1%}"),
        ("worker, of one core", f"{f.get('worker_cpu', float('nan')):.1%}"),
        ("server memory", f"{f['server_mb']:.0f} MB"),
        ("worker memory", f"{f.get('worker_mb', float('nan')):.0f} MB"),
    ]))  # fmt: skip


def main() -> None:
    """Run it all, print it, keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    figures: dict[str, object] = {"machine": describe()}
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    with server(options.model) as running:
        figures["ready_s"] = running.ready_s
        print(f"start-up until ready: {running.ready_s:.2f} s\n")
        visible = "none" if options.model == "nano" else "all"
        figures[options.model] = run = asyncio.run(
            watch(running, options.seconds, Size(640, 360), visible=visible, prompts=options.model == "nano")
        )
        show(f"{options.model}, 640×360", run)
        figures["idle_session_mb"] = idle = asyncio.run(idle_memory(running))
        print(f"memory of a further idle session: {idle:.1f} MB\n")
    with server("null") as running:
        figures["null"] = run = asyncio.run(
            watch(running, options.seconds, Size(512, 512), visible="all", prompts=False)
        )
        show("null, 512×512: what the path itself costs", run)
    print(f"raw figures: {save('live', figures)}")


if __name__ == "__main__":
    main()
