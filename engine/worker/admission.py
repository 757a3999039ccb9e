"""How many sessions this machine can really hold; pure.

Nothing is promised that the machine has not shown it can hold. Whether one more fits is found out by running the
planner itself, in virtual time, on the measured 95th percentiles; what pictures cost beside the model (decoding, moving
along, encoding) is counted by the processor time that a session was measured to take. Nobody's quality is given up to
let another one in: every session counts with the passes that it asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from liveglass.engine.stream.grid import Grid
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, CostTable, percentile
from liveglass.engine.worker.planner import Candidate, Start, Wait, plan

LEAST_FPS = {"cpu": 6.0, "mps": 6.0, "cuda": 24.0}
"""New pictures a second that a session is promised, by device."""

RESERVE = 0.9
"""Of the cores that the model leaves to the server, so much is given away."""

_SIMULATED_S = 4.0
_SETTLED_S = 1.0


def least_fps(device: str) -> float:
    """New pictures a second that a session on `device` ("cpu", "cuda:0") is promised."""
    return LEAST_FPS.get(device.split(":", maxsplit=1)[0], LEAST_FPS["cpu"])


def longest_wait(least: float) -> float:
    """For how long a newer camera picture may wait to be seen, seconds: two pictures at the `least` rate."""
    return 2.0 / least


class Admission(msgspec.Struct, frozen=True, omit_defaults=False):
    """Where a session stands: admitted, or its place in the queue from 1.

    Attributes:
        estimate_s: seconds until its turn, where anything is known about that; an estimate, and called one.
    """

    state: Literal["admitted", "queued"] = "admitted"
    position: int = 0
    estimate_s: float | None = None


def turn_in(position: int, ages_s: Sequence[float], typical_s: float | None) -> float | None:
    """Seconds until the session at `position` of the queue has a place: an estimate, to ten seconds.

    Args:
        ages_s: how long each admitted session has been there.
        typical_s: how long such sessions stayed, median; None: not known.
    """
    if typical_s is None or not ages_s:
        return None
    left = sorted(max(0.0, typical_s - age) for age in ages_s)
    rounds, place = divmod(position - 1, len(left))
    return max(10.0, round((rounds * typical_s + left[place]) / 10) * 10.0)


class Demand(msgspec.Struct, frozen=True):
    """What one session asks of the model: slots a second, passes for a picture, slots from one to the next, pixels."""

    fps: int
    steps: int
    every: int = 1
    pixels: int = USUAL_PIXELS


class Forecast(msgspec.Struct, frozen=True):
    """What sessions together are predicted to get.

    Attributes:
        fps: new pictures a second of the one that gets the fewest.
        wait_s: for how long a newer camera picture waits to be seen, 95th percentile of the worst one, seconds.
        cores: that the server itself takes.
    """

    fps: float
    wait_s: float
    cores: float = 0.0

    def holds(self, least: float, spare_cores: float) -> bool:
        """Whether each session gets what it is promised.

        Args:
            least: new pictures a second.
            spare_cores: that the model leaves to the server.
        """
        is_new = self.fps >= least and self.wait_s <= longest_wait(least)
        return is_new and self.cores <= RESERVE * spare_cores


@dataclass(slots=True)
class _Simulated:
    """A session in virtual time; its camera shows a picture for each slot, half a slot after the deadline."""

    name: str
    grid: Grid
    steps: int
    every: int = 1
    pixels: int = USUAL_PIXELS
    last_slot: int = -1
    served: float = 0.0
    seen: int = -1
    shown_at: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def camera(self, now: float) -> int:
        """The number of its newest camera picture."""
        return Grid(self.grid.t0 + self.grid.period / 2, self.grid.fps).slot_at(now)

    def taken_at(self, number: int) -> float:
        """When that picture was taken."""
        return self.grid.deadline(number) + self.grid.period / 2

    def candidate(self, now: float) -> Candidate:
        """How the planner sees it."""
        has_work = self.camera(now) > self.seen
        group = (self.steps, self.pixels)
        return Candidate(
            self.name, self.grid, self.steps, self.last_slot, self.served, group, self.every, has_work, self.pixels
        )

    def show(self, number: int, at: float) -> None:
        """A picture made from camera picture `number` is there; until now the one before was seen."""
        if self.shown_at:
            self.waits.append(at - self.taken_at(self.seen + 1))
        self.shown_at.append(at)
        self.seen = number


def forecast(demands: Sequence[Demand], cost: CostTable, *, max_batch: int = 1, cores_each: float = 0.0) -> Forecast:
    """What sessions that ask for `demands` would get of a model with that `cost`.

    Args:
        max_batch: how many frames a cohort may have.
        cores_each: what the server's own stages take for one session, in cores.
    """
    together = [
        _Simulated(
            str(number),
            Grid(number / (demand.fps * len(demands)), demand.fps),
            demand.steps,
            demand.every,
            demand.pixels,
        )
        for number, demand in enumerate(demands)
    ]
    batches = range(1, max_batch + 1)
    cost = cost.knowing(Case(one.pixels, one.steps, batch) for one in together for batch in batches)
    now, names = 0.0, {one.name: one for one in together}
    while now < _SIMULATED_S:
        candidates = [one.candidate(now) for one in together]
        match plan(now, candidates, cost, max_batch):
            case Wait(until):
                coming = [one.taken_at(one.camera(now) + 1) for one in together]
                now = max(min([*coming, *([] if until is None else [until])]), now + 1e-6)
            case Start(cohort):
                first = names[cohort[0][0]]
                seconds = max(cost.frame(first.steps, len(cohort), pixels=first.pixels).p95, 1e-4)
                numbers = {name: names[name].camera(now) for name, _ in cohort}
                now += seconds
                for name, slot in cohort:
                    one = names[name]
                    one.last_slot, one.served = slot, one.served + seconds / len(cohort)
                    one.show(numbers[name], max(now, one.grid.deadline(slot)))
    return Forecast(
        fps=min((_rate(one) for one in together), default=0.0),
        wait_s=max((_wait(one) for one in together), default=0.0),
        cores=cores_each * len(together),
    )


def _rate(one: _Simulated) -> float:
    return sum(at >= _SETTLED_S for at in one.shown_at) / (_SIMULATED_S - _SETTLED_S)


def _wait(one: _Simulated) -> float:
    return percentile(sorted(one.waits), 0.95) if one.waits else float("inf")
