"""What the worker knows of one session: its newest inputs, its lanes, and the frame in flight; one thread, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from liveglass.engine.control import ControlState
from liveglass.engine.errors import BrokenFrame, OutOfMemory
from liveglass.engine.frame import Course, Lora, Pixels, Provenance, Size, SourceStamp, Stages, Steady
from liveglass.engine.models.base import ModelAdapter
from liveglass.engine.stream.grid import Grid
from liveglass.engine.worker.likeness import Basis
from liveglass.engine.worker.messages import MoveGrid, NewControl, OpenStream, SetRung, SetRunning, Still
from liveglass.engine.worker.ring import Ring
from liveglass.engine.worker.steadiness import Steadiness
from liveglass.engine.worker.transition import Noise, Shown, Transition

_RETRY_S = 1.0
"""A frame that failed is tried again after so long, even when no new input comes. One that failed twice in a row waits
so long, whatever comes but a change of control, and each further time twice as long."""

_LONGEST_RETRY_S = 8.0

_HOPELESS_TRIES = 6
"""A session that is short of memory so often in a row, in some 15 s, gets no further try."""

_FLOWING_S = 0.25
"""A camera whose newest picture is younger than that is running."""

_FLAT_SAMPLE = 8
"""Every eighth pixel in both directions is enough to tell a picture from one flat colour."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """What the frame in flight belongs to: one control version and one source picture."""

    control: ControlState
    source: SourceStamp | None
    progress: float
    started_at: float
    course: Course = ()


class StreamWork:
    """One session's side of the worker.

    Attributes:
        rung: where the session's quality ladder stands.
        running: False while the session is paused or in panic.
        last_slot: the slot that the last frame was aimed at.
        retry_at: when a frame that failed is tried again without a new input, seconds; None when none failed.
        served: seconds of model time so far, for the fair share.
        made: frames so far.
    """

    def __init__(self, opened: OpenStream, adapter: ModelAdapter) -> None:
        self.session = opened.session
        self.size = opened.size
        self.grid = Grid(opened.t0, opened.fps)
        self.rung = opened.rung
        self._wished = opened.control
        self.running = opened.running
        self.has_source = opened.has_source
        self.last_slot = -1
        self.served = 0.0
        self.made = 0
        self.retry_at: float | None = None
        self._failed, self._failed_version = 0, 0
        self._adapter = adapter
        self._lanes = _two_lanes(adapter, self.size)
        self._slot_before = -1
        self._lane = 0
        self._waiting: tuple[int, SourceStamp] | None = None
        self._current: tuple[int, SourceStamp] | None = None
        self._pinned: Pinned | None = None
        self._written: tuple[int, float, int] | None = None
        self._done: tuple[int, int, float] | None = None
        self._basis: Basis | None = None
        self._just_abandoned = False
        self._rested = False
        self._transition = Transition()
        self._steadiness = Steadiness()
        self._steady: Steady | None = None
        self._noise: tuple[int, Noise] | None = None

    @classmethod
    def aside(cls, size: Size, control: ControlState, adapter: ModelAdapter) -> "StreamWork":
        """A session that nobody opened, for a single frame beside the others."""
        return cls(OpenStream("", size, 0.0, 24, control, has_source=False, running=True), adapter)

    @property
    def control(self) -> ControlState:
        """The newest version, with no more passes than the rung gives; a frame pins it when it starts."""
        wished = self._wished
        if wished.params.steps <= self.rung.steps:
            return wished
        params = msgspec.structs.replace(wished.params, steps=self.rung.steps)
        return msgspec.structs.replace(wished, params=params)

    @property
    def lane(self) -> int:
        """The lane of the pinned version."""
        return self._lanes[self._lane]

    @property
    def pinned(self) -> Pinned:
        """The frame in flight."""
        if self._pinned is None:
            raise RuntimeError("no frame was started")
        return self._pinned

    def offer_source(self, cell: int, stamp: SourceStamp) -> int | None:
        """A newer source picture; returns the cell of one that no frame was started from, if any."""
        replaced = self._waiting[0] if self._waiting else None
        self._waiting = cell, stamp
        return replaced

    def follow(self, message: NewControl | SetRunning | SetRung | MoveGrid) -> None:
        """Take what the server says of this stream."""
        match message:
            case NewControl():
                self._wished = message.control
            case SetRunning():
                self.rest(not message.running)
            case SetRung():
                self.rung = message.rung
            case MoveGrid():
                self.grid = Grid(message.t0, self.grid.fps)  # slots keep their numbers

    def rest(self, resting: bool) -> None:
        """Stop generating, or begin again with the newest inputs, whatever was made of them before the rest."""
        if self.running is resting:
            self.running = not resting
            self._rested = True
            self._done = self.retry_at = self._basis = None
            self._failed = 0

    def make_anew(self) -> None:
        """Whatever was generated was made with other weights: the newest picture is wanted again."""
        self._done = self._basis = None

    def has_work(self, now: float) -> bool:
        """Whether there is anything to generate that was not generated yet."""
        if not self.running:
            return False
        newest = self._waiting or self._current
        if self.has_source and newest is None:
            return False
        if self.retry_at is not None and now >= self.retry_at:
            return True
        if self._failed > 1 and self._failed_version == self.control.version:
            return False
        seq = newest[1].seq if newest else -1
        progress = self._transition.progress(self.control, now)
        return self._done != (seq, self.control.version, progress)

    def is_flowing(self, now: float) -> bool:
        """Whether pictures have been coming in lately: the next one is not far."""
        newest = self._waiting or self._current
        is_running = newest is not None and now - newest[1].captured_at < _FLOWING_S
        # Else it waits before it is tried again, or for something to happen before its camera.
        return self.running and is_running and self._failed < 2 and not self.is_still

    @property
    def is_still(self) -> bool:
        """Whether its newest source was found to need no frame."""
        basis, newest = self._basis, self._waiting or self._current
        if basis is None or newest is None or basis.made_by != self._made_by(self.control):
            return False
        return basis.still == newest[1].seq

    @property
    def is_unwritten(self) -> bool:
        """Whether its newest version has never been in a lane: a frame of it begins with that."""
        return self._written is None or self._written[0] != self.control.version

    def find_still(self, inbound: Ring) -> Still | None:
        """Compare the newest source with the one that the picture on show was made from, once.

        Returns:
            What the server has to know, where it needs no frame; `has_work` knows it from then on.
        """
        control, basis, waiting, current = self.control, self._basis, self._waiting, self._current
        if basis is None or waiting is None or current is None or not control.params.similarity:
            return None
        (cell, stamp), (base_cell, base) = waiting, current
        if basis.made_by != self._made_by(control) or basis.compared == stamp.seq:
            return None
        pictures = inbound.view(base_cell, self.size), inbound.view(cell, self.size)
        if not basis.is_like(*pictures, stamp.seq, control.params.similarity):
            return None
        # The cell stays: with the next version a frame is made from this picture, not from the older one.
        self._done = stamp.seq, control.version, 1.0
        return Still(self.session, stamp, base.seq)

    @staticmethod
    def _made_by(control: ControlState) -> tuple[int, int]:
        """What a frame has to be made by besides a source: version and passes."""
        return control.version, control.params.steps

    def aim_at(self, slot: int) -> None:
        """The next frame is for `slot`."""
        self._slot_before, self.last_slot = self.last_slot, slot

    def take_source(self) -> int | None:
        """The frame to be started is made from the newest picture; returns a cell that is done with, if any."""
        if self._waiting is None:
            return None
        done = self._current[0] if self._current else None
        self._current, self._waiting = self._waiting, None
        return done

    def pin(self, now: float) -> None:
        """Start a frame of the newest control version and the source taken last, and put the version in its lane."""
        control, source = self.control, self._current[1] if self._current else None
        self._basis = None
        # Pinned before the words are encoded: where that fails, it is this frame that failed.
        self._pinned = Pinned(control, source, self._transition.progress(control, now), now)
        self._rested, self.retry_at = False, None
        noise = self._noise_for(control.params.seed)
        self.pin_shown(self._transition.shown(control, now, self._adapter, noise), now)

    def pin_shown(self, shown: Shown, now: float) -> None:
        """The same, of just what `shown` says, wherever a transition stands."""
        control, source = self.control, self._current[1] if self._current else None
        self._pinned = Pinned(control, source, shown.progress, now, shown.course)
        written = control.version, shown.progress, control.params.steps
        if self._written != written:
            if self._written is None or self._written[0] != control.version:
                self._lane = 1 - self._lane
            self._adapter.write(
                self.lane,
                shown.cond,
                self._adapter.schedule(control, self.size),
                shown.noise,
                control.params.strength,
            )
            self._written = written

    @property
    def has_rested(self) -> bool:
        """Whether a rest began or ended since the frame in flight started."""
        return self._rested

    def source_view(self, inbound: Ring) -> Pixels | None:
        """The pinned source picture, uint8 [H, W, 3]; None where the frame comes from words alone."""
        return inbound.view(self._current[0], self.size) if self._current else None

    def look(self, source: Pixels | None, picture: Pixels, now: float) -> None:
        """See how steady the pictures are; the frame that `picture` belongs to has gone out already."""
        if source is None:
            return
        control = self.pinned.control
        if self.pinned.progress >= 1:
            self._basis = Basis(self._made_by(control))
        self._steady = self._steadiness.look(source, picture, control.version, now) or self._steady

    def take_steady(self) -> Steady | None:
        """What was seen lately, once."""
        steady, self._steady = self._steady, None
        return steady

    def is_superseded(self) -> bool:
        """Whether a newer version (or a rest) came in, and giving up is allowed."""
        newer = self.control.version != self.pinned.control.version
        return self._rested or (newer and not self._just_abandoned)

    def abandon(self) -> None:
        """The frame in flight is given up; its slot is free again, and the next frame will not be given up."""
        self._just_abandoned = True
        self.last_slot = self._slot_before

    def forget(self, now: float) -> None:
        """The frame in flight failed at `now`: a new input or some time later, start from a clean lane."""
        self._keep_done()
        self._basis = None
        self._failed = self._failed + 1 if self._failed_version == self.pinned.control.version else 1
        self._failed_version = self.pinned.control.version
        wait_s = min(_RETRY_S * 2 ** max(0, self._failed - 2), _LONGEST_RETRY_S)
        self.retry_at = now + wait_s if self.running else None
        self._written = None
        for lane in self._lanes:
            self._adapter.reset(lane)

    @property
    def is_hopeless(self) -> bool:
        """Whether trying again was of no use for long enough."""
        return self._failed >= _HOPELESS_TRIES

    def delivered(self, seconds: float) -> None:
        """The frame in flight is out; it cost `seconds` of the model."""
        self._keep_done()
        self._just_abandoned = False
        self._failed = 0
        self.served += seconds
        self.made += 1

    def _keep_done(self) -> None:
        """Remember what the frame in flight was made of, unless a rest came in between: it is wanted again then."""
        pinned = self.pinned
        if not self._rested:
            self._done = pinned.source.seq if pinned.source else -1, pinned.control.version, pinned.progress

    def provenance(self, epoch: int, stages: Stages, batch: int, loras: tuple[Lora, ...]) -> Provenance:
        """Everything that made the frame in flight, one of `batch` in its cohort."""
        pinned = self.pinned
        spec = self._adapter.spec
        queue = pinned.started_at - pinned.source.captured_at if pinned.source else 0.0
        return Provenance(
            source=pinned.source,
            version=pinned.control.version,
            progress=pinned.progress,
            seed=pinned.control.params.seed,
            steps=pinned.control.params.steps,
            model=spec.name,
            holds_camera=spec.passes_camera and pinned.source is not None and pinned.source.is_camera,
            epoch=epoch,
            stages=Stages(queue, stages.begin, stages.denoise, stages.finish),
            apply=pinned.control.apply,
            batch=batch,
            lane=self.lane,
            group=self._adapter.group(pinned.control, self.size),
            course=pinned.course,
            loras=loras,
        )

    def close(self) -> Iterator[int]:
        """Give the lanes back; returns the source cells that are done with."""
        for lane in self._lanes:
            self._adapter.close_lane(lane)
        held = [kept[0] for kept in (self._current, self._waiting) if kept]
        self._current = self._waiting = None
        return iter(held)

    def _noise_for(self, seed: int) -> Noise:
        if self._noise is None or self._noise[0] != seed:
            self._noise = seed, self._adapter.draw_noise(seed, self.size)
        return self._noise[1]


def _two_lanes(adapter: ModelAdapter, size: Size) -> tuple[int, int]:
    """One for the version in use and one for the version to come, or none at all."""
    first = adapter.open_lane(size)
    try:
        return first, adapter.open_lane(size)
    except OutOfMemory:
        adapter.close_lane(first)
        raise


def inspect(picture: Pixels, size: Size, *, from_flat_source: bool) -> None:
    """Refuse a picture that no working model makes.

    Args:
        from_flat_source: a pass-through model may show a covered lens.

    Raises:
        BrokenFrame: a wrong size or type, or one flat colour (what NaN becomes in uint8).
    """
    if picture.shape != size.shape or picture.dtype != np.uint8:
        raise BrokenFrame(f"The model returned {picture.dtype} {picture.shape} instead of uint8 {size.shape}.")
    if from_flat_source:
        return
    sample = picture[::_FLAT_SAMPLE, ::_FLAT_SAMPLE]
    if sample.min() == sample.max():
        raise BrokenFrame(f"The model returned one flat colour ({sample.min()}).")
