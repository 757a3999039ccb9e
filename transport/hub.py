"""What the connections of one server share: fan-outs, publishers, staged cues and the decode pool.

Keeps one `Room` for each session that has or had connections and clears it when the session closes. Knows no sockets.
Runs on the event loop; owns the decode pool's threads.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.events import SessionEvent, SessionState
from liveglass.engine.metrics import Metrics
from liveglass.engine.stream.session import Session
from liveglass.transport.deck import Answered, Deck
from liveglass.transport.fanout import FanOut, Format, Viewer
from liveglass.transport.webrtc.camera import RtpTimes
from liveglass.transport.webrtc.encoding import VideoCodec
from liveglass.transport.webrtc.renditions import VideoFanOut, VideoViewer

DECODE_THREADS = 2

EndSession = Callable[[str, str], None]

_Key = TypeVar("_Key")
_Shared = TypeVar("_Shared", FanOut, VideoFanOut)


class Publishes(Protocol):
    """Who sends a session's camera: a socket's publisher or a peer's camera."""

    def make_way(self) -> None:
        """A newer one has taken over."""
        ...


class Room:
    """What the connections of one session share.

    Attributes:
        deck: the staged cues.
        answered: the answers to commands already done.
        publisher: who publishes now.
        rtp_times: the RTP time stamps of the last camera pictures, where a peer sends them.
    """

    def __init__(self, session: Session, *, clock: Clock, metrics: Metrics, pool: Executor) -> None:
        self.session = session
        self.deck = Deck()
        self.answered = Answered()
        self.publisher: Publishes | None = None
        self.rtp_times = RtpTimes()
        self._clock = clock
        self._metrics = metrics
        self._pool = pool
        self._fanouts: dict[Format, FanOut] = {}
        self._videos: dict[VideoCodec, VideoFanOut] = {}

    @contextmanager
    def viewing(self, viewer: Viewer, fmt: Format) -> Iterator[None]:
        """While inside, `viewer` gets the session's frames in `fmt`."""

        def make() -> FanOut:
            return FanOut(self.session, fmt, clock=self._clock, metrics=self._metrics, loop=asyncio.get_running_loop())

        with self._shared(self._fanouts, fmt, make) as fanout:
            fanout.add(viewer)
            try:
                yield
            finally:
                fanout.remove(viewer)

    @contextmanager
    def watching(self, viewer: VideoViewer, codec: VideoCodec) -> Iterator[VideoFanOut]:
        """While inside, `viewer` gets the session's frames as video in `codec`."""

        def make() -> VideoFanOut:
            return VideoFanOut(
                self.session,
                codec,
                clock=self._clock,
                metrics=self._metrics,
                loop=asyncio.get_running_loop(),
                pool=self._pool,
                rtp_of=self.rtp_times.of,
            )

        with self._shared(self._videos, codec, make) as fanout:
            fanout.add(viewer)
            try:
                yield fanout
            finally:
                fanout.remove(viewer)

    @contextmanager
    def _shared(self, fanouts: dict[_Key, _Shared], key: _Key, make: Callable[[], _Shared]) -> Iterator[_Shared]:
        """The fan-out of `key`: made for its first viewer, let go after its last; one viewer more while inside."""
        fanout = fanouts.get(key)
        if fanout is None:
            fanout = fanouts[key] = make()
            self.session.add_sink(fanout)
        self._metrics.viewers.inc()
        try:
            yield fanout
        finally:
            self._metrics.viewers.dec()
            if not fanout.viewers:
                self.session.remove_sink(fanout)
                fanouts.pop(key, None)

    @contextmanager
    def publishing(self, publisher: Publishes) -> Iterator[None]:
        """While inside, `publisher` is the one who publishes, until a newer one takes over."""
        before, self.publisher = self.publisher, publisher
        if before is not None:
            before.make_way()
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
        for video in self._videos.values():
            video.flush()


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
        room = Room(session, clock=self.clock, metrics=self.metrics, pool=self.pool)
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
