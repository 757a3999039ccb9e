"""One session's pictures, moved along with its camera in a pool; nobody ever waits for it.

A new picture is held back until it has been moved once, so that motion never jumps back to the moment that the picture
was made from; if that takes longer than a slot, it is shown as made. While nothing has to be moved, camera pictures are
only remembered. Any thread.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

import structlog

from liveglass.engine.clock import Clock
from liveglass.engine.frame import Frame, Size, SourceFrame
from liveglass.engine.reproject.warp import Moved, Reprojector
from liveglass.engine.turns import Turns
from liveglass.engine.worker.cost import percentile

log = structlog.get_logger()

Result = TypeVar("Result")

_MOST_SOURCES = 6
"""Camera pictures that may wait; when the machine is that far behind, older ones are passed over."""

_MOST_BASES = 2
_MOST_VIEW_PIXELS = 256 * 256
_WANTED_S = 1.0
"""So long after the last picture that had to be moved the camera is still followed."""

_TOO_SLOW_OF = 12
_MOST_OF_A_SLOT = 1 / 3
"""Where moving takes more than that, motion is looked for in a view of half the width and height from then on."""

_SMALL_VIEW_PIXELS = 160 * 90
"""A view that is no larger stays as it is."""

_REST_S = 5.0
"""After a fault, or where moving takes longer than a slot, nothing is moved for so long."""


def view_size(size: Size, inner_pixels: int) -> Size:
    """Size at which motion is looked for: half of what the model paints at.

    Args:
        size: of the session's pictures.
        inner_pixels: that the model paints; 0: as many as the session's pictures have.
    """
    pixels = size.width * size.height
    wanted = min((inner_pixels or pixels) / 4, _MOST_VIEW_PIXELS)
    # A whole number: pictures are made small four times as fast.
    times = max(2, round((pixels / wanted) ** 0.5))
    return Size(max(16, size.width // times), max(16, size.height // times))


class Mover:
    """Moves one session's pictures.

    Args:
        size: of the session's pictures.
        view: size at which motion is looked for.
        pool: where it is done.
        period_s: a slot; a new picture is held back for no longer.
        clock: the server's.
        took: told in the pool how many seconds it took to move a picture.
    """

    def __init__(
        self,
        size: Size,
        view: Size,
        *,
        pool: Executor,
        period_s: float,
        clock: Clock,
        took: Callable[[float], None],
    ) -> None:
        self._size, self._view = size, view
        self._reprojector: Reprojector | None = None  # the pool's alone
        self._turns = Turns(pool, self._pass)
        self._period_s, self._clock, self._took = period_s, clock, took
        self._lock = threading.Lock()
        self._sources: deque[SourceFrame] = deque(maxlen=_MOST_SOURCES)
        self._bases: deque[Frame] = deque(maxlen=_MOST_BASES)
        self._held: list[Frame] = []
        self._offered = self._done = -1
        self._aim: float | None = None
        self._wanted_until = 0.0
        self._newest: Moved | None = None
        self._is_forgetting = self._is_closed = False
        self._next_view: Size | None = None
        self._passes: deque[float] = deque(maxlen=_TOO_SLOW_OF)
        self._resting_until = 0.0

    def look_for(self, inner_pixels: int) -> None:
        """Another model paints so many pixels; it counts with the next picture, the last one is moved as before."""
        with self._lock:
            self._next_view = view_size(self._size, inner_pixels)

    def see(self, source: SourceFrame) -> None:
        """The camera shows `source`."""
        with self._lock:
            if self._is_closed:
                return
            self._sources.append(source)
        self._turns.ask()

    def offer(self, frame: Frame, *, hold: bool) -> bool:
        """A picture was generated.

        Args:
            hold: whether to hold it back until it has been moved once.

        Returns:
            Whether it is held back: `ready` will give it.
        """
        with self._lock:
            if self._is_closed:
                return False
            self._offered = frame.seq
            self._bases.append(frame)
            hold = hold and not self._is_resting
            if hold:
                self._held.append(frame)
                self._wanted_until = self._clock.now() + _WANTED_S
        self._turns.ask()
        return hold

    def ready(self, at: float) -> list[Frame]:
        """Pictures that were held back and may be shown at `at`: moved once, or waiting for too long."""
        with self._lock:
            ready: list[Frame] = []
            held: list[Frame] = []
            for frame in self._held:
                is_ready = self._is_resting or frame.seq <= self._done or at - frame.ready_at > self._period_s
                (ready if is_ready else held).append(frame)
            self._held = held
            return ready

    def moved(self, base: Frame, aim: float | None) -> Moved | None:
        """Where `base` is by what is known now; None where nothing is.

        Args:
            aim: to where the camera was at that time, in seconds, it is to be moved from now on; None: to its newest
                place.
        """
        with self._lock:
            if base.seq != self._offered and (self._newest is None or self._newest.base is not base):
                return None
            is_news = aim != self._aim or not self._is_wanted
            self._aim, self._wanted_until = aim, self._clock.now() + _WANTED_S
            newest = self._newest
        if is_news:
            self._turns.ask()
        return newest if newest is not None and newest.base is base else None

    def forget(self) -> None:
        """Nothing that was seen or made before counts any more."""
        with self._lock:
            self._clear()
            self._is_forgetting = True

    def close(self) -> None:
        """The session is over: nothing is kept, and nothing taken in."""
        with self._lock:
            self._clear()
            self._is_closed = True

    def _clear(self) -> None:
        self._sources.clear()
        self._bases.clear()
        self._held.clear()
        self._newest = None
        self._offered = -1

    @property
    def _is_wanted(self) -> bool:
        return self._clock.now() < self._wanted_until

    @property
    def _is_resting(self) -> bool:
        return self._clock.now() < self._resting_until

    def _pass(self) -> None:
        """Take in what is waiting, and move the newest picture."""
        with self._lock:
            sources, bases = list(self._sources), list(self._bases)
            self._sources.clear()
            self._bases.clear()
            is_wanted, aim = self._is_wanted and not self._is_resting, self._aim
            is_fresh, self._is_forgetting = self._is_forgetting, False
            if bases and self._next_view is not None:
                is_fresh, self._view = is_fresh or self._view != self._next_view, self._next_view
                self._next_view = None
                self._passes.clear()
        if is_fresh:
            self._reprojector = None
        began = self._clock.now()

        def move() -> Moved | None:
            reprojector = self._reprojector = self._reprojector or Reprojector(self._size, self._view)
            for source in sources:
                reprojector.see(source, follow=is_wanted)
            for base in bases:
                reprojector.offer(base, follow=is_wanted)
            return reprojector.moved(aim) if is_wanted else None

        moved = self._attempt(move)
        with self._lock:
            is_news = moved is not None and moved is not self._newest
            if not self._is_forgetting and not self._is_closed:
                self._newest = moved
                self._done = bases[-1].seq if bases else self._done
        if is_news:
            self._account(self._clock.now() - began)
        if self._reprojector is not None:
            self._attempt(self._reprojector.learn)

    def _attempt(self, work: Callable[[], Result]) -> Result | None:
        """Do it; without it the stream goes on as it would without a warp, until the next try."""
        try:
            return work()
        except Exception:
            log.exception("pictures cannot be moved along")
            self._reprojector = None
            self._rest()
            return None

    def _account(self, seconds: float) -> None:
        """What takes too much of a slot most of the time looks at less; what takes longer than a slot is of no use."""
        self._took(seconds)
        self._passes.append(seconds)
        if len(self._passes) < _TOO_SLOW_OF:
            return
        usual = percentile(sorted(self._passes), 0.5)
        if usual > _MOST_OF_A_SLOT * self._period_s and self._view.width * self._view.height > _SMALL_VIEW_PIXELS:
            self._view = Size(self._view.width // 2, self._view.height // 2)
            self._reprojector = None
            self._passes.clear()
        elif usual > self._period_s:
            self._passes.clear()
            self._rest()

    def _rest(self) -> None:
        with self._lock:
            self._resting_until = self._clock.now() + _REST_S
