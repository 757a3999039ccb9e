"""A model that fails on command, for `liveglass chaos` and the tests; never a default.

`faulty[:MS]` paints a slanted pattern that holds no camera pixel (the source only moves it), takes a chosen time for
each picture, and does what its prompt says: `nan`, `black`, `wrong size`, `out of memory`, `raise` or `hang`. Any other
prompt is well. Runs on the worker's thread.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.control import ControlState
from liveglass.engine.errors import ModelNotFound, OutOfMemory
from liveglass.engine.frame import Pixels
from liveglass.engine.models.base import Cond, ModelSpec, Schedule, Vocabulary
from liveglass.engine.models.passthrough import PassthroughAdapter, passthrough_spec

_DEFAULT_MS = 40.0
_HANG_STEP_S = 3600.0


def _raise_out_of_memory(_: Pixels) -> Pixels:
    raise OutOfMemory("There is no memory left for this session, as its prompt asked for.")


def _raise(_: Pixels) -> Pixels:
    raise RuntimeError("as its prompt asked for")


def _nan(picture: Pixels) -> Pixels:
    with np.errstate(invalid="ignore"):
        return np.full(picture.shape, np.nan, np.float32).astype(np.uint8)


FAULTS: Mapping[str, Callable[[Pixels], Pixels]] = {
    "nan": _nan,
    "black": np.zeros_like,
    "wrong size": lambda picture: picture[::2, ::2],
    "out of memory": _raise_out_of_memory,
    "raise": _raise,
}
HANG = "hang"


def faulty_spec(name: str) -> ModelSpec:
    """The spec of `faulty[:MS]`.

    Raises:
        ModelNotFound: the name does not say how long it takes.
    """
    ms = _milliseconds(name)
    return msgspec.structs.replace(
        passthrough_spec(f"sleep:{ms:g}"),
        name=name,
        title=f"fails when its prompt says so, {ms:g} ms (testing only)",
        strength="No effect: it paints a pattern.",
        prompt_has_effect=True,
        passes_camera=False,
        open_vocabulary=False,
        vocabulary=Vocabulary(styles=(*FAULTS, HANG)),
    )


def _milliseconds(name: str) -> float:
    kind, _, number = name.partition(":")
    if kind != "faulty" or (number and not number.replace(".", "", 1).isdigit()):
        raise ModelNotFound(f"{name!r} is not a model.", hint="Write faulty or faulty:MS.", field="model")
    return float(number or _DEFAULT_MS)


class FaultyAdapter(PassthroughAdapter):
    """Paints stripes that the source's brightness moves, or fails."""

    def __init__(self, name: str) -> None:
        super().__init__(f"sleep:{_milliseconds(name):g}")
        self._spec = faulty_spec(name)
        self._wishes: dict[int, str] = {}

    def encode_control(self, control: ControlState) -> Cond:
        """The first prompt, which says what is to go wrong."""
        return control.prompts[0].text.strip().lower() if control.prompts else ""

    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Remember what is to go wrong."""
        super().write(lane, cond, schedule, noise, strength)
        self._wishes[lane] = cond

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Stripes: uint8 [H, W, 3] each."""
        for lane, source in zip(lanes, pixels, strict=True):
            picture = self._lanes[lane].pixels
            height, width, _ = picture.shape
            shift = 0 if source is None else int(source[::16, ::16].sum())
            slant = np.add.outer(np.arange(height) * 2, np.arange(width)) + shift
            picture[:] = np.stack([slant, slant * 2, slant * 3], axis=2).astype(np.uint8)

    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """Let a part of the chosen time pass, or all the time there is."""
        if any(self._wishes.get(lane) == HANG for lane in lanes):
            self._wait(_HANG_STEP_S)
        super().denoise(lanes, step)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """The stripes, or what the prompts made of them."""
        return [FAULTS.get(self._wishes.get(lane, ""), np.asarray)(self._lanes[lane].pixels) for lane in lanes]
