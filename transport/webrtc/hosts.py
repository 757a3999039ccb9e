"""The addresses and ports of this machine that peers may use, and the candidates that name them.

Opens sockets and keeps none; never binds a wildcard, since a candidate has to say one address. Any thread.
"""

import errno
import ipaddress
import random
import socket
from collections.abc import Iterable, Iterator, Sequence

from aioice import Candidate
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import get_host_addresses
from aioice.turn import UDP_SOCKET_BUFFER_SIZE

from liveglass.engine.errors import Unavailable
from liveglass.transport.webrtc.ice import IceSettings


def bound_socket(address: str, ports: tuple[int, int] | None) -> socket.socket:
    """A UDP socket on `address`, on a free port of the range (both ends included; None: any port).

    Raises:
        OSError: EADDRINUSE if the whole range is taken, or why the address cannot be bound.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)  # noqa: FBT003 - the only way that it is called
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
        _bind(bound, address, [0] if ports is None else _from_anywhere(ports))
    except BaseException:
        bound.close()
        raise
    return bound


def local_addresses(bind: Sequence[str]) -> list[str]:
    """The addresses to receive on: those named, with wildcards and an empty `bind` resolved to this machine's.

    A machine that has nothing but loopback receives there: its own browser is the only one that can come.
    """
    found: list[str] = []
    for address in bind or ("0.0.0.0", "::"):  # noqa: S104 - resolved to single addresses, never bound
        wildcard = ipaddress.ip_address(address).is_unspecified
        found += _interfaces(6 if ":" in address else 4) if wildcard else [address]
    return list(dict.fromkeys(found)) or ["127.0.0.1"]


def announced(hosts: Sequence[Candidate], public_address: str) -> list[Candidate]:
    """Further host candidates under the public address, for each port it can be mapped to (1:1 NAT: the same port).

    They rank below the private ones, which clients in the same network reach without the detour.
    """
    if not public_address or any(host.host == public_address for host in hosts):
        return []
    version = ipaddress.ip_address(public_address).version
    behind = [
        host for host in hosts if ipaddress.ip_address(host.host).version == version and not is_loopback(host.host)
    ]
    return [
        host_candidate(f"{public_address}|{host.host}", public_address, host.port, len(hosts) + rank)
        for rank, host in enumerate(behind)
    ]


def cannot_bind(settings: IceSettings, refused: Sequence[tuple[str, OSError]]) -> Unavailable:
    """The error that follows when no address could be bound."""
    if settings.ports is not None and any(fault.errno == errno.EADDRINUSE for _, fault in refused):
        low, high = settings.ports
        return Unavailable(
            f"All {high - low + 1} UDP ports of ice_ports are in use.",
            hint=f"Every peer takes one; widen ice_ports (now {low}-{high}), in the firewall too, or try again later.",
        )
    return Unavailable(
        "No UDP port can be bound on " + ", ".join(f"{address} ({fault.strerror})" for address, fault in refused) + ".",
        hint="ice_bind takes addresses of this machine; `liveglass doctor` shows what it finds.",
    )


def host_candidate(base: str, host: str, port: int, rank: int) -> Candidate:
    """A host candidate of component 1.

    Args:
        base: what makes its foundation: candidates of one base fail together.
        rank: its place among the host candidates, 0 the best (local preference of RFC 8445, section 5.1.2.1).
    """
    return Candidate(
        foundation=candidate_foundation("host", "udp", base),
        component=1,
        transport="udp",
        priority=candidate_priority(1, "host", max(0, 65535 - rank)),
        host=host,
        port=port,
        type="host",
    )


def is_loopback(address: str) -> bool:
    """Whether an address of either version never leaves this machine."""
    return ipaddress.ip_address(address).is_loopback


def _bind(bound: socket.socket, address: str, ports: Iterable[int]) -> None:
    for port in ports:
        try:
            bound.bind((address, port))
        except OSError as fault:
            if fault.errno != errno.EADDRINUSE:
                raise
        else:
            return
    raise OSError(errno.EADDRINUSE, "every port of the range is in use")


def _interfaces(version: int) -> list[str]:
    found = get_host_addresses(use_ipv4=version == 4, use_ipv6=version == 6)
    return [address for address in found if not is_loopback(address)]


def _from_anywhere(ports: tuple[int, int]) -> Iterator[int]:
    """Every port of the range once, from a random one on: two peers that begin at once rarely try the same."""
    low, high = ports
    start = random.randint(low, high)
    yield from range(start, high + 1)
    yield from range(low, start)
