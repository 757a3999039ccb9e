"""The second phase: the student learns to arrive in 4, 2 or 1 steps, on its own states.

The whole schedule is unrolled and the end point compared: with the style program itself where there is a camera, with
the 8-step teacher's end point from the same noise where there are words alone. Texture is always the program's.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import SIGMAS, NanoModel
from liveglass.engine.models.nano.network import to_latent
from liveglass.engine.training.examples import Batch, Examples
from liveglass.engine.training.generate import Painter, noise_for
from liveglass.engine.training.losses import hue_loss, pixel_loss, texture_loss, weave_loss
from liveglass.engine.training.teacher import drawn_steps

TEACHER_SIGMAS = tuple(torch.linspace(1, 0.25, 8).tolist())
STEP_SHARES = {4: 0.6, 2: 0.2, 1: 0.2}
INEXACT_WEIGHT = 0.4
CHANCE_WEIGHT = 0.3
"""Weight of the latent where the program itself is a throw of dice: one throw is not the answer."""
TEXTURE_WEIGHT = 2.0
HUE_WEIGHT = 3.0


class Distil:
    """The distillation phase.

    Args:
        teacher: weights of the joint phase; copied and frozen.
        examples: where batches come from.
        wishes: prompts in a batch of styles, one crop each.
        side: of a crop, pixels.
        scenes: pictures in a batch of scenes.
        shape: of scene pictures; None: several.
    """

    name = "distil"
    rate = 6e-4
    warmup = 30

    def __init__(
        self,
        teacher: NanoModel,
        examples: Examples,
        wishes: int = 6,
        side: int = 128,
        *,
        scenes: int = 1,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._teacher = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
        self._examples = examples
        self._wishes, self._side, self._scenes, self._shape = wishes, side, scenes, shape

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """Of six batches four are styles, one is scenes that are decoded, one is layouts."""
        steps = drawn_steps(STEP_SHARES)
        match step % 6:
            case 2:
                return self._scenes_loss(model, self._examples.scenes(self._scenes, self._shape), steps, decoded=True)
            case 5:
                return self._scenes_loss(model, self._examples.layouts(self._wishes), steps, decoded=False)
            case _:
                return self._styles_loss(model, self._examples.styles(self._wishes, 1, self._side), steps)

    def _styles_loss(self, model: NanoModel, batch: Batch, steps: int) -> tuple[Tensor, Mapping[str, float]]:
        start, noise = noise_for(batch)
        student = Painter.of(model, batch)
        arrived = student.roll(start, SIGMAS[steps], steps)
        chance = (batch.exact < 0.5).float()
        trust = (1 - (1 - CHANCE_WEIGHT) * chance)[:, None, None, None]
        distance = (trust * (arrived - to_latent(batch.target)) ** 2).mean()
        fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact
        painted, figures = _compare(student.paint(arrived, noise), batch.target, batch.target, fine)
        return 2 * distance + painted, {f"latent{steps}": distance.item(), **figures}

    def _scenes_loss(
        self, model: NanoModel, batch: Batch, steps: int, *, decoded: bool
    ) -> tuple[Tensor, Mapping[str, float]]:
        start, noise = noise_for(batch)
        with torch.no_grad():
            teacher = Painter.of(self._teacher, batch)
            goal = teacher.roll(start, TEACHER_SIGMAS, 4)
        student = Painter.of(model, batch)
        arrived = student.roll(start, SIGMAS[steps], steps)
        distance = ((arrived - goal) ** 2).mean()
        if not decoded:
            return 2 * distance, {f"scene_latent{steps}": distance.item()}
        with torch.no_grad():
            picture = teacher.paint(goal, noise).clamp(0, 1)
        fine = torch.full((len(batch.prompts),), INEXACT_WEIGHT)
        painted, figures = _compare(student.paint(arrived, noise), picture, batch.target, fine)
        return 2 * distance + painted, {f"scene_{name}": value for name, value in figures.items()}


def _compare(made: Tensor, goal: Tensor, program: Tensor, fine: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a picture: pixels, hue and weave against its goal, texture against the program's."""
    pixels, hue, weave = pixel_loss(made, goal, fine), hue_loss(made, goal), weave_loss(made, goal)
    texture = texture_loss(made, program)
    figures = {"pixels": pixels, "texture": texture, "hue": hue, "weave": weave}
    loss = pixels + weave + TEXTURE_WEIGHT * texture + HUE_WEIGHT * hue
    return loss, {name: value.item() for name, value in figures.items()}
