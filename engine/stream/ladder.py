"""The quality ladder: what a session gives up when it cannot be served, and when it takes it back; pure.

A rung is how many passes a picture gets and how often a new one is made; size and model are decisions of the whole
worker. Down only to a rung that takes less work; up only after headroom for 10 s, and each raise that failed doubles
that, up to 5 minutes. Every judgement is a 95th percentile over 96 slots that were made on the rung in force, so two
moves are five seconds apart at 24 slots a second.
"""

from collections import deque
from collections.abc import Sequence

import msgspec

from liveglass.engine.worker.cost import USUAL_PIXELS, CostTable, percentile

SAMPLES = 96
"""A percentile is taken over so many slots."""

SETTLING = 24
"""Slots after a change that still show what was made before it."""

HEADROOM_S = 10.0
LONGEST_HEADROOM_S = 300.0
_SHORTER = 0.95
"""A frame of fewer passes that takes more of the time than that is no relief."""

_OVER_LEAST = 1.3

HEADROOM = 0.75
"""Where the load is under this, there is room for more."""


class Rung(msgspec.Struct, frozen=True):
    """What a session is given; by itself, as much as it asks for.

    Attributes:
        steps: passes for each picture, at most.
        every: a new picture for every so manieth slot, at most.
    """

    steps: int = 64
    every: int = 1


class Move(msgspec.Struct, frozen=True):
    """The ladder moved, up or down, because of these loads."""

    is_down: bool
    wait: float
    late: float


def rungs(fps: int, steps: int, valid_steps: Sequence[int], least_fps: float) -> tuple[Rung, ...]:
    """The rungs of a session, the best one first: fewer passes, then fewer pictures.

    Fewer passes come first, because they make pictures younger; fewer pictures free the machine.

    Args:
        fps: slots a second.
        steps: as the session asks for; more are never given.
        valid_steps: what the model was trained for.
        least_fps: every rung makes well over that many new pictures a second.
    """
    fewer = [valid for valid in sorted(valid_steps, reverse=True) if valid < steps]
    passes = [steps, *fewer]
    slower = range(2, int(fps / (_OVER_LEAST * least_fps)) + 1)
    return (*map(Rung, passes), *(Rung(passes[-1], every) for every in slower))


class Ladder:
    """Where one session stands; times are seconds.

    Args:
        pixels: of its pictures.

    Attributes:
        rung: the rung in force.
        rungs: all of them, the best one first.
    """

    def __init__(self, fps: int, rungs: Sequence[Rung], *, pixels: int = USUAL_PIXELS) -> None:
        self.rungs = tuple(rungs)
        self._fps = fps
        self._pixels = pixels
        self._path: list[int] = [0]  # the rungs that were left on the way down, and at its end the one in force
        self._waits: deque[float] = deque(maxlen=SAMPLES)
        self._lates: deque[float] = deque(maxlen=SAMPLES)
        self._settling = 0
        self._calm_since: float | None = None
        self._headroom_s = HEADROOM_S
        self._raised_at: float | None = None

    @property
    def rung(self) -> Rung:
        """The rung in force."""
        return self.rungs[self._path[-1]]

    @property
    def place(self) -> int:
        """Its place among `rungs`; 0 is the best."""
        return self._path[-1]

    @property
    def headroom_s(self) -> float:
        """For how long there must be room before more is tried, seconds."""
        return self._headroom_s

    def renew(self, rungs: Sequence[Rung]) -> None:
        """The session asks for something else: the best of the new `rungs` that takes no more work than now."""
        before = self.rung
        self.rungs = tuple(rungs)
        if self.place == 0:  # nothing was given up
            self.rest()
            return
        fits = [at for at, one in enumerate(self.rungs) if one.steps <= before.steps and one.every >= before.every]
        place = fits[0] if fits else len(self.rungs) - 1
        self._path = list(dict.fromkeys((0, place)))
        self.rest()

    def rest(self) -> None:
        """Nothing is being judged: what was measured before says nothing about what comes."""
        self._waits.clear()
        self._lates.clear()
        self._calm_since = None

    def slot(self, now: float, *, wait: float, late: float, new_fps: float, cost: CostTable) -> Move | None:
        """One slot went out; loads are what was measured over what it may be.

        Args:
            wait: for how long a newer camera picture has been waiting to be seen.
            late: the hand-off of the slot.
            new_fps: new pictures a second by now; a rung that allows more than these takes no less work.
            cost: of frames by their passes; a rung with more of them is only tried where they should fit.

        Returns:
            The move, if there was one; `rung` is the new one then.
        """
        if self._settling:
            self._settling -= 1
            return None
        self._waits.append(wait)
        self._lates.append(late)
        if len(self._waits) < SAMPLES:
            return None
        wait, late = (percentile(sorted(loads), 0.95) for loads in (self._waits, self._lates))
        if self._raised_at is not None and now - self._raised_at >= self._headroom_s:
            # A raise that lasted as long as it was waited for was right: the next one waits the usual time.
            self._raised_at, self._headroom_s = None, HEADROOM_S
        if max(wait, late) > 1.0:
            self._calm_since = None
            return self._down(wait, late, new_fps, cost)
        if len(self._path) == 1 or max(wait * self._growth(cost), late) > HEADROOM:
            self._calm_since = None
            return None
        if self._calm_since is None:
            self._calm_since = now
        return self._up(now, wait, late) if now - self._calm_since >= self._headroom_s else None

    def _down(self, wait: float, late: float, new_fps: float, cost: CostTable) -> Move | None:
        here = self.rung
        for place in range(self.place + 1, len(self.rungs)):
            below = self.rungs[place]
            is_shorter = self._seconds(below, cost) < _SHORTER * self._seconds(here, cost)
            # Fewer pictures make none of them younger: they only free the machine for the hand-off.
            is_rarer = late > 1.0 and below.every > here.every and self._fps / below.every < new_fps
            if is_shorter or is_rarer:
                if self._raised_at is not None:
                    self._raised_at, self._headroom_s = None, min(2 * self._headroom_s, LONGEST_HEADROOM_S)
                self._path.append(place)
                self._changed()
                return Move(is_down=True, wait=wait, late=late)
        return None

    def _up(self, now: float, wait: float, late: float) -> Move:
        self._path.pop()
        self._raised_at = now
        self._changed()
        return Move(is_down=False, wait=wait, late=late)

    def _changed(self) -> None:
        self._settling = SETTLING
        self.rest()

    def _growth(self, cost: CostTable) -> float:
        """How much longer a picture takes on the rung that was left last."""
        here, there = self._seconds(self.rung, cost), self._seconds(self.rungs[self._path[-2]], cost)
        return there / here if here else 1.0

    def _seconds(self, rung: Rung, cost: CostTable) -> float:
        """What a picture takes on that rung."""
        return cost.frame(rung.steps, pixels=self._pixels).p95
