"""Passes that are captured once and replayed. Without a GPU a capture runs what it is given, as often as CUDA does."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pytest
import torch
from checkpoints import letters, tiny_autoencoder, tiny_text_model, tiny_unet
from lanes import Captures
from structlog.testing import capture_logs
from torch._dynamo.testing import CompileCounter

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.models.captured import Work
from liveglass.engine.models.diffusion.adapter import KEPT_EMPTY, DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.schedules import lcm_scheduler, signal_left
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText

SIZE = Size(64, 64)
SPEC = ModelSpec(
    name="tiny", title="tiny", licence="none", valid_steps=(1, 2, 4), default_steps=2, guidance="cfg", negative=True
)
CONTROL = ControlState(1, (Prompt("blue ink"),), params=Params(steps=2, seed=3, strength=0.6))


class Refuses:
    """Captures nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, _: Work) -> Work:
        self.asked += 1
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    text = ClipText(letters(tmp_path_factory.mktemp("words")), tiny_text_model())
    scheduler = lcm_scheduler(signal_left(0.00085, 0.012))
    return Parts(SPEC, text, PromptedUNet(tiny_unet()), Codec(tiny_autoencoder()), scheduler)


@pytest.fixture(scope="module")
def plain(parts: Parts) -> DiffusionAdapter:
    return DiffusionAdapter(parts)


def asked(prompt: str = "blue ink", *, negative: str = "", **params: float) -> ControlState:
    params = msgspec.structs.replace(CONTROL.params, **params)
    return msgspec.structs.replace(CONTROL, prompts=(Prompt(prompt),), negative=negative, params=params)


def picture(seed: int, size: Size = SIZE) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, size.shape, np.uint8)


def made(adapter: DiffusionAdapter, wishes: list[ControlState], size: Size = SIZE) -> list[Pixels]:
    """One frame of each wish, in company; the lanes are given back."""
    lanes = [adapter.open_lane(size) for _ in wishes]
    for lane, wish in zip(lanes, wishes, strict=True):
        noise = adapter.draw_noise(wish.params.seed, size)
        adapter.write(lane, adapter.encode_control(wish), adapter.schedule(wish, size), noise, wish.params.strength)
    adapter.begin(lanes, [picture(number, size) for number, _ in enumerate(wishes)])
    for step in range(wishes[0].params.steps):
        adapter.denoise(lanes, step)
    pictures = [pixels.copy() for pixels in adapter.finish(lanes)]
    for lane in lanes:
        adapter.close_lane(lane)
    return pictures


def company() -> Iterator[list[ControlState]]:
    """Cohorts that a server may meet one after the other."""
    yield [asked()]
    yield [asked("red fire", seed=9, strength=0.3)]
    yield [asked(steps=4)]
    yield [asked(seed=1), asked("fog", seed=2)]
    yield [asked(seed=1), asked("fog", seed=2), asked("night", seed=5, strength=1.0)]
    yield [asked(guidance=3.0, negative="fog")]
    yield [asked(guidance=7.0, negative="night", steps=1)]


@pytest.mark.parametrize("number", range(7))
def test_a_replayed_frame_is_the_frame_that_is_launched_pass_by_pass(
    parts: Parts, plain: DiffusionAdapter, number: int
) -> None:
    wishes = list(company())[number]
    replayed = DiffusionAdapter(parts, Captures())
    first, again = made(replayed, wishes), made(replayed, wishes)
    assert all(map(np.array_equal, first, again))
    # A cohort of three runs as four: a network's last bits depend on how many rows there are.
    for one, other in zip(first, made(plain, wishes), strict=True):
        assert np.abs(one.astype(int) - other).max() <= (1 if len(wishes) == 3 else 0)


def test_no_control_and_no_company_captures_again(parts: Parts) -> None:
    captures = Captures()
    adapter = DiffusionAdapter(parts, captures)
    for wishes in company():
        made(adapter, wishes)
    # begin, denoise and finish for one, two and four rows, and the guided pass of one row.
    assert captures.count == 10
    for wishes in company():
        made(adapter, wishes)
    made(adapter, [asked("something else", seed=77, strength=0.9, steps=1)])
    made(adapter, [asked("a"), asked("b"), asked("c"), asked("d")])
    assert captures.count == 10


def test_what_cannot_be_captured_is_said_once_and_runs_all_the_same(parts: Parts, plain: DiffusionAdapter) -> None:
    refuses = Refuses()
    adapter = DiffusionAdapter(parts, refuses)
    with capture_logs() as logs:
        frames = [made(adapter, wishes) for wishes in company()]
    assert refuses.asked == 1
    assert [entry["log_level"] for entry in logs] == ["warning"]
    for one, other in zip(frames, (made(plain, wishes) for wishes in company()), strict=True):
        assert all(map(np.array_equal, one, other))


def test_sizes_that_nobody_uses_stay_captured_until_others_come(parts: Parts) -> None:
    captures = Captures()
    adapter = DiffusionAdapter(parts, captures)
    sizes = [Size(64 + 16 * number, 64) for number in range(KEPT_EMPTY + 1)]
    for _ in range(2):
        made(adapter, [asked()], sizes[0])
    assert captures.count == 3
    for size in sizes[1:]:
        made(adapter, [asked()], size)
    before = captures.count
    made(adapter, [asked()], sizes[-1])
    assert captures.count == before
    made(adapter, [asked()], sizes[0])
    assert captures.count == before + 3


def test_a_lane_in_use_keeps_its_memory_whatever_else_comes_and_goes(parts: Parts) -> None:
    adapter = DiffusionAdapter(parts, Captures())
    lane = adapter.open_lane(SIZE)
    wish = asked()
    adapter.write(lane, adapter.encode_control(wish), adapter.schedule(wish, SIZE), adapter.draw_noise(3, SIZE), 0.6)
    adapter.begin([lane], [picture(0)])
    for number in range(1, KEPT_EMPTY + 3):
        made(adapter, [asked()], Size(64 + 16 * number, 64))
        made(adapter, [asked("fog", seed=8)])
    for step in range(2):
        adapter.denoise([lane], step)
    assert np.array_equal(adapter.finish([lane])[0], made(adapter, [wish])[0])


def test_networks_are_compiled_once_for_each_batch_and_never_for_a_control(
    parts: Parts, plain: DiffusionAdapter
) -> None:
    counter = CompileCounter()
    torch._dynamo.reset()
    adapter = DiffusionAdapter(parts, Captures(is_eager=False), counter)
    frames = [made(adapter, wishes) for wishes in company()]
    # The network for one, two and four rows (guided, one row is two); the codec both ways for one, two and four.
    assert counter.frame_count == 9
    for wishes, before in zip(company(), frames, strict=True):
        assert all(map(np.array_equal, before, made(adapter, wishes)))
        for one, other in zip(before, made(plain, wishes), strict=True):
            assert np.abs(one.astype(int) - other).max() <= 1
    assert counter.frame_count == 9


def test_what_runs_the_passes_is_told_as_it_turned_out(parts: Parts) -> None:
    replayed, launched = DiffusionAdapter(parts, Captures()), DiffusionAdapter(parts, Refuses())
    made(launched, [asked()])
    assert replayed.makings.kernels.backend == "torch, captured for batches of 1, 2, 4, 8"
    assert launched.makings.kernels.backend == "torch"
    assert DiffusionAdapter(parts, backend="eager").makings.kernels.backend == "torch, compiled"
