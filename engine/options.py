"""How a session is opened: the request as it came, and the options that follow from it; pure.

Everything is checked here, before anything is allocated.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from liveglass.engine.control import (
    ControlPatch,
    ControlState,
    Params,
    ParamsPatch,
    Prompt,
)
from liveglass.engine.errors import CameraNotVisible, InvalidValue, NotAvailable
from liveglass.engine.frame import Apply, OutputFrame, Size
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
    def of(cls, request: SessionRequest, *, has_mask: bool = False) -> "SessionOptions":
        """The options that `request` asks for.

        Args:
            has_mask: whether this server can tell a person from a room.

        Raises:
            InvalidValue: an odd size or too many pixels.
            CameraNotVisible: the fallback, or `apply`, shows a camera that the session hides.
            NotAvailable: `apply` needs a person mask, and there is none.
        """
        width, height = request.size.width, request.size.height
        if width % 2 or height % 2:
            raise InvalidValue(f"{width}×{height} is odd; video wants even sizes.", field="size")
        if width * height > MAX_PIXELS:
            raise InvalidValue(f"{width}×{height} is more than 1920×1080 pixels.", field="size")
        if request.fallback == "camera" and request.camera_visible != "all":
            raise CameraNotVisible("fallback: camera shows a camera that this session hides.", field="fallback")
        check_apply(request.apply, request.camera_visible, has_mask=has_mask)
        return cls(
            source=request.source,
            camera_visible=request.camera_visible,
            fallback=request.fallback,
            size=Size(width, height),
            fit=request.fit,
            fps=request.fps,
        )

    def may_show(self, output: OutputFrame) -> bool:
        """Whether `output` may leave the session: the gate that every way out asks, after the composer has."""
        if not output.holds_camera or self.camera_visible == "all":
            return True
        return self.camera_visible == "person" and output.person_only


def possible(camera_visible: CameraVisible, *, has_mask: bool) -> tuple[Apply, ...]:
    """What `apply` may be in such a session."""
    if not has_mask or camera_visible == "none":
        return ("all",)
    return ("all", "background", "person") if camera_visible == "all" else ("all", "background")


def check_apply(apply: Apply | UnsetType, camera_visible: CameraVisible, *, has_mask: bool) -> None:
    """Refuse an `apply` that this server cannot do, or that shows more of the camera than the session allows.

    Raises:
        NotAvailable: there is no person mask.
        CameraNotVisible: what is kept of the camera is hidden.
    """
    if apply is UNSET or apply in possible(camera_visible, has_mask=has_mask):
        return
    if not has_mask:
        raise NotAvailable(
            f"apply: {apply} needs the person mask, which is not here.",
            hint="Run `liveglass models get person-mask` once, then start the server again.",
            field="apply",
        )
    if apply == "background":
        raise CameraNotVisible(
            "apply: background keeps the person, and this session hides its camera.",
            hint="Open the session with camera_visible: person.",
            field="apply",
        )
    raise CameraNotVisible(
        "apply: person keeps the room, and this session hides it.",
        hint="Open the session with camera_visible: all.",
        field="apply",
    )


def first_control(request: SessionRequest, spec: ModelSpec, drawn_seed: int) -> ControlState:
    """Version 1 of the control state that `request` asks for.

    Raises:
        InvalidValue: too many prompts, or steps that the model does not know.
        PromptTooLong: a prompt over its limit.
    """
    params = msgspec.structs.replace(Params(steps=spec.default_steps, seed=drawn_seed), **request.params.given)
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


def fitted(control: ControlState, spec: ModelSpec) -> ControlState:
    """`control` as this model can take it: another model may have other step counts."""
    if control.params.steps in spec.valid_steps:
        return control
    params = msgspec.structs.replace(control.params, steps=spec.default_steps)
    return msgspec.structs.replace(control, params=params)
