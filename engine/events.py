"""What a session tells whoever listens; pure.

These are the wire's own schemas (their `type` is the event's name), so that what the engine says and what a client
reads cannot drift apart. The events that only the transport sends are in `transport/messages.py`.
"""

from typing import Literal

import msgspec

from liveglass.engine.control import Params, Prompt
from liveglass.engine.errors import ErrorBody

StateName = Literal[
    "queued",
    "warming",
    "ready",
    "live",
    "paused",
    "degraded",
    "standby",
    "panic",
    "reconnecting",
    "closed",
]


class ControlView(msgspec.Struct, frozen=True, omit_defaults=False):
    """The control state as clients read it."""

    version: int
    prompts: tuple[Prompt, ...]
    negative: str
    params: Params
    apply: str


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds; the promise is the 95th percentile, never the median alone."""

    p50: float
    p95: float
    p99: float


class SessionState(msgspec.Struct, frozen=True, tag_field="type", tag="session.state", omit_defaults=True):
    """Where the session stands; `cause` says why wherever it is neither ready nor live."""

    state: StateName
    cause: str = ""
    position: int | None = None
    stage: str | None = None
    estimate_s: float | None = None


class ControlAccepted(msgspec.Struct, frozen=True, tag_field="type", tag="control.accepted"):
    """The first part of a receipt: the change is valid and has a version."""

    id: str
    version: int
    effective: dict[str, object]
    notes: tuple[str, ...] = ()


class ControlApplied(msgspec.Struct, frozen=True, tag_field="type", tag="control.applied"):
    """The first frame whose generated base was made with this version was handed over."""

    version: int
    slot: int
    latency_ms: float


class ControlSettled(msgspec.Struct, frozen=True, tag_field="type", tag="control.settled"):
    """The transition to this version is over."""

    version: int
    slot: int


class ControlSuperseded(msgspec.Struct, frozen=True, tag_field="type", tag="control.superseded"):
    """Never applied: a newer version took its place."""

    version: int
    by: int


class ControlChanged(msgspec.Struct, frozen=True, tag_field="type", tag="control.changed"):
    """To every client of the session: the control state is now this.

    Attributes:
        notes: what another model takes differently, where that is why.
    """

    control: ControlView
    by: str
    notes: tuple[str, ...] = ()


class ModelChanged(msgspec.Struct, frozen=True, tag_field="type", tag="model.changed", omit_defaults=True):
    """To every session: another model is warming up beside the one that serves, serves from now on, or failed to.

    Attributes:
        model: the one that comes.
        stage: while it warms up: checking, starting, loading, first frame, trying.
        cause: why the one before goes on.
    """

    model: str
    state: Literal["warming", "ready", "failed"]
    stage: str = ""
    cause: str = ""


class QualityChanged(msgspec.Struct, frozen=True, tag_field="type", tag="quality.changed"):
    """The ladder moved: what was given up or taken back, and why."""

    rung: int
    of: int
    gave_up: tuple[str, ...]
    cause: str


class Stats(msgspec.Struct, frozen=True, tag_field="type", tag="stats"):
    """Measured figures of the last seconds; None where nothing was measured yet.

    Attributes:
        generated_fps: slots a second whose base was shown for the first time.
        standin_fps: slots a second by kind of stand-in.
        missed, replaced, dropped: since the session opened.
        latency: milliseconds for each stage.
        motion_age, content_age: milliseconds from the source pictures to the hand-off, on the server's clock.
        flicker: how much generated pictures change where the source stands still, in levels of 255.
        warp_error: how much they change beyond the source's own motion, in levels.
        still: source pictures that needed no frame, by the session's `similarity`, since it opened.
    """

    out_fps: float
    generated_fps: float
    standin_fps: dict[str, float]
    missed: int
    replaced: int
    dropped: int
    latency: dict[str, Percentiles]
    motion_age: Percentiles | None
    content_age: Percentiles | None
    flicker: float | None = None
    warp_error: float | None = None
    still: int = 0


class ErrorEvent(msgspec.Struct, frozen=True, tag_field="type", tag="error", omit_defaults=True):
    """Something could not be done; `id` or `seq` says which request it answers."""

    code: str
    message: str
    retryable: bool
    hint: str = ""
    field: str | None = None
    id: str | None = None
    seq: int | None = None

    @classmethod
    def of(cls, body: ErrorBody, *, id: str | None = None, seq: int | None = None) -> "ErrorEvent":  # noqa: A002
        """The event that carries `body`."""
        return cls(
            code=body.code,
            message=body.message,
            retryable=body.retryable,
            hint=body.hint,
            field=body.field,
            id=id,
            seq=seq,
        )


SessionEvent = (
    SessionState
    | ControlAccepted
    | ControlApplied
    | ControlSettled
    | ControlSuperseded
    | ControlChanged
    | QualityChanged
    | ModelChanged
    | Stats
    | ErrorEvent
)
