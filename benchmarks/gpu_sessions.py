"""What `gpu.py` measures of the whole engine: sessions, how old their input is, how soon a prompt has settled."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
from gpu_given import PROMPT, Figures, Given

from liveglass.engine.clock import now
from liveglass.engine.control import ControlPatch, ParamsPatch
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.frame import OutputFrame, Pixels
from liveglass.engine.options import SessionRequest, SizeRequest
from liveglass.engine.stream.session import Session

OLDEST_MS = 100.0
LEAST_SHARE = 0.97
"""Of 24 new pictures a second; a slot may be lost to the clock."""
PATIENCE_S = 240.0
SETTLE_FRAMES = 6


def ours_together(given: Given) -> Figures:
    """Sessions in the whole engine, one more at a time, until one is queued, too slow or too old."""
    return asyncio.run(_together(given))


@dataclass
class Viewer:
    """A session whose camera shows a picture for each slot, and what came out of it."""

    session: Session
    picture: Pixels
    seen: list[OutputFrame] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Publish and watch until the session ends."""
        async for output in self.session.frames():
            self.session.publish(self.picture, output.slot, now())
            if output.is_new:
                async with self.came:
                    self.seen.append(output)
                    self.came.notify_all()

    async def new_pictures(self, count: int) -> None:
        """Until `count` more have come."""
        wanted = len(self.seen) + count
        async with asyncio.timeout(PATIENCE_S), self.came:
            await self.came.wait_for(lambda: len(self.seen) >= wanted)


async def _together(given: Given) -> Figures:
    async with _engine(given) as engine, asyncio.TaskGroup() as group:
        viewers: list[Viewer] = []
        rows: list[dict[str, float]] = []
        why = "none"
        while not rows or (_holds(rows[-1]) and not given.tiny):
            request = SessionRequest(
                prompt=PROMPT,
                size=SizeRequest(given.size.width, given.size.height),
                params=ParamsPatch(steps=given.steps, strength=0.5, **given.hold),
            )
            viewer = Viewer(engine.open(request), given.picture(len(viewers)))
            viewer.session.start_publishing()
            if viewer.session.admission.state != "admitted":
                why = "the next one was queued"
                engine.end(viewer.session.id, "measured")
                break
            viewers.append(viewer)
            group.create_task(viewer.run())
            await viewer.new_pictures(3)
            await asyncio.sleep(2 * given.seconds)
            rows.append(_row(viewers))
        held = sum(map(_holds, rows))
        first = viewers[0]
        for viewer in viewers[1:]:
            engine.end(viewer.session.id, "measured")
        age_frames, age_ms = await _flash(first, given)
        settled = await _settle(first)
        engine.end(first.session.id, "measured")
    more = f"{held} sessions hold; input {age_frames} frames old; a prompt settles in {settled}; {why}"
    return {
        **rows[0],
        "sessions": rows,
        "held": held,
        "input_age_frames": age_frames,
        "input_age_ms": age_ms,
        "settles_in_frames": settled,
        "more": more,
    }


@contextlib.asynccontextmanager
async def _engine(given: Given) -> AsyncIterator[Engine]:
    config = EngineConfig(
        model=given.preset.name,
        device=given.device,
        models_dir=given.models_dir,
        threads=1 if given.tiny else 0,
        linger_s=PATIENCE_S,
    )
    async with Engine(config) as engine:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        yield engine


def _row(viewers: list[Viewer]) -> dict[str, float]:
    stats = [viewer.session.stats() for viewer in viewers]
    ages = [one.content_age for one in stats if one.content_age is not None]
    worst = {name: max((getattr(age, name) for age in ages), default=float("inf")) for name in ("p50", "p95", "p99")}
    return {"count": len(viewers), **worst, "fps": min(one.generated_fps for one in stats)}


def _holds(row: dict[str, float]) -> bool:
    return row["p99"] <= OLDEST_MS and row["fps"] >= LEAST_SHARE * 24


async def _flash(viewer: Viewer, given: Given) -> tuple[int | None, float | None]:
    """A white camera picture: the how manieth picture made since then shows it, and how old it is when it is there."""
    viewer.picture = np.zeros(given.size.shape, np.uint8)
    await viewer.new_pictures(4)
    dark, before, began = viewer.seen[-1].pixels, len(viewer.seen), now()
    viewer.picture = np.full(given.size.shape, 255, np.uint8)
    await viewer.new_pictures(SETTLE_FRAMES)
    made = [output.base for output in viewer.seen[before:] if output.base is not None]
    since = [(base, base.provenance.source) for base in made if base.provenance.source is not None]
    since = [(base, source) for base, source in since if source.captured_at >= began]
    for number, (base, source) in enumerate(since, 1):
        if not np.array_equal(base.pixels, dark):
            return number, (base.ready_at - source.captured_at) * 1000
    return None, None


async def _settle(viewer: Viewer) -> int | None:
    """New pictures of a changed prompt until they are what they stay."""
    receipt = viewer.session.patch(ControlPatch(prompt="neon city at night"), by="benchmark")
    await viewer.new_pictures(SETTLE_FRAMES + 2)
    made = [output.base.pixels for output in viewer.seen if output.version == receipt.version and output.base]
    if len(made) < 2:
        return None
    return next(number for number, picture in enumerate(made, 1) if np.array_equal(picture, made[-1]))
