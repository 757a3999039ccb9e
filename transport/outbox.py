"""What waits to be sent on one connection: events in order, then the newest frame.

One writer sends both, so nothing overtakes `hello` and no two sends meet. Events are few and bounded: who does not
read them is let go. Never encodes anything. Belongs to the event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from liveglass.engine.clock import Clock
from liveglass.engine.stream.session import Session
from liveglass.transport.channel import Channel
from liveglass.transport.fanout import Viewer
from liveglass.transport.messages import ServerEvent, encode

MAX_WAITING_EVENTS = 1000


class Outbox:
    """The one place through which a connection sends.

    Attributes:
        viewer: where the newest frame waits.
    """

    def __init__(self, session: Session, clock: Clock, on_full: Callable[[], None]) -> None:
        self._clock = clock
        self._session = session
        self._on_full = on_full
        self._texts: deque[str] = deque()
        self._wake = asyncio.Event()
        self._finishing = False
        self.viewer = Viewer(session.options.fps, self._wake.set)

    def say(self, event: ServerEvent) -> None:
        """Send `event` after those that wait; where too many do, the peer has stopped reading and is given up."""
        if len(self._texts) >= MAX_WAITING_EVENTS:
            self._on_full()
            return
        self._texts.append(encode(event))
        self._wake.set()

    def finish(self) -> None:
        """Let `write` return once all events are sent; no frame is sent any more."""
        self._finishing = True
        self._wake.set()

    async def write(self, channel: Channel) -> None:
        """Send what comes until `finish`.

        Raises:
            ChannelClosed: the peer has left.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._texts:
                await channel.send_text(self._texts.popleft())
            if self._finishing:
                return
            packet = self.viewer.take(self._clock.now())
            if packet is not None:
                await channel.send_bytes(packet.message)
                self._session.record_stage("deliver", self._clock.now() - packet.encoded_at)
