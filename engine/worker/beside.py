"""Pictures that belong to no stream: probes, previews, replays; made between two frames, on the worker's one thread."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from typing import Any

import numpy as np

from liveglass.engine.clock import Clock
from liveglass.engine.compare import sha256
from liveglass.engine.control import ControlState, Params
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import ModelAdapter
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.transition import shown_again
from liveglass.engine.worker.work import StreamWork, inspect

PROBE_SIZE = Size(640, 360)
SMALL_PROBE_SIZE = Size(160, 90)


class Beside:
    """Makes them.

    Args:
        paints: told of the frames that are in flight now.
        before_step: called before each pass.
    """

    def __init__(
        self,
        adapter: ModelAdapter,
        clock: Clock,
        paints: Callable[[Sequence[StreamWork]], None],
        before_step: Callable[[], None],
    ) -> None:
        self._adapter = adapter
        self._clock = clock
        self._paints = paints
        self._before_step = before_step

    def probe(self, steps: int | None = None, batch: int = 1, size: Size = PROBE_SIZE, hold: float = 0.0) -> float:
        """A cohort of `batch` frames that nobody sees; returns its seconds.

        Args:
            steps: passes of each; None: the model's usual ones.
            hold: by what its ControlNet is told, where it has one.
        """
        spec = self._adapter.spec
        held: dict[str, Any] = {} if spec.guide is None else {spec.guide: hold}
        control = ControlState(version=1, params=Params(steps=steps or spec.default_steps, seed=1, **held))
        with ExitStack() as stack:
            works = [stack.enter_context(closing(StreamWork.aside(size, control, self._adapter))) for _ in range(batch)]
            for work in works:
                work.pin(self._clock.now())
            begun = self._clock.now()
            self._paint(works, [nobody(size)] * batch)
            return self._clock.now() - begun

    def preview(self, message: m.Preview) -> m.Previewed:
        """A small picture of what a change would make."""
        with closing(StreamWork.aside(message.size, message.control, self._adapter)) as work:
            work.pin(self._clock.now())
            [picture] = self._paint([work], [_picture(message.pixels, message.size)])
            return m.Previewed(message.id, picture.tobytes(), None)

    def replay(self, message: m.Replay) -> m.Replayed:
        """A frame of some stream, of what it was made of: the same words, noise, passes and source."""
        with closing(StreamWork.aside(message.size, message.wishes[-1].control, self._adapter)) as work:
            shown = shown_again(message.wishes, message.size, self._adapter)
            work.pin_shown(shown, self._clock.now())
            [picture] = self._paint([work], [_picture(message.pixels, message.size)])
            noise = sha256(shown.noise) if shown.noise.size else ""
            return m.Replayed(message.id, picture.tobytes(), noise, work.lane, None)

    def _paint(self, works: Sequence[StreamWork], sources: Sequence[Pixels | None]) -> list[Pixels]:
        """What the lanes are written for, as one cohort; copies."""
        self._paints(works)
        lanes = [work.lane for work in works]
        self._adapter.begin(lanes, sources)
        for step in range(works[0].pinned.control.params.steps):
            self._before_step()
            self._adapter.denoise(lanes, step)
        made = self._adapter.finish(lanes)
        for work, picture in zip(works, made, strict=True):
            inspect(picture, work.size, from_flat_source=self._adapter.spec.passes_camera)
        return [picture.copy() for picture in made]


def _picture(pixels: bytes, size: Size) -> Pixels | None:
    # A copy: torch warns of pictures that nobody may write to.
    return np.frombuffer(pixels, np.uint8).reshape(size.shape).copy() if pixels else None


def nobody(size: Size) -> Pixels:
    """A picture that is nobody's: two gradients, uint8 [H, W, 3]."""
    height, width, _ = size.shape
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8)
