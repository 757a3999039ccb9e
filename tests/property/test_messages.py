"""Commands: typed or refused with the field and the nearest known word; events: read back as they were said."""

import json
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlPatch, Params, Prompt
from liveglass.engine.errors import (
    InvalidInput,
    InvalidValue,
    MalformedMessage,
    UnknownEvent,
    UnknownField,
)
from liveglass.engine.events import (
    ControlAccepted,
    ControlApplied,
    ControlChanged,
    ControlView,
    ErrorEvent,
    ModelChanged,
    Percentiles,
    SessionState,
    Stats,
)
from liveglass.transport.messages import (
    COMMANDS,
    MAX_MESSAGE_BYTES,
    Command,
    FrameAck,
    Hello,
    ParamsSet,
    PictureSize,
    Ping,
    Pong,
    PromptSet,
    PromptStage,
    PublishAck,
    ServerEvent,
    StatsSubscribe,
    command_id,
    encode,
    parse_command,
    parse_event,
)

ids = st.text(min_size=1, max_size=128)
texts = st.text(max_size=50)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = sorted({field.name for kind in COMMANDS.values() for field in msgspec.structs.fields(kind)})

commands = st.one_of(
    st.builds(PromptSet, id=ids, text=texts, blend_ms=st.integers(0, 10_000)),
    st.builds(
        PromptSet,
        id=ids,
        prompts=st.lists(st.builds(Prompt, text=texts, weight=st.floats(-2, 2)), max_size=8).map(tuple),
        negative=texts,
    ),
    st.builds(PromptStage, id=ids, cue=ids, text=texts),
    st.builds(
        ParamsSet,
        id=ids,
        strength=st.floats(0, 1),
        steps=st.integers(1, 64),
        seed=st.integers(0, 2**32 - 1),
        guidance=st.floats(0, 20),
        edge=st.floats(0, 2),
        depth=st.floats(0, 2),
        similarity=st.floats(0, 1),
        policy=st.sampled_from(["latest", "steady"]),
    ),
    st.sampled_from([kind for name, kind in COMMANDS.items() if name.startswith(("stream.", "history."))]).flatmap(
        lambda kind: st.builds(kind, id=ids)
    ),
    st.builds(FrameAck, seq=st.integers(0, 2**32 - 1)),
    st.builds(StatsSubscribe, interval_ms=st.integers(250, 60_000)),
    st.builds(Ping, t=st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)),
)


@given(commands)
def test_a_command_is_read_as_it_was_written(command: Command) -> None:
    assert parse_command(encode(command)) == command


def test_every_command_of_the_protocol_is_known() -> None:
    assert set(COMMANDS) == {
        "prompt.set",
        "prompt.stage",
        "prompt.take",
        "params.set",
        "history.undo",
        "history.redo",
        "stream.pause",
        "stream.resume",
        "stream.panic",
        "frame.ack",
        "stats.subscribe",
        "ping",
        "session.close",
    }


@given(st.text() | st.binary())
def test_any_text_is_a_command_or_a_typed_refusal(raw: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_command(raw)


def read_or_refuse(raw: str) -> Command | InvalidInput:
    try:
        return parse_command(raw)
    except InvalidInput as error:
        return error


@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.sampled_from(field_names), json_values))
def test_any_object_is_a_command_or_a_typed_refusal(name: str, fields: dict[str, Any]) -> None:
    read = read_or_refuse(json.dumps({**fields, "type": name}))
    if isinstance(read, InvalidInput):
        assert read.message
        assert read.hint
    else:
        assert isinstance(read, COMMANDS[name])


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_misspelt_command_gets_the_nearest_word(name: str) -> None:
    with pytest.raises(UnknownEvent) as refusal:
        parse_command(json.dumps({"type": f"{name}s", "id": "1"}))
    assert repr(name) in refusal.value.hint


def test_a_misspelt_field_gets_the_nearest_word() -> None:
    with pytest.raises(UnknownField) as refusal:
        parse_command('{"type": "params.set", "id": "1", "strenght": 0.5}')
    assert refusal.value.field == "strenght"
    assert "'strength'" in refusal.value.hint


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ('{"type": "params.set", "id": "1", "strength": 1.01}', "strength"),
        ('{"type": "params.set", "id": "1", "strength": "0.5"}', "strength"),
        ('{"type": "params.set", "id": "1", "seed": 4294967296}', "seed"),
        ('{"type": "params.set", "id": "1", "policy": "fast"}', "policy"),
        ('{"type": "prompt.set", "id": "1", "text": "a", "at": "later"}', "at"),
        ('{"type": "prompt.set", "id": "1", "prompts": [{"text": "a", "weight": 3}]}', "prompts[0].weight"),
        ('{"type": "prompt.set", "id": 1, "text": "a"}', "id"),
        ('{"type": "frame.ack", "seq": -1}', "seq"),
        ('{"type": "stats.subscribe", "interval_ms": 249}', "interval_ms"),
        ('{"type": "stats.subscribe", "interval_ms": 60001}', "interval_ms"),
        ('{"id": "1"}', "type"),
        ('{"type": 7}', "type"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(raw: str, field: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        parse_command(raw)
    assert refusal.value.field == field


@pytest.mark.parametrize("raw", ["", "{", "[]", "null", '"ping"', "\x00", b"\xff\xfe", "[" * 20_000])
def test_what_is_no_object_is_malformed(raw: str | bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse_command(raw)


def test_a_message_of_more_than_64_kib_is_not_even_parsed() -> None:
    with pytest.raises(MalformedMessage, match="limit"):
        parse_command(json.dumps({"type": "prompt.set", "id": "1", "text": "x" * MAX_MESSAGE_BYTES}))


def test_a_command_needs_its_id_to_be_answered() -> None:
    with pytest.raises(InvalidValue, match="id"):
        parse_command('{"type": "stream.panic"}')


@pytest.mark.parametrize("fields", [{}, {"text": "a", "prompts": []}, {"blend_ms": 400}])
def test_words_are_either_a_text_or_prompts(fields: dict[str, object]) -> None:
    command = parse_command(json.dumps({"type": "prompt.set", "id": "1", **fields}))
    assert isinstance(command, PromptSet)
    with pytest.raises(InvalidValue):
        command.patch()


def test_params_without_any_number_are_refused() -> None:
    with pytest.raises(InvalidValue):
        ParamsSet(id="1").patch()


def test_a_command_changes_only_what_it_names() -> None:
    assert ParamsSet(id="1", strength=0.5).patch() == ControlPatch(strength=0.5)
    assert PromptSet(id="1", text="ink").patch() == ControlPatch(prompt="ink")
    assert PromptSet(id="1", negative="blur").patch() == ControlPatch(negative="blur")


@given(json_values)
def test_an_id_is_found_for_the_error_even_where_the_command_is_wrong(value: object) -> None:
    expected = value[:128] if isinstance(value, str) else None
    assert command_id({"id": value}) == expected


CONTROL = ControlView(3, (Prompt("ink"),), "", Params(), "all")
EVENTS: tuple[ServerEvent, ...] = (
    Hello(
        session="s_1",
        role="viewer",
        state="live",
        control=CONTROL,
        server_time=1.5,
        fps=24,
        slot=7,
        size=PictureSize(640, 360),
    ),
    SessionState("queued", cause="Full.", position=2),
    ControlAccepted("c", 3, {"strength": 0.5}, ("no effect",)),
    ControlApplied(3, 12, 40.5),
    ControlChanged(CONTROL, "http"),
    ModelChanged("sd-turbo", "warming", stage="loading"),
    Stats(24.0, 20.0, {"warped": 4.0}, 0, 1, 2, {"decode": Percentiles(1, 2, 3)}, None, None),
    ErrorEvent(code="flood", message="Too much.", retryable=False, seq=4),
    PublishAck(9, 3),
    Pong(1, 2.0),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_is_read_as_it_was_said(event: ServerEvent) -> None:
    assert parse_event(encode(event)) == event


def test_hello_has_what_the_protocol_promises() -> None:
    said = json.loads(encode(EVENTS[0]))
    assert said.keys() == {
        "type", "protocol", "session", "role", "state", "control", "server_time", "fps", "slot", "size", "limits",
        "applies",
    }  # fmt: skip
    assert said["size"] == {"width": 640, "height": 360}


@given(st.text())
def test_a_client_ignores_what_it_cannot_read(raw: str) -> None:
    assert parse_event(raw) is None


def test_a_client_ignores_events_of_a_later_version_but_reads_their_new_fields_past() -> None:
    assert parse_event('{"type": "weather.changed", "to": "rain"}') is None
    assert parse_event('{"type": "publish.ack", "seq": 1, "credit": 3, "mood": "good"}') == PublishAck(1, 3)


def test_both_directions_use_different_names() -> None:
    spoken = {msgspec.inspect.type_info(kind).tag for kind in get_args(ServerEvent)}
    assert not spoken & COMMANDS.keys()
