"""Starts, watches, kills and replaces the worker; runs on the server's event loop.

A worker that dies is replaced at once; one that dies again before it was ready waits 1, 2, 4 … 60 s with jitter. A
worker is hung when a frame that it accepted has not got on for max(1 s, 5 × its p95), or when its heartbeat stops;
loading has a budget of its own.
"""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal, Protocol

import msgspec
import numpy as np
import stamina
import structlog

from liveglass.engine.clock import Clock
from liveglass.engine.control import ControlState
from liveglass.engine.errors import ErrorBody, GenerationTimeout, ModelNotReady, WorkerLost
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import CostTable
from liveglass.engine.worker.link import WorkerLink
from liveglass.engine.worker.process import WorkerSettings, run_process, serve, shut
from liveglass.engine.worker.ring import Ring

log = structlog.get_logger()

CELLS = 96
WATCH_S = 0.1
HANG_AT_LEAST_S = 1.0
HANG_TIMES_P95 = 5.0
SILENT_S = 2.0
LOADING_BUDGET_S = 120.0
STOP_BUDGET_S = 2.0

WorkerMode = Literal["process", "thread"]


class WorkerStatus(msgspec.Struct, frozen=True):
    """How the worker is, in one word and a sentence.

    Attributes:
        stage: while it warms up: loading, compiling, first frame.
        cause: why there is none, where there is none.
    """

    state: Literal["warming", "ready", "lost", "stopped"]
    stage: str = "starting"
    cause: str = ""
    device: str = ""
    load_s: float = 0.0
    cost: CostTable = CostTable()


class _Running(Protocol):
    """A worker in whatever form: a process or a thread."""

    pid: int | None

    def kill(self) -> None: ...
    async def join(self, timeout_s: float) -> bool: ...


class Supervisor:
    """Keeps one worker alive.

    Args:
        on_message: called on the link's thread with every message of the worker, and its picture.
        on_status: called on the event loop whenever the worker's status changes.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        mode: WorkerMode,
        clock: Clock,
        on_message: Callable[[m.ToServer, Pixels | None], None],
        on_status: Callable[[WorkerStatus], None],
    ) -> None:
        self.status = WorkerStatus("warming")
        self.link: WorkerLink | None = None
        self._starting: WorkerLink | None = None
        self.restarts = 0
        self._settings = settings
        self._mode = mode
        self._clock = clock
        self._on_message = on_message
        self._on_status = on_status
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._worker: _Running | None = None
        self._closing = False
        self._serving = False
        self._last_beat = 0.0
        self._beat: m.Beat | None = None
        self._fatal: ErrorBody | None = None
        self._asked: dict[int, asyncio.Future[m.Probed | m.Previewed]] = {}
        self._asked_id = 0

    @property
    def pid(self) -> int | None:
        """The worker's process id; None in thread mode or when there is none."""
        return self._worker.pid if self._worker else None

    def start(self) -> None:
        """Begin to keep a worker alive; returns before there is one."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._keep_alive(), name="supervisor")

    async def close(self) -> None:
        """Ask the worker to leave, kill it if it does not (or is only loading), and let go of everything."""
        self._closing = True
        self._gone.set()
        if self._task is not None:
            if not self._serving:
                # It only waits before it tries again.
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set_status(WorkerStatus("stopped"))

    async def probe(self) -> float:
        """Generate one real frame that nobody sees; returns its seconds.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: the frame could not be made.
        """
        answer = await self._ask(m.Probe)
        if not isinstance(answer, m.Probed):
            raise TypeError(f"a probe was answered by {type(answer).__name__}")
        return answer.seconds

    async def preview(self, size: Size, control: ControlState, source: Pixels | None) -> Pixels:
        """Generate one picture, uint8 [H, W, 3] of `size`, from a source of that size or from words alone.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: the picture could not be made.
        """
        pixels = b"" if source is None else source.tobytes()
        answer = await self._ask(lambda number: m.Preview(number, size, control, pixels))
        if not isinstance(answer, m.Previewed):
            raise TypeError(f"a preview was answered by {type(answer).__name__}")
        return np.frombuffer(answer.pixels, np.uint8).reshape(size.shape)

    async def _ask(self, question: Callable[[int], m.Probe | m.Preview]) -> m.Probed | m.Previewed:
        if self.status.state != "ready" or self.link is None:
            raise ModelNotReady(f"The model is not ready: {self.status.cause or self.status.stage}.")
        self._asked_id += 1
        number = self._asked_id
        future: asyncio.Future[m.Probed | m.Previewed] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self.link.send(question(number))
        try:
            return await future
        finally:
            self._asked.pop(number, None)

    def kill(self) -> None:
        """End the worker at once, as a crash would."""
        if self._worker is not None:
            self._worker.kill()

    async def _keep_alive(self) -> None:
        while not self._closing:
            # Its waiting time starts over whenever a worker got as far as being ready.
            async for attempt in stamina.retry_context(
                on=WorkerLost, attempts=None, timeout=None, wait_initial=1.0, wait_max=60.0, wait_jitter=1.0
            ):
                with attempt:
                    self._serving = True
                    try:
                        await self._serve_one()
                    finally:
                        self._serving = False

    async def _serve_one(self) -> None:
        """Start a worker and watch it until it is gone; nobody cancels this, `close` makes it come to its end.

        Raises:
            WorkerLost: it was gone before it was ever ready.
        """
        self._gone, self._fatal, self._beat = asyncio.Event(), None, None
        settings = msgspec.structs.replace(self._settings, epoch=self._settings.epoch + self.restarts)
        inbound, outbound = Ring(CELLS), Ring(CELLS)
        ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=True)
        link = self._starting = WorkerLink(ours, inbound, outbound, self._receive)
        link.start()
        self._last_beat = self._clock.now()
        starter = _start_process if self._mode == "process" else _start_thread
        try:
            self._worker = await asyncio.to_thread(starter, theirs, inbound, outbound, settings)
            self._set_status(WorkerStatus("warming", cause=self.status.cause))
            cause = await self._watch()
        except OSError as error:
            cause = f"The model's process could not be started: {error}."
        finally:
            await self._dismiss(link)
            shut(ours)
            await asyncio.to_thread(link.join)
            ours.close()
            inbound.close()
            outbound.close()
        if self._closing:
            return
        was_ready = self.status.state == "ready"
        self.restarts += 1
        log.warning("worker lost", cause=cause, was_ready=was_ready)
        self._set_status(WorkerStatus("lost", cause=cause))
        for future in self._asked.values():
            if not future.done():
                future.set_exception(WorkerLost(cause))
        if not was_ready:
            raise WorkerLost(cause)

    async def _dismiss(self, link: WorkerLink) -> None:
        """No worker any more: it leaves by itself where the server closes and it can, else it is killed."""
        worker, was_serving = self._worker, self.link is not None
        self.link = self._starting = self._worker = None
        link.detach()
        if worker is None:
            return
        if self._closing and was_serving:
            link.send(m.Stop())
            if await worker.join(STOP_BUDGET_S):
                return
        worker.kill()
        await worker.join(STOP_BUDGET_S)

    async def _watch(self) -> str:
        """Until the worker is gone or hung; returns the cause in words."""
        while True:
            try:
                await asyncio.wait_for(self._gone.wait(), WATCH_S)
            except TimeoutError:
                pass
            else:
                return self._fatal.message if self._fatal else "The model's process ended."
            hung = self._hung(self._clock.now())
            if hung:
                return hung

    def _hung(self, now: float) -> str:
        """Why the worker counts as hung; empty while it does not."""
        if self.status.state != "ready":
            waited = now - self._last_beat
            return f"Loading took over {LOADING_BUDGET_S:.0f} s." if waited > LOADING_BUDGET_S else ""
        if now - self._last_beat > SILENT_S:
            return f"The model's process has been silent for {now - self._last_beat:.1f} s."
        beat = self._beat
        if beat is None or beat.progress_at is None:
            return ""
        p95 = max((cost.p95 for cost in beat.cost.entries.values()), default=0.0)
        stuck = self._last_beat - beat.progress_at
        if stuck > max(HANG_AT_LEAST_S, HANG_TIMES_P95 * p95):
            return f"A frame has not got on for {stuck:.1f} s."
        return ""

    def _receive(self, message: m.ToServer | None, pixels: Pixels | None) -> None:
        """On the link's thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        match message:
            case None:
                loop.call_soon_threadsafe(self._gone.set)
            case m.Beat() | m.Loading() | m.Ready() | m.Fatal() | m.Probed() | m.Previewed():
                loop.call_soon_threadsafe(self._note, message)
            case _:
                self._on_message(message, pixels)

    def _note(self, message: m.ToServer) -> None:
        """On the event loop: what concerns the worker as a whole."""
        match message:
            case m.Beat():
                self._last_beat, self._beat = self._clock.now(), message
                if self.status.state == "ready":
                    self.status = msgspec.structs.replace(self.status, cost=message.cost)
            case m.Loading() | m.Ready() if self._starting is None:
                # The last words of a worker that is being replaced.
                pass
            case m.Loading(stage):
                self._set_status(WorkerStatus("warming", stage=stage, cause=self.status.cause))
            case m.Ready(device, load_s, cost):
                self._last_beat = self._clock.now()
                self.link = self._starting
                self._set_status(WorkerStatus("ready", device=device, load_s=load_s, cost=cost))
            case m.Fatal(error):
                self._fatal = error
                self._gone.set()
            case m.Probed() | m.Previewed():
                future = self._asked.get(message.id)
                if future is not None and not future.done():
                    if message.error is None:
                        future.set_result(message)
                    else:
                        future.set_exception(GenerationTimeout(message.error.message))
            case _:
                pass

    def _set_status(self, status: WorkerStatus) -> None:
        self.status = status
        self._on_status(status)


class _ProcessWorker:
    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        self.pid = process.pid

    def kill(self) -> None:
        if self._process.is_alive():
            self._process.kill()

    async def join(self, timeout_s: float) -> bool:
        await asyncio.to_thread(self._process.join, timeout_s)
        return not self._process.is_alive()


class _ThreadWorker:
    """For debugging: breakpoints work, and nothing can be killed."""

    pid: int | None = None

    def __init__(self, thread: threading.Thread, connection: Connection) -> None:
        self._thread = thread
        self._connection = connection

    def kill(self) -> None:
        # A thread cannot be killed: without its pipe it leaves after its frame in flight.
        shut(self._connection)

    async def join(self, timeout_s: float) -> bool:
        await asyncio.to_thread(self._thread.join, timeout_s)
        return not self._thread.is_alive()


def _start_process(theirs: Connection, inbound: Ring, outbound: Ring, settings: WorkerSettings) -> _Running:
    """Spawn, never fork: a forked copy of a process with threads holds their locks for ever."""
    with theirs:
        process = multiprocessing.get_context("spawn").Process(
            target=run_process, args=(theirs, inbound, outbound, settings), name="liveglass-worker", daemon=True
        )
        process.start()
    return _ProcessWorker(process)


def _start_thread(theirs: Connection, inbound: Ring, outbound: Ring, settings: WorkerSettings) -> _Running:
    thread = threading.Thread(
        target=serve, args=(theirs, inbound, outbound, settings), name="liveglass-worker", daemon=True
    )
    thread.start()
    return _ThreadWorker(thread, theirs)
