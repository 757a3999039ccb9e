"""The first phase: denoiser and decoder learn together.

Flow matching on the latent with x-prediction; part of each batch sits at the last noise level of the four-step
schedule and goes on through the decoder, so that the decoder learns on what it will be given. Most batches of camera
pictures are unrolled from pure noise to the finished picture: there the words decide, and else they are learnt last.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import SIGMAS, NanoModel
from liveglass.engine.models.nano.network import to_latent
from liveglass.engine.training.examples import Batch, Examples
from liveglass.engine.training.generate import Painter, latent_noise, texture_noise
from liveglass.engine.training.losses import pixel_loss, texture_loss

INEXACT_WEIGHT = 0.3
"""Weight of pixels and the two finest levels where the target cannot be known from the input."""


class Teacher:
    """The joint phase.

    Args:
        examples: where batches come from.
        wishes: prompts in a batch of styles; each has two crops.
        side: of a crop, pixels.
        scenes: pictures in a batch of scenes.
        shape: of scene pictures; None: several.
    """

    name = "teacher"
    rate = 1.5e-3
    warmup = 100

    def __init__(
        self,
        examples: Examples,
        wishes: int = 6,
        side: int = 128,
        scenes: int = 3,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._examples = examples
        self._wishes, self._side, self._scenes, self._shape = wishes, side, scenes, shape

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """Of ten batches two are styles at one noise level, four styles from noise to picture, four scenes."""
        kind = step % 5
        if kind in {2, 4}:
            small = self._shape is None and step % 10 >= 5
            batch = self._examples.small_scenes() if small else self._examples.scenes(self._scenes, self._shape)
            return self._loss(model, batch, slice(0, 2 if small else 1), "scenes")
        if kind in {1, 3}:
            return self._unrolled(model, self._examples.styles(self._wishes, 1, self._side))
        batch = self._examples.styles(self._wishes, 2, self._side)
        return self._loss(model, batch, slice(0, None, 3), "styles")

    def _unrolled(self, model: NanoModel, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
        steps = (4, 2, 1)[int(torch.multinomial(torch.tensor((0.6, 0.2, 0.2)), 1).item())]
        count, (height, width) = len(batch.prompts), batch.target.shape[-2:]
        camera = batch.camera.contiguous(memory_format=torch.channels_last)
        painter = Painter(model, batch.prompts, camera, batch.strength, batch.present, window=batch.window)
        clean = painter.roll(latent_noise(count, height, width), SIGMAS[steps], steps)
        distance = ((clean - to_latent(batch.target)) ** 2).mean()
        made = painter.paint(clean, texture_noise(count, height, width))
        fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact
        pixels, texture = pixel_loss(made, batch.target, fine), texture_loss(made, batch.target)
        figures = {f"unrolled{steps}_latent": distance, "unrolled_pixels": pixels, "unrolled_texture": texture}
        return 2 * distance + pixels + texture, {key: value.item() for key, value in figures.items()}

    def _loss(self, model: NanoModel, batch: Batch, decoded: slice, kind: str) -> tuple[Tensor, Mapping[str, float]]:
        target = to_latent(batch.target)
        count, (height, width) = len(batch.prompts), batch.target.shape[-2:]
        sigma = torch.rand(count)
        anchors = torch.tensor(SIGMAS[4][:3])[torch.randint(0, 3, (count,))]
        sigma = torch.where(torch.rand(count) < 0.7, anchors, sigma).clamp(0.05, 1)
        sigma[decoded] = SIGMAS[4][-1]
        level = sigma[:, None, None, None]
        noisy = (1 - level) * target + level * torch.randn_like(target)
        camera = batch.camera.contiguous(memory_format=torch.channels_last)
        painter = Painter(model, batch.prompts, camera, batch.strength, batch.present, window=batch.window)
        clean = painter.clean(noisy, sigma, 4)
        error = (clean - target) ** 2
        latent = (error * (1 / (level + 0.1)).clamp(max=4)).mean()
        made = painter.paint(clean, texture_noise(count, height, width), decoded)
        wanted = batch.target[decoded]
        fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact[decoded]
        pixels, texture = pixel_loss(made, wanted, fine), texture_loss(made, wanted)
        figures = {f"{kind}_latent": error.mean(), f"{kind}_pixels": pixels, f"{kind}_texture": texture}
        return latent + pixels + texture, {key: value.item() for key, value in figures.items()}
