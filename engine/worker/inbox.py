"""Where messages from the server wait for the worker's loop."""

import threading
from collections import deque

from liveglass.engine.worker import messages as m


class Inbox:
    """Messages from the server, in order. The pipe's reader thread puts, the loop takes."""

    def __init__(self) -> None:
        self._messages: deque[m.ToWorker] = deque()
        self._is_woken = False
        self._arrived = threading.Condition()

    def put(self, message: m.ToWorker) -> None:
        """A message came in."""
        with self._arrived:
            self._messages.append(message)
            self._arrived.notify()

    def wake(self) -> None:
        """Let the loop look around although there is no message. Any thread."""
        with self._arrived:
            self._is_woken = True
            self._arrived.notify()

    def take_all(self) -> list[m.ToWorker]:
        """Everything that came since the last call; possibly nothing."""
        with self._arrived:
            taken = list(self._messages)
            self._messages.clear()
            return taken

    def wait(self, timeout_s: float | None) -> None:
        """Return when there is a message or `timeout_s` seconds have passed."""
        with self._arrived:
            if not self._messages and not self._is_woken:
                self._arrived.wait(timeout_s)
            self._is_woken = False
