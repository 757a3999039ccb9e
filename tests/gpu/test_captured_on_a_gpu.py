"""CUDA graphs of real passes: the same pictures, nothing captured twice, a host that waits for nothing on the way."""

import numpy as np
import pytest
import torch
from checkpoints import write_preset

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.captured import Captured
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter
from liveglass.engine.models.diffusion.load import load_preset
from liveglass.engine.models.diffusion.presets import PRESETS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SIZE = Size(64, 64)


@pytest.fixture(scope="module", params=PRESETS)
def adapters(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DiffusionAdapter, DiffusionAdapter]:
    """One that launches its passes and one that replays them."""
    folder = tmp_path_factory.mktemp(request.param)
    write_preset(PRESETS[request.param], folder)
    launched, replayed = (
        load_preset(PRESETS[request.param], folder, "cuda", 0, lambda _: None, captures=captures)[0]
        for captures in (False, True)
    )
    return launched, replayed


def wish(prompt: str, seed: int, strength: float) -> ControlState:
    # Held by whatever the model knows: the other parameter has no effect.
    params = Params(steps=2, seed=seed, strength=strength, edge=1.0, depth=1.0)
    return ControlState(1, (Prompt(prompt),), params=params)


def written(adapter: DiffusionAdapter, wishes: list[ControlState]) -> list[int]:
    lanes = [adapter.open_lane(SIZE) for _ in wishes]
    for lane, one in zip(lanes, wishes, strict=True):
        noise = adapter.draw_noise(one.params.seed, SIZE)
        adapter.write(lane, adapter.encode_control(one), adapter.schedule(one, SIZE), noise, one.params.strength)
    return lanes


def made(adapter: DiffusionAdapter, lanes: list[int]) -> list[Pixels]:
    adapter.begin(lanes, [np.full(SIZE.shape, 40 * number, np.uint8) for number, _ in enumerate(lanes)])
    adapter.denoise(lanes, 0)
    adapter.denoise(lanes, 1)
    return [pixels.copy() for pixels in adapter.finish(lanes)]


WISHES = [wish("blue ink", 1, 0.5), wish("red fire", 2, 0.9), wish("fog", 3, 0.3), wish("night", 4, 1.0)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_replayed_frame_is_the_one_that_is_launched(
    adapters: tuple[DiffusionAdapter, DiffusionAdapter], count: int
) -> None:
    launched, replayed = (made(one, written(one, WISHES[:count])) for one in adapters)
    for one, other in zip(launched, replayed, strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_change_of_control_is_replayed_and_not_captured(
    adapters: tuple[DiffusionAdapter, DiffusionAdapter],
) -> None:
    replayed = adapters[1]
    stages = replayed._stages
    assert isinstance(stages, Captured)
    first = made(replayed, written(replayed, WISHES[:1]))
    captures = stages.captures
    assert captures >= 3
    second = made(replayed, written(replayed, WISHES[1:2]))
    assert stages.captures == captures
    assert not np.array_equal(first[0], second[0])


def test_the_host_waits_for_nothing_between_begin_and_finish(
    adapters: tuple[DiffusionAdapter, DiffusionAdapter],
) -> None:
    replayed = adapters[1]
    lanes = written(replayed, WISHES[:2])
    made(replayed, lanes)
    source = np.zeros(SIZE.shape, np.uint8)
    torch.cuda.set_sync_debug_mode("error")
    try:
        replayed.begin(lanes, [source, source])
        replayed.denoise(lanes, 0)
        replayed.denoise(lanes, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_what_makes_the_pictures_is_named_with_its_driver(
    adapters: tuple[DiffusionAdapter, DiffusionAdapter],
) -> None:
    for adapter, is_captured in zip(adapters, (False, True), strict=True):
        made_by = adapter.makings.kernels
        assert made_by.hardware == torch.cuda.get_device_name()
        assert made_by.driver.startswith("CUDA ")
        assert made_by.dtype == "bfloat16"
        assert ("captured" in made_by.backend) == is_captured
