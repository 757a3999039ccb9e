"""A worker's loop in virtual time, its rings, and the server's side of them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from liveglass.engine.clock import ManualClock
from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.errors import OutOfMemory
from liveglass.engine.frame import Pixels, Size, SourceStamp
from liveglass.engine.makings import Kernels, Makings
from liveglass.engine.models.base import Cond, GroupKey, ModelSpec, Schedule
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.inbox import Inbox
from liveglass.engine.worker.loop import WorkerLoop
from liveglass.engine.worker.ring import Ring

SIZE = Size(16, 16)
CELLS = 24
STEP_S = 0.005

Message = TypeVar("Message", bound=m.ToServer)


class Painter:
    """A small model: paints its version and its source's first value; time passes with each step."""

    def __init__(self, clock: ManualClock, *, lanes: int = 64) -> None:
        self.spec = ModelSpec(name="painter", title="", licence="", valid_steps=(1, 2, 4), default_steps=4)
        self.free = list(range(lanes))
        self.open: set[int] = set()
        self.on_step: Callable[[int], None] = lambda _: None
        self.on_encode: Callable[[ControlState], None] = lambda _: None
        self.on_finish: Callable[[Pixels], Pixels] = lambda picture: picture
        self.lanes_begun: list[int] = []
        self._clock = clock
        self._versions: dict[int, int] = {}
        self._sizes: dict[int, Size] = {}
        self._pictures: dict[int, Pixels] = {}

    @property
    def makings(self) -> Makings:
        return Makings(Kernels(backend="painter", libraries=()))

    def open_lane(self, size: Size) -> int:
        if not self.free:
            raise OutOfMemory("no lane")
        lane = self.free.pop()
        self.open.add(lane)
        self._sizes[lane] = size
        return lane

    def close_lane(self, lane: int) -> None:
        self.open.remove(lane)
        self.free.append(lane)

    def encode_control(self, control: ControlState) -> Cond:
        self.on_encode(control)
        return control.version

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        return b

    def schedule(self, control: ControlState, size: Size) -> Schedule:
        return Schedule(((0.0, 0.0, 0.0, 0.0, 0.0),) * control.params.steps)

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        return np.zeros(0, np.float32)

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        self._versions[lane] = cond

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        for lane, source in zip(lanes, pixels, strict=True):
            assert lane in self.open
            picture = np.zeros(self._sizes[lane].shape, np.uint8)
            picture[0, 0, 0] = 255
            picture[1:, :, 0] = self._versions[lane]
            picture[1:, :, 1] = 0 if source is None else source[0, 0, 0]
            self._pictures[lane] = picture
        self.lanes_begun = list(lanes)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        self._clock.advance(STEP_S)
        self.on_step(step)
        assert set(lanes) <= self.open, "a lane was given away while the model wrote into it"

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        assert set(lanes) <= self.open
        return [self.on_finish(self._pictures[lane]) for lane in lanes]

    def reset(self, lane: int) -> None:
        assert lane in self.open

    def group(self, control: ControlState, size: Size) -> GroupKey:
        return (control.params.steps,)


class VirtualInbox(Inbox):
    """Waits by moving the clock, up to `wakes_at`; `is_idle` once it would have waited for a message for ever."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.is_idle = False
        self.wakes_at = float("inf")
        self._clock = clock

    def wait(self, timeout_s: float | None) -> None:
        self.is_idle = timeout_s is None
        wakes_in = self.wakes_at - self._clock.now()
        if timeout_s is not None or wakes_in < float("inf"):
            self._clock.advance(max(0.0, min(float("inf") if timeout_s is None else timeout_s, wakes_in)))


class Worker:
    """A loop, its rings, and the server's side of them."""

    def __init__(self, *, lanes: int = 64, max_batch: int = 1, paints: type[Painter] = Painter) -> None:
        self.clock = ManualClock(100.0)
        self.model = paints(self.clock, lanes=lanes)
        self.inbound, self.outbound = Ring(CELLS, SIZE.nbytes), Ring(CELLS, SIZE.nbytes)
        self.inbox = VirtualInbox(self.clock)
        self.sent: list[m.ToServer] = []
        self.cells = set(range(CELLS))
        self.versions: Counter[str] = Counter()
        self.seqs = 0
        self.loop = WorkerLoop(
            self.model,
            self.inbound,
            self.outbound,
            self.receive,
            self.clock,
            epoch=1,
            inbox=self.inbox,
            max_batch=max_batch,
        )

    def receive(self, message: m.ToServer) -> None:
        self.sent.append(message)
        if isinstance(message, m.SourceDone):
            assert message.cell not in self.cells, "a cell came back twice"
            self.cells.add(message.cell)
        if isinstance(message, m.Generated):
            self.inbox.put(m.Freed(message.cell))

    def open(
        self,
        session: str = "a",
        *,
        has_source: bool = True,
        steps: int = 4,
        running: bool = True,
        similarity: float = 0.0,
        size: Size = SIZE,
    ) -> None:
        self.versions[session] = 1
        control = ControlState(1, params=Params(steps=steps, similarity=similarity))
        self.inbox.put(m.OpenStream(session, size, 100.0, 24, control, has_source, running))

    def control(self, session: str = "a", *, steps: int = 4, transition_ms: int = 0, similarity: float = 0.0) -> int:
        self.versions[session] += 1
        control = ControlState(
            self.versions[session],
            (Prompt(str(self.versions[session])),),
            params=Params(steps=steps, similarity=similarity),
            transition_ms=transition_ms,
        )
        self.inbox.put(m.NewControl(session, control))
        return control.version

    def source(self, value: int | Pixels = 9, session: str = "a") -> int:
        cell = self.cells.pop()
        self.inbound.view(cell, SIZE)[:] = value
        self.seqs += 1
        self.inbox.put(m.NewSource(session, cell, SourceStamp(self.seqs, self.clock.now(), 0, is_camera=True)))
        return cell

    def run(self) -> None:
        """Until there is nothing to do."""
        self.steps(2000)
        assert self.inbox.is_idle, "the loop never comes to rest"

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.inbox.is_idle = False
            self.loop.step()
            if self.inbox.is_idle:
                return

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.sent if isinstance(message, kind)]

    @property
    def made(self) -> list[m.Generated]:
        return [message for message in self.sent if isinstance(message, m.Generated)]

    @contextmanager
    def once_at_step(self, step: int, act: Callable[[], object]) -> Iterator[None]:
        """Inside, `act` runs once while a frame is at `step`."""
        pending = [act]

        def on_step(at: int) -> None:
            if at == step and pending:
                pending.pop()()

        self.model.on_step = on_step
        yield
        assert not pending, "no frame came to that step"
        self.model.on_step = lambda _: None
