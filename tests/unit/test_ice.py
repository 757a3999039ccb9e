"""ICE: which addresses and ports are offered, which credentials a browser gets, and that nothing stays behind."""

import asyncio
import hashlib
import inspect
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, cast

import aioice
import aiortc
import pytest
from aioice import Candidate, stun
from aioice.ice import Connection, StunProtocol
from aiortc import RTCIceGatherer, RTCIceTransport
from hypothesis import given
from hypothesis import strategies as st
from ice import meet

from liveglass.engine.errors import Unavailable
from liveglass.transport.webrtc import gatherer as gathering
from liveglass.transport.webrtc.gatherer import BoundConnection, Gatherer
from liveglass.transport.webrtc.hosts import announced, host_candidate, local_addresses
from liveglass.transport.webrtc.ice import (
    IceServer,
    IceSettings,
    IceUrl,
    offered_addresses,
    parse_ports,
    parse_url,
    turn_credential,
)

LOOPBACK = ("127.0.0.1",)
SECRET = "north-wind"


# --- what a browser is given ------------------------------------------------------------------------------------------


def test_the_credential_is_the_one_that_coturn_computes() -> None:
    # printf 1893456000:s_abc | openssl dgst -sha1 -hmac north-wind -binary | base64
    assert turn_credential(SECRET, "1893456000:s_abc") == "MieXxYaNg98KRKXf+K+hTz8bBxc="


def test_credentials_name_the_session_and_end_after_their_time() -> None:
    settings = IceSettings(stun="stun:s.example", turn=("turn:a", "turns:b"), turn_secret=SECRET, turn_ttl_s=60)
    ask, relay = settings.servers(wall_s=1000.9, user="s_abc")
    assert ask == IceServer(("stun:s.example",))
    assert relay.urls == ("turn:a", "turns:b")
    assert relay.username == "1060:s_abc"
    assert relay.credential == turn_credential(SECRET, "1060:s_abc")


def test_a_fixed_account_is_handed_on_as_it_is() -> None:
    settings = IceSettings(turn=("turn:a",), turn_username="me", turn_password="mine")
    assert settings.servers(wall_s=0, user="s") == (IceServer(("turn:a",), "me", "mine"),)


def test_without_settings_a_browser_is_given_no_server_and_none_is_asked() -> None:
    assert IceSettings().servers(wall_s=0, user="s") == ()
    assert Gatherer.getDefaultIceServers() == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("stun:a.example", ("stun", "a.example", 3478, "udp")),
        ("stun:192.0.2.1:19302", ("stun", "192.0.2.1", 19302, "udp")),
        ("turn:a:1", ("turn", "a", 1, "udp")),
        ("turn:a?transport=tcp", ("turn", "a", 3478, "tcp")),
        ("turns:a", ("turns", "a", 5349, "tcp")),
        ("turn:[2001:db8::7]:99", ("turn", "2001:db8::7", 99, "udp")),
    ],
)
def test_an_address_is_read_with_the_defaults_of_its_scheme(text: str, parts: tuple[Any, ...]) -> None:
    assert parse_url(text) == IceUrl(*parts)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a:1", "stun:", "stun://a", "turn:a:0", "turn:a:70000", "turn:a?transport=sctp", "stun:a?transport=udp"),
        *("stuns:a", "turns:a?transport=udp", "turn:[zz]", "turn:[1:2]", "turn:a b", "turn:u@a", "turn:a..b"),
        *("turn:a\n", f"turn:{'a' * 64}"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_url(text)


@given(st.text(max_size=60) | st.from_regex(r"(stun|turns?):[a-z0-9.\[\]:-]{0,20}(:\d{1,6})?(\?transport=\w+)?"))
def test_any_text_is_an_address_that_reads_back_the_same_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except ValueError:
        return
    assert parse_url(str(url)) == url
    assert 1 <= url.port <= 65535


# --- where peers are received -----------------------------------------------------------------------------------------


@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_a_range_of_ports_is_taken_as_written_or_refused(low: int, high: int) -> None:
    if 1024 <= low <= high <= 65535:
        assert parse_ports(f"{low}-{high}") == (low, high)
    else:
        with pytest.raises(ValueError, match=r"."):
            parse_ports(f"{low}-{high}")


def test_one_port_alone_is_a_range_and_no_text_is_none() -> None:
    assert parse_ports("4711") == (4711, 4711)
    assert parse_ports("") is None
    for text in ("a", "1-", "5000:5001", "-5000", "5000-5001-5002", "99999999"):
        with pytest.raises(ValueError, match=r"."):
            parse_ports(text)


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("localhost", ("127.0.0.1",)),
        ("::1", ("::1",)),
        ("[::1]", ("::1",)),
        ("0.0.0.0", ()),
        ("::", ()),
        ("192.0.2.7", ("192.0.2.7",)),
        ("live.example", ()),
    ],
)
def test_peers_are_received_where_the_pages_are(host: str, addresses: tuple[str, ...]) -> None:
    assert offered_addresses(host) == addresses


def test_every_interface_does_not_mean_loopback_unless_there_is_nothing_else() -> None:
    found = local_addresses(())
    assert found
    assert found == ["127.0.0.1"] or not any(address in {"127.0.0.1", "::1"} for address in found)
    assert set(local_addresses(("0.0.0.0", "127.0.0.2"))) >= {"127.0.0.2"}


def test_the_public_address_is_told_beside_the_private_one_at_the_same_port_and_after_it() -> None:
    hosts = [
        host_candidate("10.0.0.2", "10.0.0.2", 5000, 0),
        host_candidate("127.0.0.1", "127.0.0.1", 5001, 1),
        host_candidate("fd00::1", "fd00::1", 5002, 2),
        host_candidate("172.17.0.1", "172.17.0.1", 5003, 3),
    ]
    public = announced(hosts, "203.0.113.9")
    assert [(one.host, one.port, one.type) for one in public] == [
        ("203.0.113.9", 5000, "host"),
        ("203.0.113.9", 5003, "host"),
    ]
    everything = [*hosts, *public]
    assert len({one.foundation for one in everything}) == len(everything)
    assert sorted(everything, key=lambda one: -one.priority) == everything


def test_a_public_address_that_the_machine_has_itself_is_told_once() -> None:
    hosts = [host_candidate("203.0.113.9", "203.0.113.9", 5000, 0), host_candidate("10.0.0.2", "10.0.0.2", 5001, 1)]
    assert announced(hosts, "203.0.113.9") == []
    assert announced(hosts, "") == []


# --- gathering --------------------------------------------------------------------------------------------------------


def addresses_of(gatherer: Gatherer) -> list[tuple[str, str]]:
    return [(one.type, one.ip) for one in gatherer.getLocalCandidates()]


def a_free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@asynccontextmanager
async def gathered(settings: IceSettings, servers: tuple[IceServer, ...] = ()) -> AsyncIterator[Gatherer]:
    gatherer = Gatherer(settings, servers)
    try:
        await gatherer.gather()
        yield gatherer
    finally:
        await gatherer._connection.close()


class StunServer(asyncio.DatagramProtocol):
    """Answers binding requests as if they came from `seen`; says nothing without it."""

    def __init__(self, seen: tuple[str, int] | None) -> None:
        self.seen = seen
        self.asked = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.set()
        if self.seen is None:
            return
        request = stun.parse_message(data)
        answer = stun.Message(request.message_method, stun.Class.RESPONSE, transaction_id=request.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = self.seen
        self.transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def stun_server(seen: tuple[str, int] | None) -> AsyncIterator[tuple[StunServer, str]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: StunServer(seen), local_addr=("127.0.0.1", 0))
    try:
        yield server, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


@contextmanager
def taken(*ports: int) -> Iterator[None]:
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        yield


async def test_a_server_on_loopback_offers_loopback_and_nothing_else() -> None:
    async with gathered(IceSettings(bind=LOOPBACK, public_address="203.0.113.9")) as gatherer:
        assert addresses_of(gatherer) == [("host", "127.0.0.1")]
        assert gatherer.state == "completed"


async def test_a_port_of_the_range_is_used_once_and_free_again_afterwards() -> None:
    port = a_free_port()
    settings = IceSettings(bind=LOOPBACK, ports=(port, port))
    async with gathered(settings) as first:
        assert [one.port for one in first.getLocalCandidates()] == [port]
        with pytest.raises(Unavailable, match="All 1 UDP ports of ice_ports are in use") as refused:
            async with gathered(settings):
                pass
        assert refused.value.retryable
        assert str(port) in refused.value.hint
    async with gathered(settings) as again:
        assert [one.port for one in again.getLocalCandidates()] == [port]


async def test_the_last_free_port_of_a_range_is_found() -> None:
    base = a_free_port()
    free = [port for port in range(base, min(base + 8, 65536)) if can_bind(port)]
    with taken(*free[1:]):
        async with gathered(IceSettings(bind=LOOPBACK, ports=(base, min(base + 7, 65535)))) as gatherer:
            assert [one.port for one in gatherer.getLocalCandidates()] == [free[0]]


async def test_an_address_of_another_machine_is_named_and_the_others_are_used() -> None:
    async with gathered(IceSettings(bind=("203.0.113.77", "127.0.0.1"))) as gatherer:
        assert addresses_of(gatherer) == [("host", "127.0.0.1")]
        assert any("203.0.113.77" in fault for fault in gatherer.faults)
    with pytest.raises(Unavailable, match=r"203\.0\.113\.77"):
        async with gathered(IceSettings(bind=("203.0.113.77",))):
            pass


async def test_what_stun_says_becomes_a_candidate_that_names_its_base() -> None:
    async with (
        stun_server(("203.0.113.7", 4242)) as (_, address),
        gathered(IceSettings(bind=LOOPBACK), (IceServer((f"stun:{address}",)),)) as gatherer,
    ):
        host, reflexive = gatherer.getLocalCandidates()
        assert (reflexive.type, reflexive.ip, reflexive.port) == ("srflx", "203.0.113.7", 4242)
        assert (reflexive.relatedAddress, reflexive.relatedPort) == (host.ip, host.port)
        assert reflexive.priority < host.priority


async def test_an_address_that_stun_sees_unchanged_is_told_once() -> None:
    port = a_free_port()
    async with stun_server(("127.0.0.1", port)) as (_, address):
        settings = IceSettings(bind=LOOPBACK, ports=(port, port))
        async with gathered(settings, (IceServer((f"stun:{address}",)),)) as gatherer:
            assert addresses_of(gatherer) == [("host", "127.0.0.1")]
            assert gatherer.faults == ()


async def test_silent_servers_cost_no_host_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "STUN_BUDGET_S", 0.05)
    monkeypatch.setattr(gathering, "TURN_BUDGET_S", 0.05)
    async with stun_server(None) as (_, address):
        servers = (IceServer((f"stun:{address}",)), IceServer((f"turn:{address}",), "u", "p"))
        async with gathered(IceSettings(bind=LOOPBACK), servers) as gatherer:
            assert addresses_of(gatherer) == [("host", "127.0.0.1")]
            assert {fault.partition(" ")[0] for fault in gatherer.faults} == {
                f"turn:{address}?transport=udp",
                f"stun:{address}",
            }


async def test_relay_only_tells_no_address_and_without_a_relay_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    servers = (IceServer((f"turn:127.0.0.1:{port}?transport=tcp",), "u", "p"),)
    gatherer = Gatherer(IceSettings(bind=LOOPBACK, policy="relay"), servers)
    with pytest.raises(Unavailable, match=f"turn:127.0.0.1:{port}"):
        await gatherer.gather()
    assert gatherer.getLocalCandidates() == []
    await gatherer._connection.close()


async def test_a_cancelled_gathering_leaves_no_socket() -> None:
    port = a_free_port()
    async with stun_server(None) as (server, address):
        settings = IceSettings(bind=LOOPBACK, ports=(port, port))
        gatherer = Gatherer(settings, (IceServer((f"stun:{address}", f"turn:{address}")),))
        task = asyncio.create_task(gatherer.gather())
        await server.asked.wait()
        assert not can_bind(port)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gatherer._connection.close()
        assert can_bind(port)


async def test_closing_while_gathering_ends_it_without_a_fuss_and_leaves_no_socket() -> None:
    port = a_free_port()
    async with stun_server(None) as (server, address):
        settings = IceSettings(bind=LOOPBACK, ports=(port, port))
        gatherer = Gatherer(settings, (IceServer((f"stun:{address}", f"turn:{address}")),))
        task = asyncio.create_task(gatherer.gather())
        await server.asked.wait()
        await gatherer._connection.close()
        await task
        assert gatherer.getLocalCandidates() == []
        assert can_bind(port)


async def test_cancelling_at_any_step_of_binding_leaves_no_socket() -> None:
    port = a_free_port()
    settings = IceSettings(bind=LOOPBACK, ports=(port, port))
    for steps in range(8):
        gatherer = Gatherer(settings, ())
        task = asyncio.create_task(gatherer.gather())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        await gatherer._connection.close()
        assert can_bind(port), steps


async def test_a_closed_connection_gathers_nothing() -> None:
    gatherer = Gatherer(IceSettings(bind=LOOPBACK), ())
    await gatherer._connection.close()
    await gatherer.gather()
    assert gatherer.getLocalCandidates() == []


async def test_two_peers_meet_on_the_ports_they_were_given() -> None:
    settings = IceSettings(bind=LOOPBACK)
    async with gathered(settings) as left, gathered(settings) as right:
        await meet(left, right, b"hello")


HIDDEN = Candidate("f", 1, "udp", 1, "0b0c1a2e-9d52-4c6c-a3b0-4e6d5a6f7a10.local", 5000, "host")


async def test_a_hidden_address_is_looked_up_beside_the_handshake_and_before_its_end() -> None:
    connection = BoundConnection(IceSettings(), ())
    await connection.add_remote_candidate(HIDDEN)  # nobody answers for that name
    await connection.add_remote_candidate(None)
    assert not connection._remote_candidates_end
    await asyncio.wait(tuple(connection._tasks))
    assert connection._remote_candidates_end
    assert connection.remote_candidates == []
    await connection.close()


async def test_a_server_on_loopback_looks_up_no_hidden_address() -> None:
    connection = BoundConnection(IceSettings(bind=LOOPBACK), ())
    await connection.add_remote_candidate(HIDDEN)
    assert not connection._tasks
    await connection.close()


# --- upstream ---------------------------------------------------------------------------------------------------------

READ = {
    Connection.__init__: "a99ae9c97fc66a2e",
    Connection.gather_candidates: "d33db28d4d1e49ff",
    Connection.get_component_candidates: "118597a9fcb703f9",
    Connection.add_remote_candidate: "d3a0826c92fa8ce6",
    Connection.close: "25dcfac536f5f37c",
    Connection.connect: "da51be46190141ee",
    Connection._pair_remote_candidate: "bf264fc1c6761107",
    StunProtocol: "a6e5692f3cf7578e",
    aioice.ice.get_host_addresses: "d4a54f9a68c39ff1",
    aioice.ice.relayed_candidate: "271e25be8724ce38",
    aioice.ice.server_reflexive_candidate: "76dd5558471714f7",
    aioice.turn.TurnTransport: "c0fe18d7d58ef6b3",
    aioice.turn.TurnClientMixin.delete: "8ec62766df8ebb3a",
    aioice.turn.create_turn_endpoint: "c84ad1cc7c547570",
    RTCIceGatherer: "3f69ea0b336d067e",
    RTCIceTransport: "a2e2aeedaf0abf0c",
}


@pytest.mark.parametrize("upstream", READ, ids=lambda one: one.__qualname__)
def test_upstream_is_what_the_gatherer_was_written_against(upstream: Any) -> None:
    """A new version: read what changed, see whether `gatherer` still fits, then write down the new fingerprint."""
    source = hashlib.sha256(inspect.getsource(upstream).encode()).hexdigest()[:16]
    assert source == READ[upstream], (aiortc.__version__, upstream.__qualname__)
