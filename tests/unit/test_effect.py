"""A receipt says what was asked, what takes effect, and what does not."""

from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.models import registry
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.stream.effect import in_effect

NANO, NULL = registry.spec("nano"), registry.spec("null")


def test_known_words_need_no_note() -> None:
    words = f"a {NANO.vocabulary.styles[0]} with {NANO.vocabulary.colours[0]}"
    effective, notes = in_effect(ControlState(1, (Prompt(words),)), NANO)
    assert notes == ()
    assert effective["prompts"] == [{"text": words, "weight": 1.0}]


def test_every_look_of_the_built_in_model_is_made_of_words_that_it_knows() -> None:
    for look in NANO.looks:
        assert in_effect(ControlState(1, (Prompt(look.prompt),)), NANO)[1] == ()


def test_an_unknown_word_is_named_once_with_what_is_near() -> None:
    near = NANO.vocabulary.styles[0].split()[0]
    wrong = near[:-1] + "q"
    _, notes = in_effect(ControlState(1, (Prompt(f"{wrong} {wrong}"),)), NANO)
    assert len(notes) == 1
    assert wrong in notes[0]


def test_what_a_model_does_not_have_is_said_and_does_not_count() -> None:
    asked = ControlState(
        1, (Prompt("x"),), "y", Params(guidance=7.0, edge=1.0, depth=0.5, strength=0.2, policy="steady")
    )
    effective, notes = in_effect(asked, NULL)
    assert [note.split(":")[0] for note in notes] == ["prompt", "negative", "guidance", "edge", "depth", "strength"]
    assert (effective["prompts"], effective["negative"], effective["guidance"]) == ([], "", 1.0)
    assert (effective["edge"], effective["depth"]) == (0.0, 0.0)
    assert effective["policy"] == "steady"
    assert effective["similarity"] == 0.0


def test_a_model_of_any_words_takes_any_words() -> None:
    spec = ModelSpec(name="open", title="", licence="", valid_steps=(4,), default_steps=4)
    assert in_effect(ControlState(1, (Prompt("qwxyz"),)), spec)[1] == ()


@given(st.lists(st.text(max_size=200), max_size=8))
def test_any_text_is_answered_with_a_few_notes_at_most(texts: list[str]) -> None:
    _, notes = in_effect(ControlState(1, tuple(map(Prompt, texts))), NANO)
    assert len(notes) <= 8
