"""What the connections of one server share: fan-outs, publishers, staged cues and the decode pool.

Keeps one `Room` for each session that has or had connections and clears it when the session closes. Knows no sockets.
Runs on the event loop; owns the decode pool's threads.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.events import SessionEvent, SessionState
from liveglass.engine.metrics import Metrics
from liveglass.engine.stream.session import Session
from liveglass.transport.deck import Answered, Deck
from liveglass.transport.fanout import FanOut, Format, Viewer
from liveglass.transport.publisher import Publisher

DECODE_THREADS = 2

EndSession = Callable[[str, str], None]


class Room:
    """What the connections of one session share.

    Attributes:
        deck: the staged cues.
        answered: the answers to commands already done.
        publisher: who publishes now.
    """

    def __init__(self, session: Session, *, clock: Clock, metrics: Metrics) -> None:
        self.session = session
        self.deck = Deck()
        self.answered = Answered()
        self.publisher: Publisher | None = None
        self._clock = clock
        self._metrics = metrics
        self._fanouts: dict[Format, FanOut] = {}

    @contextmanager
    def viewing(self, viewer: Viewer, fmt: Format) -> Iterator[None]:
        """While inside, `viewer` gets the session's frames in `fmt`."""
        fanout = self._fanouts.get(fmt)
        if fanout is None:
            fanout = FanOut(
                self.session,
                fmt,
                clock=self._clock,
                metrics=self._metrics,
                loop=asyncio.get_running_loop(),
            )
            self._fanouts[fmt] = fanout
            self.session.add_sink(fanout)
        fanout.add(viewer)
        self._metrics.viewers.inc()
        try:
            yield
        finally:
            self._metrics.viewers.dec()
            fanout.remove(viewer)
            if not fanout.viewers:
                self.session.remove_sink(fanout)
                self._fanouts.pop(fmt, None)

    @contextmanager
    def publishing(self, publisher: Publisher) -> Iterator[None]:
        """While inside, `publisher` is the one who publishes, until a newer one takes over."""
        before, self.publisher = self.publisher, publisher
        if before is not None:
            before.replaced.set()
        self.session.start_publishing()
        try:
            yield
        finally:
            if self.publisher is publisher:
                self.publisher = None
                self.session.stop_publishing()

    def flush(self) -> None:
        """Nothing that was encoded before now is sent any more, but the safe picture."""
        for fanout in self._fanouts.values():
            fanout.flush()


class Hub:
    """Everything that one server's connections share.

    Args:
        end: how a session is ended (`Engine.end`), for the command `session.close`.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        end: EndSession | None = None,
        clock: Clock | None = None,
        decode_threads: int = DECODE_THREADS,
    ) -> None:
        self.metrics = metrics
        self.clock: Clock = SystemClock() if clock is None else clock
        self.end = end
        self.pool = ThreadPoolExecutor(decode_threads, thread_name_prefix="decode")
        self._rooms: dict[str, Room] = {}
        self._connections = itertools.count(1)

    def connection_number(self) -> int:
        """A number that no other connection of this server has."""
        return next(self._connections)

    def room(self, session: Session) -> Room:
        """The room of `session`, made on its first connection and cleared when the session closes."""
        known = self._rooms.get(session.id)
        if known is not None and known.session is session:
            return known
        room = Room(session, clock=self.clock, metrics=self.metrics)
        self._rooms[session.id] = room
        stop: list[Callable[[], None]] = []

        def on_event(event: SessionEvent) -> None:
            if not isinstance(event, SessionState):
                return
            if event.state == "panic":
                room.flush()
            elif event.state == "closed":
                if self._rooms.get(session.id) is room:
                    del self._rooms[session.id]
                for leave in stop:
                    leave()

        stop.append(session.listen(on_event))
        return room

    def close(self) -> None:
        """Let the decode pool go; call it when every connection is closed."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        self._rooms.clear()
