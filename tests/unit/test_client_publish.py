"""The client's camera honours the server's credit, and the newest picture wins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from liveglass.engine.errors import InvalidValue
from liveglass.transport.client_publish import PictureSender
from liveglass.transport.header import FrameHeader, WireKind
from liveglass.transport.messages import PublishAck

PICTURE = np.zeros((16, 16, 3), np.uint8)


class Server:
    """The other end: what it was sent, in order."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(self, message: bytes) -> bool:
        await self.sent.put(message)
        return True

    async def next(self) -> FrameHeader:
        return FrameHeader.unpack(await self.sent.get())


@asynccontextmanager
async def sending() -> AsyncIterator[tuple[PictureSender, Server]]:
    server = Server()
    sender = PictureSender(server.take)
    task = asyncio.create_task(sender.run())
    try:
        yield sender, server
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_picture_goes_out_with_its_time() -> None:
    async with sending() as (sender, server):
        seq = sender.put(PICTURE, captured_us=123)
        header = await server.next()
        assert (header.seq, header.source_us, header.kind) == (seq, 123, WireKind.CAMERA)


async def test_the_credit_is_kept_and_the_newest_waits() -> None:
    async with sending() as (sender, server):
        for _ in range(3):
            sender.put(PICTURE, 0)
            await server.next()
        for _ in range(5):
            newest = sender.put(PICTURE, 0)
        assert sender.replaced == 4
        sender.acknowledged(PublishAck(seq=1, credit=3))
        assert (await server.next()).seq == newest
        assert server.sent.empty()


async def test_a_larger_credit_is_used() -> None:
    async with sending() as (sender, server):
        for _ in range(3):
            sender.put(PICTURE, 0)
            await server.next()
        sender.acknowledged(PublishAck(seq=0, credit=5))
        for _ in range(2):
            sender.put(PICTURE, 0)
            await server.next()


async def test_after_a_reconnect_nothing_is_on_the_way() -> None:
    async with sending() as (sender, server):
        for _ in range(3):
            sender.put(PICTURE, 0)
            await server.next()
        sender.reconnected()
        for _ in range(3):
            sender.put(PICTURE, 0)
            await server.next()


async def test_the_buffer_may_be_used_again_at_once() -> None:
    async with sending() as (sender, server):
        picture = np.full((16, 16, 3), 255, np.uint8)
        sender.put(picture, 0)
        picture[:] = 0
        assert simple_mean(await server.sent.get()) > 250


def simple_mean(message: bytes) -> float:
    from liveglass.transport import codecs
    from liveglass.transport.header import HEADER_BYTES

    return float(codecs.decode_jpeg(message[HEADER_BYTES:]).mean())


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((16, 16), np.uint8), np.zeros((16, 16, 4), np.uint8), np.zeros((16, 16, 3), np.float32)],
    ids=["grey", "with alpha", "floats"],
)
async def test_what_is_no_rgb_picture_is_refused_here(wrong: np.ndarray) -> None:
    async with sending() as (sender, _):
        with pytest.raises(InvalidValue):
            sender.put(wrong, 0)
