"""Staged cues, and commands that are answered again and not done again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import InvalidValue
from liveglass.engine.events import ControlAccepted, ErrorEvent
from liveglass.transport.deck import MAX_ANSWERS, MAX_CUES, Answered, Deck

ACCEPTED = ControlAccepted("1", 2, {})
UNIQUE = "5f0c8c1e-0f2b-4d53-9a3e-2f1f0b7c8a11"


def test_a_cue_stays_staged_when_it_is_taken() -> None:
    deck = Deck()
    deck.stage("chorus", ControlPatch(prompt="ink"))
    assert deck.take("chorus") == deck.take("chorus") == ControlPatch(prompt="ink")


def test_staging_again_replaces() -> None:
    deck = Deck()
    deck.stage("chorus", ControlPatch(prompt="ink"))
    deck.stage("chorus", ControlPatch(prompt="oil"))
    assert deck.take("chorus") == ControlPatch(prompt="oil")


def test_an_unknown_cue_is_refused_with_the_nearest() -> None:
    deck = Deck()
    deck.stage("chorus", ControlPatch(prompt="ink"))
    with pytest.raises(InvalidValue) as refusal:
        deck.take("korus")
    assert refusal.value.field == "cue"
    assert "chorus" in refusal.value.hint


def test_a_deck_is_bounded() -> None:
    deck = Deck()
    for number in range(MAX_CUES + 1):
        deck.stage(str(number), ControlPatch(prompt=str(number)))
    with pytest.raises(InvalidValue):
        deck.take("0")
    assert deck.take("1") == ControlPatch(prompt="1")


@given(st.text(min_size=1), st.text())
def test_a_repeated_id_on_one_connection_has_the_same_answer_whatever_it_says(command_id: str, other: str) -> None:
    answered = Answered()
    answered.remember(1, command_id, "{}", ACCEPTED)
    assert answered.recall(1, command_id, other) is ACCEPTED


def test_a_counter_of_another_connection_is_not_a_repetition() -> None:
    answered = Answered()
    answered.remember(1, "1", "panic", ACCEPTED)
    assert answered.recall(2, "1", "panic") is None


def test_a_unique_id_is_recognised_after_a_reconnect_if_it_says_the_same() -> None:
    answered = Answered()
    answered.remember(1, UNIQUE, "undo", ACCEPTED)
    assert answered.recall(2, UNIQUE, "undo") is ACCEPTED
    assert answered.recall(2, UNIQUE, "redo") is None


def test_what_could_succeed_later_may_be_tried_again_under_the_same_id() -> None:
    answered = Answered()
    busy = ErrorEvent(code="unavailable", message="Not now.", retryable=True)
    wrong = ErrorEvent(code="invalid_value", message="Never.", retryable=False)
    answered.remember(1, "1", "a", busy)
    answered.remember(1, "2", "b", wrong)
    assert answered.recall(1, "1", "a") is None
    assert answered.recall(1, "2", "b") is wrong


def test_the_memory_is_bounded() -> None:
    answered = Answered()
    for number in range(MAX_ANSWERS + 1):
        answered.remember(1, str(number), "", ACCEPTED)
    assert answered.recall(1, "0", "") is None
    assert answered.recall(1, "1", "") is ACCEPTED
