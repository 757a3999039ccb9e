"""The networks that other tests are run on are as bad as they say, where they say, and leave nothing behind."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from network import Client, Network, NetworkUnavailable, network

UDP_PORT, TCP_PORT = 9000, 9001
PACKETS = 1000


@pytest.fixture
def net() -> Iterator[Network]:
    with network(clients=2) as made:
        yield made


class Wire:
    """Datagrams from a client to the server, or back."""

    def __init__(self, sender: socket.socket, receiver: socket.socket) -> None:
        self._sender = sender
        self._receiver = receiver

    def arrived(self, sent: int) -> int:
        """Send so many; how many arrive. A veth delivers before `send` returns."""
        count = 0
        for _ in range(sent):
            self._sender.send(b"x" * 100)
            try:
                self._receiver.recv(200)
                count += 1
            except BlockingIOError:
                pass
        return count


@pytest.fixture
async def wires(net: Network) -> AsyncIterator[tuple[Wire, Wire]]:
    """Up and down between the first client and the server."""
    with ExitStack() as stack:

        def bound(address: str) -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, UDP_PORT))
            made.setblocking(False)
            return made

        here = stack.enter_context(await net.client.call(lambda: bound(net.client.address)))
        there = stack.enter_context(await net.server.call(lambda: bound(net.server.address)))
        here.connect((net.server.address, UDP_PORT))
        there.connect((net.client.address, UDP_PORT))
        yield Wire(here, there), Wire(there, here)


async def test_a_good_cable_loses_nothing(wires: tuple[Wire, Wire]) -> None:
    up, down = wires
    assert (up.arrived(PACKETS), down.arrived(PACKETS)) == (PACKETS, PACKETS)


async def test_packets_are_lost_at_the_rate_asked_for_in_each_direction(net: Network, wires: tuple[Wire, Wire]) -> None:
    up, down = wires
    net.client.lose(up_percent=10, down_percent=50)
    assert 850 <= up.arrived(PACKETS) <= 950  # five standard deviations
    assert 420 <= down.arrived(PACKETS) <= 580
    net.client.lose()
    assert (up.arrived(PACKETS), down.arrived(PACKETS)) == (PACKETS, PACKETS)


async def test_blocked_udp_is_lost_both_ways_until_it_is_let_through_and_tcp_passes(
    net: Network, wires: tuple[Wire, Wire]
) -> None:
    up, down = wires
    net.client.block_udp()
    assert (up.arrived(20), down.arrived(20)) == (0, 0)
    assert await download(net, net.client, 10_000) == 10_000
    net.client.block_udp(blocked=False)
    assert (up.arrived(20), down.arrived(20)) == (20, 20)


async def test_a_cut_cable_carries_nothing(net: Network, wires: tuple[Wire, Wire]) -> None:
    up, down = wires
    net.client.cut()
    assert (up.arrived(20), down.arrived(20)) == (0, 0)
    net.client.cut(cut=False)
    assert (up.arrived(20), down.arrived(20)) == (20, 20)


async def test_a_limit_holds_up_what_does_not_fit_and_only_on_its_own_cable(net: Network) -> None:
    limited, free = net.clients
    limited.shape(down_kbit=2000)
    assert await download(net, free, 200_000) == 200_000
    assert limited.dropped_packets() == 0
    assert await download(net, limited, 200_000) == 200_000
    assert limited.dropped_packets() > 0
    limited.shape()
    assert " tbf " not in net.server.sh("tc qdisc show")


async def test_nothing_is_left_even_after_a_failure() -> None:
    names: set[str] = set()

    def fail() -> None:
        with network() as made:
            names.update({made.server.name, made.client.name})
            assert names <= namespaces()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not names & namespaces()


async def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NetworkUnavailable, match="apt-get install iproute2 nftables"), network():
        pass


async def download(net: Network, client: Client, size: int) -> int:
    """Bytes that arrive at `client` over TCP, of `size` that the server sends."""
    listener = await net.server.call(lambda: socket.create_server((net.server.address, TCP_PORT)))

    def send() -> None:
        with listener, listener.accept()[0] as connection:
            connection.sendall(b"x" * size)

    def receive() -> int:
        with socket.create_connection((net.server.address, TCP_PORT)) as connection:
            return sum(iter(lambda: len(connection.recv(65536)), 0))

    _, received = await asyncio.gather(net.server.call(send), client.call(receive))
    return received


def namespaces() -> set[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line}
