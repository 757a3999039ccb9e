"""The output thread: wakes at each slot's deadline and lets its session run it.

It is not on the event loop, so that TLS, JSON or a slow handler cannot delay a picture. One thread serves all sessions,
whose grids are staggered across the slot. After a stall there is no burst: skipped slots are counted and gone.
"""

import contextlib
import heapq
import math
import os
import sys
import threading

import structlog

from liveglass.engine.clock import Clock
from liveglass.engine.stream.session import Session

log = structlog.get_logger()


class OutputThread:
    """Ticks every session on its own grid.

    Attributes:
        ticked_at: when it last did anything, seconds; what liveness looks at.
    """

    def __init__(self, clock: Clock) -> None:
        self.ticked_at = clock.now()
        self._clock = clock
        self._due: list[tuple[float, str, int]] = []
        self._sessions: dict[str, Session] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._is_ticking = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)

    def start(self) -> None:
        """Begin to tick."""
        self._thread.start()

    def close(self) -> None:
        """Stop ticking and wait for the slot that is under way."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def silent_s(self) -> float:
        """How long it has done nothing although something was due, seconds."""
        with self._changed:
            due = self._due[0][0] if self._due else math.inf
            if self._is_ticking:
                # The slot under way is in no list; a sink that never returns would go unseen.
                due = min(due, self.ticked_at)
        now = self._clock.now()
        return min(max(0.0, now - due), now - self.ticked_at)

    def add(self, session: Session) -> None:
        """Tick `session` from its next slot on."""
        with self._changed:
            self._sessions[session.id] = session
            slot = session.grid.next_slot(self._clock.now())
            heapq.heappush(self._due, (session.grid.deadline(slot), session.id, slot))
            self._changed.notify()

    def remove(self, session: Session) -> None:
        """Tick `session` no more."""
        with self._changed:
            self._sessions.pop(session.id, None)
            self._due = [entry for entry in self._due if entry[1] != session.id]
            heapq.heapify(self._due)

    def _run(self) -> None:
        _ask_for_real_time()
        while True:
            session, slot = self._next()
            if session is None:
                return
            now = self._clock.now()
            self.ticked_at, self._is_ticking = now, True
            newest = max(slot, session.grid.slot_at(now))
            try:
                session.run_slot(newest, skipped=newest - slot)
            except Exception:
                # One broken session must not stop the others' pictures; the frame boundary of the output thread is
                # what a request is to the web.
                log.exception("a slot failed", session=session.id)
            with self._changed:
                self._is_ticking = False
                # Another session may have been opened under the same id meanwhile.
                if self._sessions.get(session.id) is session:
                    following = newest + 1
                    heapq.heappush(self._due, (session.grid.deadline(following), session.id, following))

    def _next(self) -> tuple[Session | None, int]:
        """Wait for the next deadline; None when it is time to leave."""
        with self._changed:
            while not self._stopping:
                wait_s = self._due[0][0] - self._clock.now() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    _, session_id, slot = heapq.heappop(self._due)
                    session = self._sessions.get(session_id)
                    if session is not None:
                        return session, slot
                    continue
                self._changed.wait(wait_s)
            return None, 0


def _ask_for_real_time() -> None:
    """Run this thread before anything ordinary, where this user may (root, CAP_SYS_NICE, or an RLIMIT_RTPRIO).

    A slot costs a millisecond, but beside a browser that keeps every core busy an ordinary thread wakes up to 30 ms
    late. See sched(7).
    """
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
