"""How many sessions this machine can really hold; pure.

Nothing is promised that the machine has not shown it can hold: the capacity is the rate measured while the model warmed
up, and a fifth of it stays in reserve.
"""

from typing import Literal

import msgspec

from liveglass.engine.worker.cost import CostTable

MIN_GENERATED_FPS = {"cpu": 6.0, "mps": 6.0, "cuda": 24.0}
RESERVE = 0.8


class Admission(msgspec.Struct, frozen=True, omit_defaults=False):
    """Where a session stands: admitted, or its place in the queue from 1.

    Attributes:
        estimate_s: seconds until its turn, where anything is known about that; an estimate, and called one.
    """

    state: Literal["admitted", "queued"] = "admitted"
    position: int = 0
    estimate_s: float | None = None


class Capacity(msgspec.Struct, frozen=True):
    """What was measured: frames a second of the whole worker, and the least that a session is promised."""

    fps: float
    min_generated_fps: float

    @classmethod
    def measured(cls, cost: CostTable, steps: int, device: str) -> "Capacity":
        """The capacity that follows from the cost of one frame."""
        seconds = cost.frame(steps).p50
        return cls(1.0 / seconds if seconds else 0.0, MIN_GENERATED_FPS[device.split(":", maxsplit=1)[0]])

    def holds(self, sessions: int) -> bool:
        """Whether so many sessions each get their least; the first one always does."""
        return sessions <= 1 or sessions * self.min_generated_fps <= RESERVE * self.fps
