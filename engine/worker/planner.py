"""Whose frame starts now, alone or together, and when the next one should; pure.

Generation is aimed: at most one frame for each slot and session, started so that it lands just before its deadline,
since running ahead only adds age; where deadlines crowd, as much earlier as lets all of them be met. When not all fit
(one model slower than a slot, or many sessions), frames run back to back and the session that was served least goes
first (weighted fair share); earliest deadline first collapses under overload.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from liveglass.engine.models.base import GroupKey
from liveglass.engine.stream.grid import Grid
from liveglass.engine.worker.cost import USUAL_PIXELS, CostTable

MARGIN_S = 0.004
"""Between the expected end of a frame and its deadline: the way back to the server and a noisy scheduler."""

LATE_S = 0.003
"""A start that is late by no more than this still aims at its slot: waking up is never exact."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session whose camera runs, or that has something to generate.

    Attributes:
        last_slot: the slot that its last frame was aimed at; -1 at first.
        served: seconds of model time it has had, divided by its weight.
        group: only equal groups run as one cohort.
        every: a new picture for every so manieth slot at most.
        has_work: whether there is something to generate now; else it only counts as load: its next camera picture comes
            within a slot, and whoever waits for the best moment meanwhile could be passed over again and again.
        pixels: of its pictures.
        extra: seconds that its next frame takes on top, once: words that are not encoded yet.
    """

    session: str
    grid: Grid
    steps: int
    last_slot: int
    served: float
    group: GroupKey
    every: int = 1
    has_work: bool = True
    pixels: int = USUAL_PIXELS
    extra: float = 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """Start these sessions' frames now, as one cohort, aimed at these slots."""

    cohort: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to start before `until` (seconds), unless something new comes in; None: nothing at all."""

    until: float | None


@dataclass(frozen=True, slots=True)
class _Aim:
    """When a candidate's next frame starts and which slot it is for; `need`: seconds from its start to its deadline."""

    candidate: Candidate
    slot: int
    need: float
    start: float

    @property
    def deadline(self) -> float:
        """When the slot is due, in seconds."""
        return self.candidate.grid.deadline(self.slot)


def plan(now: float, candidates: Sequence[Candidate], cost: CostTable, max_batch: int = 1) -> Start | Wait:
    """What to do at `now`, seconds.

    Args:
        candidates: the sessions that the model is shared by.
        max_batch: how many frames a cohort may have (1 on a CPU, where a batch of two only doubles the age).
    """
    aims = _aims(now, candidates, cost)
    ready = [aim for aim in aims if aim.start <= now]
    if not ready:
        return Wait(min((aim.start for aim in aims), default=None))
    ready.sort(key=lambda aim: (aim.candidate.served, aim.deadline, aim.candidate.session))
    first = ready[0].candidate
    cohort = [(first.session, ready[0].slot)]
    for aim in ready[1:]:
        if len(cohort) == max_batch:
            break
        if aim.candidate.group == first.group and _pays(cost, first, len(cohort)):
            cohort.append((aim.candidate.session, aim.slot))
    return Start(tuple(cohort))


def _aims(now: float, candidates: Sequence[Candidate], cost: CostTable) -> list[_Aim]:
    """When each candidate's next frame should start."""
    aims = []
    for candidate in candidates:
        need = cost.frame(candidate.steps, pixels=candidate.pixels).p95 + candidate.extra + MARGIN_S
        # A session that has had no frame yet waits for nothing.
        after = candidate.last_slot + candidate.every if candidate.last_slot >= 0 else 0
        slot = max(after, candidate.grid.next_slot(now + need - LATE_S))
        aims.append(_Aim(candidate, slot, need, candidate.grid.deadline(slot) - need))
    load = sum((aim.need - aim.candidate.extra) * aim.candidate.grid.fps / aim.candidate.every for aim in aims)
    aims = [aim for aim in aims if aim.candidate.has_work]
    if load >= 1.0:
        # Not all fit: nobody waits for the best moment, only for the slot before to be out of reach.
        return [replace(aim, start=aim.start - aim.candidate.grid.period) for aim in aims]
    aims.sort(key=lambda aim: aim.deadline, reverse=True)
    following = math.inf
    for number, aim in enumerate(aims):
        # Whoever is due later still has to fit in after this one.
        following = max(min(aim.start, following - (aim.need - MARGIN_S)), aim.start - aim.candidate.grid.period)
        aims[number] = replace(aim, start=following)
    return aims


def _pays(cost: CostTable, first: Candidate, batch: int) -> bool:
    """Whether one more frame in the cohort of `first` is cheaper than a cohort of its own."""

    def seconds(frames: int) -> float:
        return cost.frame(first.steps, frames, pixels=first.pixels).p50

    return seconds(batch + 1) < 0.85 * (seconds(batch) + seconds(1))
