"""Sampling with the plain model, many prompts at once: for sheets, distillation targets and evaluation.

The live path is the adapter; this one trades speed for batches and gradients.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import SIGMAS, NanoModel
from liveglass.engine.models.nano.network import Features, coordinates
from liveglass.engine.training.dice import Dice, noises
from liveglass.engine.training.examples import Batch


class Painter:
    """One batch of prompts and camera pictures, ready to be sampled.

    Args:
        model: the weights to use.
        prompts: one for each row.
        camera: `[B, 3, H, W]` in 0..1.
        strength: `[B]`.
        present: `[B]`.
        window: where the crop lies in the whole picture.
    """

    def __init__(
        self,
        model: NanoModel,
        prompts: Sequence[str],
        camera: Tensor,
        strength: Tensor,
        present: Tensor,
        *,
        window: tuple[float, float, float, float] = (0, 0, 1, 1),
    ) -> None:
        self._model = model
        self._strength, self._present = strength, present
        height, width = camera.shape[-2:]
        self._places = coordinates(height // 8, width // 8, window)
        self.text = model.encode_text(prompts)
        self.features = self._encode(camera) if bool(present.any()) else self._encode_nothing(camera)
        self._context = model.denoiser.context(self.features, self._places)

    @classmethod
    def of(cls, model: NanoModel, batch: Batch) -> "Painter":
        """The rows of a training batch."""
        return cls(model, batch.prompts, batch.camera, batch.strength, batch.present, window=batch.window)

    def _encode(self, camera: Tensor) -> Features:
        camera = camera.contiguous(memory_format=torch.channels_last)
        return self._model.encode_camera(camera, self._strength, self._present)

    def _encode_nothing(self, camera: Tensor) -> Features:
        """Without a camera every row has the same features."""
        one = self._model.encode_camera(camera[:1], self._strength[:1], self._present[:1])
        return Features(*(part.expand(len(camera), -1, -1, -1) for part in one))

    def clean(self, latent: Tensor, sigma: Tensor, steps: int) -> Tensor:
        """The clean latent predicted from `latent` at `sigma` `[B]`."""
        condition = self._model.condition(self.text, sigma, steps, self._strength, self._present, places=self._places)
        return self._model.predict(latent, self._context, condition)

    def roll(self, latent: Tensor, sigmas: Sequence[float], steps: int, *, learn_last: bool = False) -> Tensor:
        """Euler steps through `sigmas` and on to 0, the network told that the schedule has `steps` passes.

        With `learn_last` gradients flow through the last step alone.
        """
        for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not (learn_last and following)):
                clean = self.clean(latent, torch.full((len(latent),), sigma), steps)
            latent = clean + (latent - clean) * (following / sigma)
        return latent

    def paint(self, latent: Tensor, noise: Tensor, rows: slice = slice(None)) -> Tensor:
        """Decode `rows` of a clean latent."""
        features = Features(*(part[rows] for part in self.features))
        condition = self._model.decoder.conditions(self.text[rows], self._strength[rows], self._present[rows])
        return self._model.paint(latent[rows], features, condition, noise[rows], self._places)


def drawn(seed: int, count: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Starting noise and decoder noise of a seed, the same in each of `count` rows."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start, noise = noises(1, height, width)
    return start.expand(count, -1, -1, -1), noise.expand(count, -1, -1, -1)


def seeded_dice(seed: int, count: int, height: int, width: int) -> Dice:
    """What a program throws with the noise of a seed."""
    return Dice(*drawn(seed, count, height, width), height, width)


@torch.no_grad()
def generate(
    model: NanoModel,
    prompts: Sequence[str],
    camera: Tensor,
    *,
    with_camera: bool = True,
    strength: float = 0.6,
    steps: int = 4,
    seed: int = 1,
    sigmas: Sequence[float] | None = None,
) -> Tensor:
    """Pictures `[B, 3, H, W]` in 0..1 for prompts and camera pictures `[B, 3, H, W]`; every row has the same noise."""
    count, _, height, width = camera.shape
    latent, noise = drawn(seed, count, height, width)
    present = torch.full((count,), float(with_camera))
    painter = Painter(model, prompts, camera, torch.full((count,), strength), present)
    return painter.paint(painter.roll(latent, sigmas or SIGMAS[steps], steps), noise).clamp(0, 1)
