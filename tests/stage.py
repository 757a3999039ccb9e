"""A session driven by hand in virtual time, and everything that acts on it."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from liveglass.engine.clock import ManualClock
from liveglass.engine.control import ControlState
from liveglass.engine.events import SessionEvent
from liveglass.engine.frame import OutputFrame, Pixels, Provenance, Size, SourceFrame, Stages
from liveglass.engine.metrics import Metrics
from liveglass.engine.models.base import ModelSpec, Vocabulary
from liveglass.engine.options import SessionOptions
from liveglass.engine.person.matting import Matting
from liveglass.engine.stream.grid import Grid
from liveglass.engine.stream.picture import slate
from liveglass.engine.stream.session import Session
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.worker import WorkerStatus

SIZE = Size(8, 8)
CAMERA, MADE = 200, 90
SPEC = ModelSpec(
    name="small",
    title="",
    licence="",
    valid_steps=(1, 4),
    default_steps=4,
    open_vocabulary=False,
    inner_pixels=10**6,
    vocabulary=Vocabulary(styles=("ink drawing", "neon"), colours=("blue",), fillers=("a",)),
)
READY = WorkerStatus("ready")


class Around:
    """What is around a session: it keeps what it is given, and its loop runs everything at once."""

    def __init__(self) -> None:
        self.sent: list[m.ToWorker] = []
        self.sources: list[SourceFrame] = []

    def send(self, session: str, message: m.ToWorker) -> None:
        self.sent.append(message)

    def put_source(self, session: str, frame: SourceFrame) -> bool:
        self.sources.append(frame)
        return False

    swap = None

    def on_loop(self, call: Callable[[], None]) -> None:
        call()


class Collector:
    """A viewer that takes everything."""

    def __init__(self) -> None:
        self.outputs: list[OutputFrame] = []

    def wants(self) -> bool:
        return True

    def deliver(self, output: OutputFrame) -> None:
        self.outputs.append(output)


class Half:
    """A person mask that finds somebody in the left half, as long as it works."""

    def __init__(self) -> None:
        self.works = True

    def alpha(self, picture: Pixels) -> NDArray[np.float32]:
        if not self.works:
            raise ValueError("no idea")
        alpha = np.zeros(picture.shape[:2], np.float32)
        alpha[:, : picture.shape[1] // 2] = 1
        return alpha


class AtOnce(Executor):
    """Does everything where it is asked."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        fn(*args, **kwargs)
        return Future()


class Stage:
    """A session and everything that acts on it."""

    def __init__(
        self,
        *,
        source: Literal["camera", "sample", "none"] = "camera",
        camera_visible: Literal["none", "person", "all"] = "none",
        fallback: Literal["slate", "hold", "camera"] = "slate",
        matting: Matting | None = None,
        moves: bool = False,
        size: Size = SIZE,
    ) -> None:
        self.clock, self.around, self.metrics = ManualClock(100.0), Around(), Metrics()
        options = SessionOptions(source=source, camera_visible=camera_visible, fallback=fallback, size=size)
        self.session = Session(
            "s",
            name=None,
            options=options,
            spec=SPEC,
            control=ControlState(1),
            grid=Grid(100.0, 24),
            host=self.around,
            metrics=self.metrics,
            clock=self.clock,
            matting=matting,
            moving=AtOnce() if moves else None,
        )
        self.viewer, self.events = Collector(), list[SessionEvent]()
        self.session.add_sink(self.viewer)
        self.session.listen(self.events.append)
        self.session.note_worker(READY)
        self.slot, self.moves, self._turn = 0, moves, 0

    def slots(self, count: int = 1) -> OutputFrame:
        for _ in range(count):
            self.slot += 1
            self.clock.set(max(self.clock.now(), self.session.grid.deadline(self.slot)))
            self.session.run_slot(self.slot, skipped=0)
        return self.viewer.outputs[-1]

    def _bright(self) -> Pixels:
        """What the camera shows: flat, or something that moves where motion is looked for; never darker than CAMERA."""
        height, width, _ = self.session.options.size.shape
        if not self.moves:
            return np.full((height, width, 3), CAMERA, np.uint8)
        self._turn += 1
        bumps = np.random.default_rng(1).integers(CAMERA, 256, (height, 4 * width, 3), np.uint8)
        left = self._turn % (3 * width)
        return np.ascontiguousarray(bumps[:, left : left + width])

    def publish(self, pixels: Pixels | None = None) -> SourceFrame | None:
        now = self.clock.now()
        shown = self._bright() if pixels is None else pixels
        self.session.publish(shown, int(now * 1e6), now)
        return self.session.newest_source

    def offer(
        self,
        *,
        version: int | None = None,
        camera: bool = False,
        progress: float = 1.0,
        took: float = 0.0,
        source: SourceFrame | None = None,
        pixels: Pixels | None = None,
    ) -> None:
        now, source = self.clock.now(), source or self.session.newest_source
        made = Provenance(
            source.stamp if source else None,
            version or self.session.control.version,
            progress,
            0,
            4,
            SPEC.name,
            camera,
            1,
            Stages(0.0, 0.0, took, 0.0),
            self.session.control.apply,
        )
        if pixels is None:
            pixels = self._bright() if camera else np.full(self.session.options.size.shape, MADE, np.uint8)
        self.session.offer(m.Generated("s", 0, made, now), pixels, source)

    def told(self, kind: type[SessionEvent]) -> list[SessionEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def is_slate(pixels: Pixels) -> bool:
    return np.array_equal(pixels, slate(SIZE))
