"""What runs the networks of a frame and of a prompt: torch, here, or OpenVINO, in its own module. Worker process."""

from typing import Protocol

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.models.nano.network import Drawn, Features, PaintCondition, PassCondition


class Passes(Protocol):
    """The parts of the model that run for every frame, and what a prompt prints; all is float32 and of one row."""

    @property
    def backend(self) -> str:
        """What it is, with the version and the settings that a picture may depend on."""
        ...

    def lay(self, tensor: Tensor) -> Tensor:
        """`tensor` `[1, C, H, W]` as it is read fastest."""
        ...

    def texture(self, drawn: Drawn, code: Tensor) -> Tensor:
        """What a prompt prints on the picture, `[1, 16, H/2, W/2]`, by its code `[1, 24]`; of the caller's own."""
        ...

    def encode_camera(self, picture: Tensor, strength: Tensor, present: Tensor) -> Features:
        """Features of `picture` `[1, 3, H, W]` in 0..1; `strength`, `present` `[1]`."""
        ...

    def predict(self, latent: Tensor, context: Tensor, condition: PassCondition) -> Tensor:
        """The clean latent `[1, 12, H/8, W/8]`; a tensor of the caller's own."""
        ...

    def planes(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """The picture `[1, 12, H/2, W/2]` before its pixels are put in place; good until the next call."""
        ...


class TorchPasses:
    """By torch, on whatever device the model is."""

    def __init__(self, model: NanoModel) -> None:
        self._model = model
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.data = self.lay(parameter.data)

    @property
    def backend(self) -> str:
        """See `Passes`."""
        return "torch"

    def lay(self, tensor: Tensor) -> Tensor:
        """Channels last: half of a convolution's time goes into reordering else."""
        return tensor.contiguous(memory_format=torch.channels_last)

    def texture(self, drawn: Drawn, code: Tensor) -> Tensor:
        """See `Passes`."""
        made = self._model.decoder.texture
        return self.lay(made.printed(drawn, made.kernels(code)))

    def encode_camera(self, picture: Tensor, strength: Tensor, present: Tensor) -> Features:
        """See `Passes`."""
        return self._model.encode_camera(picture, strength, present)

    def predict(self, latent: Tensor, context: Tensor, condition: PassCondition) -> Tensor:
        """See `Passes`."""
        return self._model.predict(latent, context, condition)

    def planes(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """See `Passes`."""
        return self._model.decoder.planes(latent, features, condition, texture)
