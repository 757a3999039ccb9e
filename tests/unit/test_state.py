"""The state is always named, and its cause is a sentence wherever it is neither ready nor live."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.events import SessionState
from liveglass.engine.frame import FrameKind
from liveglass.engine.stream.state import Facts, derive, same_but_figures

LIVE = Facts(input_age_s=0.01, kind=FrameKind.GENERATED, base_shown=True, new_in_2_s=48, serving_s=9.0, ever_live=True)

facts = st.builds(
    Facts,
    closed=st.sampled_from(["", "over"]),
    queued=st.integers(0, 3),
    panic=st.booleans(),
    paused=st.booleans(),
    worker=st.sampled_from(["warming", "ready", "lost", "stopped"]),
    stage=st.sampled_from(["", "loading", "first frame"]),
    worker_cause=st.sampled_from(["", "It died."]),
    wants_source=st.booleans(),
    input_age_s=st.one_of(st.none(), st.floats(0, 100)),
    kind=st.one_of(st.none(), st.sampled_from(list(FrameKind))),
    base_shown=st.booleans(),
    camera_refused=st.booleans(),
    broken=st.sampled_from(["", "It broke."]),
    new_in_2_s=st.integers(0, 60),
    still_in_2_s=st.integers(0, 60),
    serving_s=st.floats(0, 10),
    ever_live=st.booleans(),
)


@given(facts)
def test_whatever_is_neither_ready_nor_live_says_why(given_facts: Facts) -> None:
    state = derive(given_facts)
    assert bool(state.cause) == (state.state not in {"ready", "live"})
    assert (state.position is not None) == (state.state == "queued")
    assert (state.stage is not None) == (state.state == "warming")


@given(facts)
def test_what_somebody_decided_comes_before_what_the_model_does(given_facts: Facts) -> None:
    state = derive(given_facts).state
    if given_facts.closed:
        assert state == "closed"
    elif given_facts.panic:
        assert state == "panic"
    elif given_facts.paused:
        assert state == "paused"


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({}, "live", ""),
        ({"new_in_2_s": 11}, "degraded", "behind"),
        ({"new_in_2_s": 11, "serving_s": 1.0}, "live", ""),
        ({"new_in_2_s": 0, "wants_source": False}, "live", ""),
        ({"new_in_2_s": 1, "still_in_2_s": 46}, "live", ""),
        ({"new_in_2_s": 2, "still_in_2_s": 6}, "degraded", "behind"),
        ({"input_age_s": 3.0}, "degraded", "No camera picture for 3 s"),
        ({"input_age_s": 12.0, "kind": FrameKind.STANDBY}, "standby", "over 10 s"),
        ({"worker": "lost", "worker_cause": "It died."}, "degraded", "It died."),
        ({"worker": "lost", "base_shown": False}, "standby", "not there"),
        ({"worker": "warming", "ever_live": False, "stage": "loading"}, "warming", "loading"),
        ({"broken": "One flat colour."}, "degraded", "flat"),
        ({"camera_refused": True}, "standby", "camera_visible: all"),
        ({"kind": FrameKind.STANDBY, "ever_live": False, "base_shown": False}, "ready", ""),
    ],
)
def test_each_fact_has_its_state_and_its_words(change: dict[str, object], state: str, word: str) -> None:
    known = {name: getattr(LIVE, name) for name in Facts.__slots__}
    derived = derive(Facts(**{**known, **change}))
    assert derived.state == state
    assert word in derived.cause


def test_the_sentence_changes_at_most_once_a_second() -> None:
    ages = [1.1 + number / 24 for number in range(24 * 30)]
    causes = [
        derive(Facts(input_age_s=age, kind=FrameKind.REPEATED, base_shown=True, ever_live=True)).cause for age in ages
    ]
    changes = sum(a != b for a, b in itertools.pairwise(causes))
    assert changes <= 12


def test_a_figure_that_changed_is_the_same_story_and_another_cause_is_not() -> None:
    slow = SessionState("degraded", cause="The model is behind: 2 of 24 frames a second are new.")
    slower = SessionState("degraded", cause="The model is behind: 1 of 24 frames a second are new.")
    dead = SessionState("degraded", cause="The model's process ended.")
    assert same_but_figures(slow, slower)
    assert not same_but_figures(slow, dead)
    assert not same_but_figures(slow, SessionState("standby", cause=slow.cause))
    assert not same_but_figures(SessionState("queued", position=1), SessionState("queued", position=2))
