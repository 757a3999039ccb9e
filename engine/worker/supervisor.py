"""Keeps a worker serving, and where it is asked to a spare one beside it; runs on the server's event loop.

A worker that dies is replaced at once, by the spare if there is one; one that dies before it was ready is replaced
after 1, 2, 4 … 60 s with jitter. One with another model is raised and tried out beside the one that serves, and takes
over between two frames.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import msgspec
import numpy as np
import stamina
import structlog

from liveglass.engine.clock import Clock
from liveglass.engine.control import ControlState
from liveglass.engine.errors import LiveglassError, ModelNotReady, SwapFailed, WorkerLost
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import LoraFile
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.link import WorkerLink
from liveglass.engine.worker.process import WorkerSettings
from liveglass.engine.worker.relief import Coming, Trial, while_there
from liveglass.engine.worker.worker import Answered, Worker, WorkerMode, WorkerStatus

log = structlog.get_logger()

_REMEMBERED = 8
"""Workers that are gone and still known by what they made pictures with."""

OnMessage = Callable[[m.ToServer, Pixels | None], None]


class Supervisor:
    """Keeps one worker serving.

    Args:
        on_message: called on the link's thread with every message of the serving worker, and its picture.
        on_status: called on the event loop whenever the serving worker's status changes.
        spare_is_up: with it, a second worker waits beside the serving one, loaded and warm, and takes its place when
            that is gone; called on the event loop whenever there is one by now, or none any more.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        mode: WorkerMode,
        clock: Clock,
        on_message: OnMessage,
        on_status: Callable[[WorkerStatus], None],
        *,
        spare_is_up: Callable[[bool], None] | None = None,
    ) -> None:
        self.restarts = 0
        self._settings = settings
        self._mode = mode
        self._clock = clock
        self._on_message = on_message
        self._on_status = on_status
        self._spare_is_up = spare_is_up
        self._begun = 0
        self._serving: Worker | None = None
        self._spare: Worker | None = None
        self._beside: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._coming: Coming | None = None
        self._without = WorkerStatus("warming")
        self._gone: deque[WorkerStatus] = deque(maxlen=_REMEMBERED)
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def status(self) -> WorkerStatus:
        """How the serving worker is, or why there is none."""
        serving = self._serving
        return serving.status if serving is not None else self._without

    @property
    def link(self) -> WorkerLink | None:
        """To the worker that serves; None while there is none. Any thread may ask."""
        serving = self._serving
        return serving.link if serving is not None and serving.is_ready else None

    @property
    def model(self) -> str:
        """The model that serves, or that is on its way to."""
        return self._settings.model

    @property
    def pid(self) -> int | None:
        """The serving worker's process id; None in thread mode or when there is none."""
        return self._serving.pid if self._serving else None

    def start(self) -> None:
        """Begin to keep a worker serving; returns before there is one."""
        self._keeping = self._go_on(self._keep_serving(), "supervisor")

    async def close(self) -> None:
        """Ask the workers to leave, kill those that do not (or only load), and let go of everything."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._serving = None
        self._set_spare(None)
        await asyncio.gather(*(self._dismiss(worker, "The server is shutting down.") for worker in list(self._workers)))
        self._tell(WorkerStatus("stopped"))

    async def probe(self) -> float:
        """Generate one real frame that nobody sees; returns its seconds.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: the frame could not be made.
        """
        return (await self._ask(m.Probe, m.Probed)).seconds

    async def free_bytes(self) -> int:
        """Memory that is free where the serving worker's model is, in bytes.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: it cannot be told.
        """
        return (await self._ask(m.Room, m.RoomLeft)).free

    async def preview(self, size: Size, control: ControlState, source: Pixels | None) -> Pixels:
        """Generate one picture, uint8 [H, W, 3] of `size`, from a source of that size or from words alone.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: the picture could not be made.
        """
        pixels = b"" if source is None else source.tobytes()
        answer = await self._ask(lambda number: m.Preview(number, size, control, pixels), m.Previewed)
        return np.frombuffer(answer.pixels, np.uint8).reshape(size.shape)

    async def replay(
        self, size: Size, wishes: Sequence[m.Wish], source: Pixels | None
    ) -> tuple[m.Replayed, WorkerStatus]:
        """Make a frame again, of `size`, and say by which worker.

        Args:
            wishes: its own control version last, before it those that its transition came from.
            source: uint8 [H, W, 3] of `size`; None: from words alone.

        Raises:
            ModelNotReady: the model is still warming up.
            LiveglassError: the frame could not be made.
        """
        pixels, worker = b"" if source is None else source.tobytes(), self._ready()
        answer = await worker.ask(lambda number: m.Replay(number, size, tuple(wishes), pixels), m.Replayed)
        return answer, worker.status

    def maker(self, epoch: int) -> WorkerStatus | None:
        """The worker that made the frames of `epoch`, as last known; None where that is forgotten."""
        serving = [self._serving.status] if self._serving is not None else []
        return next((status for status in (*serving, *self._gone) if status.epoch == epoch), None)

    async def swap(
        self,
        model: str,
        *,
        streams: Callable[[], Sequence[m.OpenStream]],
        on_stage: Callable[[str], None],
        on_switch: Callable[[], None],
    ) -> None:
        """Have another model serve: warm it up beside the one that does, try it out, and let it take over.

        Until then nothing changes for anybody; from then on a worker that is lost is replaced by one of this model.

        Args:
            streams: those that it has to have room for, asked for when it is warm.
            on_stage: told what is going on.
            on_switch: called right before it serves.

        Raises:
            SwapFailed: it did not load, has no room for the streams, or makes no frame; the other one goes on.
        """
        settings = msgspec.structs.replace(self._settings, model=model, loras=())
        trial = Trial()
        worker = self._begin(settings, trial.hear)
        coming = self._coming = Coming(worker, on_stage, asyncio.Event())
        try:
            await while_there(worker, coming.ready.wait())
            on_stage("trying")
            await while_there(worker, trial.hold(worker, streams()))
        except LiveglassError as error:
            await self._dismiss(worker, "It is not wanted any more.")
            raise SwapFailed(f"{model} does not take over: {error.message}") from None
        finally:
            self._coming = None
        on_switch()
        self._relieve(worker, settings)

    async def set_loras(self, files: tuple[LoraFile, ...]) -> m.LorasSet:
        """Put these low-rank weights, and no others, into the serving model; a later worker has them from its start.

        Raises:
            ModelNotReady: the model is still warming up.
            WeightsRefused, NotAvailable, OutOfMemory: nothing was changed.
            WorkerLost: the worker was gone before it had them.
        """
        answer = await self._ask(lambda number: m.SetLoras(number, files), m.LorasSet)
        self._settings = msgspec.structs.replace(self._settings, loras=files)
        spare = self._promoted()
        if spare is not None:  # it has none, or others
            self._go_on(self._dismiss(spare, "It has other weights than the one that serves."), "old spare")
            self._beside = self._go_on(self._keep_beside(), "spare")
        return answer

    def kill(self) -> None:
        """End the serving worker at once, as a crash would."""
        if self._serving is not None:
            self._serving.kill()

    async def _ask(self, question: Callable[[int], m.Question], kind: type[Answered]) -> Answered:
        worker = self._ready()
        try:
            return await worker.ask(question, kind)
        except WorkerLost:
            if self._serving in {None, worker}:
                raise
        # It was relieved in between: its successor answers.
        return await self._ready().ask(question, kind)

    def _ready(self) -> Worker:
        if self._serving is None or not self._serving.is_ready:
            raise ModelNotReady(f"The model is not ready: {self.status.cause or self.status.stage}.")
        return self._serving

    def _go_on(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep_serving(self) -> None:
        while True:
            # Its waiting time starts over whenever a worker got as far as being ready.
            async for attempt in _again():
                with attempt:
                    await self._serve()

    async def _serve(self) -> None:
        """One worker's service, from its start or its promotion to its end.

        Raises:
            WorkerLost: it was gone before it was ever ready.
        """
        worker = self._serving
        if worker is None:
            worker = self._serving = self._promoted() or self._begin(self._settings, self._on_message)
            self._note(worker)
        cause = await asyncio.shield(worker.gone)
        self._serving = None
        if worker.is_ready:
            self._gone.appendleft(worker.status)
        self.restarts += 1
        log.warning("worker lost", cause=cause, was_ready=worker.is_ready)
        self._tell(WorkerStatus("lost", cause=cause))
        await self._dismiss(worker, cause)
        if not worker.is_ready:
            raise WorkerLost(cause)

    def _relieve(self, worker: Worker, settings: WorkerSettings) -> None:
        """`worker` serves from now on; the one before finishes its frame in flight, and a spare of its kind goes."""
        before, self._serving, self._settings = self._serving, worker, settings
        worker.on_message = self._on_message
        for relieved in (before, self._promoted()):
            if relieved is not None:
                relieved.on_message = self._hear_out
                self._go_on(self._dismiss(relieved, "Another model took its place."), "relieved worker")
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = self._go_on(self._keep_serving(), "supervisor")
        self._note(worker)

    def _hear_out(self, message: m.ToServer, pixels: Pixels | None) -> None:
        """Of a worker that was relieved, its last pictures count and nothing else. The link's thread."""
        if isinstance(message, m.Generated):
            self._on_message(message, pixels)

    def _promoted(self) -> Worker | None:
        """The spare, ready or on its way there, which is a spare no more."""
        worker = self._spare
        self._set_spare(None)
        if worker is not None and self._beside is not None:
            self._beside.cancel()
            self._beside = None
        return worker

    async def _keep_beside(self) -> None:
        """Keep a spare until it is promoted, which ends this."""
        async for attempt in _again():
            with attempt:
                spare = self._begin(self._settings, self._on_message)
                self._set_spare(spare)
                cause = await asyncio.shield(spare.gone)
                self._set_spare(None)
                log.warning("spare worker lost", cause=cause)
                await self._dismiss(spare, cause)
                raise WorkerLost(cause)

    def _begin(self, settings: WorkerSettings, on_message: OnMessage) -> Worker:
        settings = msgspec.structs.replace(settings, epoch=settings.epoch + self._begun)
        self._begun += 1
        status = WorkerStatus("warming", cause=self.status.cause)
        worker = Worker(settings, self._mode, self._clock, status=status, on_message=on_message, on_status=self._note)
        self._workers.add(worker)
        return worker

    async def _dismiss(self, worker: Worker, cause: str) -> None:
        """No such worker any more; one that could go on is asked to leave, one that is gone or hung is killed."""
        await worker.close(cause, politely=not worker.gone.done())
        self._workers.discard(worker)

    def _note(self, worker: Worker) -> None:
        """The status of a worker is news."""
        if worker is self._spare:
            self._set_spare(worker)
        if self._coming is not None and worker is self._coming.worker:
            self._coming.note()
        if worker is not self._serving:
            return
        self._on_status(worker.status)
        if worker.is_ready and self._spare_is_up is not None and self._beside is None:
            self._beside = self._go_on(self._keep_beside(), "spare")

    def _set_spare(self, worker: Worker | None) -> None:
        self._spare = worker
        if self._spare_is_up is not None:
            self._spare_is_up(worker is not None and worker.is_ready)

    def _tell(self, status: WorkerStatus) -> None:
        """There is no worker that serves."""
        self._without = status
        self._on_status(status)


def _again() -> AsyncIterator[stamina.Attempt]:
    return stamina.retry_context(
        on=WorkerLost, attempts=None, timeout=None, wait_initial=1.0, wait_max=60.0, wait_jitter=1.0
    )
