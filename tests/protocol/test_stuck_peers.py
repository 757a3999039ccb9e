"""Peers that stop reading: they are given up, and cost nobody else anything."""

import asyncio
import json

from liveglass.transport.channel import ChannelClosed
from liveglass.transport.fanout import Format
from liveglass.transport.framesocket import serve
from liveglass.transport.outbox import MAX_WAITING_EVENTS


class StuckChannel:
    """A connection whose peer talks and never reads: nothing that is sent gets through."""

    def __init__(self, says: list[str]) -> None:
        self._says = iter(says)
        self._closed = asyncio.Event()
        self.closed_with: tuple[int, str] | None = None

    async def receive(self) -> str | bytes:
        for message in self._says:
            return message
        await self._closed.wait()
        raise ChannelClosed

    async def send_text(self, text: str) -> None:
        await self._closed.wait()
        raise ChannelClosed

    async def send_bytes(self, data: bytes) -> None:
        await self._closed.wait()
        raise ChannelClosed

    async def close(self, code: int, reason: str) -> None:
        self.closed_with = code, reason
        self._closed.set()


async def test_who_asks_and_never_reads_is_given_up(house) -> None:
    session = house.open(source="sample")
    channel = StuckChannel([json.dumps({"type": "ping", "t": 0})] * (MAX_WAITING_EVENTS + 10))
    await serve(channel, session, "viewer", publish=False, view=True, fmt=Format.JPEG, hub=house.hub)
    assert channel.closed_with == (1008, "flood: events are not read")
    assert session.audience.attached == 0


async def test_a_peer_that_never_reads_does_not_hold_up_the_end(house) -> None:
    session = house.open(source="sample")
    channel = StuckChannel([])
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(channel, session, "viewer", publish=False, view=True, fmt=Format.JPEG, hub=house.hub))
        await asyncio.sleep(0)
        house.engine.end(session.id, "The end.")
    assert channel.closed_with == (1001, "The end.")


async def test_a_session_that_has_ended_takes_nobody_in(house) -> None:
    session = house.open(source="sample")
    house.engine.end(session.id, "The end.")
    channel = StuckChannel([])
    await serve(channel, session, "viewer", publish=False, view=True, fmt=Format.JPEG, hub=house.hub)
    assert channel.closed_with == (4404, "the session has ended")


async def test_a_cancelled_connection_gives_everything_back(house) -> None:
    session = house.open(source="camera")
    channel = StuckChannel([])
    task = asyncio.create_task(
        serve(channel, session, "controller", publish=True, view=True, fmt=Format.RAW, hub=house.hub)
    )
    await asyncio.sleep(0)
    assert session.audience.attached == 1
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert session.audience.attached == 0
    assert house.hub.room(session).publisher is None
