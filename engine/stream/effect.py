"""What really takes effect of what was asked, with this model: the second half of a receipt; pure."""

import re
from typing import get_args

from liveglass.engine.control import ControlState, Guide
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.validation import nearest

_WORD = re.compile(r"[^\W\d_]+(?:[-'][^\W\d_]+)*")
_MAX_NOTES = 8


def effective(control: ControlState) -> dict[str, object]:
    """The control state as receipts carry it: plain JSON data."""
    params = control.params
    return {
        "prompts": [{"text": prompt.text, "weight": prompt.weight} for prompt in control.prompts],
        "negative": control.negative,
        "strength": params.strength,
        "steps": params.steps,
        "seed": params.seed,
        "guidance": params.guidance,
        "edge": params.edge,
        "depth": params.depth,
        "policy": params.policy,
        "apply": control.apply,
        "blend_ms": control.transition_ms,
        "similarity": params.similarity,
    }


def in_effect(control: ControlState, spec: ModelSpec) -> tuple[dict[str, object], tuple[str, ...]]:
    """What applies with this model, and notes for people about what does not."""
    result = effective(control)
    notes = []
    if not spec.prompt_has_effect and control.prompts:
        result["prompts"] = []
        notes.append(f"prompt: no effect with this model ({spec.name})")
    if not spec.negative and control.negative:
        result["negative"] = ""
        notes.append(f"negative: no effect with this model ({spec.name})")
    if spec.guidance == "none" and control.params.guidance != 1.0:
        result["guidance"] = 1.0
        notes.append(f"guidance: no effect with this model ({spec.name})")
    for guide in get_args(Guide):
        if spec.guide != guide and getattr(control.params, guide):
            result[guide] = 0.0
            notes.append(f"{guide}: no effect with this model ({spec.name})")
    if not spec.strength_has_effect and control.params.strength != 0.6:
        notes.append(f"strength: no effect with this model ({spec.name})")
    if spec.prompt_has_effect and not spec.open_vocabulary:
        notes += word_notes(control, spec)
    return result, tuple(notes[:_MAX_NOTES])


def word_notes(control: ControlState, spec: ModelSpec) -> list[str]:
    """A note for each word that the model does not know, naming the nearest ones that it does."""
    vocabulary = spec.vocabulary
    phrases = [
        *vocabulary.styles,
        *vocabulary.scenes,
        *vocabulary.colours,
        *vocabulary.modifiers,
        *vocabulary.synonyms,
    ]
    known = {word for phrase in phrases for word in _WORD.findall(phrase.lower())}
    notes = []
    for prompt in control.prompts:
        for word in dict.fromkeys(_WORD.findall(prompt.text.lower())):
            if word in known or word in vocabulary.fillers:
                continue
            near = nearest(word, known, 3)
            ending = f"nearest known words: {', '.join(near)}" if near else "no known word is near it"
            notes.append(f"“{word}” is not known to this model; {ending}")
    return notes
