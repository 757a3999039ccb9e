"""Gathering of ICE candidates: on chosen addresses and ports, with a bound on how long anybody else may take.

A drop-in for aiortc's own gatherer, by subclassing; upstream as read in aiortc 1.16.0 and aioice 0.13.0 (a test
compares the source of all that is overridden or relied on). Never asks a server that is not configured, never waits for
a dead one for more than two seconds, never leaves a socket behind. Event loop.
"""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

import structlog
from aioice import Candidate, Connection, TransportPolicy
from aioice.ice import StunProtocol, relayed_candidate, server_reflexive_candidate
from aioice.mdns import is_mdns_hostname
from aioice.stun import TransactionError
from aioice.turn import TurnTransport
from aiortc import RTCIceGatherer, RTCIceServer

from liveglass.engine.errors import Unavailable
from liveglass.transport.webrtc.hosts import (
    announced,
    bound_socket,
    cannot_bind,
    host_candidate,
    is_loopback,
    local_addresses,
)
from liveglass.transport.webrtc.ice import IceServer, IceSettings, IceUrl, parse_url

STUN_BUDGET_S = 2.0
TURN_BUDGET_S = 2.0
# Once one interface knows its outside address, the others get this much longer: a bridge for containers never answers.
_STUN_GRACE_S = 0.2
_RELEASE_BUDGET_S = 1.0

log = structlog.get_logger()


class Gatherer(RTCIceGatherer):
    """Gathers as `settings` say; what RTCPeerConnection would make an RTCIceGatherer for."""

    def __init__(self, settings: IceSettings, servers: tuple[IceServer, ...]) -> None:
        super().__init__(iceServers=[])
        self._connection: BoundConnection = BoundConnection(settings, servers)

    @classmethod
    def getDefaultIceServers(cls) -> list[RTCIceServer]:  # noqa: N802 - upstream's name
        """None: aiortc would tell a public STUN service about every peer."""
        return []

    @property
    def faults(self) -> tuple[str, ...]:
        """What did not work while gathering, for people; candidates may have been found all the same."""
        return tuple(self._connection.faults)


class BoundConnection(Connection):
    """An ICE connection on given addresses and ports, with any number of relays to try.

    Attributes:
        faults: what did not work while gathering, for people.
    """

    def __init__(self, settings: IceSettings, servers: tuple[IceServer, ...]) -> None:
        super().__init__(
            ice_controlling=False,
            transport_policy=TransportPolicy.RELAY if settings.policy == "relay" else TransportPolicy.ALL,
        )
        urls = [(parse_url(url), server) for server in servers for url in server.urls]
        self.faults: list[str] = []
        self._settings = settings
        self._stun = next((url for url, _ in urls if url.scheme == "stun"), None)
        self._relays = [(url, server) for url, server in urls if url.scheme != "stun"]
        self._tasks: set[asyncio.Task[None]] = set()

    async def gather_candidates(self) -> None:
        """Gather local candidates; upstream's has no ports, no second relay, and leaks when it is cancelled.

        Raises:
            Unavailable: no port of the range is free, no address can be bound, or the policy is `relay` and no relay
                gave an allocation.
        """
        if self._local_candidates_start or self._closing:
            return
        self._local_candidates_start = True
        task = self._own(self._gather())
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not task.cancelled():  # it is when `close` came first; then there is nothing to tell
            task.result()

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate of the other side; None after the last one.

        A name of mDNS is looked up beside the handshake: upstream would make the answer wait for it (1 s when nobody
        answers), and fail the whole offer where another program holds the port of mDNS.
        """
        if remote_candidate is not None and is_mdns_hostname(remote_candidate.host):
            if not self._is_loopback_only():
                self._own(self._look_up(remote_candidate))
        elif remote_candidate is None and self._tasks:
            self._own(self._end_after(tuple(self._tasks)))
        else:
            await super().add_remote_candidate(remote_candidate)

    async def close(self) -> None:
        """Close every socket, also of a gathering under way; a dead relay delays it by a second at most."""
        self._closing = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._release_relays()
        await super().close()

    def _own(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _look_up(self, candidate: Candidate) -> None:
        try:
            await super().add_remote_candidate(candidate)
        except (OSError, ValueError) as fault:
            log.info("mDNS name not looked up", reason=str(fault))

    async def _end_after(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        await asyncio.wait(tasks)
        await super().add_remote_candidate(None)

    def _is_loopback_only(self) -> bool:
        return bool(self._settings.bind) and all(map(is_loopback, self._settings.bind))

    async def _gather(self) -> None:
        relay_only = self._settings.policy == "relay"
        try:
            hosts = [] if relay_only else await self._bind(local_addresses(self._settings.bind))
            async with asyncio.TaskGroup() as group:
                reflexive = group.create_task(self._reflexive(hosts))
                relayed = group.create_task(self._relayed())
        except BaseException:
            for protocol in self._protocols:
                protocol.transport.close()
            raise
        if relay_only and not relayed.result():
            raise no_relay(self.faults)
        found = [protocol.local_candidate for protocol in hosts]
        found += announced(found, self._settings.public_address)
        found += [new for new in reflexive.result() if not any(_same_address(new, old) for old in found)]
        self._local_candidates += found + relayed.result()
        self._local_candidates_end = True

    async def _bind(self, addresses: Sequence[str]) -> list[StunProtocol]:
        """A socket and a host candidate for each address that can be bound."""
        refused: list[tuple[str, OSError]] = []
        hosts = []
        for rank, address in enumerate(addresses):
            try:
                bound = bound_socket(address, self._settings.ports)
            except OSError as fault:
                refused.append((address, fault))
                continue
            protocol = await self._open(bound)
            host, port = bound.getsockname()[:2]
            protocol.local_candidate = host_candidate(host, host, port, rank)
            hosts.append(protocol)
        self.faults += [f"{address} cannot be bound: {fault.strerror}" for address, fault in refused]
        if not hosts:
            raise cannot_bind(self._settings, refused)
        return hosts

    async def _open(self, bound: socket.socket) -> StunProtocol:
        loop = asyncio.get_running_loop()
        opening = asyncio.ensure_future(loop.create_datagram_endpoint(lambda: StunProtocol(self), sock=bound))
        try:
            _, protocol = await asyncio.shield(opening)
        except asyncio.CancelledError:
            transport, _ = await opening  # one turn of the loop; cancelled itself, uvloop would lose the socket
            transport.close()
            raise
        self._protocols.append(protocol)
        return protocol

    async def _reflexive(self, hosts: Sequence[StunProtocol]) -> list[Candidate]:
        """What STUN says that each IPv4 address looks like from outside."""
        if self._stun is None:
            return []
        server = (self._stun.host, self._stun.port)
        hosts = [host for host in hosts if _can_ask(host.local_candidate.host, server[0])]
        asked = [asyncio.ensure_future(server_reflexive_candidate(host, server)) for host in hosts]
        if not asked:
            return []
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STUN_BUDGET_S):
                    await _first_good(asked)
                    await asyncio.wait(asked, timeout=_STUN_GRACE_S)
            found = [one.result()[0] for one in asked if one.done() and one.exception() is None]
        finally:
            await _cancel(asked)
        if not found:
            self.faults.append(f"stun:{server[0]}:{server[1]} does not answer")
        return found

    async def _relayed(self) -> list[Candidate]:
        """One allocation, at the first relay that gives one."""
        for url, server in self._relays:
            try:
                async with asyncio.timeout(TURN_BUDGET_S / len(self._relays)):
                    candidate, protocol = await allocate(
                        url, server, self, hide_related_address=self._settings.policy == "relay"
                    )
            except TimeoutError:
                self.faults.append(f"{url} does not answer")
            except (OSError, TransactionError) as fault:
                self.faults.append(f"{url}: {told(fault)}")
            else:
                self._protocols.append(protocol)
                return [candidate]
        return []

    async def _release_relays(self) -> None:
        """Give allocations back; upstream asks a relay that is gone for a minute, holding its socket."""
        relays = [protocol for protocol in self._protocols if isinstance(protocol.transport, TurnTransport)]
        self._protocols = [protocol for protocol in self._protocols if protocol not in relays]
        if not relays:
            return
        closing = [asyncio.ensure_future(protocol.close()) for protocol in relays]
        _, late = await asyncio.wait(closing, timeout=_RELEASE_BUDGET_S)
        if late:
            deletions = [protocol.transport._TurnTransport__close_task for protocol in relays]  # type: ignore[attr-defined] # upstream gives no other way to stop asking
            await _cancel([*late, *deletions])


async def allocate(
    url: IceUrl, server: IceServer, receiver: Connection, *, hide_related_address: bool
) -> tuple[Candidate, StunProtocol]:
    """An allocation at a relay, whose data go to `receiver`.

    Raises:
        OSError: the relay cannot be reached.
        TransactionError: it refused, or does not speak TURN.
    """
    return await relayed_candidate(
        component=1,
        hide_related_address=hide_related_address,
        protocol_factory=lambda: StunProtocol(receiver),
        turn_server=(url.host, url.port),
        turn_username=server.username,
        turn_password=server.credential,
        turn_ssl=url.scheme == "turns",
        turn_transport=url.transport,
    )


def no_relay(faults: Sequence[str]) -> Unavailable:
    """The error that follows when relays alone may be used and none can."""
    return Unavailable(
        f"No relay gave an allocation: {'; '.join(faults) or 'none is configured'}.",
        hint="ice_policy is relay: check ice_turn and its secret; `liveglass doctor` tries each of them.",
    )


def _can_ask(address: str, server: str) -> bool:
    """Whether a socket on `address` can reach `server`: aioice asks over IPv4, and loopback leads nowhere else."""
    if ":" in address:
        return False
    return not is_loopback(address) or server == "localhost" or server.startswith("127.")


def _same_address(one: Candidate, other: Candidate) -> bool:
    return (one.host, one.port) == (other.host, other.port)


def told(fault: Exception) -> str:
    """What a server said, fit for a line of text: coturn ends its reasons with a NUL."""
    return "".join(character for character in str(fault) if character.isprintable())


async def _first_good(tasks: Iterable[asyncio.Future[tuple[Candidate, None]]]) -> None:
    """Wait until one of them succeeded or all have failed."""
    for task in asyncio.as_completed(tasks):
        with contextlib.suppress(OSError, TransactionError, KeyError):
            await task
            return


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
