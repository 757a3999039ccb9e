"""One user's stream: newest source in, a labelled frame out in every slot, and receipts for every change.

Commands and events belong to the event loop, `run_slot` to the output thread, `offer` to the link's reader, `publish`
to any thread. A lock guards what they share; it is never held while a sink encodes.
"""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial
from typing import Protocol

import msgspec
import numpy as np

from liveglass.engine.clock import Clock
from liveglass.engine.control import ControlPatch, ControlState
from liveglass.engine.errors import ErrorBody
from liveglass.engine.events import (
    ControlApplied,
    ControlChanged,
    ControlView,
    ErrorEvent,
    ModelChanged,
    QualityChanged,
    SessionEvent,
    SessionState,
    Stats,
)
from liveglass.engine.frame import Apply, Frame, FrameKind, OutputFrame, Pixels, SourceFrame, SourceStamp, frozen
from liveglass.engine.metrics import Metrics
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.options import SessionOptions, check_apply, possible
from liveglass.engine.person.matting import Matte, Matting
from liveglass.engine.stream.audience import Audience, OnLoop, Sink
from liveglass.engine.stream.composer import Composer
from liveglass.engine.stream.follower import Follower
from liveglass.engine.stream.grid import Grid
from liveglass.engine.stream.ledger import Ledger
from liveglass.engine.stream.mover import Mover, view_size
from liveglass.engine.stream.origins import Origin, Origins
from liveglass.engine.stream.phase import PhaseLock
from liveglass.engine.stream.quality import Quality
from liveglass.engine.stream.sample import Sample
from liveglass.engine.stream.scheduler import FrameScheduler
from liveglass.engine.stream.sight import Sight
from liveglass.engine.stream.state import DEGRADED_AFTER_S, INPUT_OLD_S, Facts, derive, same_but_figures, says_behind
from liveglass.engine.stream.steering import Receipt, Steering
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.admission import Admission, Demand
from liveglass.engine.worker.worker import WorkerStatus

_BROKEN_SHOWN_S = 2.0
_BROKEN_JUDGED_S = 10.0
"""So long after a broken frame its session is not judged: the longest time between two tries is 8 s."""

_TOLD_EVERY_S = 1.0
_FIGURE_HELD_S = 3.0
_TOLD_GRID_S = 0.001


class Host(Protocol):
    """What a session needs of the engine around it; any thread may call."""

    def send(self, session: str, message: m.ToWorker) -> None:
        """To the worker, if the session is admitted and there is one."""
        ...

    def put_source(self, session: str, frame: SourceFrame) -> bool:
        """To the worker; True if it replaced a picture that nobody had taken."""
        ...

    @property
    def on_loop(self) -> OnLoop:
        """Runs a call on the event loop."""
        ...

    @property
    def swap(self) -> ModelChanged | None:
        """Another model on its way, while it warms up."""
        ...


class Session:
    """A stream from its opening to its end.

    Attributes:
        grid: where its slots lie; it slides toward the phase of a camera of the same rate.
        id: as in its addresses; equal to `name` for a named session.
        closed: set when it has ended.
        audience: its connections, sinks and listeners.
    """

    def __init__(
        self,
        session_id: str,
        *,
        name: str | None,
        options: SessionOptions,
        spec: ModelSpec,
        control: ControlState,
        grid: Grid,
        host: Host,
        metrics: Metrics,
        clock: Clock,
        matting: Matting | None = None,
        moving: Executor | None = None,
    ) -> None:
        self.id = session_id
        self.name = name
        self.options = options
        self.spec = spec
        self.grid = grid
        self.closed = asyncio.Event()
        self.audience = Audience(host.on_loop, clock)
        self.admission = Admission()
        self._host = host
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.RLock()
        self._quality = Quality(
            options.fps, control.params.steps, spec, metrics, self.audience.tell, pixels=options.size.pixels
        )
        self._steering = Steering(control, spec, clock.now())
        self._origins = Origins(control)
        self._scheduler = FrameScheduler(options.fps, fades=options.source == "none")
        self._composer = Composer(options)
        self._matting = matting
        mover = None
        if moving is not None:
            view = view_size(options.size, spec.inner_pixels)
            took = partial(self.record_stage, "warp")
            mover = Mover(options.size, view, pool=moving, period_s=grid.period, clock=clock, took=took)
        self._follower = Follower(mover, full_strength_hides=spec.strength_has_effect)
        self._sight = Sight(grid.period)
        self._matte: Matte | None = None
        self._ledger = Ledger(metrics, grid.period)
        self._phase = PhaseLock(grid.period)
        self._told_t0 = grid.t0
        self._worker = WorkerStatus("warming")
        self._sample = Sample(options.size) if options.source == "sample" else None
        self._source: SourceFrame | None = None
        self._source_seq = 0
        self._frame_seq = 0
        self._wants_source = options.source != "none"
        self._panic = False
        self._paused = False
        self._cause_of_end = ""
        self._ever_live = False
        self._broken: tuple[str, float] = ("", -math.inf)
        self._told_at = -math.inf
        self._flushed_at = -math.inf
        self._serving_since: float | None = None
        self._newest: OutputFrame | None = None
        self._state_at = -math.inf
        self._state = SessionState("warming", stage="starting", cause="The model is starting.")

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def control(self) -> ControlState:
        """The control version in force."""
        return self._steering.control

    @property
    def state(self) -> SessionState:
        """Where it stands, with the cause wherever it is neither ready nor live."""
        return self._state

    @property
    def applies(self) -> tuple[Apply, ...]:
        """What `apply` may be here."""
        return possible(self.options.camera_visible, has_mask=self._matting is not None)

    @property
    def current_slot(self) -> int:
        """The newest slot whose deadline has come."""
        return self.grid.slot_at(self._clock.now())

    @property
    def is_running(self) -> bool:
        """Whether the worker is to generate for it."""
        return not (self._paused or self._panic)

    @property
    def newest_source(self) -> SourceFrame | None:
        """The source picture that came in last."""
        return self._source

    def control_view(self) -> ControlView:
        """The control state as clients read it."""
        return self._steering.view()

    @property
    def given_up(self) -> QualityChanged | None:
        """What the quality ladder gave up, as long as it did."""
        return self._quality.given_up

    @property
    def swap(self) -> ModelChanged | None:
        """Another model on its way, while it warms up."""
        return self._host.swap

    def snapshot(self) -> OutputFrame | None:
        """The newest output frame, as every viewer may see it; None before the first slot."""
        return self._newest

    def origin(self) -> Origin | None:
        """The newest generated frame and what it was made of; None without one, and after a panic.

        Raises:
            NotReplayable: what it was made of is not all there any more.
        """
        with self._lock:
            return self._origins.newest()

    def control_of(self, frame: Frame) -> ControlState | None:
        """The control version of a generated frame, with the passes that it had; None where it is too old."""
        with self._lock:
            return self._origins.control(frame)

    def stats(self) -> Stats:
        """Measured figures of the last seconds."""
        return self._ledger.stats(self._clock.now())

    @property
    def serving_s(self) -> float:
        """For how long the worker has been ready and pictures have been coming in, seconds."""
        since = self._serving_since
        return 0.0 if since is None else self._clock.now() - since

    @property
    def new_fps(self) -> float:
        """New pictures a second, of the last two seconds."""
        return self._ledger.new_in(DEGRADED_AFTER_S, self._clock.now()) / DEGRADED_AFTER_S

    @property
    def still_fps(self) -> float:
        """Slots a second that needed no new picture, the camera standing still; of the last two seconds."""
        return self._ledger.still_in(DEGRADED_AFTER_S, self._clock.now()) / DEGRADED_AFTER_S

    @property
    def demand(self) -> Demand:
        """What it asks of the model."""
        return Demand(self.options.fps, self.control.params.steps, pixels=self.options.size.pixels)

    @property
    def given(self) -> Demand:
        """What it asks of the model by now, with what its quality ladder gave up."""
        rung = self._quality.rung
        steps = min(self.control.params.steps, rung.steps)
        return Demand(self.options.fps, steps, rung.every, self.options.size.pixels)

    @property
    def busy_s(self) -> float:
        """Seconds that decoding, masking, moving and encoding took since it opened, by the wall clock."""
        return self._ledger.busy_s

    def open_message(self) -> m.OpenStream:
        """What a worker has to know to generate for this session."""
        return m.OpenStream(
            self.id,
            self.options.size,
            self.grid.t0,
            self.grid.fps,
            self.control,
            has_source=self._wants_source,
            running=self.is_running,
            rung=self._quality.rung,
        )

    # --- commands ---------------------------------------------------------------------------------------------------

    def patch(self, patch: ControlPatch, *, by: str) -> Receipt:
        """Lay a change over the control state; it counts from the next frame that starts.

        Raises:
            InvalidInput: a value that nobody can use, with its field.
            NotAvailable: `apply` needs a person mask, and there is none.
            CameraNotVisible: `apply` keeps what this session hides.
        """
        check_apply(patch.apply, self.options.camera_visible, has_mask=self._matting is not None)
        with self._lock:
            receipt = self._steering.patch(patch, self._clock.now())
        return self._changed(receipt, by)

    def undo(self, *, by: str) -> Receipt:
        """Go back to the wishes before the last change, as a new version.

        Raises:
            InvalidValue: there is nothing to undo.
        """
        with self._lock:
            receipt = self._steering.undo(self._clock.now())
        return self._changed(receipt, by)

    def redo(self, *, by: str) -> Receipt:
        """Go forward again to what was undone last, as a new version.

        Raises:
            InvalidValue: there is nothing to redo.
        """
        with self._lock:
            receipt = self._steering.redo(self._clock.now())
        return self._changed(receipt, by)

    def pause(self) -> Receipt:
        """Repeat the last picture and let the model rest."""
        self._set_running(paused=True, panic=self._panic)
        return self._steering.unchanged()

    def resume(self) -> Receipt:
        """End a pause and a panic."""
        self._set_running(paused=False, panic=False)
        return self._steering.unchanged()

    def panic(self) -> Receipt:
        """Show the safe picture from the next slot on, and forget every other."""
        self._set_running(paused=self._paused, panic=True)
        return self._steering.unchanged()

    def end(self, cause: str) -> None:
        """The session is over; listeners are told."""
        self._cause_of_end = cause
        self._follower.close()
        self._refresh_state()
        self._host.on_loop(self.closed.set)

    def _changed(self, receipt: Receipt, by: str) -> Receipt:
        receipt = self._quality.told(receipt, self.control.params.steps)
        with self._lock:
            self._origins.wished(self.control)
        self._host.send(self.id, m.NewControl(self.id, self.control))
        self.audience.tell(ControlChanged(self.control_view(), by))
        return receipt

    def _set_running(self, *, paused: bool, panic: bool) -> None:
        with self._lock:
            self._paused, self._panic = paused, panic
            if panic:
                self._scheduler.flush()
                self._newest = None
                self._origins.forget()
                self._follower.forget()
                self._flushed_at = self._clock.now()
        self._host.send(self.id, m.SetRunning(self.id, self.is_running))
        self._refresh_state()

    def adopt(self, spec: ModelSpec) -> None:
        """Another model makes the pictures from the next one on; what was asked for stays, as far as it knows that.

        Whoever calls sees to it that the worker hears of the control state.
        """
        with self._lock:
            self.spec = spec
            self._serving_since = None
            receipt = self._steering.adopt(spec, self._clock.now())
        self._quality.adopt(spec)
        self._follower.adopt(spec.inner_pixels, full_strength_hides=spec.strength_has_effect)
        if receipt is not None:
            self.audience.tell(ControlChanged(self.control_view(), by="model", notes=receipt.notes))

    # --- source -----------------------------------------------------------------------------------------------------

    def start_publishing(self) -> None:
        """A camera takes over from the sample, or from words alone."""
        with self._lock:
            self._sample = None
            self._wants_source = True
            for frame in self._follower.ready(math.inf):
                self._schedule(frame)  # the worker takes for granted that what it made is shown
            self._follower.forget()  # another camera moves nothing that was made before
            self._scheduler.fades = False

    def stop_publishing(self) -> None:
        """The camera went away; its last picture is repeated for a while."""
        self._refresh_state()

    def publish(self, pixels: Pixels, publisher_us: int, arrived_at: float) -> None:
        """A source picture came in. Any thread.

        Args:
            pixels: uint8 [H, W, 3] at the session's own size; nobody changes it afterwards.
            publisher_us: microseconds on the publisher's clock.
            arrived_at: seconds on the server's clock.

        Raises:
            ValueError: pixels of another size or type; fitting them is the caller's work.
        """
        if pixels.shape != self.options.size.shape or pixels.dtype != np.uint8:
            raise ValueError(f"{pixels.dtype} {pixels.shape} instead of uint8 {self.options.size.shape}")
        self._put(pixels, publisher_us, arrived_at, is_camera=True)

    def _put(self, pixels: Pixels, publisher_us: int, at: float, *, is_camera: bool) -> None:
        with self._lock:
            self._source_seq += 1
            stamp = SourceStamp(self._source_seq, at, publisher_us, is_camera)
            frame = self._source = SourceFrame(stamp, frozen(pixels))
        if self._matting is not None and self.control.apply != "all":
            self._matting.submit(frame, lambda seconds: self.record_stage("mask", seconds))
        self._follower.see(frame)
        self._sight.see(frame.stamp)
        if self._host.put_source(self.id, frame):
            self.count_replaced()

    # --- worker -----------------------------------------------------------------------------------------------------

    def offer(self, generated: m.Generated, pixels: Pixels, source: SourceFrame | None = None) -> None:
        """The worker finished a frame, made from `source` if it was made from any. Link's thread."""
        now = self._clock.now()
        transfer = now - generated.finished_at
        stages = msgspec.structs.replace(generated.provenance.stages, transfer=transfer)
        provenance = msgspec.structs.replace(generated.provenance, stages=stages)
        with self._lock:
            if not self.is_running or self._cause_of_end:
                return
            if generated.finished_at - stages.model < self._flushed_at:
                # Begun before panic was pressed: it shows what nobody is to see any more.
                return
            self._frame_seq += 1
            frame = Frame(self._frame_seq, frozen(pixels), now, provenance)
            self._origins.made(frame, source)
            if not self._follower.takes(frame, self.control.params, self.grid):
                self._schedule(frame)
        self._ledger.generated(stages, has_source=provenance.source is not None)
        if generated.steady is not None:
            self._ledger.steady(generated.steady)

    def _schedule(self, frame: Frame) -> None:
        late = self._scheduler.late
        self._scheduler.offer(frame)
        self._metrics.late.inc(self._scheduler.late - late)

    def still(self, found: m.Still) -> None:
        """The worker found that a source needs no frame. Link's thread."""
        with self._lock:
            if not self.is_running or self._cause_of_end:
                return
            self._sight.confirm(found.base, found.source)
        self._ledger.still()

    def failed(self, error: ErrorBody) -> None:
        """The worker could not make a frame of this session; listeners hear the same of it at most once a second."""
        now = self._clock.now()
        with self._lock:
            is_news = error.message != self._broken[0] or now - self._told_at >= _TOLD_EVERY_S
            self._broken = error.message, now
            if is_news:
                self._told_at = now
                self.audience.tell(ErrorEvent.of(error))

    def note_worker(self, status: WorkerStatus) -> None:
        """The worker's status changed."""
        with self._lock:
            self._worker = status
        self._refresh_state()

    def note_admission(self, admission: Admission) -> None:
        """Its place changed: admitted, or its number in the queue."""
        self.admission = admission
        self._refresh_state()

    # --- output -----------------------------------------------------------------------------------------------------

    def run_slot(self, slot: int, skipped: int) -> None:
        """Pick, compose, hand over and account for one slot. Output thread."""
        picked_at = self._clock.now()
        with self._lock:
            output = self._compose(slot, picked_at)
            self._newest = output
        self._ledger.skipped(skipped)
        self.audience.deliver(output)
        handed_at = self._clock.now()
        self._account(output, handed_at)
        self._judge(output, handed_at)
        self._follow_camera(output)
        sample = self._sample
        if sample is not None and self.is_running:
            at = self._clock.now()
            self._put(sample.picture(at), 0, at, is_camera=False)
        if slot % 6 == 0 or output.is_new:
            self._refresh_state()

    def _judge(self, output: OutputFrame, handed_at: float) -> None:
        """Let the quality ladder see how this slot was served."""
        if self.serving_s < DEGRADED_AFTER_S or handed_at - self._broken[1] < _BROKEN_JUDGED_S:
            self._quality.rest()
        elif output.is_still:
            # What needed no frame says nothing about the model.
            if not self.new_fps:
                self._quality.rest()
        elif self._quality.slot(
            output,
            handed_at,
            waited=0.0 if output.kind is FrameKind.STANDBY else self._sight.waited(output.base, handed_at),
            steps=self.control.params.steps,
            device=self._worker.device,
            new_fps=self.new_fps,
            cost=self._worker.cost,
        ):
            self._host.send(self.id, m.SetRung(self.id, self._quality.rung))

    def _follow_camera(self, output: OutputFrame) -> None:
        """Let the grid slide toward the camera's phase; the worker hears of every millisecond of it."""
        provenance = output.base.provenance if output.is_new and output.base is not None else None
        is_camera = provenance is not None and provenance.source is not None and provenance.source.is_camera
        shift = self._phase.slot(provenance.stages.queue if provenance is not None and is_camera else None)
        if shift:
            self.grid = Grid(self.grid.t0 + shift, self.grid.fps)
            self._metrics.grid_moved.inc(abs(shift))
            if abs(self.grid.t0 - self._told_t0) >= _TOLD_GRID_S:
                self._told_t0 = self.grid.t0
                self._host.send(self.id, m.MoveGrid(self.id, self._told_t0))

    def _compose(self, slot: int, now: float) -> OutputFrame:
        for frame in self._follower.ready(now):
            self._schedule(frame)
        if self._panic:
            pick = None
        elif self._paused:
            pick = self._scheduler.hold()
        else:
            pick = self._scheduler.tick(now, self._sight.seen_at(self._scheduler.base))
        refused = self._composer.refused
        if self._matting is not None and not self._paused:
            self._matte = self._matting.newest(self._source)
        moved, is_still = None, False
        if pick is not None and not self._paused:
            is_still = self._sight.is_still(pick.base, now)
            moved = self._follower.place(pick, self.control.params, self.grid, now, is_still=is_still)
        output = self._composer.compose(
            self.grid, slot, pick, self._source, now, matte=self._matte, moved=moved, is_still=is_still
        )
        self._metrics.refused_camera.inc(self._composer.refused - refused)
        if moved is not None and output.kind is FrameKind.WARPED:
            self._metrics.warp_doubt.observe(moved.doubt)
        return output

    def _account(self, output: OutputFrame, handed_at: float) -> None:
        self._ledger.handed_over(output, handed_at)
        with self._lock:
            self._ever_live = self._ever_live or output.is_new
            receipts = self._steering.handed_over(output, handed_at)
        for event in receipts:
            if isinstance(event, ControlApplied):
                self._metrics.prompt_to_picture.observe(event.latency_ms / 1000)
            self.audience.tell(event)

    def record_stage(self, stage: str, seconds: float) -> None:
        """A frame of this session spent `seconds` in `stage`. Any thread."""
        self._ledger.stage(stage, seconds)

    def count_replaced(self, n: int = 1) -> None:
        """`n` unread inputs gave way to newer ones. Any thread."""
        self._ledger.replaced(n)

    def count_dropped(self, n: int = 1) -> None:
        """`n` frames were not sent to one slow viewer. Any thread."""
        self._ledger.dropped(n)

    # --- who watches and listens ------------------------------------------------------------------------------------

    def add_sink(self, sink: Sink) -> None:
        """`sink` gets every slot from now on."""
        self.audience.add_sink(sink)

    def remove_sink(self, sink: Sink) -> None:
        """`sink` gets no slot any more."""
        self.audience.remove_sink(sink)

    def attach(self) -> AbstractContextManager[None]:
        """While inside, the session has one more connection and does not end by itself."""
        return self.audience.attach()

    def listen(self, callback: Callable[[SessionEvent], None]) -> Callable[[], None]:
        """Call `callback` on the event loop with every event; returns the way to stop that."""
        return self.audience.listen(callback)

    def frames(self) -> AsyncIterator[OutputFrame]:
        """Every output frame for a program inside this process, the newest for a slow one. Ends with the session."""
        return self.audience.frames()

    # --- state ------------------------------------------------------------------------------------------------------

    def _refresh_state(self) -> None:
        now = self._clock.now()
        with self._lock:
            state = derive(self._facts(now))
            # Nobody can read a figure that changes with every frame; another cause is told at once.
            is_old = now - self._state_at >= _FIGURE_HELD_S
            if state != self._state and (is_old or not same_but_figures(state, self._state)):
                self._state, self._state_at = state, now
                # Under the lock, so that nobody hears of two changes in the wrong order.
                self.audience.tell(state)

    def _unmasked(self) -> str:
        if self._matting is None:
            return "The person mask is not here."
        return self._matting.fault or "The person mask has no picture yet."

    def _facts(self, now: float) -> Facts:
        input_age = None if self._source is None else now - self._source.stamp.captured_at
        flowing = input_age is not None and input_age < INPUT_OLD_S
        if self._worker.state != "ready" or not self.is_running or not flowing or self.admission.position:
            self._serving_since = None
        elif self._serving_since is None:
            self._serving_since = now
        newest = self._newest
        return Facts(
            closed=self._cause_of_end,
            queued=self.admission.position,
            estimate_s=self.admission.estimate_s,
            panic=self._panic,
            paused=self._paused,
            worker=self._worker.state,
            stage=self._worker.stage,
            worker_cause=self._worker.cause,
            wants_source=self._wants_source,
            input_age_s=input_age,
            kind=newest.kind if newest else None,
            base_shown=newest is not None and newest.base is not None and newest.kind is not FrameKind.STANDBY,
            camera_refused=self._composer.refusing,
            unmasked=self._unmasked() if self._composer.lacks_matte else "",
            broken=self._broken[0] if now - self._broken[1] < _BROKEN_SHOWN_S else "",
            fps=self.options.fps,
            was_behind=says_behind(self._state),
            new_in_2_s=self._ledger.new_in(DEGRADED_AFTER_S, now),
            still_in_2_s=self._ledger.still_in(DEGRADED_AFTER_S, now),
            serving_s=self.serving_s,
            ever_live=self._ever_live,
        )
