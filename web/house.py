"""What every route shares: the engine, the connections, who may do what; made once for each server.

Holds things together and decides nothing itself. Event loop.
"""

from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection

from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.engine import Engine
from liveglass.engine.errors import TokenRefused
from liveglass.engine.stream.session import Session
from liveglass.transport.hub import Hub
from liveglass.transport.webrtc.peers import Peers
from liveglass.web.auth import OPERATOR_NONCE, Claim, Desk, Tokens, presented
from liveglass.web.guard import Guard
from liveglass.web.health import LoopWatch
from liveglass.web.keys import KeyRing
from liveglass.web.names import Names
from liveglass.web.settings import Settings


@dataclass(frozen=True, slots=True)
class House:
    """One server's parts.

    Attributes:
        port: the port really bound.
    """

    settings: Settings
    engine: Engine
    hub: Hub
    peers: Peers
    desk: Desk
    names: Names
    guard: Guard
    watch: LoopWatch
    clock: Clock
    port: int

    @classmethod
    def build(
        cls, settings: Settings, engine: Engine, hub: Hub, *, secret: bytes, port: int, clock: Clock | None = None
    ) -> "House":
        """Put a server together around a running engine."""
        clock = clock or SystemClock()
        state_dir = Path(settings.state_dir)
        return cls(
            settings=settings,
            engine=engine,
            hub=hub,
            peers=Peers(hub, settings.ice),
            desk=Desk(settings, Tokens(secret), KeyRing(state_dir)),
            names=Names(engine, state_dir),
            guard=Guard(settings, port),
            watch=LoopWatch(clock, engine.metrics),
            clock=clock,
            port=port,
        )

    def enter(self, connection: HTTPConnection) -> tuple[Session, Claim]:
        """The session that a request is about, and what its token may do there.

        Raises:
            TokenRefused: no token or a wrong one; looked at first, so that nobody can ask which sessions there are.
            NoSuchSession: a good token for a session that is over.
        """
        session_id = str(connection.path_params["id"])
        credential = presented(connection.headers, connection.scope["query_string"])
        claim = self.desk.claim(session_id, credential)
        nonce = self.names.nonce(session_id)
        if nonce is not None and claim.nonce not in {nonce, OPERATOR_NONCE}:
            raise TokenRefused("This token belongs to an earlier session of this name.")
        return self.names.get(session_id), claim

    def base_url(self, connection: HTTPConnection) -> str:
        """The address that clients see, without a slash at its end."""
        if self.settings.public_url:
            return self.settings.public_url.rstrip("/")
        return f"{'https' if self.settings.is_tls else 'http'}://{connection.headers['host']}"
