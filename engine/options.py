"""How a session is opened: the request as it came, and the options that follow from it; pure.

Everything is checked here, before anything is allocated.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from liveglass.engine.control import (
    Apply,
    ControlPatch,
    ControlState,
    Params,
    ParamsPatch,
    Prompt,
)
from liveglass.engine.errors import CameraNotVisible, InvalidValue, NotAvailable
from liveglass.engine.frame import Size
from liveglass.engine.models.base import ModelSpec

SourceKind = Literal["camera", "sample", "none"]
CameraVisible = Literal["none", "person", "all"]
Fallback = Literal["slate", "hold", "camera"]
Fit = Literal["cover", "contain"]
Fps = Literal[24, 25, 30, 50, 60]

MAX_PIXELS = 1920 * 1080


class SizeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A size as clients write it."""

    width: Annotated[int, Meta(ge=64, le=1920)]
    height: Annotated[int, Meta(ge=64, le=1080)]


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/sessions`; every field is optional."""

    prompt: str | UnsetType = UNSET
    prompts: tuple[Prompt, ...] | UnsetType = UNSET
    negative: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    source: SourceKind = "camera"
    params: ParamsPatch = ParamsPatch()
    apply: Apply = "all"
    camera_visible: CameraVisible = "none"
    fallback: Fallback = "slate"
    size: SizeRequest = SizeRequest(640, 360)
    fit: Fit = "cover"
    fps: Fps = 24


class SessionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same for a session's whole life."""

    source: SourceKind = "camera"
    camera_visible: CameraVisible = "none"
    fallback: Fallback = "slate"
    size: Size = Size(640, 360)
    fit: Fit = "cover"
    fps: Fps = 24

    @classmethod
    def of(cls, request: SessionRequest) -> "SessionOptions":
        """The options that `request` asks for.

        Raises:
            InvalidValue: an odd size or too many pixels.
            CameraNotVisible: the fallback shows a camera that the session hides.
            NotAvailable: a part of the protocol that this build does not have.
        """
        width, height = request.size.width, request.size.height
        if width % 2 or height % 2:
            raise InvalidValue(f"{width}×{height} is odd; video wants even sizes.", field="size")
        if width * height > MAX_PIXELS:
            raise InvalidValue(f"{width}×{height} is more than 1920×1080 pixels.", field="size")
        if request.fallback == "camera" and request.camera_visible != "all":
            raise CameraNotVisible("fallback: camera shows a camera that this session hides.", field="fallback")
        check_apply(request.apply)
        return cls(
            source=request.source,
            camera_visible=request.camera_visible,
            fallback=request.fallback,
            size=Size(width, height),
            fit=request.fit,
            fps=request.fps,
        )


def check_apply(apply: Apply | UnsetType) -> None:
    """Refuse what needs a person mask.

    Raises:
        NotAvailable: this build has no person mask yet.
    """
    if apply is not UNSET and apply != "all":
        raise NotAvailable(
            f"apply: {apply} needs the person mask, which this version does not have.",
            hint="Use apply: all.",
            field="apply",
        )


def first_control(request: SessionRequest, spec: ModelSpec, drawn_seed: int) -> ControlState:
    """Version 1 of the control state that `request` asks for.

    Raises:
        InvalidValue: too many prompts, or steps that the model does not know.
        PromptTooLong: a prompt over its limit.
    """
    wanted = request.params
    params = Params(
        strength=0.6 if wanted.strength is UNSET else wanted.strength,
        steps=spec.default_steps if wanted.steps is UNSET else wanted.steps,
        seed=drawn_seed if wanted.seed is UNSET else wanted.seed,
        guidance=1.0 if wanted.guidance is UNSET else wanted.guidance,
        policy="latest" if wanted.policy is UNSET else wanted.policy,
        blend_ms=0 if wanted.blend_ms is UNSET else wanted.blend_ms,
    )
    check_steps(params.steps, spec)
    patch = ControlPatch(prompt=request.prompt, prompts=request.prompts, negative=request.negative)
    first = ControlState(version=0, params=params, apply=request.apply).patched(patch)
    return first.renumbered(1)


def check_steps(steps: int, spec: ModelSpec) -> None:
    """Refuse a step count that the model was not trained for.

    Raises:
        InvalidValue: with the counts that it knows.
    """
    if steps not in spec.valid_steps:
        known = ", ".join(map(str, spec.valid_steps))
        raise InvalidValue(
            f"{spec.name} does not make {steps} steps.", hint=f"Choose one of {known}.", field="params.steps"
        )
