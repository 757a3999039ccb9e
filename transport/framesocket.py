"""Frames and events over one socket, from `hello` to the close.

`serve` runs one connection on the event loop: a reader, a writer, a decode pump and a statistics timer, all owned by
one task group; whichever way it ends, the viewer, the publisher and the session's count of connections are given back.
Knows a `Channel`, no web framework; decides nothing about tokens.
"""

import asyncio
from contextlib import ExitStack, suppress

from liveglass.engine.errors import LiveglassError, NotAllowed, PublisherReplaced
from liveglass.engine.stream.session import Session
from liveglass.transport.channel import Channel, ChannelClosed
from liveglass.transport.conversation import POLICY_VIOLATION, Conversation
from liveglass.transport.fanout import Format
from liveglass.transport.flow import FloodRule, Throttle
from liveglass.transport.header import peek_seq
from liveglass.transport.hub import Hub
from liveglass.transport.messages import Limits, Role
from liveglass.transport.outbox import Outbox
from liveglass.transport.publisher import Publisher

NOT_ALLOWED = 4403
NO_SUCH_SESSION = 4404
PUBLISHER_REPLACED = 4409

_LAST_WORDS_S = 2.0


async def serve(
    channel: Channel, session: Session, role: Role, *, publish: bool, view: bool, fmt: Format, hub: Hub
) -> None:
    """Serve one accepted connection to its end, and close it.

    With `publish` it sends the camera, and takes over from another that does; with `view` it gets the session's
    frames, as `fmt`. Its `role` is what its token says.
    """
    if publish and role != "controller":
        await channel.close(NOT_ALLOWED, "a viewer's token cannot publish")
        return
    if session.state.state == "closed":
        await channel.close(NO_SUCH_SESSION, "the session has ended")
        return
    connection = _Connection(channel, session, role, hub)
    with ExitStack() as stack:
        stack.enter_context(session.attach())
        stack.callback(session.listen(connection.conversation.on_event))
        connection.conversation.greet()
        if view:
            stack.enter_context(connection.room.viewing(connection.outbox.viewer, fmt))
        if publish:
            stack.enter_context(connection.room.publishing(connection.start_publisher()))
        await connection.run()


class _Connection:
    """One connection's state; the event loop's alone."""

    def __init__(self, channel: Channel, session: Session, role: Role, hub: Hub) -> None:
        self.room = hub.room(session)
        self.outbox = Outbox(session, hub.clock, on_full=self._unread)
        self._channel = channel
        self._session = session
        self._hub = hub
        self._clock = hub.clock
        self.conversation = Conversation(
            session, role, hub, by="socket", say=self.outbox.say, end=self._end, on_ack=self._acknowledged
        )
        self._publisher: Publisher | None = None
        self._frame_flood = FloodRule(Limits().frames_per_s)
        self._complaints = Throttle(1.0)
        self._ending: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()

    def start_publisher(self) -> Publisher:
        """The publisher of this connection; its pump runs in `run`."""
        self._publisher = Publisher(
            self._session,
            pool=self._hub.pool,
            clock=self._clock,
            answer=self.outbox.say,
            refuse=self._refuse_frame,
            round_trip_s=lambda: self.outbox.viewer.window.round_trip_s,
        )
        return self._publisher

    async def run(self) -> None:
        """Read, write, decode and measure until one side ends it; then say why and close."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            others = [group.create_task(self._read()), group.create_task(self.conversation.send_stats())]
            if self._publisher is not None:
                others.append(group.create_task(self._publisher.run()))
                others.append(group.create_task(self._make_way(self._publisher)))
            try:
                verdict = await self._ending
                self.outbox.finish()
                if verdict is not None:
                    await asyncio.wait([writer], timeout=_LAST_WORDS_S)
                    with suppress(ChannelClosed, TimeoutError):
                        async with asyncio.timeout(_LAST_WORDS_S):
                            await self._channel.close(*verdict)
            finally:
                for task in (writer, *others):
                    task.cancel()

    def _end(self, code: int, reason: str) -> None:
        if not self._ending.done():
            self._ending.set_result((code, reason))

    def _acknowledged(self, seq: int) -> None:
        self.outbox.viewer.window.acknowledged(seq, self._clock.now())

    def _unread(self) -> None:
        self._end(POLICY_VIOLATION, "flood: events are not read")

    def _peer_left(self) -> None:
        if not self._ending.done():
            self._ending.set_result(None)

    async def _write(self) -> None:
        try:
            await self.outbox.write(self._channel)
        except ChannelClosed:
            self._peer_left()

    async def _read(self) -> None:
        try:
            while True:
                message = await self._channel.receive()
                if self._ending.done():
                    continue  # the peer's own close comes behind what it had sent before
                if isinstance(message, bytes):
                    self._on_frame(message)
                else:
                    self.conversation.on_text(message)
        except ChannelClosed:
            self._peer_left()

    async def _make_way(self, publisher: Publisher) -> None:
        await publisher.replaced.wait()
        error = PublisherReplaced("A newer publisher took over this session.")
        self.conversation.tell(error)
        self._end(PUBLISHER_REPLACED, error.code)

    def _on_frame(self, message: bytes) -> None:
        if self._frame_flood.count(self._clock.now()):
            self.conversation.flooded("frames")
        elif self._publisher is not None:
            self._publisher.receive(message)
        elif self._complaints.allows(self._clock.now()):
            error = NotAllowed("This connection does not publish.", hint="Connect with publish=1.")
            self._refuse_frame(error, peek_seq(message))

    def _refuse_frame(self, error: LiveglassError, seq: int | None) -> None:
        self.conversation.tell(error, seq=seq)
