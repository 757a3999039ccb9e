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
from liveglass.engine.training.generate import Painter, latent_noise, texture_noise
from liveglass.engine.training.losses import hue_loss, pixel_loss, texture_loss

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
        scenes: int = 2,
        shape: tuple[int, int] | None = None,
    ) -> None:
        self._teacher = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
        self._examples = examples
        self._wishes, self._side, self._scenes, self._shape = wishes, side, scenes, shape

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, Mapping[str, float]]:
        """Two batches of five are scenes; the number of steps is drawn for each batch."""
        steps = (4, 2, 1)[int(torch.multinomial(torch.tensor(tuple(STEP_SHARES.values())), 1).item())]
        if step % 5 in {2, 4}:
            small = self._shape is None and step % 5 == 4
            scenes = self._examples.small_scenes() if small else self._examples.scenes(self._scenes, self._shape)
            return self._loss(model, scenes, steps, slice(0, 2 if small else 1))
        return self._loss(model, self._examples.styles(self._wishes, 1, self._side), steps, slice(None))

    def _loss(self, model: NanoModel, batch: Batch, steps: int, decoded: slice) -> tuple[Tensor, Mapping[str, float]]:
        count, (height, width) = len(batch.prompts), batch.target.shape[-2:]
        camera = batch.camera.contiguous(memory_format=torch.channels_last)
        start, noise = latent_noise(count, height, width), texture_noise(count, height, width)
        latent_goal, goal = self._goals(batch, camera, start, noise)
        student = Painter(model, batch.prompts, camera, batch.strength, batch.present, window=batch.window)
        arrived = student.roll(start, SIGMAS[steps], steps)
        chance = ((batch.present > 0.5) & (batch.exact < 0.5)).float()
        trust = (1 - (1 - CHANCE_WEIGHT) * chance)[:, None, None, None]
        distance = (trust * (arrived - latent_goal) ** 2).mean()
        made = student.paint(arrived, noise, decoded)
        fine = INEXACT_WEIGHT + (1 - INEXACT_WEIGHT) * batch.exact[decoded]
        pixels, texture = pixel_loss(made, goal[decoded], fine), texture_loss(made, batch.target[decoded])
        hue = hue_loss(made, goal[decoded])
        kind = "styles" if batch.present[0] else "scenes"
        loss = 2 * distance + pixels + TEXTURE_WEIGHT * texture + HUE_WEIGHT * hue
        figures = {f"latent{steps}": distance, "pixels": pixels, "texture": texture, "hue": hue}
        return loss, {f"{kind}_{name}": value.item() for name, value in figures.items()}

    @torch.no_grad()
    def _goals(self, batch: Batch, camera: Tensor, start: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Where each row should arrive, as latent and as picture."""
        latent, picture = to_latent(batch.target), batch.target.clone()
        rows = (batch.present < 0.5).nonzero()[:, 0]
        if len(rows):
            prompts = [batch.prompts[row] for row in rows.tolist()]
            teacher = Painter(
                self._teacher, prompts, camera[rows], batch.strength[rows], batch.present[rows], window=batch.window
            )
            arrived = teacher.roll(start[rows], TEACHER_SIGMAS, 4)
            latent[rows] = arrived
            picture[rows] = teacher.paint(arrived, noise[rows]).clamp(0, 1)
        return latent, picture
