"""What the user asks for, as immutable versions; pure.

`ControlState.patched()` gives the next version; nothing else changes one. Values out of range are refused with the
field's name, never clamped.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from liveglass.engine.errors import InvalidValue, PromptTooLong
from liveglass.engine.frame import Apply

MAX_PROMPTS = 8
MAX_PROMPT_CHARS = 2000
MAX_SEED = 2**32 - 1

Policy = Literal["latest", "steady"]
Strength = Annotated[float, Meta(ge=0, le=1)]
Steps = Annotated[int, Meta(ge=1, le=64)]
Seed = Annotated[int, Meta(ge=0, le=MAX_SEED)]
Guidance = Annotated[float, Meta(ge=0, le=20)]
Hold = Annotated[float, Meta(ge=0, le=2)]
Guide = Literal["edge", "depth"]
"""What of a camera picture a ControlNet is told; how much it holds is the parameter of that name."""

BlendMs = Annotated[int, Meta(ge=0, le=10_000)]
Similarity = Annotated[float, Meta(ge=0, le=1)]
Weight = Annotated[float, Meta(ge=-2, le=2)]


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words and how much they count."""

    text: str
    weight: Weight = 1.0


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers that steer a model.

    Attributes:
        strength: how far the picture moves away from the camera, 0 to 1; each model states its meaning.
        steps: denoise passes for a frame, one of the model's `valid_steps`.
        guidance: classifier-free guidance scale; models without it say so in the receipt.
        edge: how much the camera's edges hold the picture's lines, 0 to 2, by a ControlNet; models without one say so.
        depth: the same of what is near and what is far.
        policy: `latest` moves every frame to the newest camera frame, `steady` keeps one constant lag.
        blend_ms: how long a change of prompt or seed takes, where the change itself does not say.
        similarity: a source picture that is at least so much like the one that the picture on show was made from is not
            generated; 0: each one is. Likeness is 1 less what the block of 8 × 8 pixels whose mean colour changed most
            changed by, in one channel, over 255: 0.98 lets 5 levels pass, and with them the noise of a camera.
    """

    strength: Strength = 0.6
    steps: Steps = 4
    seed: Seed = 0
    guidance: Guidance = 1.0
    edge: Hold = 0.0
    depth: Hold = 0.0
    policy: Policy = "latest"
    blend_ms: BlendMs = 0
    similarity: Similarity = 0.0


class ParamsPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change of some of the numbers; what is unset stays as it is, or takes the model's default."""

    strength: Strength | UnsetType = UNSET
    steps: Steps | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    guidance: Guidance | UnsetType = UNSET
    edge: Hold | UnsetType = UNSET
    depth: Hold | UnsetType = UNSET
    policy: Policy | UnsetType = UNSET
    blend_ms: BlendMs | UnsetType = UNSET
    similarity: Similarity | UnsetType = UNSET

    @property
    def given(self) -> dict[str, Any]:
        """The numbers that are set, by name."""
        every = ((name, getattr(self, name)) for name in Params.__struct_fields__)
        return {name: value for name, value in every if value is not UNSET}


class ControlPatch(ParamsPatch, frozen=True, kw_only=True):
    """A change of some of the control state; what is unset stays as it is."""

    prompt: str | UnsetType = UNSET
    prompts: tuple[Prompt, ...] | UnsetType = UNSET
    negative: str | UnsetType = UNSET
    apply: Apply | UnsetType = UNSET


class ControlState(msgspec.Struct, frozen=True):
    """One version of everything that a user can steer.

    Attributes:
        version: 1 for the first, then counting up; a frame belongs to exactly one.
        transition_ms: how long the change from the version before to this one takes.
    """

    version: int
    prompts: tuple[Prompt, ...] = ()
    negative: str = ""
    params: Params = Params()
    apply: Apply = "all"
    transition_ms: int = 0

    @property
    def spoken(self) -> tuple[Prompt, ...]:
        """The prompts that say something: with words, and with a weight."""
        return tuple(prompt for prompt in self.prompts if prompt.weight and prompt.text.strip())

    def patched(self, patch: ControlPatch) -> "ControlState":
        """The next version, with `patch` laid over this one.

        Raises:
            PromptTooLong: a prompt has over 2,000 characters.
            InvalidValue: more than 8 prompts, or both `prompt` and `prompts`.
        """
        prompts = self.prompts
        if patch.prompt is not UNSET and patch.prompts is not UNSET:
            raise InvalidValue("Both prompt and prompts were given.", hint="Send one of them.", field="prompts")
        if patch.prompt is not UNSET:
            prompts = (Prompt(patch.prompt),) if patch.prompt else ()
        elif patch.prompts is not UNSET:
            prompts = patch.prompts
        negative = self.negative if patch.negative is UNSET else patch.negative
        _check_texts(prompts, negative)
        has_words = any(given is not UNSET for given in (patch.prompt, patch.prompts, patch.negative))
        numbers = patch.given
        blend_ms: int = numbers.get("blend_ms", self.params.blend_ms)
        if patch.prompt is not UNSET or patch.prompts is not UNSET:
            numbers.pop("blend_ms", None)  # of this change alone
        params = msgspec.structs.replace(self.params, **numbers)
        return ControlState(
            version=self.version + 1,
            prompts=prompts,
            negative=negative,
            params=params,
            apply=self.apply if patch.apply is UNSET else patch.apply,
            transition_ms=blend_ms if has_words or params.seed != self.params.seed else 0,
        )

    def renumbered(self, version: int) -> "ControlState":
        """The same wishes as another version (undo and redo are versions too), cut in without a transition."""
        return msgspec.structs.replace(self, version=version, transition_ms=0)


def _check_texts(prompts: tuple[Prompt, ...], negative: str) -> None:
    if len(prompts) > MAX_PROMPTS:
        raise InvalidValue(
            f"{len(prompts)} prompts are more than {MAX_PROMPTS}.",
            hint="Send at most 8 prompts.",
            field="prompts",
        )
    for field, text in [("prompt", p.text) for p in prompts] + [("negative", negative)]:
        if len(text) > MAX_PROMPT_CHARS:
            raise PromptTooLong(
                f"The prompt has {len(text):,} characters; the limit is {MAX_PROMPT_CHARS:,}.", field=field
            )


class History:
    """Undo and redo over control versions; a new change forgets what was undone."""

    def __init__(self, first: ControlState, limit: int = 100) -> None:
        self._past = [first]
        self._future: list[ControlState] = []
        self._limit = limit

    @property
    def current(self) -> ControlState:
        """The version in force."""
        return self._past[-1]

    def push(self, state: ControlState) -> None:
        """`state` is now in force."""
        self._past = [*self._past, state][-self._limit :]
        self._future = []

    def refit(self, fit: Callable[[ControlState], ControlState]) -> None:
        """Lay `fit` over every state; where that changes the one in force, it gets a new version."""
        before = self.current
        self._past, self._future = [fit(state) for state in self._past], [fit(state) for state in self._future]
        if self.current != before:
            self._past[-1] = self.current.renumbered(before.version + 1)

    def undo(self) -> ControlState:
        """The wishes before the last change, as a new version.

        Raises:
            InvalidValue: there is nothing to undo.
        """
        if len(self._past) < 2:
            raise InvalidValue("There is nothing to undo.", hint="Change something first.")
        latest = self.current.version
        self._future.append(self._past.pop())
        self._past[-1] = self._past[-1].renumbered(latest + 1)
        return self.current

    def redo(self) -> ControlState:
        """The wishes that were undone last, as a new version.

        Raises:
            InvalidValue: there is nothing to redo.
        """
        if not self._future:
            raise InvalidValue("There is nothing to redo.", hint="Undo something first.")
        latest = self.current.version
        self._past.append(self._future.pop().renumbered(latest + 1))
        return self.current
