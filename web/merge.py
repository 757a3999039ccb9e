"""A JSON merge patch (RFC 7396) of a session's control state, typed; pure.

`null` takes a value back to its default: the model's own steps, a newly drawn seed, no prompt.
"""

import secrets

import msgspec
from msgspec import UNSET, UnsetType

from liveglass.engine.control import (
    MAX_SEED,
    BlendMs,
    ControlPatch,
    Guidance,
    Hold,
    Params,
    Policy,
    Prompt,
    Seed,
    Similarity,
    Steps,
    Strength,
)
from liveglass.engine.errors import InvalidValue, UnknownField
from liveglass.engine.frame import Apply
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.validation import convert


class ParamsMerge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of params; what is unset stays, `null` takes the default."""

    strength: Strength | UnsetType | None = UNSET
    steps: Steps | UnsetType | None = UNSET
    seed: Seed | UnsetType | None = UNSET
    guidance: Guidance | UnsetType | None = UNSET
    edge: Hold | UnsetType | None = UNSET
    depth: Hold | UnsetType | None = UNSET
    policy: Policy | UnsetType | None = UNSET
    blend_ms: BlendMs | UnsetType | None = UNSET
    similarity: Similarity | UnsetType | None = UNSET


class ControlMerge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `PATCH /v1/sessions/{id}`."""

    prompt: str | UnsetType | None = UNSET
    prompts: tuple[Prompt, ...] | UnsetType | None = UNSET
    negative: str | UnsetType | None = UNSET
    apply: Apply | UnsetType | None = UNSET
    params: ParamsMerge | UnsetType | None = UNSET


_ALL_DEFAULTS = ParamsMerge(*[None] * len(ParamsMerge.__struct_fields__))


def read_merge(body: dict[str, object], spec: ModelSpec) -> ControlPatch:
    """The change that a merge patch asks for.

    Raises:
        UnknownField: a field that the control state does not have, or one that belongs under `params`.
        InvalidValue: a value that does not fit, or `prompt` together with `prompts`.
    """
    _point_at_params(body)
    merge = convert(body, ControlMerge)
    if merge.prompt is not UNSET and merge.prompts is not UNSET:
        raise InvalidValue("Both prompt and prompts were given.", hint="Send one of them.", field="prompts")
    prompts = () if merge.prompt is None or merge.prompts is None else merge.prompts
    wanted = _ALL_DEFAULTS if merge.params is None else merge.params
    params = ParamsMerge() if wanted is UNSET else wanted
    default = msgspec.structs.asdict(Params(steps=spec.default_steps, seed=secrets.randbelow(MAX_SEED + 1)))
    numbers = {
        name: default[name] if value is None else value for name, value in msgspec.structs.asdict(params).items()
    }
    return ControlPatch(
        prompt=UNSET if merge.prompt is None else merge.prompt,
        prompts=prompts,
        negative="" if merge.negative is None else merge.negative,
        apply="all" if merge.apply is None else merge.apply,
        **numbers,
    )


def _point_at_params(body: dict[str, object]) -> None:
    for name in body:
        if name in ParamsMerge.__struct_fields__:
            hint = f'Put it under params: {{"params": {{"{name}": …}}}}.'
            raise UnknownField(f"There is no field {name!r} here.", hint=hint, field=name)
    if "version" in body:
        hint = "Send If-Match to tie a change to one."
        raise UnknownField("The version counts by itself.", hint=hint, field="version")
