"""Who gets onto a session's socket, and how the others are told; over real WebSockets."""

import asyncio
import json
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from liveglass.transport.header import FrameHeader


async def test_hello_comes_first_and_frames_follow(site) -> None:
    opened = await site.open(source="sample", camera_visible="all", size={"width": 128, "height": 72})
    async with site.socket(opened) as socket:
        hello = json.loads(await socket.recv())
        assert hello["type"] == "hello"
        assert hello["session"] == opened["id"]
        assert hello["role"] == "controller"
        while not isinstance(message := await socket.recv(), bytes):
            pass
        assert FrameHeader.unpack(message).version in {0, 1}


async def test_the_token_subprotocol_is_echoed_as_browsers_demand(site) -> None:
    opened = await site.open()
    async with site.socket(opened) as socket:
        assert socket.subprotocol == f"liveglass.token.{opened['token']}"


async def test_the_token_may_come_by_header_or_address(site, talk) -> None:
    opened = await site.open()
    headers = talk.bearer(opened["viewer_token"])
    async with site.socket(opened, subprotocols=None, additional_headers=headers) as socket:
        assert json.loads(await socket.recv())["role"] == "viewer"
    async with site.socket(opened, f"?token={opened['token']}", subprotocols=None) as socket:
        assert json.loads(await socket.recv())["role"] == "controller"


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}])
async def test_a_foreign_page_is_refused_at_the_handshake(site, headers) -> None:
    opened = await site.open()
    with pytest.raises(InvalidStatus) as refused:
        async with site.socket(opened, additional_headers=headers):
            pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["error"]["code"] == "origin_refused"


async def test_the_servers_own_page_is_welcome(site) -> None:
    opened = await site.open()
    for name in ("127.0.0.1", "localhost", "[::1]"):
        port = site.address.rpartition(":")[2]
        async with site.socket(opened, origin=f"http://{name}:{port}") as socket:
            assert json.loads(await socket.recv())["type"] == "hello"


async def test_no_token_and_a_wrong_one_close_with_4401(site, talk) -> None:
    opened, other = await site.open(), await site.open()
    for offered in (None, ["liveglass.token.x"], [f"liveglass.token.{other['token']}"], ["chat"]):
        async with site.socket(opened, subprotocols=offered) as socket:
            code, reason, events = await talk.closed_with(socket)
        assert code == 4401
        assert reason.startswith("token_refused: ")
        assert events == []


async def test_no_token_is_4401_even_where_there_is_no_session(site, talk) -> None:
    address = site.address.replace("http", "ws")
    async with connect(f"{address}/v1/sessions/s_nothing/socket", proxy=None) as socket:
        assert (await talk.closed_with(socket))[0] == 4401


async def test_a_session_that_is_over_closes_with_4404(site, talk) -> None:
    opened = await site.open()
    await site.client.delete(f"/v1/sessions/{opened['id']}", headers=talk.bearer(opened["token"]))
    async with site.socket(opened) as socket:
        assert (await talk.closed_with(socket))[0] == 4404


async def test_a_viewer_who_publishes_is_closed_with_4403(site, talk) -> None:
    opened = await site.open()
    offered = [f"liveglass.token.{opened['viewer_token']}"]
    async with site.socket(opened, "?publish=1", subprotocols=offered) as socket:
        assert (await talk.closed_with(socket))[0] == 4403


@pytest.mark.parametrize("query", ["?publish=yes", "?view=2", "?format=gif", "?format=h264"])
async def test_a_query_that_cannot_be_used_is_named_in_the_close(site, talk, query) -> None:
    opened = await site.open()
    async with site.socket(opened, query) as socket:
        code, reason, _ = await talk.closed_with(socket)
    assert code == 1008
    assert query[1:].partition("=")[0] in reason


async def test_a_newer_publisher_closes_the_old_one_with_4409(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?publish=1&view=0") as first, site.socket(opened, "?publish=1&view=0"):
        code, _, events = await talk.closed_with(first)
    assert code == 4409
    assert events[-1]["code"] == "publisher_replaced"


async def test_a_picture_over_the_limit_is_refused_by_name_and_the_connection_stays(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?publish=1&view=0") as socket:
        await socket.send(b"\x01\x00\x01\x01" + b"\x00" * 20 + b"\x00" * (4 * 2**20 + 1))
        assert (await talk.until(socket, "error"))["code"] == "picture_too_large"
        await socket.send('{"type": "ping", "t": 1}')
        assert (await talk.until(socket, "pong"))["t"] == 1


async def test_a_message_that_nobody_could_mean_ends_its_connection_and_no_other(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?view=0") as other, site.socket(opened, "?publish=1&view=0") as socket:
        with suppress(ConnectionClosed):
            await socket.send(b"\x00" * (9 * 2**20))
        # 1006 where the reset overtakes the close frame, because the rest of the message is not read.
        assert (await talk.closed_with(socket))[0] in {1009, 1006}
        await other.send('{"type": "ping", "t": 1}')
        assert (await talk.until(other, "pong"))["t"] == 1


async def test_ending_a_session_tells_its_sockets_and_closes_them(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?view=0") as socket:
        await talk.until(socket, "hello")
        await site.client.delete(f"/v1/sessions/{opened['id']}", headers=talk.bearer(opened["token"]))
        code, _, events = await talk.closed_with(socket)
    assert code == 1001
    assert events[-1]["state"] == "closed"


async def test_a_stopping_server_says_closed_and_then_1001(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?view=0") as socket:
        await talk.until(socket, "hello")
        await site.stop()
        code, _, events = await talk.closed_with(socket)
    assert code == 1001
    assert events[-1]["type"] == "session.state"
    assert events[-1]["state"] == "closed"


async def test_a_viewer_who_reads_nothing_does_not_keep_the_server_from_stopping(site, talk) -> None:
    opened = await site.open(source="sample", size={"width": 640, "height": 360})
    async with site.socket(opened, "?format=raw", max_queue=1) as socket:
        await talk.until(socket, "hello")
        socket.transport.pause_reading()
        async with asyncio.timeout(5):
            await site.stop()
        socket.transport.abort()


async def test_a_change_over_http_is_told_on_the_socket(site, talk) -> None:
    opened = await site.open()
    async with site.socket(opened, "?view=0") as socket:
        await talk.until(socket, "hello")
        headers = talk.bearer(opened["token"])
        await site.client.patch(f"/v1/sessions/{opened['id']}", json={"prompt": "new"}, headers=headers)
        changed = await talk.until(socket, "control.changed")
    assert changed["control"]["version"] == 2
    assert changed["control"]["prompts"][0]["text"] == "new"
