"""A request is checked before it costs anything, and refused by the name of what is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.errors import (
    CameraNotVisible,
    InvalidInput,
    InvalidValue,
    LiveglassError,
    MalformedMessage,
    NotAvailable,
    PromptTooLong,
    UnknownField,
)
from liveglass.engine.models import registry
from liveglass.engine.options import SessionOptions, SessionRequest, SizeRequest, first_control
from liveglass.engine.validation import convert, did_you_mean, json_object

NANO = registry.spec("nano")


def test_an_empty_request_has_the_protocols_defaults() -> None:
    request = convert({}, SessionRequest)
    options, control = SessionOptions.of(request), first_control(request, NANO, 77)
    assert (options.source, options.camera_visible, options.fallback, options.fit) == (
        "camera",
        "none",
        "slate",
        "cover",
    )
    assert (options.size.width, options.size.height, options.fps) == (640, 360, 24)
    params = control.params
    assert (control.version, params.strength, params.steps, params.seed, params.blend_ms) == (1, 0.6, 4, 77, 0)
    assert params.similarity == 0.0


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({"promt": "x"}, UnknownField, "promt"),
        ({"params": {"strenght": 1}}, UnknownField, "params.strenght"),
        ({"fps": 23}, InvalidValue, "fps"),
        ({"source": "webcam"}, InvalidValue, "source"),
        ({"size": {"width": 62, "height": 64}}, InvalidValue, "size.width"),
        ({"size": {"width": 640}}, InvalidValue, "size"),
        ({"params": {"strength": "0.5"}}, InvalidValue, "params.strength"),
        ({"prompts": [{"text": "a", "weight": 3}]}, InvalidValue, "prompts[0].weight"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_its_field(
    body: dict[str, object], error: type[LiveglassError], field: str
) -> None:
    with pytest.raises(error) as refused:
        convert(body, SessionRequest)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (SessionRequest(size=SizeRequest(641, 360)), InvalidValue),
        (SessionRequest(fallback="camera"), CameraNotVisible),
        (SessionRequest(fallback="camera", camera_visible="person"), CameraNotVisible),
        (SessionRequest(apply="background"), NotAvailable),
    ],
)
def test_what_no_session_can_be_is_refused(request_: SessionRequest, error: type[LiveglassError]) -> None:
    with pytest.raises(error):
        SessionOptions.of(request_)


def test_words_and_steps_are_checked_with_the_model() -> None:
    with pytest.raises(PromptTooLong):
        first_control(SessionRequest(prompt="x" * 2001), NANO, 0)
    with pytest.raises(InvalidValue) as refused:
        first_control(convert({"params": {"steps": 3}}, SessionRequest), NANO, 0)
    assert refused.value.hint == "Choose one of 1, 2, 4."


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)
names = st.sampled_from(["prompt", "prompts", "size", "params", "fps", "source", "x"])


@given(st.dictionaries(names, json_values))
def test_any_json_is_a_request_or_a_typed_refusal(body: dict[str, object]) -> None:
    try:
        SessionOptions.of(convert(body, SessionRequest))
    except (InvalidInput, NotAvailable, CameraNotVisible):
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_typed_refusal(raw: bytes) -> None:
    try:
        value = json_object(raw)
    except MalformedMessage:
        return
    assert isinstance(value, dict)


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b'{"a":' * 2000, b"\xff", b"{" + b" " * 70_000 + b"}"])
def test_what_is_no_small_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        json_object(raw)


def test_a_near_miss_is_answered_with_the_word_that_was_meant() -> None:
    assert did_you_mean("promt", ["prompt", "params"]) == "Did you mean 'prompt'?"
    assert did_you_mean("zzz", ["b", "a"]) == "Known here: a, b."
