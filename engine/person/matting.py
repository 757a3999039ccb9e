"""The newest camera picture of a session with its person mask, made in a pool: the newest picture wins.

A picture and its mask stay together, so that no pixel is ever laid over by the mask of another moment. Any thread.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Literal

import cv2
import numpy as np
import structlog

from liveglass.engine.clock import now
from liveglass.engine.errors import Unavailable
from liveglass.engine.frame import Pixels, SourceFrame, frozen
from liveglass.engine.person.masker import Alpha, PersonMasker
from liveglass.engine.turns import Turns

log = structlog.get_logger()

OLD_S = 0.5


class Matte:
    """A camera picture and who is in it.

    Attributes:
        source: the picture.
        alpha: 1 where the person is.
    """

    def __init__(self, source: SourceFrame, alpha: Alpha) -> None:
        self.source = source
        self.alpha = alpha
        self._rest = np.asarray(1 - alpha, np.float32)

    def lay(self, picture: Pixels, keep: Literal["person", "room"]) -> Pixels:
        """`picture` (uint8 [H, W, 3] of the source's size) with the camera's person in front, or its room behind."""
        camera, other = (self.alpha, self._rest) if keep == "person" else (self._rest, self.alpha)
        return frozen(np.asarray(cv2.blendLinear(self.source.pixels, picture, camera, other), np.uint8))


class Matting:
    """Masks one session's pictures.

    Args:
        make: makes the masker, in the pool, when the first picture is there; may raise Unavailable with the reason.
        pool: where pictures are masked.

    Attributes:
        fault: why the last picture could not be masked; empty when it could.
    """

    def __init__(self, make: Callable[[], PersonMasker], pool: Executor) -> None:
        self._newest: Matte | None = None
        self.fault = ""
        self._make = make
        self._turns = Turns(pool, self._run)
        self._lock = threading.Lock()
        self._masker: PersonMasker | None = None
        self._waiting: tuple[SourceFrame, Callable[[float], None]] | None = None

    def newest(self, source: SourceFrame | None) -> Matte | None:
        """The newest picture that is masked; None before the first, after a failure, or far behind `source`."""
        matte = self._newest
        if matte is None or source is None:
            return matte
        return matte if source.stamp.captured_at - matte.source.stamp.captured_at <= OLD_S else None

    def submit(self, source: SourceFrame, took: Callable[[float], None]) -> None:
        """Mask this picture next, instead of one that still waits.

        Args:
            took: told in the pool how many seconds it took.
        """
        with self._lock:
            self._waiting = source, took
        self._turns.ask()

    def _run(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        source, took = waiting
        began = now()
        matte, fault = self._mask(source)
        took(now() - began)
        with self._lock:
            self._newest, self.fault = matte, fault

    def _mask(self, source: SourceFrame) -> tuple[Matte | None, str]:
        try:
            if self._masker is None:
                self._masker = self._make()
            return Matte(source, self._masker.alpha(source.pixels)), ""
        except Unavailable as fault:
            return None, f"{fault.message} {fault.hint}".strip()
        except Exception as fault:
            if not self.fault:
                log.exception("a picture could not be masked")
            return None, f"The person mask failed ({type(fault).__name__})."
