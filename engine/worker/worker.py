"""One worker as the server sees it: its process, rings and pipe, its warm-up, its heartbeat, its answers.

It knows nothing of what comes after it; the supervisor does.
"""

import asyncio
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal, Protocol, TypeVar

import msgspec

from liveglass.engine.clock import Clock
from liveglass.engine.errors import (
    ErrorBody,
    GenerationTimeout,
    LiveglassError,
    NotAvailable,
    OutOfMemory,
    SwapFailed,
    WeightsRefused,
    WorkerLost,
)
from liveglass.engine.frame import Lora, Pixels
from liveglass.engine.makings import Kernels, WeightFile
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import CostTable
from liveglass.engine.worker.link import WorkerLink
from liveglass.engine.worker.process import WorkerSettings, run_process, serve, shut
from liveglass.engine.worker.ring import Ring

CELLS = 96
WATCH_S = 0.1
HANG_AT_LEAST_S = 1.0
HANG_TIMES_P95 = 5.0
SILENT_S = 2.0
ASLEEP_S = 1.0
"""Looks that are so far apart say that this process slept, and nothing of the worker."""

LOADING_BUDGET_S = 120.0
"""For each stage of warming up but one."""

STOP_BUDGET_S = 2.0

WorkerMode = Literal["process", "thread"]
Answered = TypeVar("Answered", m.Probed, m.Previewed, m.Replayed, m.RoomLeft, m.LorasSet)


class WorkerStatus(msgspec.Struct, frozen=True):
    """How the worker is, in one word and a sentence.

    Attributes:
        stage: while it warms up: loading, compiling, first frame.
        cause: why there is none, where there is none.
        epoch: counts the workers of one server; what a ready one says in its frames.
        kernels: what it makes pictures with, once it is ready.
        weights: the files that its weights came from, once they are hashed.
        loras: low-rank weights that are in its model.
    """

    state: Literal["warming", "ready", "lost", "stopped"]
    stage: str = "starting"
    cause: str = ""
    device: str = ""
    load_s: float = 0.0
    cost: CostTable = CostTable()
    epoch: int = 0
    kernels: Kernels | None = None
    weights: tuple[WeightFile, ...] | None = None
    loras: tuple[Lora, ...] = ()


class _Running(Protocol):
    """A worker in whatever form: a process or a thread."""

    pid: int | None

    def kill(self) -> None: ...
    async def join(self, timeout_s: float) -> bool: ...


class Worker:
    """A worker from its start to its end. Everything but the calls of `on_message` belongs to the event loop.

    It is hung when a frame that it accepted has not got on for max(1 s, 5 × its p95), or when its heartbeat stops;
    loading has a budget of its own.

    Args:
        status: as it begins.
        on_message: see below.
        on_status: called whenever its status changes.

    Attributes:
        link: to it; sources and streams are for a worker that is ready.
        gone: comes to its end when the worker is gone or hung, with the cause in words.
        on_message: called on the link's thread with every message that concerns sessions, and its picture; whoever
            owns the worker may hand it to another listener at any time.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        mode: WorkerMode,
        clock: Clock,
        *,
        status: WorkerStatus,
        on_message: Callable[[m.ToServer, Pixels | None], None],
        on_status: Callable[["Worker"], None],
    ) -> None:
        self.status = status
        self._settings = settings
        self._mode = mode
        self._clock = clock
        self.on_message = on_message
        self._on_status = on_status
        self._loop = asyncio.get_running_loop()
        self._gone = asyncio.Event()
        self._running: _Running | None = None
        self._last_beat = clock.now()
        self._beat: m.Beat | None = None
        self._fatal: ErrorBody | None = None
        self._closed: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Future[m.Answer]] = {}
        self._asked_id = 0
        self._inbound, self._outbound = Ring(CELLS), Ring(CELLS)
        self._ours, self._theirs = multiprocessing.get_context("spawn").Pipe(duplex=True)
        self.link = WorkerLink(self._ours, self._inbound, self._outbound, self._receive)
        self.gone = self._loop.create_task(self._run(), name="worker")

    @property
    def pid(self) -> int | None:
        """Its process id; None in thread mode or when there is none."""
        return self._running.pid if self._running else None

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.status.state == "ready"

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._running is not None:
            self._running.kill()

    async def close(self, cause: str, *, politely: bool) -> None:
        """Let go of everything, also where the caller is cancelled; whoever asked something learns the cause.

        Args:
            politely: it may leave by itself if it can, as it cannot while it loads.
        """
        if self._closed is None:
            self._closed = self._loop.create_task(self._close(cause, politely=politely), name="worker-close")
        await asyncio.shield(self._closed)

    async def _close(self, cause: str, *, politely: bool) -> None:
        self._gone.set()
        await self.gone
        for future in self._asked.values():
            if not future.done():
                future.set_exception(WorkerLost(cause))
        self.link.detach()
        try:
            await self._end(politely=politely and self.is_ready)
        finally:
            shut(self._ours)
            await asyncio.to_thread(self.link.join)
            self._ours.close()
            self._inbound.close()
            self._outbound.close()

    async def _end(self, *, politely: bool) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        if politely:
            self.link.send(m.Stop())
            if await running.join(STOP_BUDGET_S):
                return
        running.kill()
        await running.join(STOP_BUDGET_S)

    async def ask(self, question: Callable[[int], m.Question], kind: type[Answered]) -> Answered:
        """What it answers to a question, which is made from a number.

        Args:
            kind: of the answer.

        Raises:
            GenerationTimeout: it could not answer.
            WorkerLost: it was gone before it did.
        """
        self._asked_id += 1
        number = self._asked_id
        future: asyncio.Future[m.Answer] = self._loop.create_future()
        self._asked[number] = future
        self.link.send(question(number))
        try:
            answer = await future
        finally:
            self._asked.pop(number, None)
        if not isinstance(answer, kind):
            raise TypeError(f"a question for {kind.__name__} was answered by {type(answer).__name__}")
        return answer

    async def _run(self) -> str:
        self.link.start()
        starter = _start_process if self._mode == "process" else _start_thread
        try:
            self._running = await asyncio.to_thread(
                starter, self._theirs, self._inbound, self._outbound, self._settings
            )
        except OSError as error:
            return f"The model's process could not be started: {error}."
        self._last_beat = looked_at = self._clock.now()
        while True:
            try:
                await asyncio.wait_for(self._gone.wait(), WATCH_S)
            except TimeoutError:
                pass
            else:
                return self._fatal.message if self._fatal else "The model's process ended."
            now = self._clock.now()
            if now - looked_at > ASLEEP_S:
                # The server itself stood still: what the worker said meanwhile is still to be read.
                self._last_beat = now
            looked_at = now
            hung = self._hung(now)
            if hung:
                return hung

    def _hung(self, now: float) -> str:
        """Why it counts as hung; empty while it does not."""
        if not self.is_ready:
            budget = m.COMPILING_BUDGET_S if self.status.stage == m.COMPILING else LOADING_BUDGET_S
            return f"{self.status.stage} took over {budget:.0f} s." if now - self._last_beat > budget else ""
        if now - self._last_beat > SILENT_S:
            return f"The model's process has been silent for {now - self._last_beat:.1f} s."
        beat = self._beat
        if beat is None or beat.progress_at is None:
            return ""
        stuck = beat.sent_at - beat.progress_at
        if stuck > patience_s(beat):
            return f"A frame has not got on for {stuck:.1f} s."
        return ""

    def _receive(self, message: m.ToServer | None, pixels: Pixels | None) -> None:
        """On the link's thread."""
        if self._loop.is_closed():
            return
        match message:
            case None:
                self._loop.call_soon_threadsafe(self._gone.set)
            case (
                m.Beat()
                | m.Loading()
                | m.Ready()
                | m.Weighed()
                | m.Fatal()
                | m.Probed()
                | m.Previewed()
                | m.Replayed()
                | m.RoomLeft()
                | m.LorasSet()
            ):
                self._loop.call_soon_threadsafe(self._note, message)
            case _:
                self.on_message(message, pixels)

    def _note(self, message: m.ToServer) -> None:
        """On the event loop: what concerns the worker as a whole."""
        if self.gone.done():
            return  # its last words
        match message:
            case m.Beat():
                self._last_beat, self._beat = self._clock.now(), message
                if self.is_ready:
                    self.status = msgspec.structs.replace(self.status, cost=message.cost)
            case m.Loading(stage):
                self._last_beat = self._clock.now()
                self._set_status(WorkerStatus("warming", stage=stage, cause=self.status.cause))
            case m.Ready(device, load_s, cost, kernels, loras):
                self._last_beat = self._clock.now()
                epoch = self._settings.epoch
                self._set_status(
                    WorkerStatus(
                        "ready", device=device, load_s=load_s, cost=cost, epoch=epoch, kernels=kernels, loras=loras
                    )
                )
            case m.Weighed(files):
                # Not told as a change: sessions of a worker that is said to be ready again would be opened again.
                self.status = msgspec.structs.replace(self.status, weights=files)
            case m.Fatal(error):
                self._fatal = error
                self._gone.set()
            case m.Probed() | m.Previewed() | m.Replayed() | m.RoomLeft() | m.LorasSet():
                self._answered(message)
            case _:
                pass

    def _answered(self, answer: m.Answer) -> None:
        if isinstance(answer, m.LorasSet) and answer.error is None:
            self.status = msgspec.structs.replace(self.status, loras=answer.loras)
        future = self._asked.get(answer.id)
        if future is None or future.done():
            return
        if answer.error is None:
            future.set_result(answer)
        else:
            future.set_exception(_refusal(answer, answer.error))

    def _set_status(self, status: WorkerStatus) -> None:
        self.status = status
        self._on_status(self)


def _refusal(message: m.Answer, body: ErrorBody) -> LiveglassError:
    """What a question was refused with: a frame in time, or the weights for a reason of their own."""
    if not isinstance(message, m.LorasSet):
        return GenerationTimeout(body.message)
    kinds: tuple[type[LiveglassError], ...] = (WeightsRefused, NotAvailable, OutOfMemory)
    kind = next((known for known in kinds if known.code == body.code), SwapFailed)
    return kind(body.message, hint=body.hint or None, field=body.field)


def patience_s(beat: m.Beat) -> float:
    """For how long the frame that the worker is at may not get on, seconds: by the cost of such a frame."""
    case = beat.case
    p95 = 0.0 if case is None else beat.cost.frame(case.steps, case.batch, pixels=case.pixels).p95
    return max(HANG_AT_LEAST_S, HANG_TIMES_P95 * p95)


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
