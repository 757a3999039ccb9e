"""The second phase: the student learns to arrive in 4, 2 or 1 steps, on its own states.

The whole schedule is unrolled from the noise and its end compared with what the program makes of the same words, camera
and noise.
"""

from collections.abc import Mapping

from torch import Tensor

from liveglass.engine.models.nano.model import SIGMAS, NanoModel
from liveglass.engine.models.nano.network import to_latent
from liveglass.engine.training.examples import Batch, Examples
from liveglass.engine.training.generate import Painter
from liveglass.engine.training.losses import hue_loss, pixel_loss, texture_loss, weave_loss
from liveglass.engine.training.teacher import drawn_steps

STEP_SHARES = {4: 0.4, 2: 0.2, 1: 0.4}
INEXACT_WEIGHT = 0.4
CHANCE_WEIGHT = 0.3
"""Weight of the latent where the program itself is a throw of dice: one throw is not the answer."""
TEXTURE_WEIGHT = 2.0
HUE_WEIGHT = 3.0
POINT_WEIGHT = 8.0
"""By which a pixel of a scene counts more, for each unit that it stands out."""


class Distil:
    """The distillation phase, and the rival to it: a network that only ever learnt to arrive in one step.

    Args:
        examples: where batches come from.
        wishes: prompts in a batch of styles, one crop each.
        side: of a crop, pixels.
        scenes: pictures in a batch of scenes.
        shape: of scene pictures; None: several.
        shares: how often each number of steps is unrolled.
        name: of the checkpoint.
    """

    rate = 6e-4
    warmup = 30

    def __init__(
        self,
        examples: Examples,
        wishes: int = 6,
        side: int = 128,
        *,
        scenes: int = 1,
        shape: tuple[int, int] | None = None,
        shares: Mapping[int, float] = STEP_SHARES,
        name: str = "distil",
    ) -> None:
        self.name = name
        self._shares = shares
        self._examples = examples
        self._wishes, self._side, self._scenes, self._shape = wishes, side, scenes, shape

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """Styles and scenes in turn."""
        if step % 2 == 1:
            batch, kind = self._examples.scenes(self._scenes, self._shape), "scene_"
        else:
            batch, kind = self._examples.styles(self._wishes, 1, self._side), ""
        loss, figures = _unrolled(model, batch, drawn_steps(self._shares))
        return loss, {f"{kind}{name}": value for name, value in figures.items()}


def _unrolled(model: NanoModel, batch: Batch, steps: int) -> tuple[Tensor, dict[str, float]]:
    """The loss at the end of `steps` passes from pure noise."""
    student = Painter.of(model, batch)
    arrived = student.roll(batch.start, SIGMAS[steps], steps)
    chance = (batch.exact < 0.5).float()
    trust = (1 - (1 - CHANCE_WEIGHT) * chance)[:, None, None, None]
    distance = (trust * (arrived - to_latent(batch.target)) ** 2).mean()
    fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact
    points = POINT_WEIGHT * (1 - batch.present)
    painted, figures = _compare(student.paint(arrived, batch.noise), batch.target, fine, points)
    return 2 * distance + painted, {f"latent{steps}": distance.item(), **figures}


def _compare(made: Tensor, goal: Tensor, fine: Tensor, points: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss of a picture: pixels, hue, weave and texture."""
    pixels, hue, weave = pixel_loss(made, goal, fine, points), hue_loss(made, goal), weave_loss(made, goal)
    texture = texture_loss(made, goal)
    figures = {"pixels": pixels, "texture": texture, "hue": hue, "weave": weave}
    loss = pixels + weave + TEXTURE_WEIGHT * texture + HUE_WEIGHT * hue
    return loss, {name: value.item() for name, value in figures.items()}
