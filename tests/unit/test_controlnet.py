"""ControlNets behind the prompt that is remembered, and the edges that they are told of."""

import cv2
import numpy as np
import pytest
import torch
from checkpoints import TEXT_WIDTH, tiny_controlnet, tiny_unet

from liveglass.engine.errors import ModelFailed
from liveglass.engine.frame import Size
from liveglass.engine.models.diffusion.controlnet import PromptedControlNet
from liveglass.engine.models.diffusion.edges import HIGH, LOW, edges
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.unet import PromptedUNet
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
