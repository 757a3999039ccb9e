"""Publishing over a real socket: every picture is answered, the newest wins, one publisher at a time."""

import struct

import cv2
import numpy as np
import pytest

from liveglass.engine.clock import ManualClock
from liveglass.transport import codecs
from liveglass.transport.header import Codec, WireKind


async def test_an_overrun_is_answered_by_cumulative_acknowledgements(house) -> None:
    async with house.peer(house.open(source="camera"), view=0, publish=1) as peer:
        for seq in range(1, 31):
            await peer.send_picture(seq)
        await peer.until(lambda event: event["type"] == "publish.ack" and event["seq"] == 30)
        acknowledged = [event["seq"] for event in peer.events if event["type"] == "publish.ack"]
        assert acknowledged == sorted(set(acknowledged))


def wrong_pictures() -> list[object]:
    _, png = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))
    jpeg = codecs.encode_jpeg(np.zeros((64, 64, 3), np.uint8))
    at = jpeg.find(b"\xff\xc0")
    huge = jpeg[: at + 5] + struct.pack(">HH", 10_000, 10_000) + jpeg[at + 9 :]
    return [
        pytest.param({"payload": b""}, "malformed_picture", id="no payload"),
        pytest.param({"payload": b"words"}, "malformed_picture", id="words"),
        pytest.param({"payload": png.tobytes()}, "malformed_picture", id="a png"),
        pytest.param({"payload": jpeg[:-80]}, "malformed_picture", id="cut off"),
        pytest.param({"payload": huge}, "picture_too_large", id="10,000×10,000"),
        pytest.param({"payload": jpeg + bytes(2**22)}, "picture_too_large", id="over 4 MiB"),
        pytest.param({"codec": Codec.H264}, "not_available", id="H.264"),
        pytest.param({"codec": Codec.RAW, "payload": b"\0\1\0\1"}, "malformed_picture", id="raw without pixels"),
        pytest.param({"kind": WireKind.GENERATED}, "malformed_frame", id="not a camera's"),
    ]


@pytest.mark.parametrize(("wrong", "code"), wrong_pictures())
async def test_a_wrong_picture_is_refused_answered_and_the_next_one_taken(house, wrong, code: str) -> None:
    async with house.peer(house.open(source="camera"), view=0, publish=1) as peer:
        await peer.send_picture(7, **wrong)
        error = await peer.event("error")
        assert (error["code"], error["seq"]) == (code, 7)
        assert (await peer.event("publish.ack"))["seq"] == 7
        await peer.send_picture(8)
        assert (await peer.event("publish.ack"))["seq"] == 8


async def test_a_message_too_short_for_a_header_is_refused(house) -> None:
    async with house.peer(house.open(source="camera"), view=0, publish=1) as peer:
        await peer.socket.send(b"\x01")
        error = await peer.event("error")
        assert error["code"] == "malformed_frame"
        assert "seq" not in error


async def test_errors_about_pictures_are_told_once_a_second(start) -> None:
    clock = ManualClock()
    house = await start(clock=clock)
    async with house.peer(house.open(source="camera"), view=0, publish=1) as peer:
        for seq in (1, 2, 3):
            await peer.send_picture(seq, payload=b"words")
            assert (await peer.event("publish.ack"))["seq"] == seq
        clock.advance(1.0)
        await peer.send_picture(4, payload=b"words")
        assert (await peer.event("publish.ack"))["seq"] == 4
        assert [event["seq"] for event in peer.events if event["type"] == "error"] == [1, 4]


async def test_grey_raw_and_large_pictures_are_taken_at_the_sessions_size(house) -> None:
    session = house.open(source="camera", fit="contain")
    tall = np.full((200, 100, 3), 255, np.uint8)
    async with house.peer(session, view=0, publish=1) as peer:
        await peer.send_picture(1, codecs.encode_raw(tall), codec=Codec.RAW)
        assert (await peer.event("publish.ack"))["seq"] == 1
        source = session.newest_source
        assert source is not None
        assert source.pixels.shape == (96, 128, 3)
        assert not source.pixels[:, 0].any()
        assert source.pixels[48, 64].all()
        assert source.stamp.publisher_us == 1000
        assert not [event for event in peer.events if event["type"] == "error"]


async def test_the_newest_publisher_wins(house) -> None:
    session = house.open(source="camera")
    async with house.peer(session, view=0, publish=1) as old:
        await old.send_picture(1)
        await old.event("publish.ack")
        async with house.peer(session, view=0, publish=1) as new:
            assert (await old.closed())[0] == 4409
            assert old.events[-1]["code"] == "publisher_replaced"
            await new.send_picture(5)
            assert (await new.event("publish.ack"))["seq"] == 5
            assert session.newest_source.stamp.publisher_us == 5000


async def test_a_publisher_takes_over_from_the_sample(house) -> None:
    session = house.open(source="sample")
    async with house.peer(session, publish=1) as peer:
        seq = 0
        while not peer.frames or not peer.frames[-1].holds_camera:
            seq += 1
            await peer.send_picture(seq)
            await peer.frame()
        assert peer.frames[-1].source_us
