"""ControlNets behind the prompt that is remembered, and the edges and depths that they are told of."""

from collections.abc import Callable
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from checkpoints import (
    TEXT_WIDTH,
    letters,
    tiny_autoencoder,
    tiny_controlnet,
    tiny_estimator,
    tiny_text_model,
    tiny_unet,
)
from lanes import Captures
from torch import nn
from torch._dynamo.testing import CompileCounter

from liveglass.engine.control import ControlState, Guide, Params, Prompt
from liveglass.engine.errors import ModelFailed
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.depth import DepthEstimator
from liveglass.engine.models.diffusion.edges import HIGH, LOW, EdgeDetector
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.schedules import lcm_scheduler, signal_left
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText
from liveglass.engine.stream.sample import Sample

Asked = Callable[..., ControlState]


def test_a_guided_pass_is_what_the_stock_networks_make_together() -> None:
    unet, controlnet = tiny_unet(), tiny_controlnet()
    ours, guide = PromptedUNet(tiny_unet()), PromptedControlNet(tiny_controlnet(), nn.Identity())
    sample, tokens, hint = torch.randn(2, 4, 8, 12), torch.randn(2, 77, TEXT_WIDTH), torch.rand(2, 3, 64, 96)
    words, time = Words(tokens), torch.tensor(499)
    with torch.no_grad():
        down, middle = controlnet(sample, time, tokens, hint, conditioning_scale=0.7, return_dict=False)
        theirs = unet(
            sample, time, tokens, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        plain = unet(sample, time, tokens).sample
        times = time[None]
        added = guide(
            sample,
            guide.embed(times, words, (64, 96))[:, 0],
            guide.remember(words),
            guide.hint(hint),
            torch.full((2,), 0.7),
        )
        made = ours(sample, ours.embed(times, words, (64, 96))[:, 0], ours.remember(words), added)
    assert torch.allclose(made, theirs, atol=1e-6)
    assert not torch.allclose(plain, theirs, atol=1e-2)


def test_each_row_counts_its_own_hint() -> None:
    guide = PromptedControlNet(tiny_controlnet(), EdgeDetector())
    sample, words = torch.randn(1, 4, 8, 12).repeat(2, 1, 1, 1), Words(torch.randn(1, 77, TEXT_WIDTH).repeat(2, 1, 1))
    embedding, memory = guide.embed(torch.tensor([499]), words, (64, 96))[:, 0], guide.remember(words)
    with torch.no_grad():
        down, middle = guide(sample, embedding, memory, guide.hint(torch.rand(2, 3, 64, 96)), torch.tensor([0.0, 1.0]))
    assert all(part[0].abs().max() == 0 < part[1].abs().max() for part in (*down, middle))


def test_a_hint_in_another_order_of_colours_is_refused() -> None:
    with pytest.raises(ModelFailed, match="colours"):
        PromptedControlNet(tiny_controlnet(controlnet_conditioning_channel_order="bgr"), EdgeDetector())


def test_edges_are_where_opencv_sees_them() -> None:
    picture = Sample(Size(320, 180)).picture(0.0)
    theirs = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (5, 5), 1.4), LOW, HIGH) > 0
    ours = EdgeDetector()(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255)
    assert ours.shape == (1, 3, 180, 320)
    assert set(ours.unique().tolist()) == {0.0, 1.0}
    mine = ours[0, 0].numpy() > 0
    near = np.ones((3, 3), np.uint8)
    found = (cv2.dilate(mine.astype(np.uint8), near) > 0)[theirs].mean()
    right = (cv2.dilate(theirs.astype(np.uint8), near) > 0)[mine].mean()
    assert min(found, right) > 0.95
    assert 0.5 < mine.sum() / theirs.sum() < 1.5


def test_edges_of_a_batch_are_the_edges_of_each() -> None:
    pictures = torch.rand(3, 3, 24, 40)
    edges = EdgeDetector()
    assert torch.equal(edges(pictures), torch.cat([edges(picture[None]) for picture in pictures]))
    assert edges(torch.full((1, 3, 24, 40), 0.5)).max() == 0


def test_depth_is_what_the_stock_network_sees_between_the_nearest_and_the_farthest() -> None:
    pixels = torch.rand(2, 3, 112, 168)
    with torch.no_grad():
        ours = DepthEstimator(tiny_estimator())(pixels)
        small = F.interpolate(pixels, (56, 84), mode="bilinear", antialias=True)
        usual = [torch.tensor(one).view(1, 3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
        seen = tiny_estimator()((small - usual[0]) / usual[1]).predicted_depth
    low, high = seen.amin((1, 2), keepdim=True), seen.amax((1, 2), keepdim=True)
    assert (high - low).min() > 0.1
    wanted = F.interpolate(((seen - low) / (high - low))[:, None], (112, 168), mode="bilinear")
    assert torch.allclose(ours, wanted.expand_as(ours), atol=1e-4)


def test_depths_of_a_batch_are_the_depths_of_each() -> None:
    sees, pictures = DepthEstimator(tiny_estimator()), torch.rand(3, 3, 64, 96)
    with torch.no_grad():
        together, alone = sees(pictures), torch.cat([sees(picture[None]) for picture in pictures])
    assert torch.allclose(together, alone, atol=1e-3)
    assert torch.isfinite(sees(torch.full((1, 3, 64, 64), 0.5))).all()


def test_an_estimator_that_says_metres_is_refused() -> None:
    with pytest.raises(ModelFailed, match="metres"):
        DepthEstimator(tiny_estimator(depth_estimation_type="metric"))


SIZE = Size(64, 64)


@pytest.fixture(scope="module", params=get_args(Guide))
def guide(request: pytest.FixtureRequest) -> Guide:
    kind: Guide = request.param
    return kind


@pytest.fixture(scope="module")
def parts(guide: Guide, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    spec = ModelSpec(
        name="tiny",
        title="",
        licence="",
        valid_steps=(1, 2),
        default_steps=2,
        guidance="cfg",
        negative=True,
        guide=guide,
    )
    text = ClipText(letters(tmp_path_factory.mktemp("words")), tiny_text_model())
    look = EdgeDetector() if guide == "edge" else DepthEstimator(tiny_estimator())
    network = PromptedControlNet(tiny_controlnet(), look)
    scheduler = lcm_scheduler(signal_left(0.00085, 0.012))
    return Parts(spec, text, PromptedUNet(tiny_unet()), Codec(tiny_autoencoder()), scheduler, network)


@pytest.fixture(scope="module")
def adapter(parts: Parts) -> DiffusionAdapter:
    return DiffusionAdapter(parts)


@pytest.fixture(scope="module")
def asked(guide: Guide) -> Asked:
    def wish(hold: float, **params: float) -> ControlState:
        return ControlState(1, (Prompt("blue ink"),), params=Params(**({"steps": 2, "seed": 3, guide: hold} | params)))

    return wish


def made(adapter: DiffusionAdapter, wishes: list[ControlState], sources: list[Pixels | None]) -> list[Pixels]:
    lanes = [adapter.open_lane(SIZE) for _ in wishes]
    for lane, wish in zip(lanes, wishes, strict=True):
        noise = adapter.draw_noise(wish.params.seed, SIZE)
        adapter.write(lane, adapter.encode_control(wish), adapter.schedule(wish, SIZE), noise, wish.params.strength)
    assert len({adapter.group(wish, SIZE) for wish in wishes}) == 1
    adapter.begin(lanes, sources)
    adapter.denoise(lanes, 0)
    adapter.denoise(lanes, 1)
    pictures = [pixels.copy() for pixels in adapter.finish(lanes)]
    for lane in lanes:
        adapter.close_lane(lane)
    return pictures


def picture(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def differ(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


def test_a_hint_holds_a_frame_as_much_as_it_is_asked_to(adapter: DiffusionAdapter, asked: Asked) -> None:
    free, some, much = (made(adapter, [asked(hold)], [picture(1)])[0] for hold in (0.0, 0.5, 1.5))
    assert differ(free, some) > 2
    assert np.abs(much.astype(int) - free).mean() > np.abs(some.astype(int) - free).mean()
    assert adapter.group(asked(0.5), SIZE) == adapter.group(asked(1.5), SIZE) != adapter.group(asked(0.0), SIZE)


def test_a_frame_from_words_alone_is_held_by_nothing(adapter: DiffusionAdapter, asked: Asked) -> None:
    held, free = (made(adapter, [asked(hold)], [None])[0] for hold in (1.0, 0.0))
    assert differ(held, free) <= 1


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_in_company_each_is_held_by_its_own_source(adapter: DiffusionAdapter, asked: Asked, guidance: float) -> None:
    wishes = [
        asked(0.4, seed=1, guidance=guidance),
        asked(1.2, seed=2, guidance=guidance),
        asked(0.8, guidance=guidance),
    ]
    sources = [picture(1), picture(2), None]
    alone = [made(adapter, [wish], [source])[0] for wish, source in zip(wishes, sources, strict=True)]
    assert max(map(differ, alone, made(adapter, wishes, sources))) <= 1


def test_a_held_frame_is_captured_beside_a_free_one_and_replayed(
    parts: Parts, adapter: DiffusionAdapter, asked: Asked
) -> None:
    captures = Captures()
    captured = DiffusionAdapter(parts, captures)
    for number, hold in ((3, 0.0), (5, 1.0), (5, 0.5), (5, 0.0)):
        frames = [made(one, [asked(hold)], [picture(1)])[0] for one in (captured, adapter)]
        assert differ(*frames) <= 1
        assert captures.count == number, "begin and denoise are others with a hint, finish is not"


def test_hint_and_passes_are_compiled_whole(parts: Parts, adapter: DiffusionAdapter, asked: Asked) -> None:
    torch._dynamo.reset()
    compiled = DiffusionAdapter(parts, backend=CompileCounter())
    frames = [made(one, [asked(1.0)], [picture(1)])[0] for one in (compiled, adapter)]
    assert differ(*frames) <= 1


def test_a_transition_goes_the_way_of_its_end_from_the_start(adapter: DiffusionAdapter, asked: Asked) -> None:
    free, held, guided = (adapter.encode_control(wish) for wish in (asked(0.0), asked(1.0), asked(1.0, guidance=5.0)))
    assert adapter.blend(free, held, 0.0).hold == 1.0
    assert adapter.blend(held, free, 0.0).hold == 0.0
    assert adapter.blend(held, guided, 0.5)[2:] == (5.0, 1.0)
    assert len(adapter.blend(guided, held, 0.0).sides) == 1
