"""What the server asks a worker beside its frames: answered one at a time, between two of them, never inside one."""

from collections import deque
from collections.abc import Callable

from liveglass.engine.errors import LiveglassError
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.beside import Beside
from liveglass.engine.worker.refit import Refit


class Questions:
    """Those that wait, and the one in hand.

    Args:
        refit: told which low-rank weights are asked for; answers for itself, when they are in.
        send: hands an answer to the server.
        free_bytes: how much memory is free where the model is.
    """

    def __init__(
        self, beside: Beside, refit: Refit, send: Callable[[m.ToServer], None], free_bytes: Callable[[], int]
    ) -> None:
        self._beside = beside
        self._refit = refit
        self._send = send
        self._free_bytes = free_bytes
        self._waiting: deque[m.Question] = deque()
        self._in_hand: m.Question | None = None

    def __bool__(self) -> bool:
        """Whether one waits."""
        return bool(self._waiting)

    def put(self, question: m.Question) -> None:
        """One more."""
        self._waiting.append(question)

    def answer(self) -> None:
        """Answer the one that waits longest; what the model raises comes out, and then `fail` answers."""
        question = self._in_hand = self._waiting.popleft()
        match question:
            case m.Probe(number):
                self._send(m.Probed(number, self._beside.probe(), None))
            case m.Preview():
                self._send(self._beside.preview(question))
            case m.Replay():
                self._send(self._beside.replay(question))
            case m.Room(number):
                self._send(m.RoomLeft(number, self._free_bytes(), None))
            case m.SetLoras():
                self._refit.begin(question)
        self._in_hand = None

    def fail(self, error: LiveglassError) -> None:
        """Whoever asked what is in hand is told why there is no answer."""
        match self._in_hand:
            case m.Probe(number):
                self._send(m.Probed(number, 0.0, error.body()))
            case m.Preview(number):
                self._send(m.Previewed(number, b"", error.body()))
            case m.Replay(number):
                self._send(m.Replayed(number, b"", "", 0, error.body()))
            case m.Room(number):
                self._send(m.RoomLeft(number, 0, error.body()))
        self._in_hand = None
