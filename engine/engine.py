"""The engine's front door: opens and closes sessions, and ties streams, output thread and worker together.

Everything public belongs to the event loop. Knows no sockets and no HTTP.
"""

import asyncio
import math
import secrets
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Self

import cv2
import msgspec
import structlog

from liveglass.engine.asides import Asides
from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.control import MAX_SEED, ControlState
from liveglass.engine.errors import (
    AtCapacity,
    InvalidValue,
    LiveglassError,
    ModelNotReady,
    NoSuchSession,
    ServerClosing,
)
from liveglass.engine.events import ModelChanged
from liveglass.engine.frame import Lora, Pixels, SourceFrame
from liveglass.engine.listing import ModelListing, list_models
from liveglass.engine.metrics import Metrics
from liveglass.engine.models import registry
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.options import SessionOptions, SessionRequest, first_control
from liveglass.engine.person.matting import Matting
from liveglass.engine.person.supply import MaskSupply
from liveglass.engine.previews import Previews
from liveglass.engine.replays import Replays
from liveglass.engine.stream.grid import Grid, staggered_start
from liveglass.engine.stream.output import OutputThread
from liveglass.engine.stream.session import Session
from liveglass.engine.swaps import Swaps
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.admission import Admission, Demand, Forecast, forecast, least_fps, turn_in
from liveglass.engine.worker.process import WorkerSettings, cpu_cores, model_threads
from liveglass.engine.worker.supervisor import Supervisor
from liveglass.engine.worker.worker import WorkerMode, WorkerStatus

log = structlog.get_logger()

READY_FOR_S = 10.0
PROBE_BUDGET_S = 10.0
LOOK_EVERY_S = 1.0
FORECAST_EVERY = 10
"""Looks: trying it out in virtual time costs some milliseconds of the event loop."""

SETTLED_S = 5.0
"""A session that has been served for so long says whether the forecast was right, and what a session costs."""

RETRY_AFTER_S = 10
_STAYS = 32
"""How long a session stays is told from so many that ended."""


class EngineConfig(msgspec.Struct, frozen=True):
    """How an engine runs.

    Attributes:
        model: that it starts with.
        device: `auto` is cuda, then mps, then cpu.
        linger_s: how long a session without a name outlives its last connection.
        queue_limit: how many sessions may wait for a place.
        step_delay_ms: added to every step of any model, to test slowness.
        threads: CPU threads of the model; 0 chooses.
        compiles: networks go through torch.compile, where the model has some: a start of minutes, faster frames.
        keeps_spare: a second worker waits, loaded and warm, for the first one's end; twice the memory.
        models_dir: where weights lie that do not come with the package.
        person_mask: where masks of persons come from; None: there are none here.
    """

    model: str = "nano"
    device: str = "auto"
    linger_s: float = 30.0
    queue_limit: int = 16
    step_delay_ms: float = 0.0
    worker_mode: WorkerMode = "process"
    threads: int = 0
    compiles: bool = False
    keeps_spare: bool = False
    models_dir: Path = Path("models")
    person_mask: MaskSupply | None = None


class Readiness(msgspec.Struct, frozen=True):
    """Whether a real frame was generated within the last 10 s, and if not, why."""

    ready: bool
    reason: str = ""
    generated_ms: float | None = None
    age_s: float | None = None


class Engine:
    """One resident model and the sessions on it.

    Attributes:
        spec: of the resident model.
        swaps: put another one in its place.
        previews: small pictures of what a change would make.
        replays: what frames were made of, and the newest one of a session made again.
    """

    def __init__(self, config: EngineConfig, *, metrics: Metrics | None = None, clock: Clock | None = None) -> None:
        self.config = config
        self.metrics = metrics or Metrics()
        self.spec = registry.spec(config.model)
        self._clock = clock or SystemClock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sessions: dict[str, Session] = {}
        self._queue: list[str] = []
        self._output = OutputThread(self._clock)
        supply = config.person_mask
        self._masks = supply if supply is not None and supply.can_mask else None
        self._masking = ThreadPoolExecutor(1, "mask")
        self._moving = ThreadPoolExecutor(max(1, cpu_cores() - 1), "move")
        self._closing = False
        self._became_ready = asyncio.Event()
        self._generated_at = -math.inf
        self._generated_s = 0.0
        self._probing: asyncio.Task[float] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._cores_each = 0.0
        self._busy: dict[str, float] = {}
        self._measured_at, self._looks = self._clock.now(), 0
        self._stays: deque[float] = deque(maxlen=_STAYS)
        self._admitted_at: dict[str, float] = {}
        self._supervisor = Supervisor(
            WorkerSettings(
                config.model,
                config.device,
                config.threads,
                config.step_delay_ms / 1000,
                epoch=1,
                models_dir=str(config.models_dir),
                compiles=config.compiles,
            ),
            config.worker_mode,
            self._clock,
            self._receive,
            self._on_status,
            spare_is_up=self.metrics.spare_up.set if config.keeps_spare else None,
        )
        asides = Asides()
        self.previews = Previews(self._supervisor, asides)
        self.replays = Replays(self._supervisor, asides)
        self.swaps = Swaps(
            self._supervisor, config.models_dir, streams=self._streams, tell=self._tell, switch=self._switch
        )

    @property
    def sessions(self) -> Mapping[str, Session]:
        """The open sessions by id; queued ones too."""
        return MappingProxyType(self._sessions)

    @property
    def worker(self) -> WorkerStatus:
        """How the worker is."""
        return self._supervisor.status

    @property
    def loras(self) -> tuple[Lora, ...]:
        """Low-rank weights that are in the model that serves; none while none does."""
        return self._supervisor.status.loras

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id; None in thread mode or while there is none."""
        return self._supervisor.pid

    def forecast(self, demands: Sequence[Demand]) -> Forecast | None:
        """What sessions that ask for `demands` are predicted to get; None until the model is warm."""
        worker = self.worker
        return forecast(demands, worker.cost, cores_each=self._cores_each) if worker.state == "ready" else None

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def start(self) -> None:
        """Start the worker and the output thread; returns before the model is warm."""
        self._loop = asyncio.get_running_loop()
        cv2.setNumThreads(1)  # the pools are the threads: more of them take turns on cores that the model wants
        self._output.start()
        self._supervisor.start()
        self._looking = self._loop.create_task(self._look_after(), name="look-after")

    async def close(self) -> None:
        """End every session, then the output, then the worker; nothing is left."""
        self._closing = True
        for session_id in list(self._sessions):
            self.end(session_id, "The server is shutting down.")
        await self.swaps.close()
        for task in (self._looking, self._probing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(self._output.close)
        self._masking.shutdown(wait=False, cancel_futures=True)
        self._moving.shutdown(wait=False, cancel_futures=True)
        await self._supervisor.close()

    async def wait_ready(self) -> None:
        """Return once the model is warm and measured."""
        await self._became_ready.wait()

    # --- sessions ---------------------------------------------------------------------------------------------------

    def open(
        self,
        request: SessionRequest,
        *,
        session_id: str | None = None,
        name: str | None = None,
        control: ControlState | None = None,
    ) -> Session:
        """Open a session; it is admitted, or queued while the measured capacity is given away.

        Args:
            control: the state to go on with (a named session after a restart); else as `request` says.

        Raises:
            InvalidInput: something in `request` cannot be used.
            NotAvailable: another model than the resident one.
            AtCapacity: the queue is full, too.
        """
        if self._closing:
            raise ServerClosing("The server is shutting down.")
        options = SessionOptions.of(request, has_mask=self._masks is not None)
        self._check_model(request)
        first = control or first_control(request, self.spec, secrets.randbelow(MAX_SEED + 1))
        admitted = not self._queue and self._holds(Demand(options.fps, first.params.steps, pixels=options.size.pixels))
        if not admitted and len(self._queue) >= self.config.queue_limit:
            raise AtCapacity(
                f"{len(self._queue)} sessions are waiting for a place already.",
                retry_after_s=int(self._turn_in(1) or RETRY_AFTER_S),
            )
        grid = Grid(
            staggered_start(self._clock.now(), options.fps, [s.grid for s in self._sessions.values()]),
            options.fps,
        )
        session = Session(
            session_id or name or f"s_{secrets.token_hex(8)}",
            name=name,
            options=options,
            spec=self.spec,
            control=first,
            grid=grid,
            host=self,
            metrics=self.metrics,
            clock=self._clock,
            matting=self._matting(),
            moving=self._moving,
        )
        self._sessions[session.id] = session
        session.note_worker(self.worker)
        if admitted:
            self._admit(session)
        else:
            self._queue.append(session.id)
            self._number_queue()
        self._output.add(session)
        self._count_sessions()
        return session

    def get(self, session_id: str) -> Session:
        """The open session of that id.

        Raises:
            NoSuchSession: there is none.
        """
        session = self._sessions.get(session_id)
        if session is None:
            raise NoSuchSession("There is no session of this id, or it has ended.")
        return session

    def end(self, session_id: str, cause: str) -> None:
        """End a session; who waits in the queue moves up.

        Raises:
            NoSuchSession: there is none.
        """
        session = self.get(session_id)
        del self._sessions[session_id]
        self._output.remove(session)
        self._busy.pop(session_id, None)
        if session_id in self._queue:
            self._queue.remove(session_id)
        else:
            self._stays.append(self._clock.now() - self._admitted_at.pop(session_id))
            if self._supervisor.link is not None:
                self._supervisor.link.close_stream(session_id)
        session.end(cause)
        self._admit_waiting()
        self._count_sessions()

    def _matting(self) -> Matting | None:
        masks = self._masks
        return None if masks is None else Matting(masks.masker, self._masking)

    def _check_model(self, request: SessionRequest) -> None:
        if request.model is msgspec.UNSET or request.model == self.spec.name:
            return
        registry.spec(request.model)
        raise InvalidValue(
            f"This server runs {self.spec.name}, not {request.model}.",
            hint=f"Leave model out, or have its operator PUT /v1/model, or start it with --model {request.model}.",
            field="model",
        )

    # --- admission --------------------------------------------------------------------------------------------------

    def _admitted(self) -> list[Session]:
        return [session for session in self._sessions.values() if session.id in self._admitted_at]

    def _holds(self, further: Demand) -> bool:
        """Whether one more that asks for this gets what a session is promised; the first one always comes in."""
        if not self._admitted_at:
            return True
        together = self.forecast([*(session.demand for session in self._admitted()), further])
        if together is None:
            return False
        # A model on a GPU leaves every core to the server.
        taken = 0 if self.worker.device.startswith(("cuda", "mps")) else model_threads(self.config.threads)
        return together.holds(least_fps(self.worker.device), cpu_cores() - taken)

    def _turn_in(self, position: int) -> float | None:
        """Seconds until that place of the queue has its turn, where anything is known about that."""
        now = self._clock.now()
        ages = [now - since for since in self._admitted_at.values()]
        return turn_in(position, ages, statistics.median(self._stays) if self._stays else None)

    def _admit(self, session: Session) -> None:
        self._admitted_at[session.id] = self._clock.now()
        session.note_admission(Admission())
        if self._supervisor.link is not None:
            self._supervisor.link.open(session.open_message())

    def _admit_waiting(self) -> None:
        while self._queue and not self._closing:
            first = self._sessions[self._queue[0]]
            if not self._holds(first.demand):
                break
            self._queue.pop(0)
            self._admit(first)
        self._number_queue()
        self._count_sessions()

    def _number_queue(self) -> None:
        for position, session_id in enumerate(self._queue, start=1):
            self._sessions[session_id].note_admission(Admission("queued", position, self._turn_in(position)))

    def _count_sessions(self) -> None:
        self.metrics.sessions.labels("queued").set(len(self._queue))
        self.metrics.sessions.labels("admitted").set(len(self._sessions) - len(self._queue))

    async def _look_after(self) -> None:
        """Every second: end sessions that nobody is connected to, measure, and let in who fits by now."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._reap()
            self._measure()
            # The cost of a frame is measured all the time; what was too much a minute ago may fit now.
            self._admit_waiting()

    def _reap(self) -> None:
        """End sessions that nobody has been connected to for a while; named ones stay."""
        now = self._clock.now()
        for session in list(self._sessions.values()):
            if (
                session.name is None
                and not session.audience.attached
                and now - session.audience.detached_at > self.config.linger_s
            ):
                self.end(session.id, f"Nobody was connected for {self.config.linger_s:.0f} s.")

    def _measure(self) -> None:
        """What a session costs the server, and whether sessions get what was predicted."""
        admitted, now = self._admitted(), self._clock.now()
        elapsed, self._measured_at = now - self._measured_at, now
        served = [session for session in admitted if session.serving_s > SETTLED_S]
        before, self._busy = self._busy, {session.id: session.busy_s for session in served}
        taken = [busy - before[name] for name, busy in self._busy.items() if name in before]
        if taken:
            cores = statistics.fmean(taken) / elapsed
            self._cores_each = cores if not self._cores_each else 0.8 * self._cores_each + 0.2 * cores
            self.metrics.session_cores.set(self._cores_each)
        self._looks += 1
        if not served or len(served) < len(admitted) or self._looks % FORECAST_EVERY:
            return  # who wants nothing takes nothing, whatever was reckoned with
        if any(session.still_fps for session in served):
            return
        predicted = self.forecast([session.given for session in admitted])
        if predicted is not None and predicted.fps > 0:
            self.metrics.forecast.set(predicted.fps)
            for session in served:
                self.metrics.forecast_error.observe(session.new_fps / predicted.fps - 1)

    # --- another model ----------------------------------------------------------------------------------------------

    def _streams(self) -> list[m.OpenStream]:
        return [session.open_message() for session in self._admitted()]

    @property
    def swap(self) -> ModelChanged | None:
        """Another model on its way, while it warms up."""
        newest = self.swaps.newest
        return newest if newest is not None and newest.state == "warming" else None

    def _tell(self, news: ModelChanged) -> None:
        for session in self._sessions.values():
            session.audience.tell(news)

    def _switch(self, spec: ModelSpec) -> None:
        """Another model makes the pictures from now on; its worker is told about the sessions when it is noted."""
        self.spec = spec
        for session in self._sessions.values():
            session.adopt(spec)

    # --- health -----------------------------------------------------------------------------------------------------

    def models(self) -> list[ModelListing]:
        """The models known here, and what the resident one measures."""
        return list_models(self.spec.name, self.worker)

    def output_silent_s(self) -> float:
        """How long the output thread has done nothing although a slot was due, seconds."""
        return self._output.silent_s

    async def readiness(self) -> Readiness:
        """Whether a real frame was generated within the last 10 s; makes one on demand, one at a time."""
        if self._clock.now() - self._generated_at > READY_FOR_S:
            if self._probing is None or self._probing.done():
                self._probing = asyncio.create_task(self._supervisor.probe(), name="readiness")
            try:
                # Shielded: other callers wait for the same frame.
                self._generated_s = await asyncio.wait_for(asyncio.shield(self._probing), PROBE_BUDGET_S)
            except LiveglassError as error:
                return Readiness(ready=False, reason=error.message)
            except TimeoutError:
                # An answer that never comes must not be waited for by every later caller.
                self._probing.cancel()
                return Readiness(ready=False, reason=f"A frame took over {PROBE_BUDGET_S:.0f} s.")
            self._generated_at = self._clock.now()
        age_s = self._clock.now() - self._generated_at
        return Readiness(ready=True, generated_ms=round(self._generated_s * 1000, 1), age_s=round(max(0.0, age_s), 3))

    # --- what a session needs (any thread) --------------------------------------------------------------------------

    def send(self, session: str, message: m.ToWorker) -> None:
        """To the worker, if the session is admitted and there is one."""
        link = self._supervisor.link
        if link is not None and session not in self._queue:
            link.send(message)

    def put_source(self, session: str, frame: SourceFrame) -> bool:
        """To the worker; True if it replaced a picture that nobody had taken."""
        link = self._supervisor.link
        return link is not None and link.put_source(session, frame)

    def on_loop(self, call: Callable[[], None]) -> None:
        """Run `call` on the event loop; after the loop's end nobody listens any more."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    # --- what the worker says ---------------------------------------------------------------------------------------

    def _receive(self, message: m.ToServer, pixels: Pixels | None) -> None:
        """On the link's thread."""
        match message:
            case m.Generated(session_id) if pixels is not None:
                self._generated_at = self._clock.now()
                self._generated_s = message.provenance.stages.model
                session = self._sessions.get(session_id)
                if session is not None:
                    session.offer(message, pixels, self._source_of(message))
            case m.SourceDone() | m.Still():
                self._note_source(message)
            case m.Abandoned():
                self.metrics.abandoned.inc()
            case m.Failed(session_id, error, is_last):
                self.metrics.broken.labels(error.code).inc()
                session = self._sessions.get(session_id)
                if session is not None:
                    session.failed(error)
                if is_last:
                    self.on_loop(lambda: self._give_up(session_id, error.message))
            case _:
                pass

    def _source_of(self, made: m.Generated) -> SourceFrame | None:
        """The picture that a frame was made from, which the worker has still."""
        link = self._supervisor.link
        return None if link is None else link.source_of(made.session, made.provenance.source)

    def _note_source(self, message: m.SourceDone | m.Still) -> None:
        """What became of a source that no frame is made from; on the link's thread."""
        session = self._sessions.get(message.session)
        if session is None:
            return
        if isinstance(message, m.Still):
            session.still(message)
        elif message.replaced:
            session.count_replaced()

    def _give_up(self, session_id: str, cause: str) -> None:
        """A session that the model has no memory for ends; it may have ended by itself meanwhile."""
        if session_id in self._sessions:
            self.end(session_id, cause)

    def _on_status(self, status: WorkerStatus) -> None:
        """On the event loop: the worker is starting, ready or lost."""
        self.metrics.worker_up.set(status.state == "ready")
        if status.state == "lost":
            self.metrics.worker_restarts.labels("lost").inc()
            self._generated_at = -math.inf
        if status.state == "ready":
            self.metrics.load.observe(status.load_s)
            seconds = status.cost.frame(self.spec.default_steps).p50
            self.metrics.capacity.set(1 / seconds if seconds else 0.0)
            log.info("model ready", model=self.spec.name, device=status.device, load_s=round(status.load_s, 2))
            self._became_ready.set()
            for session in self._sessions.values():
                if session.id not in self._queue:
                    self._reopen(session)
            self._admit_waiting()
        for session in self._sessions.values():
            session.note_worker(status)

    def _reopen(self, session: Session) -> None:
        """Tell a new worker about a session, and give it the picture that the old one had last."""
        link = self._supervisor.link
        if link is None:
            raise ModelNotReady("the worker was lost again")
        link.open(session.open_message())
        if session.newest_source is not None:
            link.put_source(session.id, session.newest_source)
