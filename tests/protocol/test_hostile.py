"""A thousand hostile messages of each kind over a real socket: each a typed error, and the connection stays."""

import logging

from hostile_messages import hostile_pictures, hostile_texts

from liveglass.engine import errors
from liveglass.engine.clock import ManualClock
from liveglass.engine.errors import LiveglassError

COUNT = 1_000
CODES = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LiveglassError)}


async def test_a_thousand_hostile_commands_are_refused_by_name_or_done_and_none_leaves_a_trace(start, caplog) -> None:
    clock = ManualClock()
    house = await start(clock=clock)
    async with house.peer(house.open(source="camera"), view=0) as peer:
        with caplog.at_level(logging.WARNING):
            for text in hostile_texts(COUNT, seed=11):
                clock.advance(0.01)
                await peer.socket.send(text)
            clock.advance(0.01)
            await peer.settle()
    refused = [event for event in peer.events if event["type"] == "error"]
    assert len(refused) > COUNT / 2
    assert {error["code"] for error in refused} <= CODES - {"internal"}
    assert all(error["message"] for error in refused)
    assert not caplog.records


async def test_a_thousand_hostile_pictures_are_refused_by_name_and_the_next_sound_one_is_taken(start, caplog) -> None:
    clock = ManualClock()
    house = await start(clock=clock)
    session = house.open(source="camera")
    codes = []
    async with house.peer(session, view=0, publish=1) as peer:
        with caplog.at_level(logging.WARNING):
            for message in hostile_pictures(COUNT, seed=12):
                clock.advance(1.0)  # errors about pictures are told once a second
                await peer.socket.send(message)
                answer = await peer.until(lambda event: event["type"] in {"error", "publish.ack"})
                if answer["type"] == "error":
                    codes.append(answer["code"])
                    if "seq" in answer:
                        await peer.event("publish.ack")
        clock.advance(1.0)
        await peer.send_picture(COUNT + 1)
        assert (await peer.event("publish.ack"))["seq"] == COUNT + 1
    assert len(codes) > COUNT / 2
    assert set(codes) <= CODES - {"internal"}
    assert session.newest_source is not None
    assert session.newest_source.stamp.publisher_us == 1000 * (COUNT + 1)
    assert not caplog.records
