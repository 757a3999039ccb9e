"""What a picture is and where it came from; pure.

Two pictures exist: a `SourceFrame` (camera or sample) going in, and a `Frame` that a model made coming back. Both are
immutable: their pixels are read-only from the moment they are shared.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Apply = Literal["all", "background", "person"]
"""What is generated: everything, the room behind the person, or the person alone."""

Pixels = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""


class FrameKind(StrEnum):
    """What a frame of the output is; every frame says it."""

    GENERATED = "generated"
    WARPED = "warped"
    BLENDED = "blended"
    REPEATED = "repeated"
    STANDBY = "standby"


class Size(msgspec.Struct, frozen=True, array_like=True):
    """A picture's size in pixels."""

    width: int
    height: int

    @property
    def nbytes(self) -> int:
        """Bytes of one RGB picture of this size."""
        return self.width * self.height * 3

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height

    @property
    def shape(self) -> tuple[int, int, int]:
        """[H, W, 3]."""
        return self.height, self.width, 3


class SourceStamp(msgspec.Struct, frozen=True, array_like=True):
    """When a source picture was taken.

    Attributes:
        seq: counts the session's source pictures in the order of their arrival.
        captured_at: seconds on the server's clock (for a remote camera: its arrival).
        publisher_us: microseconds on the publisher's own clock; 0 for the built-in sample.
        is_camera: False for the built-in sample, whose pixels are nobody's secret.
    """

    seq: int
    captured_at: float
    publisher_us: int
    is_camera: bool


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """A picture to be worked from: uint8 [H, W, 3] at the session's own size."""

    stamp: SourceStamp
    pixels: Pixels


class Stages(msgspec.Struct, frozen=True, array_like=True):
    """Where a frame's time went, in seconds.

    Attributes:
        queue: from the source's arrival to the start of its generation.
        begin, denoise, finish: the model's three stages (denoise: all passes together).
        transfer: from the end of finish to the picture being ready in the server process.
    """

    queue: float = 0.0
    begin: float = 0.0
    denoise: float = 0.0
    finish: float = 0.0
    transfer: float = 0.0

    @property
    def model(self) -> float:
        """Seconds inside the model."""
        return self.begin + self.denoise + self.finish


class Steady(msgspec.Struct, frozen=True, array_like=True):
    """How steady two generated pictures in a row are, in levels of 255.

    Attributes:
        flicker: mean change where the camera's picture stands still; None where next to nothing does.
        warp_error: mean change that the camera's own motion does not account for.
    """

    flicker: float | None
    warp_error: float


class Waypoint(msgspec.Struct, frozen=True, array_like=True):
    """A control version that gave way to the next one, and how far the transition to it had come by then, 0 to 1."""

    version: int
    progress: float


Course = tuple[Waypoint, ...] | None
"""The versions that a transition comes from, oldest first; empty without one, None where they are too many to tell."""


class Lora(msgspec.Struct, frozen=True, array_like=True):
    """Low-rank weights that are in a model's own: a file by name and SHA-256, and how much of it."""

    name: str
    weight: float
    sha256: str


class Provenance(msgspec.Struct, frozen=True, array_like=True):
    """Everything that made a generated picture; what its worker makes pictures with is known by `epoch`.

    Attributes:
        source: the picture that it was made from; None when it came from words alone.
        version: the control version pinned when its generation started.
        progress: 0 to 1 through the transition to that version; 1 when it is over.
        steps: denoise passes, fewer than the version asks for where the quality ladder took some.
        holds_camera: whether camera pixels are in it (the pass-through models: yes).
        epoch: counts the worker processes; a frame of an older one is never shown after a newer one's.
        apply: what of the picture it is for: all of it, or the room behind the person, or the person.
        batch: frames in its cohort; 1: it was made alone.
        lane: of the model, where its control version was written.
        group: what it had in common with whatever could have been in its cohort.
        course: where the transition comes from, while it is under way.
        loras: low-rank weights that were in the model.
    """

    source: SourceStamp | None
    version: int
    progress: float
    seed: int
    steps: int
    model: str
    holds_camera: bool
    epoch: int
    stages: Stages = Stages()
    apply: Apply = "all"
    batch: int = 1
    lane: int = 0
    group: tuple[bool | int | float | str, ...] = ()
    course: Course = ()
    loras: tuple[Lora, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture that a model made: uint8 [H, W, 3] RGB at the session's size.

    Attributes:
        seq: counts the session's generated frames.
        ready_at: seconds on the server's clock when the server process had it whole.
    """

    seq: int
    pixels: Pixels
    ready_at: float
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class OutputFrame:
    """What goes out in one slot, labelled for what it is.

    Attributes:
        slot: its place on the output grid.
        pts: presentation time in 90 kHz ticks since slot 0.
        base: the generated frame that it shows or was made from; None for a slate.
        source_us: publisher's clock, microseconds, of the newest source picture that shaped it; 0 if none.
        age_us: microseconds from the base's source up to that one; 0 when they are the same.
        captured_at: of that one, seconds on the server's clock; None if there is none.
        person_only: where it holds camera pixels, whether they are the person's alone.
        is_new: whether its base is shown for the first time.
        is_still: whether the camera still shows what the base was made from, as far as the session's `similarity` goes.
        deadline, picked_at: seconds on the server's clock.
    """

    slot: int
    pts: int
    kind: FrameKind
    pixels: Pixels
    base: Frame | None
    version: int
    source_us: int
    age_us: int
    holds_camera: bool
    is_new: bool
    deadline: float
    picked_at: float
    person_only: bool = False
    captured_at: float | None = None
    is_still: bool = False


def frozen(pixels: Pixels) -> Pixels:
    """The same pixels, marked read-only, so that nobody who shares them can change them."""
    pixels.flags.writeable = False
    return pixels
