"""What HTTP says about the server itself, as typed schemas; pure."""

import msgspec

from liveglass.engine.errors import ErrorBody
from liveglass.engine.listing import ModelListing


class Models(msgspec.Struct, frozen=True):
    """The models of this server; the resident one first."""

    default: str
    models: tuple[ModelListing, ...]


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
