"""The worker's one loop: take in what came, decide, generate, hand back; runs in the worker process.

It never waits for the server while it has something to generate, never starts a frame from anything but the newest
picture and the newest control version, and looks between two steps whether its work is still wanted.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from liveglass.engine.clock import Clock
from liveglass.engine.errors import LiveglassError, ModelFailed, OutOfMemory, as_model_failure
from liveglass.engine.frame import Lora, Stages
from liveglass.engine.memory import available_bytes
from liveglass.engine.models.base import ModelAdapter
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.beside import Beside
from liveglass.engine.worker.cost import Case, CostMeter
from liveglass.engine.worker.inbox import Inbox
from liveglass.engine.worker.planner import Candidate, Start, Wait, plan
from liveglass.engine.worker.questions import Questions
from liveglass.engine.worker.refit import SLICE_S, Refit
from liveglass.engine.worker.ring import CellPool, Ring
from liveglass.engine.worker.warmup import UNCOUNTED_FRAMES, warm_up
from liveglass.engine.worker.work import StreamWork, inspect

log = structlog.get_logger()

FAILURES_IN_A_ROW = 3
REMEMBERED_WRITINGS = 8
"""Of new versions, by how long it took to put them in their lane: the longest is planned for."""


class WorkerLoop:
    """Serves every session of one resident model.

    Args:
        send: hands a message to the server; thread-safe.
        step_delay_s: added to every step of any model, to test slowness with pictures that hold no camera pixels.
        free_bytes: how much memory is free where the model is.
        loras: low-rank weights that are in the model already.

    Attributes:
        progress_at: when the frame in flight last got on; None when nothing is in flight. Read by the heartbeat.
        case: what the newest frame is, by its cost; None before the first. Read by the heartbeat.
    """

    def __init__(
        self,
        adapter: ModelAdapter,
        inbound: Ring,
        outbound: Ring,
        send: Callable[[m.ToServer], None],
        clock: Clock,
        *,
        epoch: int,
        inbox: Inbox | None = None,
        step_delay_s: float = 0.0,
        max_batch: int = 1,
        free_bytes: Callable[[], int] = available_bytes,
        loras: tuple[Lora, ...] = (),
    ) -> None:
        self.inbox = inbox or Inbox()
        self.meter = CostMeter(adapter.spec.inner_pixels)
        self.case: Case | None = None
        self.progress_at: float | None = None
        self.stopped = False
        self._adapter = adapter
        self._inbound = inbound
        self._outbound = outbound
        self._cells = CellPool(outbound.cells)
        self._send = send
        self._clock = clock
        self._epoch = epoch
        self._step_delay = threading.Event(), step_delay_s
        self._max_batch = max_batch
        self._loras = loras
        self._refit = Refit(adapter, clock, self.inbox.wake)
        self._streams: dict[str, StreamWork] = {}
        self._cohort: Sequence[StreamWork] = ()
        self._closing: list[StreamWork] = []
        self._writings: deque[float] = deque(maxlen=REMEMBERED_WRITINGS)
        self._beside = Beside(adapter, clock, self._paints, self._before_step)
        self._questions = Questions(self._beside, self._refit, send, free_bytes)
        self._failures = 0
        self._served = 0.0

    def warm_up(self) -> None:
        """Run a few frames, so that nothing is done for the first time under a user, and measure them."""
        try:
            spec, probe = self._adapter.spec, self._beside.probe
            self._max_batch = warm_up(spec, probe, self.meter, self._max_batch, self._goes_on)
        finally:
            self.progress_at = None  # nothing is in flight until somebody asks for something

    def _goes_on(self) -> bool:
        self._take_in()
        return not self.stopped

    def run(self) -> None:
        """Serve until told to stop.

        Raises:
            Exception: the model is broken, not just one session: after three failures in a row with nothing finished in
                between, a frame of nobody's fails, too. A fresh process helps.
        """
        try:
            while not self.stopped:
                self.step()
        finally:
            self._refit.close()

    def step(self) -> None:
        """One decision and what follows from it; what the model raises breaks the frame in flight and nothing else."""
        try:
            self._step()
        except Exception as error:  # noqa: BLE001 - one of the two places where anything may come out
            if not isinstance(error, LiveglassError):
                log.warning("a frame failed", error=repr(error))
            self._fail(as_model_failure(error))
        finally:
            self._end_cohort()
        try:
            if self._failures >= FAILURES_IN_A_ROW:
                # Whether it is this session or the model is told by a frame of nobody's.
                self._beside.probe()
                self._failures = 0
        finally:
            self.progress_at = None

    def _step(self) -> None:
        if not self._goes_on():
            return
        if self._questions:
            self.progress_at = self._clock.now()
            self._questions.answer()
            return
        self._find_still()
        now, is_refitting = self._clock.now(), self._refit.is_due
        # A slice of that goes before the frame: both are planned for.
        due = now + SLICE_S if is_refitting else now
        decision = plan(due, self._candidates(now), self.meter.table(), self._max_batch)
        if is_refitting:
            self._refit_a_slice()
        match decision:
            case Wait() if is_refitting:
                pass
            case Wait(until):
                times = [until, *(stream.retry_at for stream in self._streams.values())]
                coming = [time for time in times if time is not None and time > now]
                self.inbox.wait(min(coming) - now if coming else None)
            case Start(cohort):
                for session, slot in cohort:
                    self._streams[session].aim_at(slot)
                self._served = min(self._streams[session].served for session, _ in cohort)
                self._generate([self._streams[session] for session, _ in cohort])

    def _find_still(self) -> None:
        """Pass over the sources that need no frame."""
        for stream in self._streams.values():
            still = stream.find_still(self._inbound)
            if still is not None:
                self._send(still)

    def _refit_a_slice(self) -> None:
        """Some of the way to other weights; where they are in, every session's picture is made anew."""
        asked = self._refit.asked
        try:
            answer = self._refit.slice()
        except Exception as error:  # noqa: BLE001 - a file may be anything, and nobody's frame is in flight
            log.warning("low-rank weights were not put in", error=repr(error))
            if asked is not None:
                self._send(m.LorasSet(asked.id, 0.0, self._loras, as_model_failure(error).body()))
            return
        if answer is not None:
            self._loras = answer.loras
            for stream in self._streams.values():
                stream.make_anew()
            self._send(answer)

    def _candidates(self, now: float) -> list[Candidate]:
        """The sessions that the model is shared by now."""
        candidates = []
        for stream in self._streams.values():
            has_work = stream.has_work(now)
            if has_work:
                # Time in which it wanted nothing gives no credit: whoever comes back from a rest would starve the
                # others.
                stream.served = max(stream.served, self._served)
            elif not stream.is_flowing(now):
                continue
            candidates.append(
                Candidate(
                    stream.session,
                    stream.grid,
                    stream.control.params.steps,
                    stream.last_slot,
                    stream.served,
                    self._adapter.group(stream.control, stream.size),
                    stream.rung.every,
                    has_work,
                    stream.size.pixels,
                    max(self._writings, default=0.0) if stream.is_unwritten else 0.0,
                )
            )
        return candidates

    def _take_in(self) -> None:
        for message in self.inbox.take_all():
            match message:
                case m.NewSource():
                    self._take_source(message)
                case m.NewControl() | m.SetRunning() | m.SetRung() | m.MoveGrid():
                    if message.session in self._streams:  # else it was closed meanwhile
                        self._streams[message.session].follow(message)
                case m.Freed(cell):
                    self._cells.give(cell)
                case m.OpenStream():
                    self._open(message)
                case m.CloseStream(session):
                    self._close(session)
                case m.Probe() | m.Preview() | m.Replay() | m.Room() | m.SetLoras():
                    self._questions.put(message)
                case m.Stop():
                    self.stopped = True

    def _take_source(self, message: m.NewSource) -> None:
        stream = self._streams.get(message.session)
        if stream is None:
            self._send(m.SourceDone(message.session, message.cell, replaced=True))
            return
        was_still = stream.is_still
        before = stream.offer_source(message.cell, message.stamp)
        if before is not None:
            self._send(m.SourceDone(message.session, before, replaced=not was_still))

    def _open(self, message: m.OpenStream) -> None:
        try:
            stream = StreamWork(message, self._adapter)
        except ModelFailed as error:
            self._send(m.Failed(message.session, error.body(), is_last=True))
            return
        self._streams[message.session] = stream

    def _close(self, session: str) -> None:
        stream = self._streams.pop(session, None)
        if stream is None:
            self._send(m.Closed(session))
        elif stream in self._cohort:
            # A frame in flight keeps its lane: the model is still writing into it.
            self._closing.append(stream)
        else:
            self._let_go(stream)

    def _let_go(self, stream: StreamWork) -> None:
        for cell in stream.close():
            self._send(m.SourceDone(stream.session, cell, replaced=False))
        self._send(m.Closed(stream.session))

    def _generate(self, cohort: Sequence[StreamWork]) -> None:
        """One frame for each stream of the cohort, unless all of them are superseded on the way."""
        started = self._clock.now()
        self.progress_at = started
        self._cohort = cohort
        writing = 0.0
        for stream in cohort:
            done = stream.take_source()
            if done is not None:
                self._send(m.SourceDone(stream.session, done, replaced=False))
            writing += self._pin(stream, started)
        self._paints(cohort)
        if self._run(cohort, [stream.lane for stream in cohort], started):
            self._account(cohort, started, writing)

    def _pin(self, stream: StreamWork, started: float) -> float:
        """Put the newest version in its lane; returns how many seconds that took where it is new."""
        is_unwritten, begun = stream.is_unwritten, self._clock.now()
        stream.pin(started)
        if not is_unwritten:
            return 0.0
        took = self._clock.now() - begun
        self._writings.append(took)
        return took

    def _end_cohort(self) -> None:
        """Nothing is in flight any more: who was closed meanwhile goes."""
        self._cohort = ()
        closing, self._closing = self._closing, []
        for stream in closing:
            self._let_go(stream)

    def _run(self, cohort: Sequence[StreamWork], lanes: Sequence[int], started: float) -> bool:
        """The model's three stages; False when the cohort was abandoned."""
        clock, adapter = self._clock, self._adapter
        adapter.begin(lanes, [stream.source_view(self._inbound) for stream in cohort])
        began = clock.now()
        steps = cohort[0].pinned.control.params.steps
        for step in range(steps):
            self._before_step()
            adapter.denoise(lanes, step)
            if step + 1 < steps and self._is_superseded(cohort):
                for stream in cohort:
                    stream.abandon()
                    self._send(m.Abandoned(stream.session, stream.pinned.control.version))
                return False
        denoised = clock.now()
        pictures = adapter.finish(lanes)
        finished = clock.now()
        stages = Stages(0.0, began - started, denoised - began, finished - denoised)
        for stream, picture in zip(cohort, pictures, strict=True):
            if stream in self._closing or stream.has_rested:
                # Closed, or interrupted by a panic: what is in flight is for nobody.
                continue
            inspect(picture, stream.size, from_flat_source=adapter.spec.passes_camera)
            cell = self._cells.take()
            self._outbound.view(cell, stream.size)[:] = picture
            provenance = stream.provenance(self._epoch, stages, len(cohort), self._loras)
            source = stream.source_view(self._inbound)
            self._send(m.Generated(stream.session, cell, provenance, clock.now(), stream.take_steady()))
            stream.look(source, picture, clock.now())
        return True

    def _is_superseded(self, cohort: Sequence[StreamWork]) -> bool:
        """Whether nobody wants this cohort any more; never twice in a row, or a dragged slider starves the picture."""
        self._take_in()
        return all(self._streams.get(stream.session) is not stream or stream.is_superseded() for stream in cohort)

    def _fail(self, error: LiveglassError) -> None:
        """Tell whoever waits for what is in flight that it failed."""
        self._failures += 1
        now = self._clock.now()
        for stream in self._cohort:
            stream.forget(now)
            is_last = isinstance(error, OutOfMemory) and stream.is_hopeless
            self._send(m.Failed(stream.session, error.body(), is_last))
        self._questions.fail(error)

    def _account(self, cohort: Sequence[StreamWork], started: float, writing: float) -> None:
        """A cohort is out; `writing`: seconds of it that new versions took, which the next one of its kind does not."""
        self._failures = 0
        seconds = self._clock.now() - started
        case = _case(cohort)
        if case in self.meter or all(stream.made >= UNCOUNTED_FRAMES for stream in cohort):
            self.meter.add(case.steps, case.batch, seconds - writing, pixels=case.pixels)
        for stream in cohort:
            stream.delivered(seconds / len(cohort))

    def _before_step(self) -> None:
        self.progress_at = self._clock.now()
        never, seconds = self._step_delay
        if seconds:
            never.wait(seconds)

    def _paints(self, cohort: Sequence[StreamWork]) -> None:
        """These frames are in flight now."""
        self.case = _case(cohort)


def _case(cohort: Sequence[StreamWork]) -> Case:
    """What a cohort costs is told by that: sizes that may run together differ in what goes in and out at most."""
    pixels = max(stream.size.pixels for stream in cohort)
    return Case(pixels, cohort[0].pinned.control.params.steps, len(cohort))
