"""Networks that are compiled while a stream goes on: as many shapes as there are, and nobody takes it for a hang."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from liveglass.engine.models.compiling import compiling, is_compiling
from liveglass.engine.models.stages import compiler
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.process import _beat


def test_each_shape_is_compiled_once_however_many_there_are() -> None:
    torch._dynamo.reset()
    counter, seen = CompileCounter(), []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(is_compiling())
        return counter(graph, inputs)

    layer = nn.Conv2d(1, 1, 3)
    network = compiler(backend)(layer)
    shapes = [(batch, 1, side, side) for batch in (1, 2, 4) for side in (8, 9, 10, 11, 12)]
    for _ in range(2):
        for shape in shapes:
            given = torch.rand(shape)
            assert torch.equal(network(given), layer(given))
    assert counter.frame_count == len(shapes)
    assert seen == [True] * len(shapes)
    assert not is_compiling()


def test_where_compiling_fails_it_is_over_all_the_same() -> None:
    def refuse(_: Tensor) -> None:
        raise ValueError("no")

    with pytest.raises(Exception, match="no"):
        compiler("eager")(refuse)(torch.rand(1))
    assert not is_compiling()


class Ticks:
    """Time that passes a second with each beat, for so many of them."""

    def __init__(self, count: int) -> None:
        self.count, self.at = count, 0.0

    def now(self) -> float:
        return self.at

    def wait(self, _: float) -> bool:
        self.at += 1.0
        return self.at > self.count


def beats(count: int) -> list[m.Beat]:
    sent: list[m.Beat] = []
    loop = SimpleNamespace(progress_at=0.5, case=None, meter=SimpleNamespace(table=dict))
    ticks = Ticks(count)
    _beat(SimpleNamespace(send=sent.append), loop, ticks, ticks)  # type: ignore[arg-type]
    return sent


def test_a_worker_that_compiles_is_not_said_to_hang_for_half_an_hour() -> None:
    assert {beat.progress_at for beat in beats(3)} == {0.5}
    with compiling():
        told = [beat.progress_at for beat in beats(round(m.COMPILING_BUDGET_S) + 3)]
    assert set(told[: round(m.COMPILING_BUDGET_S)]) == {None}
    assert told[-1] == 0.5
