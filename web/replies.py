"""What HTTP says about the server itself, as typed schemas; pure."""

from typing import Literal

import msgspec

from liveglass.engine.errors import ErrorBody
from liveglass.engine.events import ModelChanged
from liveglass.engine.listing import ModelListing
from liveglass.engine.record import LoraRecord


class Models(msgspec.Struct, frozen=True):
    """The models of this server; the resident one first."""

    default: str
    models: tuple[ModelListing, ...]


class SwapRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PUT /v1/model`."""

    model: str


class SwapView(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the newest swap went or goes: `stage` while it is `warming`, `cause` where it `failed`."""

    model: str
    state: Literal["warming", "ready", "failed"]
    stage: str = ""
    cause: str = ""

    @classmethod
    def of(cls, news: ModelChanged) -> "SwapView":
        """What every session was told."""
        return cls(news.model, news.state, news.stage, news.cause)


class ResidentModel(msgspec.Struct, frozen=True):
    """The model that makes the pictures now.

    Attributes:
        state: of the worker that holds it: warming, ready, lost.
        swap: the newest one; None before the first.
        loras: low-rank weights that are in it.
    """

    model: str
    title: str
    state: str
    swap: SwapView | None
    loras: tuple[LoraRecord, ...]


class LorasReply(msgspec.Struct, frozen=True):
    """The answer to other low-rank weights: what is in the model now, and how long it took to get there."""

    loras: tuple[LoraRecord, ...]
    seconds: float


class Alive(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether the process is stuck, and for how long its two clocks have been silent."""

    alive: bool
    loop_silent_s: float
    output_silent_s: float
    error: ErrorBody | None = None


class Ready(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether a frame was really generated within the last 10 s."""

    ready: bool
    reason: str = ""
    generated_ms: float | None = None
    age_s: float | None = None
    error: ErrorBody | None = None
