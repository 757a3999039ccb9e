"""Does one fault after the other to a server with two users, and judges what each of them saw."""

import asyncio
import itertools
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

import msgspec

from liveglass.engine.clock import now
from liveglass.engine.errors import Unavailable
from liveglass.engine.frame import FrameKind
from liveglass.engine.models import registry
from liveglass.web.chaos.faults import WELL, Fault, Stage
from liveglass.web.chaos.line import address, ear, line_to
from liveglass.web.chaos.server import Server, server
from liveglass.web.chaos.tables import aligned
from liveglass.web.chaos.user import FPS, Seen, User, changes, user

RECOVERY_S = 60.0
"""Longer than that is not recovered."""

CALM_S = 3.0
"""Both users have been served for so long before anything is broken, and again before it is judged."""

_CALM_PICTURES = 4
_STEADY_S = 1.0
"""New pictures that come less often than that are not back yet."""

_PROMPT = "ink drawing, blue"
_MISSED = "liveglass_slots_missed_total"
_SPARE = "liveglass_spare_up"
_LOOK_S = 0.25


class View(msgspec.Struct, frozen=True):
    """What one user saw of a fault.

    Attributes:
        gap_s: the longest time without any frame.
        stand_in_s: the longest time without a new generated picture.
        standby_s: for how long the slate was seen.
        reconnects: how often the connection was made again.
        camera: frames that held camera pixels.
        likeness: how much the frame that was most like the camera was like it, 0 to 1.
    """

    gap_s: float
    stand_in_s: float
    standby_s: float
    reconnects: int
    camera: int
    likeness: float


class Result(msgspec.Struct, frozen=True):
    """What one fault did.

    Attributes:
        missed: slots of both sessions that were late or skipped on the server.
        recovered_s: from the end of the fault to the next new picture of the victim; None: never.
        victim, other: what each of the two saw.
    """

    fault: str
    missed: int
    recovered_s: float | None
    victim: View
    other: View


Told = Callable[[Result], None]
"""Hears of every result as soon as it is there."""


def run(
    model: str, faults: Mapping[str, Fault], *, times: int = 1, spare: bool = False, told: Told = lambda _: None
) -> list[Result]:
    """Every fault, `times` times over, on a server of `model` of its own, with a spare worker or without.

    Both users ask for the fewest passes that the model knows, so that a small machine holds them both.

    Raises:
        Unavailable: the server did not get ready, or does not hold two sessions.
    """
    with ear() as listening, server(model, "--public-url", address(listening), *["--spare"] * spare) as running:
        return asyncio.run(_run(running, listening, model, itertools.chain(*[faults.items()] * times), told))


async def _run(
    running: Server, listening: socket.socket, model: str, faults: Iterable[tuple[str, Fault]], told: Told
) -> list[Result]:
    steps = min(registry.spec(model).valid_steps)
    prompt = WELL if model.startswith("faulty") else _PROMPT
    results = []
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(line_to(running.url, listening))
        victim = await stack.enter_async_context(user(address(listening), seed=1, prompt=prompt, steps=steps))
        other = await stack.enter_async_context(user(running.url, seed=2, prompt=prompt, steps=steps))
        stage = Stage(running, victim, line)
        for name, fault in faults:
            if not all(await asyncio.gather(_calm(victim), _calm(other), _spare_is_up(running))):
                raise Unavailable(f"The two users were never both served before {name!r}: {other.live.state.cause}")
            results.append(await _one(stage, other, name, fault))
            told(results[-1])
    return results


async def _calm(somebody: User) -> bool:
    """Return once there have been new pictures for a while; False where none come."""
    return await somebody.until(
        lambda frames: len(changes(frames)) >= _CALM_PICTURES and frames[-1].at - frames[0].at > CALM_S, RECOVERY_S
    )


async def _spare_is_up(running: Server) -> bool:
    """Return once a spare worker is warm, where one is kept; False where it never is."""
    until = now() + RECOVERY_S
    while running.keeps_spare and not await asyncio.to_thread(running.total, _SPARE):
        if now() > until:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


async def _one(stage: Stage, other: User, name: str, fault: Fault) -> Result:
    victim = stage.victim
    missed = stage.running.total(_MISSED)
    marks = len(victim.seen) - 1, len(other.seen) - 1
    reconnects = victim.live.reconnects, other.live.reconnects
    await fault(stage)
    healed_at = now()
    if not stage.running.is_alive:
        raise Unavailable(
            f"The server itself died of {name!r}.", hint="This is a fault of liveglass: please report it."
        )
    is_well = all(await asyncio.gather(_calm(victim), _calm(other)))
    return Result(
        name,
        int(stage.running.total(_MISSED) - missed),
        _recovered(victim.seen[marks[0] :], healed_at) if is_well else None,
        _view(victim.seen[marks[0] :], victim.live.reconnects - reconnects[0]),
        _view(other.seen[marks[1] :], other.live.reconnects - reconnects[1]),
    )


def _recovered(frames: Sequence[Seen], healed_at: float) -> float:
    """From the end of the fault to the end of the last time without new pictures that began before it or through it."""
    new = changes(frames)
    ends = [after for before, after in itertools.pairwise(new) if after > healed_at and after - before > _STEADY_S]
    return max(0.0, (ends[-1] if ends else next(at for at in new if at > healed_at)) - healed_at)


def _view(frames: Sequence[Seen], reconnects: int) -> View:
    shown = [frames[0].at, *changes(frames), frames[-1].at]
    return View(
        gap_s=max(after.at - before.at for before, after in itertools.pairwise(frames)),
        stand_in_s=max(after - before for before, after in itertools.pairwise(shown)),
        standby_s=sum(frame.kind is FrameKind.STANDBY for frame in frames) / FPS,
        reconnects=reconnects,
        camera=sum(frame.is_leak for frame in frames),
        likeness=max(frame.likeness for frame in frames),
    )


def table(results: Sequence[Result]) -> str:
    """The results for people, one fault in a line."""
    head = ("fault", "missed", "gap ms", "no new s", "slate s", "well again s", "reconnects", "camera", "likeness",
            "other: gap ms", "no new s", "camera")  # fmt: skip
    rows = [head]
    for one in results:
        mine, other = one.victim, one.other
        well = "never" if one.recovered_s is None else f"{one.recovered_s:.2f}"
        rows.append((
            one.fault, f"{one.missed}", f"{1000 * mine.gap_s:.0f}", f"{mine.stand_in_s:.2f}", f"{mine.standby_s:.1f}",
            well, f"{mine.reconnects}", f"{mine.camera}", f"{mine.likeness:.2f}",
            f"{1000 * other.gap_s:.0f}", f"{other.stand_in_s:.2f}", f"{other.camera}",
        ))  # fmt: skip
    return aligned(rows)
