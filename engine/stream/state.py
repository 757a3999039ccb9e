"""Which state a session is in and why, in words for people; pure."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import msgspec

from liveglass.engine.events import SessionState
from liveglass.engine.frame import FrameKind

INPUT_OLD_S = 1.0
FEWEST_NEW_FPS = 6
_WELL_AGAIN_FPS = 7
"""Said to be behind, a model is well again from here on: at the limit itself the state would come and go."""

DEGRADED_AFTER_S = 2.0

_BEHIND = "The model is behind"
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a state follows from.

    Attributes:
        queued: place in the queue; 0 when admitted.
        estimate_s: seconds until its turn, where that can be told.
        worker: warming, ready or lost.
        wants_source: whether pictures have to come in for anything to be generated.
        input_age_s: since the newest source picture came in; None before the first.
        unmasked: why nothing of the camera is kept although it should be.
        base_shown: whether a generated picture is on show.
        was_behind: whether the model is said to be behind already.
        new_in_2_s: slots of the last two seconds whose base was shown for the first time.
        still_in_2_s: others of them whose base needed no successor, since the camera stood still.
        serving_s: for how long the worker has been ready and pictures have been coming in.
    """

    closed: str = ""
    queued: int = 0
    estimate_s: float | None = None
    panic: bool = False
    paused: bool = False
    worker: Literal["warming", "ready", "lost", "stopped"] = "ready"
    stage: str = ""
    worker_cause: str = ""
    wants_source: bool = True
    input_age_s: float | None = None
    kind: FrameKind | None = None
    base_shown: bool = False
    camera_refused: bool = False
    unmasked: str = ""
    broken: str = ""
    fps: int = 24
    was_behind: bool = False
    new_in_2_s: int = 0
    still_in_2_s: int = 0
    serving_s: float = 0.0
    ever_live: bool = False


def derive(facts: Facts) -> SessionState:
    """The state that follows from `facts`, with its cause wherever it is neither ready nor live."""
    wanted = _as_asked(facts)
    if wanted is not None:
        return wanted
    if facts.worker != "ready":
        return _without_worker(facts)
    if facts.camera_refused:
        return SessionState(
            "standby",
            cause="This model passes camera pixels through, and this session hides its camera. "
            "Open it with camera_visible: all.",
        )
    if facts.kind is FrameKind.STANDBY or not facts.base_shown:
        return _without_picture(facts)
    return _with_picture(facts)


def _as_asked(facts: Facts) -> SessionState | None:
    """What somebody decided, whatever the model does; None when it is to run."""
    if facts.closed:
        return SessionState("closed", cause=facts.closed)
    if facts.panic:
        return SessionState("panic", cause="Panic was pressed. The safe picture is shown until you resume.")
    if facts.paused:
        return SessionState("paused", cause="Paused. The last picture is repeated until you resume.")
    if facts.queued:
        return SessionState(
            "queued",
            cause=f"Every place that this machine can hold is taken. You are number {facts.queued} in the queue.",
            position=facts.queued,
            estimate_s=facts.estimate_s,
        )
    return None


def _without_worker(facts: Facts) -> SessionState:
    if not facts.ever_live:
        return SessionState(
            "warming", cause=facts.worker_cause or _warming(facts.stage), stage=facts.stage or "starting"
        )
    what = facts.worker_cause or "The model is not there."
    state: Literal["standby", "degraded"] = "degraded" if facts.base_shown else "standby"
    return SessionState(state, cause=f"{what} Another one is starting ({facts.stage or 'starting'}).")


def _warming(stage: str) -> str:
    return f"The model is warming up: {stage}." if stage else "The model is starting."


def _without_picture(facts: Facts) -> SessionState:
    if facts.broken:
        return SessionState("standby", cause=facts.broken)
    if not facts.ever_live:
        return SessionState("ready")
    if facts.wants_source and facts.input_age_s is not None and facts.input_age_s > INPUT_OLD_S:
        return SessionState(
            "standby",
            cause=f"No camera picture for {_rough(facts.input_age_s)}. It goes on with the next one.",
        )
    return SessionState("standby", cause="There is nothing to show yet. It goes on with the next generated picture.")


def _with_picture(facts: Facts) -> SessionState:
    if facts.broken:
        return SessionState("degraded", cause=facts.broken)
    if facts.wants_source and facts.input_age_s is not None and facts.input_age_s > INPUT_OLD_S:
        return SessionState(
            "degraded",
            cause=f"No camera picture for {_rough(facts.input_age_s)}. The last picture is repeated, for 10 s at most.",
        )
    if facts.unmasked:
        return SessionState("degraded", cause=f"{facts.unmasked} Everything is generated meanwhile, the camera hidden.")
    new_fps = facts.new_in_2_s / DEGRADED_AFTER_S
    served_fps = new_fps + facts.still_in_2_s / DEGRADED_AFTER_S
    fewest = _WELL_AGAIN_FPS if facts.was_behind else FEWEST_NEW_FPS
    if facts.wants_source and facts.serving_s >= DEGRADED_AFTER_S and served_fps < fewest:
        cause = f"{_BEHIND}: {math.floor(new_fps)} of {facts.fps} frames a second are new."
        return SessionState("degraded", cause=cause)
    return SessionState("live")


def says_behind(state: SessionState) -> bool:
    """Whether `state` is that of a session whose model is behind."""
    return state.cause.startswith(_BEHIND)


def _rough(seconds: float) -> str:
    """Seconds in coarse steps, so that the sentence does not change with every slot."""
    return f"{int(seconds)} s" if seconds < 10 else f"over {int(seconds) // 10 * 10} s"


def same_but_figures(one: SessionState, other: SessionState) -> bool:
    """Whether two states say the same but for the numbers in their causes."""
    causes = (_DIGITS.sub("", state.cause) for state in (one, other))
    return len(set(causes)) == 1 and msgspec.structs.replace(one, cause=other.cause) == other
