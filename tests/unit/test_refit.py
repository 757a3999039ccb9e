"""Low-rank weights on their way into a model, in the worker's loop: in slices between frames, all at once or not."""

import math
from collections.abc import Iterator, Sequence

import pytest
from virtual_worker import Painter, Worker

from liveglass.engine.clock import ManualClock
from liveglass.engine.errors import WeightsRefused
from liveglass.engine.frame import Lora, Pixels
from liveglass.engine.models.base import LoraFile, Loras
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.refit import SLICE_S
from liveglass.engine.worker.warmup import UNCOUNTED_FRAMES

LAYER_S = 0.002
LAYERS = 20


class Restyled(Painter):
    """A model whose weights are a number: how often they were changed."""

    def __init__(self, clock: ManualClock, *, lanes: int = 64) -> None:
        super().__init__(clock, lanes=lanes)
        self.refusal: Exception | None = None
        self.style, self.begun, self.layers = 0, list[int](), [0]

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        if self.refusal is not None:
            raise self.refusal
        return Loras(tuple(Lora(file.name, file.weight, "") for file in files), {})

    def fuse(self, loras: Loras) -> Iterator[None]:
        for _ in range(LAYERS):
            self._clock.advance(LAYER_S)
            self.layers[-1] += 1
            yield
        self.style += 1

    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        super().begin(lanes, pixels)
        self.begun.append(self.style)
        self.layers.append(0)

    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        assert self.style == self.begun[-1], "the weights changed under a frame in flight"
        return super().finish(lanes)


def restyled(refusal: Exception | None = None) -> tuple[Worker, Restyled]:
    worker = Worker(paints=Restyled)
    assert isinstance(worker.model, Restyled)
    worker.model.refusal = refusal
    return worker, worker.model


def asked(worker: Worker) -> None:
    """Ask, and let the reading thread come to its end."""
    worker.inbox.put(m.SetLoras(7, (LoraFile("style", "x", 0.5),)))
    worker.steps(1)
    reading = worker.loop._refit._reading
    assert reading is not None
    reading.exception(timeout=10)


def test_weights_change_between_two_frames_in_slices_and_a_still_picture_is_made_anew() -> None:
    worker, model = restyled()
    worker.open()
    worker.source()
    worker.run()
    assert len(worker.made) == 1
    asked(worker)
    worker.run()
    answer = worker.of(m.LorasSet)[0]
    assert (answer.id, answer.error, answer.loras) == (7, None, (Lora("style", 0.5, ""),))
    assert answer.seconds == pytest.approx(LAYERS * LAYER_S)
    assert [made.provenance.loras for made in worker.made] == [(), (Lora("style", 0.5, ""),)]
    assert [made.provenance.version for made in worker.made] == [1, 1]
    assert model.style == 1


def test_where_the_model_is_busy_there_is_one_slice_at_most_between_two_frames() -> None:
    worker, model = restyled()
    worker.open(steps=30)
    while len(worker.made) < 2 * UNCOUNTED_FRAMES:  # what a frame costs is known by then
        worker.source()
        worker.steps(1)
    asked(worker)
    while not worker.of(m.LorasSet):
        worker.source()
        worker.steps(1)
    assert model.style == 1
    assert sum(model.layers) == LAYERS
    assert max(model.layers) <= math.ceil(SLICE_S / LAYER_S)


def test_a_refusal_is_answered_and_the_frames_go_on_as_before() -> None:
    worker, model = restyled(WeightsRefused("It does not fit."))
    worker.open()
    worker.source()
    worker.run()
    asked(worker)
    worker.run()
    answer = worker.of(m.LorasSet)[0]
    assert answer.error is not None
    assert (answer.error.code, answer.error.message) == ("weights_refused", "It does not fit.")
    worker.source()
    worker.run()
    assert model.style == 0
    assert len(worker.made) == 2
