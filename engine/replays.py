"""What frames were made of, and the newest one of a session made again. Event loop; pictures are compared in a thread.

The worker makes it between two frames, as a preview: from the same source picture, words, noise and passes, alone. The
picture that comes of it is compared and thrown away.
"""

import asyncio
from collections.abc import Iterator

import msgspec
import numpy as np

from liveglass.engine.asides import Asides
from liveglass.engine.compare import difference, sha256
from liveglass.engine.control import ControlState
from liveglass.engine.errors import NoSuchFrame, NotReplayable
from liveglass.engine.frame import Frame
from liveglass.engine.makings import Kernels, WeightFile, hash_of
from liveglass.engine.record import Fact, FrameRecord, Hashes, OutputRecord, Replay
from liveglass.engine.stream.origins import Origin
from liveglass.engine.stream.session import Session
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.supervisor import Supervisor
from liveglass.engine.worker.worker import WorkerStatus

_BUDGET_S = 10.0
_UNKNOWN = "unknown"


class Replays:
    """Of every session of one worker."""

    def __init__(self, supervisor: Supervisor, asides: Asides) -> None:
        self._supervisor = supervisor
        self._asides = asides

    async def output(self, session: Session) -> OutputRecord:
        """What the newest output frame was made of.

        Raises:
            NoSuchFrame: nothing was put out yet.
        """
        output = session.snapshot()
        if output is None:
            raise NoSuchFrame("There is no picture yet.")
        base = output.base
        record = None
        if base is not None:
            record = _record(base, session.control_of(base), self._supervisor.maker(base.provenance.epoch))
        return OutputRecord(
            slot=output.slot,
            kind=output.kind,
            version=output.version,
            is_new=output.is_new,
            holds_camera=output.holds_camera,
            age_us=output.age_us,
            base=record,
            base_sha256=None if base is None else await asyncio.to_thread(sha256, base.pixels),
        )

    async def newest(self, session: Session) -> Replay:
        """The newest generated frame of `session` once more, compared with the first time.

        Raises:
            NoSuchFrame: nothing was generated yet, or since the last panic.
            NotReplayable: what it was made of is not all there any more, or its model is not.
            AtCapacity: four others wait already.
            ModelNotReady: the model is still warming up.
            GenerationTimeout: it was not made within ten seconds.
            WorkerLost: the model's process ended meanwhile.
        """
        async with self._asides.turn("replay", _BUDGET_S):
            origin = _origin(session)
            source = None if origin.source is None else origin.source.pixels
            made = origin.frame.provenance
            answer, worker = await self._supervisor.replay(session.options.size, origin.wishes, source)
        maker = self._supervisor.maker(made.epoch)
        return await asyncio.to_thread(compared, origin, maker, answer, worker)


def _origin(session: Session) -> Origin:
    origin = session.origin()
    if origin is None:
        raise NoSuchFrame("Nothing was generated yet.")
    model = origin.frame.provenance.model
    if model != session.spec.name:
        raise NotReplayable(f"The newest frame was made by {model}, and {session.spec.name} is here by now.")
    return origin


def _record(frame: Frame, control: ControlState | None, maker: WorkerStatus | None) -> FrameRecord:
    kernels, weights = (None, None) if maker is None else (maker.kernels, maker.weights)
    return FrameRecord.of(frame, control, kernels, weights)


def compared(origin: Origin, maker: WorkerStatus | None, answer: m.Replayed, worker: WorkerStatus) -> Replay:
    """Whether a frame is the same again.

    Args:
        maker: the worker that made it, as far as it is known.
        answer: the frame made again, of the same size.
        worker: the one that made it again.
    """
    frame = origin.frame
    again = np.frombuffer(answer.pixels, np.uint8).reshape(frame.pixels.shape)
    record = _record(frame, origin.wishes[-1].control, maker)
    hashes = Hashes(sha256(frame.pixels), sha256(again), answer.noise or None, _hash_of(record.weights))
    is_alone = record.batch == 1
    return Replay(
        result="exact" if is_alone and hashes.output == hashes.again else "close",
        difference=difference(frame.pixels, again),
        hashes=hashes,
        alone=is_alone,
        differs=tuple(_differs(record, worker, answer.lane)),
        record=record,
    )


def _differs(record: FrameRecord, worker: WorkerStatus, lane: int) -> Iterator[Fact]:
    """What was not as it was when the frame of `record` was made again, by that worker, alone, in that lane."""
    pairs = [
        ("batch", record.batch, 1),
        ("lane", record.lane, lane),
        ("epoch", record.epoch, worker.epoch),
        *_kernel_pairs(record.kernels, worker.kernels),
        ("weights", _told(record.weights), _told(worker.weights)),
    ]
    return (Fact(name, _written(made), _written(again)) for name, made, again in pairs if made != again)


def _kernel_pairs(made: Kernels | None, again: Kernels | None) -> list[tuple[str, object, object]]:
    if made is None or again is None:
        return [("kernels", made or _UNKNOWN, again or _UNKNOWN)]
    names = [field.name for field in msgspec.structs.fields(Kernels)]
    return [(name, getattr(made, name), getattr(again, name)) for name in names]


def _written(fact: object) -> str:
    return ", ".join(fact) if isinstance(fact, tuple) else str(fact)


def _told(weights: tuple[WeightFile, ...] | None) -> str:
    return _UNKNOWN if weights is None else _hash_of(weights) or "none"


def _hash_of(weights: tuple[WeightFile, ...] | None) -> str | None:
    """One hash for all of them; None where they are not known, or there are none."""
    return hash_of(weights) if weights else None
