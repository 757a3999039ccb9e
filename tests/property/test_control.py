"""Control versions: immutable, counted upwards, with undo and redo; nothing is ever clamped."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlPatch, ControlState, History, Params, Prompt
from liveglass.engine.errors import InvalidValue, PromptTooLong
from liveglass.engine.validation import convert

texts = st.text(max_size=20)
patches = st.builds(
    ControlPatch,
    prompt=st.one_of(st.just(msgspec.UNSET), texts),
    negative=st.one_of(st.just(msgspec.UNSET), texts),
    strength=st.one_of(st.just(msgspec.UNSET), st.floats(0, 1)),
    seed=st.one_of(st.just(msgspec.UNSET), st.integers(0, 2**32 - 1)),
    blend_ms=st.one_of(st.just(msgspec.UNSET), st.integers(0, 10_000)),
    similarity=st.one_of(st.just(msgspec.UNSET), st.floats(0, 1)),
)


def wishes(state: ControlState) -> ControlState:
    return msgspec.structs.replace(state, version=0, transition_ms=0)


@given(patches)
def test_what_a_patch_does_not_name_stays_and_the_version_goes_up_by_one(patch: ControlPatch) -> None:
    before = ControlState(5, (Prompt("a"),), "b", Params(strength=0.3, seed=9))
    after = before.patched(patch)
    assert after.version == 6
    assert before == ControlState(5, (Prompt("a"),), "b", Params(strength=0.3, seed=9))
    for name in ("strength", "seed", "similarity"):
        asked = getattr(patch, name)
        assert getattr(after.params, name) == (getattr(before.params, name) if asked is msgspec.UNSET else asked)
    if patch.prompt is msgspec.UNSET:
        assert after.prompts == before.prompts
    else:
        assert after.prompts == ((Prompt(patch.prompt),) if patch.prompt else ())


@given(st.lists(st.one_of(patches, st.sampled_from(["undo", "redo"])), max_size=40))
def test_undo_and_redo_walk_over_the_wishes_and_every_move_is_a_newer_version(
    moves: list[ControlPatch | str],
) -> None:
    first = ControlState(1)
    history, line, at, version = History(first), [wishes(first)], 0, 1
    for move in moves:
        if isinstance(move, ControlPatch):
            history.push(history.current.patched(move))
            line, at = [*line[: at + 1], wishes(history.current)], at + 1
        elif move == "undo" and at > 0:
            history.undo()
            at -= 1
        elif move == "redo" and at + 1 < len(line):
            history.redo()
            at += 1
        else:
            with pytest.raises(InvalidValue):
                history.undo() if move == "undo" else history.redo()
            continue
        version += 1
        assert history.current.version == version
        assert wishes(history.current) == line[at]


def test_only_new_words_and_another_seed_take_the_time_of_a_transition() -> None:
    state = ControlState(1, params=Params(blend_ms=400))
    assert state.patched(ControlPatch(prompt="ink")).transition_ms == 400
    assert state.patched(ControlPatch(prompt="ink", blend_ms=0)).transition_ms == 0
    assert state.patched(ControlPatch(strength=0.1)).transition_ms == 0
    assert state.patched(ControlPatch(seed=7)).transition_ms == 400
    assert state.patched(ControlPatch(seed=7, blend_ms=0)).transition_ms == 0
    assert state.patched(ControlPatch(seed=0)).transition_ms == 0


@given(st.integers(1, 3000))
def test_a_prompt_has_at_most_2000_characters_of_any_kind(length: int) -> None:
    patch = ControlPatch(prompt="墨" * length)
    if length <= 2000:
        assert len(ControlState(1).patched(patch).prompts[0].text) == length
    else:
        with pytest.raises(PromptTooLong):
            ControlState(1).patched(patch)


def test_nine_prompts_or_two_spellings_of_one_are_refused() -> None:
    with pytest.raises(InvalidValue):
        ControlState(1).patched(ControlPatch(prompts=(Prompt("x"),) * 9))
    with pytest.raises(InvalidValue):
        ControlState(1).patched(ControlPatch(prompt="a", prompts=(Prompt("b"),)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("strength", 1.01),
        ("strength", -0.1),
        ("steps", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("guidance", 20.5),
        ("edge", 2.1),
        ("depth", -0.1),
        ("similarity", 1.001),
        ("blend_ms", 10_001),
        ("policy", "fastest"),
        ("prompts", [{"text": "x", "weight": 2.5}]),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name_and_never_clamped(field: str, value: object) -> None:
    with pytest.raises(InvalidValue) as refused:
        convert({field: value}, ControlPatch)
    assert (refused.value.field or "").startswith(field)
