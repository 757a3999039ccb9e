"""All peers of one server: opened by an offer, found by their id, ended in order. Event loop.

Owns the task of every peer. Remembers for a while who is over, so that a goodbye that comes late is not an error.
"""

import asyncio
import gc
from collections import OrderedDict

import structlog

from liveglass.engine.clock import wall
from liveglass.engine.errors import NoSuchPeer, Unavailable
from liveglass.engine.memory import trim_memory
from liveglass.engine.stream.session import Session
from liveglass.transport.hub import Hub
from liveglass.transport.messages import Role
from liveglass.transport.webrtc.ice import IceServer, IceSettings
from liveglass.transport.webrtc.offer import read_offer
from liveglass.transport.webrtc.peer import Peer
from liveglass.transport.webrtc.trickle import read_trickle

log = structlog.get_logger()

MOST_PEERS = 500
MOST_ANSWERING = 16
_TOMBSTONES = 2000
_SWEPT_AT_ONCE = 2


class Peers:
    """The WebRTC side of one server."""

    def __init__(self, hub: Hub, ice: IceSettings) -> None:
        self._hub = hub
        self._ice = ice
        self._peers: dict[tuple[str, str], Peer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._answering = 0
        self._unswept = 0

    def servers(self, user: str) -> tuple[IceServer, ...]:
        """STUN and TURN servers for a client of the session `user`; short-lived credentials are fresh."""
        return self._ice.servers(wall_s=wall(), user=user)

    async def open(self, session: Session, role: Role, offer: bytes) -> tuple[Peer, str]:
        """Answer an offer (SDP); the peer runs from here on.

        Raises:
            MalformedSdp, UnusableOffer: what was offered cannot be answered.
            Unavailable: too many peers, or no port to receive on.
        """
        checked = read_offer(offer)
        await asyncio.sleep(0)  # reading and answering take some milliseconds each: others come in between
        if len(self._peers) >= MOST_PEERS or self._answering >= MOST_ANSWERING:
            raise Unavailable("This server has as many WebRTC peers as it takes.", hint="Try again in a moment.")
        peer = Peer(session, role, self._hub, ice=self._ice, servers=self.servers(session.id))
        self._answering += 1
        try:
            answer = await peer.answer(checked)
        except BaseException:
            await peer.discard()
            raise
        finally:
            self._answering -= 1
        key = session.id, peer.id
        self._peers[key] = peer
        self._hub.metrics.peers.inc()
        task = asyncio.create_task(self._run(key, peer), name=f"peer {peer.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return peer, answer

    async def trickle(self, session_id: str, peer_id: str, fragment: bytes) -> None:
        """Give a peer candidates that came after its offer.

        Raises:
            NoSuchPeer, MalformedSdp, IceRestartRefused.
        """
        peer = self._peers.get((session_id, peer_id))
        if peer is None:
            raise NoSuchPeer("This peer connection is over, or never was.")
        await peer.add(read_trickle(fragment, ufrag=peer.ice_ufrag, pwd=peer.ice_pwd))

    def end(self, session_id: str, peer_id: str) -> None:
        """End a peer; one that is over already is fine.

        Raises:
            NoSuchPeer: there never was one of this id.
        """
        key = session_id, peer_id
        peer = self._peers.get(key)
        if peer is not None:
            peer.end()
        elif key not in self._over:
            raise NoSuchPeer("There is no peer connection of this id.")

    def is_over(self, session_id: str, peer_id: str) -> bool:
        """Whether such a peer was there and has ended, perhaps with its session."""
        return (session_id, peer_id) in self._over

    async def close(self) -> None:
        """End every peer and wait for it."""
        for peer in self._peers.values():
            peer.end()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, key: tuple[str, str], peer: Peer) -> None:
        try:
            await peer.run()
        except Exception:
            # One peer is one request: its fault ends it and is written down, and nobody else notices.
            log.exception("a peer failed", peer=peer.id)
        finally:
            self._hub.metrics.peers.dec()
            self._peers.pop(key, None)
            self._over[key] = None
            if len(self._over) > _TOMBSTONES:
                self._over.popitem(last=False)
            self._sweep()

    def _sweep(self) -> None:
        """Collect what ended peers leave, a few at a time.

        A peer is a large graph of objects that refer to each other. Left to itself, the collector takes hundreds of
        them at once and holds every thread for 50 ms, the output thread too; the rest of the server is frozen
        (`gc.freeze`), so that this looks at little else. What they filled stays with the C library unless it is told.
        """
        self._unswept += 1
        if self._unswept >= _SWEPT_AT_ONCE:
            self._unswept = 0
            gc.collect()
            self._hub.pool.submit(trim_memory)
