"""`null` copies, `sleep` does so after a chosen time; both say that they hold camera pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlState, Params
from liveglass.engine.errors import ModelNotFound
from liveglass.engine.frame import Size
from liveglass.engine.models import registry
from liveglass.engine.models.passthrough import PassthroughAdapter, parse_sleep

SIZE = Size(8, 6)


@given(st.integers(0, 2**32 - 1))
def test_what_goes_in_comes_out(seed: int) -> None:
    adapter = PassthroughAdapter("null")
    lanes = [adapter.open_lane(SIZE), adapter.open_lane(SIZE)]
    pictures = [np.random.default_rng(seed + n).integers(0, 255, SIZE.shape, np.uint8) for n in range(2)]
    control = ControlState(1, params=Params(steps=2))
    for lane in lanes:
        noise = adapter.draw_noise(1, SIZE)
        adapter.write(lane, adapter.encode_control(control), adapter.schedule(control, SIZE), noise, 0.6)
    adapter.begin(lanes, pictures)
    for step in range(2):
        adapter.denoise(lanes, step)
    assert all(np.array_equal(a, b) for a, b in zip(adapter.finish(lanes), pictures, strict=True))


def test_without_a_source_the_picture_is_black() -> None:
    adapter = PassthroughAdapter("null")
    lane = adapter.open_lane(SIZE)
    adapter.begin([lane], [np.full(SIZE.shape, 9, np.uint8)])
    adapter.begin([lane], [None])
    assert adapter.finish([lane])[0].max() == 0


def test_lanes_are_used_again() -> None:
    adapter = PassthroughAdapter("null")
    first, second = adapter.open_lane(SIZE), adapter.open_lane(SIZE)
    adapter.close_lane(first)
    assert adapter.open_lane(SIZE) == first != second


@pytest.mark.parametrize(
    ("name", "expected"),
    [("null", (0, 0)), ("sleep:60", (60, 0)), ("sleep:0", (0, 0)), ("sleep:12.5:0.2", (12.5, 0.2))],
)
def test_names_that_say_how_long_to_sleep(name: str, expected: tuple[float, float]) -> None:
    assert parse_sleep(name) == expected
    spec = registry.spec(name)
    assert (spec.name, spec.passes_camera, spec.prompt_has_effect) == (name, True, False)


@pytest.mark.parametrize(
    "name", ["sleep", "sleep:", "sleep:x", "sleep:-1", "sleep:1:2", "sleep:1:0:0", "sleep:nan", "sleepy:1", "sleep:1e9"]
)
def test_names_that_do_not(name: str) -> None:
    with pytest.raises(ModelNotFound) as refused:
        registry.spec(name)
    assert refused.value.field == "model"


def test_an_unknown_model_is_answered_with_the_nearest_known_one() -> None:
    with pytest.raises(ModelNotFound) as refused:
        registry.spec("nono")
    assert "'nano'" in refused.value.hint
