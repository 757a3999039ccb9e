"""Bounds below HTTP: half-sent headers, endless headers, what the sockets keep in the kernel."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.responses import PlainTextResponse
from uvicorn.config import Config
from uvicorn.server import ServerState

from liveglass.web.protocol import MAX_HEADER_BYTES, BoundedHttp
from liveglass.web.server import NOT_SENT_LOW_WATER, SEND_BUFFER, listening_socket


class Impatient(BoundedHttp):
    header_patience_s = 0.05


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server with the bounded protocol and little patience."""
    config = Config(PlainTextResponse("hello"), log_config=None, lifespan="off")
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Impatient(config, ServerState(), {}, loop), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def test_patience_is_10_s() -> None:
    assert BoundedHttp.header_patience_s == 10.0


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"\r\n\r\n"])
async def test_half_sent_headers_are_closed_when_patience_is_over(port, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await reader.read() == b""
    writer.close()


async def test_a_second_request_on_the_same_connection_has_to_hurry_too(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    assert b"hello" in await reader.readuntil(b"hello")
    writer.write(b"GET / HT")
    assert await reader.read() == b""
    writer.close()


async def test_a_whole_request_is_not_hurried(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"hello")
    writer.close()


async def test_headers_without_end_are_cut_off_with_431(port) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-Much: " + b"a" * (MAX_HEADER_BYTES + 1) + b"\r\n\r\n")
    answer = await reader.readuntil(b"headers_too_large")
    assert answer.startswith(b"HTTP/1.1 431 ")
    writer.close()


@pytest.mark.parametrize("start", [b"GET /", b"GET / HTTP/1.1\r\nHost: x\r\nX-Much: "])
async def test_one_line_that_never_ends_is_cut_off_too(port, start: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(start + b"a" * (MAX_HEADER_BYTES + 1))
    answer = await reader.readuntil(b"headers_too_large")
    assert answer.startswith(b"HTTP/1.1 431 ")
    writer.close()


def test_accepted_connections_keep_little_in_the_kernel() -> None:
    with (
        listening_socket("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted:
            # Linux books twice what was asked for.
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) in {SEND_BUFFER, 2 * SEND_BUFFER}
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            low_water = accepted.getsockopt(socket.IPPROTO_TCP, 25)
            assert low_water == NOT_SENT_LOW_WATER
