"""The first phase: denoiser and decoder learn together.

Camera pictures are unrolled from pure noise to the finished picture: there the words decide, and else they are learnt
last. Scenes are learnt by flow matching on the latent with x-prediction at every noise level; one in three goes on
through the decoder.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import SIGMAS, NanoModel
from liveglass.engine.models.nano.network import to_latent
from liveglass.engine.training.examples import Batch, Examples
from liveglass.engine.training.generate import Painter
from liveglass.engine.training.losses import pixel_loss, texture_loss, weave_loss

INEXACT_WEIGHT = 0.3
"""Weight of pixels and the two finest levels where the target cannot be known from the input."""

_STEP_SHARES = {4: 0.4, 2: 0.2, 1: 0.4}


def drawn_steps(shares: Mapping[int, float]) -> int:
    """A number of steps, by their shares."""
    return tuple(shares)[int(torch.multinomial(torch.tensor(tuple(shares.values())), 1).item())]


def _drawn_levels(count: int) -> Tensor:
    """Noise levels `[count]`: half of them those of the four-step schedule, half anywhere."""
    anchors = torch.tensor(SIGMAS[4])[torch.randint(0, 4, (count,))]
    return torch.where(torch.rand(count) < 0.5, anchors, torch.rand(count)).clamp(0.05, 1)


class Teacher:
    """The joint phase.

    Args:
        examples: where batches come from.
        wishes: prompts in a batch of styles, one crop each.
        side: of a crop, pixels.
        scenes: pictures in a batch of scenes.
        shape: of scene pictures; None: several.
    """

    name = "teacher"
    rate = 6e-4
    warmup = 100

    def __init__(
        self,
        examples: Examples,
        wishes: int = 6,
        side: int = 128,
        scenes: int = 1,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._examples = examples
        self._wishes, self._side, self._scenes, self._shape = wishes, side, scenes, shape

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """Of six batches three are styles, three are scenes, one of them decoded."""
        if step % 2 == 0:
            return self._unrolled(model, self._examples.styles(self._wishes, 1, self._side))
        return self._flow(model, self._examples.scenes(self._scenes, self._shape), decoded=step % 6 == 1)

    def _unrolled(self, model: NanoModel, batch: Batch) -> tuple[Tensor, Mapping[str, float]]:
        steps = drawn_steps(_STEP_SHARES)
        painter = Painter.of(model, batch)
        clean = painter.roll(batch.start, SIGMAS[steps], steps, learn_last=True)
        distance = ((clean - to_latent(batch.target)) ** 2).mean()
        made = painter.paint(clean, batch.noise)
        fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact
        pixels, texture = pixel_loss(made, batch.target, fine), texture_loss(made, batch.target)
        weave = weave_loss(made, batch.target)
        figures = {f"styles_latent{steps}": distance, "pixels": pixels, "texture": texture, "weave": weave}
        return 2 * distance + pixels + texture + weave, {key: value.item() for key, value in figures.items()}

    def _flow(self, model: NanoModel, batch: Batch, *, decoded: bool) -> tuple[Tensor, Mapping[str, float]]:
        target = to_latent(batch.target)
        count = len(target)
        sigma = torch.full((count,), SIGMAS[4][-1]) if decoded else _drawn_levels(count)
        level = sigma[:, None, None, None]
        noisy = (1 - level) * target + level * batch.start
        painter = Painter.of(model, batch)
        clean = painter.clean(noisy, sigma, 4)
        error = (clean - target) ** 2
        latent = (error * (1 / (level + 0.1)).clamp(max=4)).mean()
        if not decoded:
            return latent, {"scene_latent": error.mean().item()}
        made = painter.paint(clean, batch.noise)
        fine = torch.full((count,), INEXACT_WEIGHT)
        pixels, texture = pixel_loss(made, batch.target, fine), texture_loss(made, batch.target)
        figures = {"scene_latent": error.mean(), "scene_pixels": pixels, "scene_texture": texture}
        loss = latent + pixels + texture + weave_loss(made, batch.target)
        return loss, {key: value.item() for key, value in figures.items()}
