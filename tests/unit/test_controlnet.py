"""ControlNets behind the prompt that is remembered, and the edges that they are told of."""

import cv2
import numpy as np
import pytest
import torch
from checkpoints import TEXT_WIDTH, letters, tiny_autoencoder, tiny_controlnet, tiny_text_model, tiny_unet

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.errors import ModelFailed
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.edges import HIGH, LOW, edges
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.schedules import lcm_scheduler, signal_left
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText
from liveglass.engine.stream.sample import Sample


def test_a_guided_pass_is_what_the_stock_networks_make_together() -> None:
    unet, controlnet = tiny_unet(), tiny_controlnet()
    ours, guide = PromptedUNet(tiny_unet()), PromptedControlNet(tiny_controlnet())
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
            guide.encode(hint),
            torch.full((2,), 0.7),
        )
        made = ours(sample, ours.embed(times, words, (64, 96))[:, 0], ours.remember(words), added)
    assert torch.allclose(made, theirs, atol=1e-6)
    assert not torch.allclose(plain, theirs, atol=1e-2)


def test_each_row_counts_its_own_hint() -> None:
    guide = PromptedControlNet(tiny_controlnet())
    sample, words = torch.randn(1, 4, 8, 12).repeat(2, 1, 1, 1), Words(torch.randn(1, 77, TEXT_WIDTH).repeat(2, 1, 1))
    embedding, memory = guide.embed(torch.tensor([499]), words, (64, 96))[:, 0], guide.remember(words)
    with torch.no_grad():
        down, middle = guide(
            sample, embedding, memory, guide.encode(torch.rand(2, 3, 64, 96)), torch.tensor([0.0, 1.0])
        )
    assert all(part[0].abs().max() == 0 < part[1].abs().max() for part in (*down, middle))


def test_a_hint_in_another_order_of_colours_is_refused() -> None:
    with pytest.raises(ModelFailed, match="colours"):
        PromptedControlNet(tiny_controlnet(controlnet_conditioning_channel_order="bgr"))


def test_edges_are_where_opencv_sees_them() -> None:
    picture = Sample(Size(320, 180)).picture(0.0)
    theirs = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (5, 5), 1.4), LOW, HIGH) > 0
    ours = edges(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255)
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
    assert torch.equal(edges(pictures), torch.cat([edges(picture[None]) for picture in pictures]))
    assert edges(torch.full((1, 3, 24, 40), 0.5)).max() == 0


SIZE = Size(64, 64)
SPEC = ModelSpec(
    name="tiny", title="", licence="", valid_steps=(1, 2), default_steps=2, guidance="cfg", negative=True, guide="edge"
)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> DiffusionAdapter:
    text = ClipText(letters(tmp_path_factory.mktemp("words")), tiny_text_model())
    unet, codec, guide = PromptedUNet(tiny_unet()), Codec(tiny_autoencoder()), PromptedControlNet(tiny_controlnet())
    return DiffusionAdapter(Parts(SPEC, text, unet, codec, lcm_scheduler(signal_left(0.00085, 0.012)), guide))


def asked(edge: float, **params: float) -> ControlState:
    return ControlState(1, (Prompt("blue ink"),), params=Params(**({"steps": 2, "seed": 3, "edge": edge} | params)))


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


def test_edges_hold_a_frame_as_much_as_they_are_asked_to(adapter: DiffusionAdapter) -> None:
    free, some, much = (made(adapter, [asked(edge)], [picture(1)])[0] for edge in (0.0, 0.5, 1.5))
    assert differ(free, some) > 2
    assert np.abs(much.astype(int) - free).mean() > np.abs(some.astype(int) - free).mean()
    assert adapter.group(asked(0.5), SIZE) == adapter.group(asked(1.5), SIZE) != adapter.group(asked(0.0), SIZE)


def test_a_frame_from_words_alone_is_held_by_nothing(adapter: DiffusionAdapter) -> None:
    held, free = (made(adapter, [asked(edge)], [None])[0] for edge in (1.0, 0.0))
    assert differ(held, free) <= 1


@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_in_company_each_is_held_by_its_own_edges(adapter: DiffusionAdapter, guidance: float) -> None:
    wishes = [
        asked(0.4, seed=1, guidance=guidance),
        asked(1.2, seed=2, guidance=guidance),
        asked(0.8, guidance=guidance),
    ]
    sources = [picture(1), picture(2), None]
    alone = [made(adapter, [wish], [source])[0] for wish, source in zip(wishes, sources, strict=True)]
    assert max(map(differ, alone, made(adapter, wishes, sources))) <= 1


def test_a_transition_goes_the_way_of_its_end_from_the_start(adapter: DiffusionAdapter) -> None:
    free, held, guided = (adapter.encode_control(wish) for wish in (asked(0.0), asked(1.0), asked(1.0, guidance=5.0)))
    assert adapter.blend(free, held, 0.0).edge == 1.0
    assert adapter.blend(held, free, 0.0).edge == 0.0
    assert adapter.blend(held, guided, 0.5)[2:] == (5.0, 1.0)
    assert len(adapter.blend(guided, held, 0.0).sides) == 1
