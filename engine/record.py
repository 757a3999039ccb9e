"""What is told of a frame and of its being made again; pure. As with events, these are the wire's own schemas.

No pixel is in them, of a camera or of anything else.
"""

from typing import Literal

import msgspec

from liveglass.engine.compare import Difference
from liveglass.engine.control import ControlState
from liveglass.engine.frame import Apply, Frame, FrameKind, Lora, SourceStamp, Stages
from liveglass.engine.makings import Kernels, WeightFile


class SourceRecord(msgspec.Struct, frozen=True):
    """The picture that a frame was made from: its number, and when it was taken (see `SourceStamp`)."""

    seq: int
    captured_at: float
    publisher_us: int
    is_camera: bool

    @classmethod
    def of(cls, stamp: SourceStamp) -> "SourceRecord":
        """Of a stamp."""
        return cls(stamp.seq, stamp.captured_at, stamp.publisher_us, stamp.is_camera)


class StageRecord(msgspec.Struct, frozen=True):
    """Where a frame's time went, in milliseconds (see `Stages`)."""

    queue_ms: float
    begin_ms: float
    denoise_ms: float
    finish_ms: float
    transfer_ms: float

    @classmethod
    def of(cls, stages: Stages) -> "StageRecord":
        """Of a frame's stages."""
        parts = (stages.queue, stages.begin, stages.denoise, stages.finish, stages.transfer)
        return cls(*(round(seconds * 1000, 3) for seconds in parts))


class CourseRecord(msgspec.Struct, frozen=True):
    """A control version on the way, and how far its own transition had come when it gave way, 0 to 1."""

    version: int
    progress: float


class LoraRecord(msgspec.Struct, frozen=True):
    """Low-rank weights that were in the model: a file by name and SHA-256, and how much of it."""

    name: str
    weight: float
    sha256: str

    @classmethod
    def of(cls, lora: Lora) -> "LoraRecord":
        """The wire's form of `lora`."""
        return cls(lora.name, lora.weight, lora.sha256)


class FrameRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a generated frame was made of.

    Attributes:
        seq: counts the session's generated frames.
        progress: through the transition to its control version, 0 to 1; 1 when it is over.
        course: the versions that the transition comes from, oldest first; empty without one, None where they are too
            many to tell.
        control: its control version, with the passes that it had; None where that is not kept any more.
        steps: passes that it had; fewer than were asked for where the quality ladder took some.
        batch: frames that were made together with it, itself among them.
        lane: of the model, where its control version was written.
        group: what it had in common with whatever could have been made together with it.
        loras: low-rank weights that were in the model.
        epoch: counts the worker processes.
        kernels: what the worker of that epoch makes pictures with; None where that is forgotten, and for viewers.
        weights: the files that its weights came from; None until they are hashed.
    """

    seq: int
    model: str
    version: int
    progress: float
    course: tuple[CourseRecord, ...] | None
    control: ControlState | None
    seed: int
    steps: int
    source: SourceRecord | None
    apply: Apply
    holds_camera: bool
    batch: int
    lane: int
    group: tuple[bool | int | float | str, ...]
    loras: tuple[LoraRecord, ...]
    stages: StageRecord
    epoch: int
    kernels: Kernels | None
    weights: tuple[WeightFile, ...] | None

    @classmethod
    def of(
        cls,
        frame: Frame,
        control: ControlState | None,
        kernels: Kernels | None,
        weights: tuple[WeightFile, ...] | None,
    ) -> "FrameRecord":
        """Of a frame, its control version, and what its worker makes pictures with, as far as they are known."""
        made = frame.provenance
        course = None if made.course is None else tuple(CourseRecord(one.version, one.progress) for one in made.course)
        return cls(
            seq=frame.seq,
            model=made.model,
            version=made.version,
            progress=made.progress,
            course=course,
            control=control,
            seed=made.seed,
            steps=made.steps,
            source=None if made.source is None else SourceRecord.of(made.source),
            apply=made.apply,
            holds_camera=made.holds_camera,
            batch=made.batch,
            lane=made.lane,
            group=made.group,
            loras=tuple(map(LoraRecord.of, made.loras)),
            stages=StageRecord.of(made.stages),
            epoch=made.epoch,
            kernels=kernels,
            weights=weights,
        )


class OutputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The newest output frame.

    Attributes:
        kind: what it is.
        version: the control version that made its base.
        is_new: whether its base is shown for the first time.
        age_us: microseconds from the base's source picture up to the newest that shaped it.
        base: the generated frame that it shows or was made from; None for a slate.
        base_sha256: of the base as it was made: its RGB values, row by row.
    """

    slot: int
    kind: FrameKind
    version: int
    is_new: bool
    holds_camera: bool
    age_us: int
    base: FrameRecord | None
    base_sha256: str | None

    def without_machine(self) -> "OutputRecord":
        """The same for who only watches: what machine and what libraries there are is not a viewer's business."""
        base = None if self.base is None else msgspec.structs.replace(self.base, kernels=None)
        return msgspec.structs.replace(self, base=base)


class Hashes(msgspec.Struct, frozen=True):
    """SHA-256, in hexadecimal.

    Attributes:
        output: of the frame's RGB values, row by row.
        again: of those of the frame made again.
        noise: of the noise that it was made again from, float32; None where the model takes none.
        weights: of all weight files together, whatever their names; None until they are hashed, or without any.
    """

    output: str
    again: str
    noise: str | None
    weights: str | None


class Fact(msgspec.Struct, frozen=True):
    """Something that was one thing when the frame was made, and another when it was made again."""

    name: str
    made: str
    again: str


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A frame made again, and whether it is the same.

    Attributes:
        result: `exact`: it was made alone, and both hashes are equal. Else `close`, by the difference.
        alone: whether the frame was made alone, as a replay always is.
        differs: what was not as it was; with `exact` it made no difference.
        record: of the frame that was made again.
    """

    result: Literal["exact", "close"]
    difference: Difference
    hashes: Hashes
    alone: bool
    differs: tuple[Fact, ...]
    record: FrameRecord
