"""One encode, many viewers; a slow viewer loses only its own frames, and the camera stays in."""

import asyncio
from dataclasses import replace

from liveglass.engine.clock import ManualClock
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.stream.session import Session
from liveglass.transport.fanout import FanOut, Format, Packet, Viewer
from liveglass.transport.header import HEADER_BYTES, FrameHeader


async def newest(session: Session) -> OutputFrame:
    async for output in session.frames():
        if output.kind is FrameKind.GENERATED:
            return output
    raise AssertionError("the session ended")


def fan_out(house, session: Session, clock: ManualClock, fmt: Format = Format.JPEG) -> FanOut:
    loop = asyncio.get_running_loop()
    return FanOut(session, fmt, clock=clock, metrics=house.engine.metrics, loop=loop)


def value(house, name: str) -> float:
    found = house.engine.metrics.registry.get_sample_value(name)
    assert found is not None
    return found


async def turn_of_the_loop() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_all_viewers_share_one_encoded_packet(house) -> None:
    session, clock = house.open(source="sample"), ManualClock()
    output = await newest(session)
    fanout = fan_out(house, session, clock)
    viewers = [Viewer(24, lambda: None) for _ in range(3)]
    for viewer in viewers:
        fanout.add(viewer)
    assert fanout.wants()
    await asyncio.to_thread(fanout.deliver, output)
    await turn_of_the_loop()
    packets = [viewer.take(0.0) for viewer in viewers]
    assert isinstance(packets[0], Packet)
    assert all(packet is packets[0] for packet in packets)
    header = FrameHeader.unpack(packets[0].message)
    assert (header.seq, header.version) == (output.slot, output.version)
    assert packets[0].message[HEADER_BYTES:].startswith(b"\xff\xd8")


async def test_without_viewers_nothing_is_wanted(house) -> None:
    assert not fan_out(house, house.open(source="sample"), ManualClock()).wants()


async def test_a_slow_viewer_loses_only_its_own_frames(house) -> None:
    session, clock = house.open(source="sample"), ManualClock()
    output = await newest(session)
    fanout = fan_out(house, session, clock)
    quick, stuck = Viewer(24, lambda: None), Viewer(24, lambda: None)
    fanout.add(quick)
    fanout.add(stuck)
    for slot in range(40):
        assert fanout.wants()
        fanout.deliver(replace(output, slot=slot))
        await turn_of_the_loop()
        taken = quick.take(clock.now())
        assert taken is not None
        assert taken.slot == slot
        quick.window.acknowledged(slot, clock.now())
        if slot == 0:
            stuck.take(clock.now())
            stuck.window.acknowledged(0, clock.now())
        clock.advance(1 / 24)
    assert quick.dropped == 0
    waiting = stuck.take(clock.now())
    assert waiting is not None
    assert stuck.dropped == 38
    assert waiting.slot == 39
    assert value(house, "liveglass_frames_dropped_total") == 38
    assert session.stats().dropped == 38


async def test_when_nobody_could_take_it_nothing_is_encoded_and_the_loss_is_counted(house) -> None:
    session, clock = house.open(source="sample"), ManualClock()
    fanout = fan_out(house, session, clock)
    stuck = Viewer(24, lambda: None)
    fanout.add(stuck)
    stuck.window.sent(0, 0.0)
    stuck.window.acknowledged(0, 0.0)
    for slot in (1, 2, 3):
        stuck.window.sent(slot, 0.0)
    for _ in range(5):
        assert not fanout.wants()
    await turn_of_the_loop()
    assert stuck.dropped == 5
    assert value(house, "liveglass_frames_dropped_total") == 5


async def test_the_last_gate_refuses_camera_pixels_even_if_all_before_it_failed(house) -> None:
    hidden, clock = house.open(source="sample", camera_visible="none"), ManualClock()
    output = await newest(house.open(source="sample"))
    for fmt in Format:
        fanout = fan_out(house, hidden, clock, fmt)
        viewer = Viewer(24, lambda: None)
        fanout.add(viewer)
        before = value(house, "liveglass_camera_frames_refused_total")
        fanout.deliver(replace(output, holds_camera=True))
        await turn_of_the_loop()
        assert viewer.take(0.0) is None
        assert value(house, "liveglass_camera_frames_refused_total") >= before + 1


async def test_panic_flushes_what_waits_and_what_is_on_its_way_from_the_encoder(house) -> None:
    session, clock = house.open(source="sample"), ManualClock()
    output = await newest(session)
    fanout = fan_out(house, session, clock)
    viewer = Viewer(24, lambda: None)
    fanout.add(viewer)
    fanout.deliver(output)
    await turn_of_the_loop()
    fanout.deliver(replace(output, slot=output.slot + 1))
    session.panic()
    fanout.flush()
    await turn_of_the_loop()
    assert viewer.take(0.0) is None
    fanout.deliver(replace(output, kind=FrameKind.STANDBY))
    await turn_of_the_loop()
    fanout.flush()
    packet = viewer.take(0.0)
    assert packet is not None
    assert packet.kind is FrameKind.STANDBY
