"""The newest item, and only that one.

A producer that outruns its consumer must not build a queue: age would grow for ever. `put` replaces what was not taken
and counts it. Never blocks, never holds more than one item. Any thread may put or take.
"""

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item; a newer one replaces it.

    Attributes:
        replaced: how many items were put over one that nobody had taken.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._item: T | None = None
        self._lock = threading.Lock()

    def put(self, item: T) -> bool:
        """Leave `item` for the consumer; True if it replaced one that was not taken."""
        with self._lock:
            had = self._item is not None
            self.replaced += had
            self._item = item
            return had

    def take(self) -> T | None:
        """The newest item, once; None when there is none."""
        with self._lock:
            item, self._item = self._item, None
            return item
