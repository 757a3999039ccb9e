"""Who watches and who listens to one session: sinks on the output thread, listeners on the event loop.

Adding and removing belong to the event loop; both lists are replaced whole, so that the output thread reads them
without a lock.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from liveglass.engine.clock import Clock
from liveglass.engine.events import SessionEvent, SessionState
from liveglass.engine.frame import OutputFrame

OnLoop = Callable[[Callable[[], None]], None]
"""Runs a call on the event loop; any thread."""


class Sink(Protocol):
    """Where output goes: one for each session and format. Both methods run on the output thread."""

    def wants(self) -> bool:
        """False when nobody could take a frame now; then nothing is encoded."""
        ...

    def deliver(self, output: OutputFrame) -> None:
        """Encode once and hand over; must not wait for anybody."""
        ...


class Audience:
    """The sinks, listeners and connections of one session.

    Attributes:
        attached: how many connections there are.
        detached_at: since when there is none, seconds.
    """

    def __init__(self, on_loop: OnLoop, clock: Clock) -> None:
        self.attached = 0
        self.detached_at = clock.now()
        self._on_loop = on_loop
        self._clock = clock
        self._sinks: tuple[Sink, ...] = ()
        self._listeners: tuple[Callable[[SessionEvent], None], ...] = ()
        self._is_over = False

    def add_sink(self, sink: Sink) -> None:
        """`sink` gets every slot from now on."""
        self._sinks = (*self._sinks, sink)

    def remove_sink(self, sink: Sink) -> None:
        """`sink` gets no slot any more."""
        self._sinks = tuple(kept for kept in self._sinks if kept is not sink)

    def listen(self, callback: Callable[[SessionEvent], None]) -> Callable[[], None]:
        """Call `callback` on the event loop with every event; returns the way to stop that."""
        self._listeners = (*self._listeners, callback)

        def stop() -> None:
            self._listeners = tuple(kept for kept in self._listeners if kept is not callback)

        return stop

    @contextmanager
    def attach(self) -> Iterator[None]:
        """While inside, the session has one more connection and does not end by itself."""
        self.attached += 1
        try:
            yield
        finally:
            self.attached -= 1
            self.detached_at = self._clock.now()

    async def frames(self) -> AsyncIterator[OutputFrame]:
        """Every output frame for a program inside this process; a slow reader gets the newest, not a queue.

        Ends with the session.
        """
        sink = _NewestSink(self._on_loop)
        stop = self.listen(sink.heard)
        self.add_sink(sink)
        try:
            while not self._is_over and (output := await sink.next()) is not None:
                yield output
        finally:
            self.remove_sink(sink)
            stop()

    def deliver(self, output: OutputFrame) -> None:
        """Hand a slot to every sink that wants it. Output thread."""
        for sink in self._sinks:
            if sink.wants():
                sink.deliver(output)

    def tell(self, event: SessionEvent) -> None:
        """Tell every listener, on the event loop. Any thread."""
        self._is_over = self._is_over or _is_the_end(event)

        def call() -> None:
            for listener in self._listeners:
                listener(event)

        self._on_loop(call)


class _NewestSink:
    """Hands output to one reader in this process."""

    def __init__(self, on_loop: OnLoop) -> None:
        self._on_loop = on_loop
        self._newest: OutputFrame | None = None
        self._arrived = asyncio.Event()
        self._is_over = False

    def wants(self) -> bool:
        return True

    def deliver(self, output: OutputFrame) -> None:
        # Laid down where it is taken: a reader that was told late would else find the same frame twice.
        self._on_loop(lambda: self._lay(output))

    def _lay(self, output: OutputFrame) -> None:
        self._newest = output
        self._arrived.set()

    def heard(self, event: SessionEvent) -> None:
        if _is_the_end(event):
            self._is_over = True
            self._arrived.set()

    async def next(self) -> OutputFrame | None:
        """The newest frame not taken yet; None when the session is over."""
        await self._arrived.wait()
        self._arrived.clear()
        return None if self._is_over else self._newest


def _is_the_end(event: SessionEvent) -> bool:
    return isinstance(event, SessionState) and event.state == "closed"
