"""What crosses the process wall, as typed messages; pure.

Pixels travel in the rings, but for the pictures that are made beside the streams (a preview, a replay), one at a time.
"""

import msgspec

from liveglass.engine.control import ControlState
from liveglass.engine.errors import ErrorBody
from liveglass.engine.frame import Lora, Provenance, Size, SourceStamp, Steady
from liveglass.engine.makings import Kernels, WeightFile
from liveglass.engine.models.base import LoraFile
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.worker.cost import Case, CostTable


class OpenStream(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Make room for a session and follow its grid."""

    session: str
    size: Size
    t0: float
    fps: int
    control: ControlState
    has_source: bool
    running: bool
    rung: Rung = Rung()


class MoveGrid(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The session's grid slid: its slot 0 is at `t0` now, seconds."""

    session: str
    t0: float


class CloseStream(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Forget a session; abandon its frame in flight."""

    session: str


class NewControl(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A newer control version; the older one is not started any more."""

    session: str
    control: ControlState


class NewSource(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A source picture is in inbound `cell`, which belongs to the worker now."""

    session: str
    cell: int
    stamp: SourceStamp


class SetRunning(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Generate for this session, or rest (paused, panic)."""

    session: str
    running: bool


class SetRung(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The session's ladder moved: how many passes a picture gets at most, and how often a new one is made."""

    session: str
    rung: Rung


class Freed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Outbound `cell` was copied out and belongs to the worker again."""

    cell: int


class Probe(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Generate one real frame that nobody sees."""

    id: int


class Preview(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Generate one small picture that is of no stream.

    Attributes:
        pixels: the source, RGB of `size`; empty: from words alone.
    """

    id: int
    size: Size
    control: ControlState
    pixels: bytes


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """A control version, and how far the transition to it had come, 0 to 1."""

    control: ControlState
    progress: float


class Replay(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Make a frame of some stream again.

    Attributes:
        wishes: its own version last, with the passes that it had; before it those that its transition came from.
        pixels: the source, RGB of `size`; empty: from words alone.
    """

    id: int
    size: Size
    wishes: tuple[Wish, ...]
    pixels: bytes


class Room(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Tell how much memory is free where the model is."""

    id: int


class SetLoras(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Put these low-rank weights, and no others, into the model between its frames."""

    id: int
    files: tuple[LoraFile, ...]


class Stop(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Finish and leave."""


COMPILING = "compiling"
"""A stage of warming up that takes minutes."""

COMPILING_BUDGET_S = 1800.0


class Loading(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Where warming up stands: loading, compiling, first frame."""

    stage: str


class Ready(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model is warm and measured.

    Attributes:
        loras: those that are in it, of those that it was to begin with.
    """

    device: str
    load_s: float
    cost: CostTable
    kernels: Kernels
    loras: tuple[Lora, ...] = ()


class Weighed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The files that the model's weights came from, read once more and hashed."""

    files: tuple[WeightFile, ...]


class Generated(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A finished frame is in outbound `cell`, which belongs to the server until it is freed.

    Attributes:
        steady: once a second, of the frames before it.
    """

    session: str
    cell: int
    provenance: Provenance
    finished_at: float
    steady: Steady | None = None


class SourceDone(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Inbound `cell` belongs to the server again; `replaced`: no frame was started from it, nor was one needless."""

    session: str
    cell: int
    replaced: bool


class Still(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The newest source needs no frame: it is like the one that the last frame was made from.

    Attributes:
        source: the newest one.
        base: `seq` of the source that the last frame was made from.
    """

    session: str
    source: SourceStamp
    base: int


class Closed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The last word about a stream that was closed: what comes after it belongs to a later one of the same id."""

    session: str


class Abandoned(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A frame in flight gave way to a newer version between two steps."""

    session: str
    version: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The model could not make a frame of this session; the others go on.

    Attributes:
        is_last: there is no memory for this session, and no further try.
    """

    session: str
    error: ErrorBody
    is_last: bool = False


class Probed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A probe's frame took so many seconds; or why there is none."""

    id: int
    seconds: float
    error: ErrorBody | None


class Previewed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A preview's picture, RGB of the size that was asked for; or why there is none."""

    id: int
    pixels: bytes
    error: ErrorBody | None


class Replayed(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A frame made again, RGB of the size that was asked for; or why there is none.

    Attributes:
        noise: SHA-256 of the noise that it was made from; empty where the model takes none.
        lane: of the model, that it was made in.
    """

    id: int
    pixels: bytes
    noise: str
    lane: int
    error: ErrorBody | None


class RoomLeft(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """So many bytes are free where the model is; or why that cannot be told."""

    id: int
    free: int
    error: ErrorBody | None


class LorasSet(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """These low-rank weights are in the model, after so many seconds; or why nothing was changed."""

    id: int
    seconds: float
    loras: tuple[Lora, ...]
    error: ErrorBody | None


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """From a thread of its own, four times a second.

    Attributes:
        sent_at: when it was sent; it may be read much later.
        progress_at: when the frame in flight last got on; None when nothing is in flight.
        cost: the table as measured by now.
        case: what the newest frame is, by its cost; None before the first.
    """

    sent_at: float
    progress_at: float | None
    cost: CostTable
    case: Case | None = None


class Fatal(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The worker cannot go on, and why."""

    error: ErrorBody


ToWorker = (
    OpenStream
    | MoveGrid
    | CloseStream
    | NewControl
    | NewSource
    | SetRunning
    | SetRung
    | Freed
    | Probe
    | Preview
    | Replay
    | Room
    | SetLoras
    | Stop
)
ToServer = (
    Loading
    | Ready
    | Weighed
    | Generated
    | Still
    | SourceDone
    | Closed
    | Abandoned
    | Failed
    | Probed
    | Previewed
    | Replayed
    | RoomLeft
    | LorasSet
    | Beat
    | Fatal
)
Question = Probe | Preview | Replay | Room | SetLoras
"""What is answered, with the number that it was asked under, between two frames."""

Answer = Probed | Previewed | Replayed | RoomLeft | LorasSet
