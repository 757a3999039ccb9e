"""What a peer's camera is to its session: the publisher, until a newer one comes. Event loop."""

import math
from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from liveglass.engine.clock import Clock
from liveglass.engine.stream.session import Session
from liveglass.transport.webrtc.decoding import CameraPicture

REMEMBERED = 512
NEW_START_S = 1.0


class RtpTimes:
    """The raw RTP time stamps of the last camera pictures, by the microseconds that stand for them in provenance.

    The event loop writes, the output thread reads; both are single operations on a dict.
    """

    def __init__(self) -> None:
        self._times: OrderedDict[int, int] = OrderedDict()

    def note(self, source_us: int, timestamp: int) -> None:
        """The picture of `source_us` had this time stamp."""
        self._times[source_us] = timestamp
        if len(self._times) > REMEMBERED:
            self._times.popitem(last=False)

    def of(self, source_us: int) -> int | None:
        """The time stamp of that picture; None if it came another way or long ago."""
        return self._times.get(source_us)


class PeerCamera:
    """Publishes one peer's pictures, from the first on; a peer that sends none only watches.

    After a newer publisher took over, this peer's pictures are ignored until its camera has been silent for a second
    and starts anew: that is a new wish to publish.

    Args:
        publishing: enters this camera as the session's publisher.
        on_replaced: told once when a newer publisher has taken over.
    """

    def __init__(
        self,
        session: Session,
        times: RtpTimes,
        clock: Clock,
        *,
        publishing: Callable[["PeerCamera"], AbstractContextManager[None]],
        on_replaced: Callable[[], None],
    ) -> None:
        self._session = session
        self._times = times
        self._clock = clock
        self._publishing = publishing
        self._on_replaced = on_replaced
        self._is_replaced = False
        self._stack = ExitStack()
        self._has_begun = False
        self._last_at = -math.inf

    def publish(self, picture: CameraPicture, decode_s: float) -> None:
        """A decoded picture came."""
        now = self._clock.now()
        is_new_start = now - self._last_at >= NEW_START_S
        self._last_at = now
        if self._is_replaced and not is_new_start:
            return
        if not self._has_begun:
            self._has_begun, self._is_replaced = True, False
            self._stack.enter_context(self._publishing(self))
        arrived_us = int(picture.arrived_at * 1e6)
        self._times.note(arrived_us, picture.timestamp)
        self._session.record_stage("decode", decode_s)
        self._session.publish(picture.pixels, arrived_us, picture.arrived_at)

    def make_way(self) -> None:
        """A newer publisher has taken over."""
        self._is_replaced = True
        self.stop()
        self._on_replaced()

    def stop(self) -> None:
        """No more pictures come."""
        self._has_begun = False
        self._stack.close()
