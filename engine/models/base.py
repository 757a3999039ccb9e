"""What a family of models must provide; pure, imports no torch.

The adapter contract is small on purpose. A control version of a session owns a *lane* (two for each session: the one in
use and the one coming); all tensors live in fixed arenas cut into lanes, so that every call can later be captured in a
CUDA graph. The worker's one thread calls an adapter; nothing else does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.control import ControlState, Guide
from liveglass.engine.errors import NotAvailable
from liveglass.engine.frame import Apply, Lora, Pixels, Size
from liveglass.engine.makings import Makings

Batch = NDArray[np.uint8]
"""uint8 [B, H, W, 3], RGB."""

Cond = Any
"""Text, pooled and time embeddings of one control version: what they are is the adapter's own business."""

GroupKey = tuple[bool | int | float | str, ...]
"""Only rows of equal key share a pass: weights, size, guidance, step."""


class Vocabulary(msgspec.Struct, frozen=True):
    """The words that a model understands, by kind, what else it takes for each of them, and those that say nothing."""

    styles: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    synonyms: dict[str, str] = {}
    fillers: tuple[str, ...] = ()


class Look(msgspec.Struct, frozen=True):
    """A named starting point: a chip in the studio's first row.

    Attributes:
        apply: what is painted; None leaves that as it is.
    """

    name: str
    prompt: str
    strength: float = 0.6
    apply: Apply | None = None


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What the server may know of a model without loading it.

    Attributes:
        title: what people read.
        valid_steps: the step counts that it was trained for.
        default_steps: used where a session names none.
        guidance: `none`: no effect; `embedded`: an input of the network; `cfg`: two rows of one pass.
        negative: whether a negative prompt has an effect.
        guide: what of the camera a ControlNet holds the picture to; None: there is none.
        strength: what strength means with this model, in a sentence for people.
        inner_pixels: how many it paints inside, whatever the picture's size; 0: as many as the picture has.
        passes_camera: its output holds camera pixels (the pass-through models).
        open_vocabulary: it takes any words; else `vocabulary` is all it knows.
        bytes_per_lane: memory for one control version.
        takes_loras: low-rank weights can be put into it while it serves.
    """

    name: str
    title: str
    licence: str
    valid_steps: tuple[int, ...]
    default_steps: int
    guidance: Literal["none", "embedded", "cfg"] = "none"
    negative: bool = False
    guide: Guide | None = None
    strength: str = ""
    strength_has_effect: bool = True
    prompt_has_effect: bool = True
    inner_pixels: int = 0
    passes_camera: bool = False
    needs_source: bool = False
    open_vocabulary: bool = True
    vocabulary: Vocabulary = Vocabulary()
    looks: tuple[Look, ...] = ()
    bytes_per_lane: int = 0
    takes_loras: bool = False


class Schedule(msgspec.Struct, frozen=True):
    """A few-step sampler as a table: x ← a·x + b·F(c_in·x, t) + s·noise.

    Attributes:
        rows: one (t, c_in, a, b, s) for each pass, float32 values.
        keep: how much of the encoded source the start holds.
        noise: how much of `noise[lane, 0]` the start holds.
    """

    rows: tuple[tuple[float, float, float, float, float], ...]
    keep: float = 0.0
    noise: float = 1.0

    @property
    def steps(self) -> int:
        """Denoise passes."""
        return len(self.rows)


class LoraFile(msgspec.Struct, frozen=True, array_like=True):
    """Low-rank weights that are asked for: where their file is, and how much of it."""

    name: str
    path: str
    weight: float


@dataclass(frozen=True)
class Loras:
    """Files of low-rank weights, read and checked: what they change is the adapter's own business."""

    fused: tuple[Lora, ...]
    changes: Mapping[str, Any]


def no_loras(spec: ModelSpec) -> NotAvailable:
    """The refusal of a model that takes no low-rank weights."""
    return NotAvailable(
        f"{spec.name} takes no low-rank weights.", hint="Models of the Stable Diffusion families do.", field="loras"
    )


class ModelAdapter(Protocol):
    """A loaded model. Every method but `read_loras` is called by the worker's one thread."""

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        ...

    @property
    def makings(self) -> Makings:
        """What its pictures depend on beside what it is given, as it stands now."""
        ...

    def open_lane(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where none fits."""
        ...

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        ...

    def encode_control(self, control: ControlState) -> Cond:
        """The words as the network takes them."""
        ...

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The condition `progress` (0 to 1) of the way from `a` to `b`."""
        ...

    def schedule(self, control: ControlState, size: Size) -> Schedule:
        """The sampler's table for this control version and pictures of `size`; pure."""
        ...

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        """The noise of one stream, drawn on the CPU from `seed` alone: the same seed, the same noise."""
        ...

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Put a control version into its lane."""
        ...

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Encode the sources (uint8 [H, W, 3] each, None: from words alone) and set the start of each lane."""
        ...

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort, in place."""
        ...

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane; commits carried state. Valid until the lane's next finish."""
        ...

    def reset(self, lane: int) -> None:
        """Forget what the lane carries from frame to frame."""
        ...

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Frames of equal key may run as one cohort."""
        ...

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """Read and check low-rank weights while frames go on being made; changes nothing. Any thread.

        Raises:
            WeightsRefused: one of them is damaged, does not fit this model, or is too large.
            NotAvailable: this model takes none.
        """
        ...

    def fuse(self, loras: Loras) -> Iterator[None]:
        """Put these low-rank weights, and no others, into the model, a layer at a time.

        Between any two layers frames may be made; they are made with the weights as they were until the last step is
        done, which changes all of them in place.

        Raises:
            OutOfMemory: the weights are as they were.
        """
        ...
