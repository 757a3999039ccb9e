"""Frames and events over a real socket, as an outside client sees them."""

import json

import pytest

from liveglass.engine.clock import ManualClock
from liveglass.engine.stream.session import Session
from liveglass.transport import codecs
from liveglass.transport.header import Codec, Flags, WireKind


async def test_hello_comes_first_then_the_state(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session) as peer:
        hello, state = await peer.read(), await peer.read()
        assert hello["type"] == "hello"
        assert hello["protocol"] == 1
        assert hello["session"] == session.id
        assert hello["role"] == "controller"
        assert hello["control"]["version"] == 1
        assert hello["fps"] == 24
        assert hello["size"] == {"width": 128, "height": 96}
        assert hello["slot"] <= session.current_slot
        assert state["type"] == "session.state"


async def test_frames_are_labelled_and_their_slots_grow(house) -> None:
    async with house.peer(house.open(source="sample")) as peer:
        first = await peer.frame(lambda frame: frame.kind is WireKind.GENERATED)
        second = await peer.frame()
        assert second.seq > first.seq
        assert first.version == 1
        assert first.codec is Codec.JPEG
        assert Flags.KEYFRAME in first.flags


async def test_a_raw_viewer_gets_pixels_that_no_codec_touched(house) -> None:
    async with house.peer(house.open(source="sample"), format="raw") as peer:
        assert (await peer.read())["type"] == "hello"
        message = ""
        while not isinstance(message, bytes):
            message = await peer.socket.recv()
        assert codecs.decode_raw(message[24:]).shape == (96, 128, 3)


async def test_view_0_gets_events_and_no_frames(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session, view=0) as silent, house.peer(session) as watching:
        for _ in range(5):
            await watching.frame()
        await silent.settle()
        assert silent.frames == []


async def test_a_camera_picture_comes_back_with_its_time(house) -> None:
    async with house.peer(house.open(source="camera"), publish=1) as peer:
        seq = 0
        while not peer.frames or peer.frames[-1].kind is not WireKind.GENERATED:
            seq += 1
            await peer.send_picture(seq)
            ack = await peer.event("publish.ack")
            assert ack["seq"] == seq
            assert ack["credit"] >= 3
            await peer.frame()
        assert peer.frames[-1].holds_camera
        assert peer.frames[-1].source_us in {1000 * sent for sent in range(1, seq + 1)}


async def test_a_change_is_accepted_told_to_everybody_applied_and_settled(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session) as peer, house.peer(session, "viewer") as other:
        answer = await peer.ask("params.set", id="a", strength=0.25)
        assert answer["type"] == "control.accepted"
        assert answer["version"] == 2
        assert (await other.event("control.changed"))["control"]["params"]["strength"] == 0.25
        applied = await peer.until(lambda event: event["type"] == "control.applied" and event["version"] == 2)
        await peer.until(lambda event: event["type"] == "control.settled" and event["version"] == 2)
        later = await peer.frame(lambda frame: frame.seq > applied["slot"])
        assert later.version == 2


async def test_every_command_is_answered(house) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        for number, (type_, fields) in enumerate(
            [
                ("prompt.set", {"text": "ink drawing, blue"}),
                ("prompt.set", {"prompts": [{"text": "a"}, {"text": "b", "weight": -1}], "negative": "c"}),
                ("params.set", {"strength": 0.5, "at": "now"}),
                ("history.undo", {}),
                ("history.redo", {}),
                ("stream.pause", {}),
                ("stream.resume", {}),
                ("stream.panic", {}),
                ("stream.resume", {}),
            ]
        ):
            answer = await peer.ask(type_, id=str(number), **fields)
            assert answer["type"] == "control.accepted", answer


async def test_a_staged_cue_changes_nothing_until_it_is_taken(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session, view=0) as peer, house.peer(session, view=0) as other:
        staged = await peer.ask("prompt.stage", id="1", cue="chorus", text="oil painting")
        assert (staged["type"], staged["version"]) == ("control.accepted", 1)
        assert staged["effective"]["cue"] == "chorus"
        assert session.control.version == 1
        taken = await other.ask("prompt.take", id="1", cue="chorus")
        assert taken["version"] == 2
        assert [prompt.text for prompt in session.control.prompts] == ["oil painting"]
        unknown = await peer.ask("prompt.take", id="2", cue="korus")
        assert (unknown["code"], unknown["field"]) == ("invalid_value", "cue")
        assert "chorus" in unknown["hint"]


async def test_a_prompt_too_long_is_refused_when_it_is_staged(house) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        answer = await peer.ask("prompt.stage", id="1", cue="chorus", text="x" * 2001)
        assert answer["code"] == "prompt_too_long"


async def test_a_repeated_id_is_answered_again_and_not_done_again(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session, view=0) as peer:
        first = await peer.ask("params.set", id="same", strength=0.25)
        second = await peer.ask("params.set", id="same", strength=0.75)
        assert second == first
        assert session.control.version == 2


async def test_a_unique_id_sent_again_after_a_reconnect_is_done_once(house) -> None:
    session = house.open(source="sample")
    unique = "0b5f2a3c9d7e4f61"
    async with house.peer(session, view=0) as peer:
        first = await peer.ask("params.set", id=unique, strength=0.25)
    async with house.peer(session, view=0) as peer:
        assert await peer.ask("params.set", id=unique, strength=0.25) == first
    assert session.control.version == 2


async def test_a_counter_of_a_reloaded_page_is_no_repetition(house) -> None:
    session = house.open(source="sample")
    for _ in range(2):
        async with house.peer(session, view=0) as peer:
            await peer.ask("stream.panic", id="1")
            assert session.state.state == "panic"
            await peer.ask("stream.resume", id="2")
            assert session.state.state != "panic"


@pytest.mark.parametrize(
    ("said", "code", "hint"),
    [
        ({"type": "prompt.sett", "id": "7", "text": "a"}, "unknown_event", "prompt.set"),
        ({"type": "params.set", "id": "7", "strenght": 1}, "unknown_field", "strength"),
        ({"type": "params.set", "id": "7", "strength": 2}, "invalid_value", ""),
        ({"type": "params.set", "id": "7", "steps": 63}, "invalid_value", ""),
        ({"type": "prompt.set", "id": "7"}, "invalid_value", ""),
        ({"type": "history.undo", "id": "7"}, "invalid_value", ""),
        ({"type": "params.set", "id": "7", "apply": "person"}, "not_available", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_wrong_command_is_refused_and_the_connection_stays(house, said, code: str, hint: str) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        await peer.socket.send(json.dumps(said))
        error = await peer.event("error")
        assert (error["code"], error["id"]) == (code, "7")
        assert hint in error["hint"]
        await peer.settle()


@pytest.mark.parametrize("raw", ["", "{", "[]", "\x00", '{"type": {}}', "[" * 60_000, '{"type": "' + "x" * 70_000])
async def test_what_is_no_message_is_refused_and_the_connection_stays(house, raw: str) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        await peer.socket.send(raw)
        assert (await peer.event("error"))["code"] in {"malformed_message", "invalid_value"}
        await peer.settle()


async def test_a_viewer_may_watch_count_and_ping_and_nothing_else(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session, "viewer") as peer:
        assert (await peer.read())["role"] == "viewer"
        await peer.frame()
        await peer.say("stats.subscribe", interval_ms=60_000)
        assert (await peer.event("stats"))["out_fps"] >= 0
        await peer.settle()
        for type_, fields in (("prompt.set", {"text": "a"}), ("stream.panic", {}), ("session.close", {})):
            error = await peer.ask(type_, id=type_, **fields)
            assert error["code"] == "not_allowed"
        assert session.control.version == 1
        assert session.state.state != "panic"


async def test_a_viewer_that_would_publish_is_turned_away(house) -> None:
    async with house.peer(house.open(source="camera"), "viewer", publish=1) as peer:
        assert (await peer.closed())[0] == 4403


async def test_pictures_without_publish_are_refused_with_their_seq(start) -> None:
    house = await start(clock=ManualClock())
    async with house.peer(house.open(source="camera"), view=0) as peer:
        await peer.send_picture(41)
        await peer.send_picture(42)
        await peer.settle()
        errors = [event for event in peer.events if event["type"] == "error"]
        assert [(error["code"], error["seq"]) for error in errors] == [("not_allowed", 41)]


async def test_statistics_come_at_once_and_then_by_the_clock(house) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        await peer.say("stats.subscribe", interval_ms=250)
        assert (await peer.event("stats")).keys() >= {"out_fps", "generated_fps", "latency", "dropped"}
        await peer.event("stats")


async def test_without_a_subscription_there_are_no_statistics(house) -> None:
    async with house.peer(house.open(source="sample")) as peer:
        for _ in range(30):
            await peer.frame()
        assert "stats" not in {event["type"] for event in peer.events}


async def test_ping_is_answered_with_its_own_t(house) -> None:
    async with house.peer(house.open(source="sample"), view=0) as peer:
        await peer.say("ping", t=12.5)
        pong = await peer.event("pong")
        assert pong["t"] == 12.5
        assert pong["server_time"] > 1e12


async def test_session_close_ends_it_for_everybody(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session) as peer, house.peer(session, "viewer") as other:
        answer = await peer.ask("session.close", id="bye")
        assert answer["type"] == "control.accepted"
        for one in (peer, other):
            assert (await one.closed())[0] == 1001
            assert one.events[-1]["type"] == "session.state"
            assert one.events[-1]["state"] == "closed"
    assert session.id not in house.engine.sessions


async def test_on_shutdown_everybody_is_told_and_closed(start) -> None:
    house = await start()
    async with house.peer(house.open(source="sample")) as peer:
        await peer.frame()
        await house.engine.close()
        assert (await peer.closed())[0] == 1001
        assert peer.events[-1]["state"] == "closed"


async def test_after_a_panic_is_accepted_nothing_but_the_safe_picture_comes(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session) as peer:
        await peer.frame(lambda frame: frame.kind is WireKind.GENERATED)
        await peer.ask("stream.panic", id="1")
        before = len(peer.frames)
        for _ in range(10):
            await peer.frame()
        assert {frame.kind for frame in peer.frames[before:]} == {WireKind.STANDBY}
        async with house.peer(session, "viewer") as late:
            assert (await late.read())["state"] == "panic"
            assert (await late.frame()).kind is WireKind.STANDBY
        await peer.ask("stream.resume", id="2")
        await peer.frame(lambda frame: frame.kind is WireKind.GENERATED)


async def test_no_camera_pixel_leaves_a_session_that_hides_its_camera(house) -> None:
    async with house.peer(house.open(source="camera", camera_visible="none"), publish=1) as peer:
        for seq in range(1, 12):
            await peer.send_picture(seq)
            await peer.frame()
        assert not any(frame.holds_camera for frame in peer.frames)
        assert {frame.kind for frame in peer.frames} == {WireKind.STANDBY}


async def flood(peer, clock: ManualClock, message: str | bytes, count: int) -> None:
    for _ in range(3):
        for _ in range(count):
            await peer.socket.send(message)
        await peer.settle()
        clock.advance(1.0)
    await peer.socket.send(message)


async def test_too_many_messages_for_two_seconds_close_the_connection(start) -> None:
    clock = ManualClock()
    house = await start(clock=clock)
    async with house.peer(house.open(source="sample"), view=0) as peer:
        with pytest.raises(Exception, match="1008"):
            await flood(peer, clock, '{"type": "frame.ack", "seq": 1}', 501)
        assert [event["code"] for event in peer.events if event["type"] == "error"] == ["flood"]


async def test_too_many_frames_for_two_seconds_close_the_connection(start) -> None:
    clock = ManualClock()
    house = await start(clock=clock)
    async with house.peer(house.open(source="camera"), view=0, publish=1) as peer:
        with pytest.raises(Exception, match="1008"):
            await flood(peer, clock, b"\x01", 121)
        assert peer.events[-1]["code"] == "flood"


async def left(session: Session) -> None:
    """Watch from inside until nobody is connected any more; a frame comes in every slot."""
    async for _ in session.frames():
        if session.audience.attached == 0:
            return


async def test_whoever_leaves_leaves_nothing_behind(house) -> None:
    session = house.open(source="camera")
    async with house.peer(session, publish=1) as peer, house.peer(session, "viewer", format="raw"):
        await peer.send_picture(1)
        await peer.event("publish.ack")
        assert session.audience.attached >= 1
    await left(session)
    room = house.hub.room(session)
    assert room.publisher is None
    assert "liveglass_viewers 0.0" in house.engine.metrics.text().decode()


async def test_a_peer_that_vanishes_without_a_word_is_cleaned_up(house) -> None:
    session = house.open(source="camera")
    async with house.peer(session, publish=1) as peer:
        await peer.event("hello")
        peer.socket.transport.abort()
        await left(session)
    assert house.hub.room(session).publisher is None
