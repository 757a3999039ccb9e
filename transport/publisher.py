"""The one who sends the camera: pictures in, newest wins, and every one of them is answered.

A publisher has one place for an encoded picture; what comes while another is being decoded replaces it. Decoding runs
in the hub's small pool, never on the event loop. Acknowledgements are cumulative, so a publisher that keeps to its
credit has at most a few pictures on the way, however slow the server is.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

import msgspec

from liveglass.engine.clock import Clock
from liveglass.engine.errors import LiveglassError, MalformedFrame
from liveglass.engine.stream.session import Session
from liveglass.transport import codecs
from liveglass.transport.flow import Throttle, allowance
from liveglass.transport.header import HEADER_BYTES, FrameHeader, WireKind, peek_seq
from liveglass.transport.messages import PublishAck

MAX_CREDIT = 12
"""A publisher's own queue is its latency: beyond half a second of pictures, fewer are better."""

Answer = Callable[[PublishAck], None]
Refuse = Callable[[LiveglassError, int | None], None]


class _Arrival(msgspec.Struct, frozen=True):
    header: FrameHeader
    message: bytes
    arrived_at: float


class Publisher:
    """One connection that publishes. Belongs to the event loop; decoding happens in the pool.

    Attributes:
        replaced: set when a newer publisher has taken over.
    """

    def __init__(
        self,
        session: Session,
        *,
        pool: Executor,
        clock: Clock,
        answer: Answer,
        refuse: Refuse,
        round_trip_s: Callable[[], float | None],
    ) -> None:
        self.replaced = asyncio.Event()
        self._session = session
        self._pool = pool
        self._clock = clock
        self._answer = answer
        self._refuse = refuse
        self._round_trip_s = round_trip_s
        self._complaints = Throttle(1.0)
        self._waiting: _Arrival | None = None
        self._arrived = asyncio.Event()
        self._decoding = False
        self._over = False
        self._newest_seq = 0

    def make_way(self) -> None:
        """A newer publisher has taken over: nothing of this one is shown any more."""
        self.replaced.set()

    def receive(self, message: bytes) -> None:
        """A binary message came; never blocks."""
        now = self._clock.now()
        seq = peek_seq(message)
        if seq is not None:
            self._newest_seq = seq
        try:
            header = _camera_header(message)
        except MalformedFrame as error:
            self._complain(error, seq, now)
            # While a picture is decoded or waits, its own acknowledgement covers what was refused after it.
            if seq is not None and self._is_idle():
                self._acknowledge(seq)
            return
        if self._waiting is not None:
            self._session.count_replaced()
        self._waiting = _Arrival(header, message, now)
        self._arrived.set()

    async def run(self) -> None:
        """Decode and publish until cancelled."""
        try:
            while True:
                await self._next()
        finally:
            self._over = True

    async def _next(self) -> None:
        await self._arrived.wait()
        self._arrived.clear()
        arrival, self._waiting = self._waiting, None
        if arrival is None:
            return
        self._decoding = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, arrival)
        except LiveglassError as error:
            self._complain(error, arrival.header.seq, self._clock.now())
        finally:
            self._decoding = False
        self._acknowledge(self._newest_seq if self._is_idle() else arrival.header.seq)

    def _decode(self, arrival: _Arrival) -> None:
        options = self._session.options
        began = self._clock.now()
        pixels = codecs.decode(arrival.header.codec, arrival.message[HEADER_BYTES:], options.size, options.fit)
        self._session.record_stage("decode", self._clock.now() - began)
        if not (self._over or self.replaced.is_set()):
            self._session.publish(pixels, arrival.header.source_us, arrival.arrived_at)

    def _is_idle(self) -> bool:
        return not self._decoding and self._waiting is None

    def _acknowledge(self, seq: int) -> None:
        credit = min(MAX_CREDIT, allowance(self._round_trip_s(), self._session.options.fps))
        self._answer(PublishAck(seq=seq, credit=credit))

    def _complain(self, error: LiveglassError, seq: int | None, now: float) -> None:
        if self._complaints.allows(now):
            self._refuse(error, seq)


def _camera_header(message: bytes) -> FrameHeader:
    header = FrameHeader.unpack(message)
    if header.kind is not WireKind.CAMERA:
        raise MalformedFrame("A publisher sends camera pictures.", hint="Set the header's kind to 0.")
    return header
