"""The built-in model behind the adapter contract: one frame of one lane at a time, nothing computed twice.

What depends on the prompt is computed when a lane is written, what depends on the camera once for each frame; only the
denoiser runs for each step. A batch would double every frame's age on a CPU, so lanes run one after the other. Every
pixel that comes out was painted by the decoder. Runs on the worker's one thread.
"""

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.control import ControlState
from liveglass.engine.errors import OutOfMemory
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.makings import Makings
from liveglass.engine.models.base import Cond, GroupKey, LoraFile, Loras, ModelSpec, Schedule, no_loras
from liveglass.engine.models.devices import choose_device, kernels
from liveglass.engine.models.nano.model import SIGMAS, NanoModel, voice, weight_file
from liveglass.engine.models.nano.network import (
    LATENT_CHANNELS,
    TEXTURE_CHANNELS,
    Drawn,
    Features,
    PaintCondition,
    PassCondition,
    coordinates,
    phases,
)
from liveglass.engine.models.nano.passes import Passes, TorchPasses
from liveglass.engine.models.nano.sizes import working_size
from liveglass.engine.models.nano.spec import nano_spec
from liveglass.engine.models.sampling import flow_euler_clean

WEIGHTS = Path(__file__).parent / "weights"
MAX_LANES = 256


class _Lane:
    """One control version of one session: its conditions, its noise and the frame in the making."""

    def __init__(self, size: Size, device: torch.device) -> None:
        self.size = size
        self.width, self.height = working_size(size.width, size.height)
        self.places = coordinates(self.height // 8, self.width // 8).to(device)
        self.text: Tensor | None = None
        self.strength = 0.0
        self.present = 1.0
        self.schedule = Schedule(rows=())
        self.noise: NDArray[np.float32] = np.zeros(0, np.float32)
        self.passes: list[PassCondition] = []
        self.painting: PaintCondition | None = None
        self.start: Tensor | None = None
        self.drawn: Drawn | None = None
        self.texture: Tensor | None = None
        self.features: Features | None = None
        self.context: Tensor | None = None
        self.latent: Tensor | None = None
        self.pixels: Pixels = np.empty((size.height, size.width, 3), np.uint8)


Part = TypeVar("Part")


def _need(part: Part | None) -> Part:
    if part is None:
        raise RuntimeError("a lane is written before it begins, and begun before it goes on")
    return part


class NanoAdapter:
    """The built-in model, loaded.

    Args:
        model: with its weights, on its device.
        passes: makes what runs its networks, once they are frozen.
        weights: the files that it was loaded from.
    """

    def __init__(
        self, model: NanoModel, passes: Callable[[NanoModel], Passes] = TorchPasses, weights: tuple[Path, ...] = ()
    ) -> None:
        self._model = model
        self._weights = weights
        model.eval()
        model.requires_grad_(requires_grad=False)
        self._passes = passes(model)
        self._lay = self._passes.lay
        self._device = next(model.parameters()).device
        self._lanes: dict[int, _Lane] = {}
        self._patterns: dict[tuple[int, int], Tensor] = {}
        self._spec = nano_spec()

    @property
    def spec(self) -> ModelSpec:
        """What it is."""
        return self._spec

    @property
    def makings(self) -> Makings:
        """Torch, what runs its networks, and OpenCV, which brings pictures to its size and back."""
        made_by = kernels(self._model.words.weight, self._passes.backend, ["opencv-python-headless"])
        return Makings(made_by, self._weights)

    def open_lane(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where all 256 are taken."""
        if len(self._lanes) >= MAX_LANES:
            raise OutOfMemory(f"All {MAX_LANES} lanes are taken.")
        lane = next(number for number in range(MAX_LANES) if number not in self._lanes)
        self._lanes[lane] = _Lane(size, self._device)
        return lane

    def close_lane(self, lane: int) -> None:
        """Give a lane back."""
        del self._lanes[lane]

    @torch.inference_mode()
    def encode_control(self, control: ControlState) -> Cond:
        """The prompts as one vector, `float32 [1, 64]`: their vectors weighted by weight; zeros without words."""
        wanted = control.spoken
        if not wanted:
            return torch.zeros(1, self._model.words.embedding_dim, device=self._device)
        weights = torch.tensor([prompt.weight for prompt in wanted], device=self._device)
        vectors = self._model.encode_text([prompt.text for prompt in wanted])
        return (weights @ vectors / weights.abs().sum())[None]

    @torch.inference_mode()
    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        """The condition `progress` (0 to 1) of the way from `a` to `b`."""
        return torch.lerp(a, b, float(progress))

    def schedule(self, control: ControlState, size: Size) -> Schedule:
        """Flow-matching Euler at the noise levels that the model was trained for; starts from noise alone.

        Step counts between the trained ones take the next lower one.
        """
        steps = max(count for count in SIGMAS if count <= max(1, control.params.steps))
        return Schedule(rows=flow_euler_clean(SIGMAS[steps]))

    def draw_noise(self, seed: int, size: Size) -> NDArray[np.float32]:
        """Latent noise and decoder noise in one row, `float32 [n]`, from `seed` and the inner size alone."""
        width, height = working_size(size.width, size.height)
        count = LATENT_CHANNELS * (height // 8) * (width // 8) + TEXTURE_CHANNELS * (height // 2) * (width // 2)
        return np.random.default_rng(seed).standard_normal(count, np.float32)

    @torch.inference_mode()
    def write(self, lane: int, cond: Cond, schedule: Schedule, noise: NDArray[np.float32], strength: float) -> None:
        """Put a control version into its lane: conditions of every step, starting noise, texture."""
        place = self._lanes[lane]
        place.text, place.schedule, place.strength = cond, schedule, float(strength)
        if not np.array_equal(place.noise, noise):
            self._write_noise(place, noise)
        self._write_conditions(place)

    def _write_noise(self, place: _Lane, noise: NDArray[np.float32]) -> None:
        height, width = place.height // 8, place.width // 8
        split = LATENT_CHANNELS * height * width
        place.noise = noise.copy()
        drawn = torch.from_numpy(place.noise).to(self._device)
        place.start = self._lay(drawn[:split].view(1, LATENT_CHANNELS, height, width))
        grain = drawn[split:].view(1, TEXTURE_CHANNELS, 4 * height, 4 * width)
        if (height, width) not in self._patterns:
            self._patterns[height, width] = self._lay(phases(8 * height, 8 * width).to(self._device))
        whole = self._model.decoder.texture.drawn(self._lay(grain), place.places, self._patterns[height, width])
        place.drawn = whole._replace(broad=self._lay(whole.broad))

    def _write_conditions(self, place: _Lane) -> None:
        text = _need(place.text)
        strength = text.new_full((1,), place.strength)
        present = text.new_full((1,), place.present)
        text = text * voice(strength, present)
        steps = place.schedule.steps
        sigmas = text.new_tensor([row[0] for row in place.schedule.rows])
        words, *told = (one.expand(steps, *one.shape[1:]) for one in (text, strength, present))
        made = self._model.condition(words, sigmas, steps, *told, places=place.places)
        place.passes = [
            PassCondition(tuple(film[[step]] for film in made.films), self._lay(made.layout[[step]]))
            for step in range(steps)
        ]
        decoder = self._model.decoder
        place.painting = decoder.conditions(text, strength, present)
        place.texture = self._passes.texture(_need(place.drawn), place.painting.code)

    @torch.inference_mode()
    def begin(self, lanes: Sequence[int], pixels: Sequence[Pixels | None]) -> None:
        """Shrink and encode the sources (uint8 [H, W, 3] each, None: from words alone) and set each lane's start."""
        for lane, source in zip(lanes, pixels, strict=True):
            place = self._lanes[lane]
            present = 0.0 if source is None else 1.0
            if present != place.present:
                place.present = present
                self._write_conditions(place)
            picture = self._shrink(place, source)
            strength = picture.new_full((1,), place.strength)
            place.features = self._passes.encode_camera(picture, strength, picture.new_full((1,), present))
            place.context = self._model.denoiser.context(place.features, place.places)
            place.latent = _need(place.start) * place.schedule.noise

    def _shrink(self, place: _Lane, source: Pixels | None) -> Tensor:
        if source is None:
            return self._lay(torch.zeros(1, 3, place.height, place.width, device=self._device))
        small = shrink(source, place.width, place.height)
        return torch.from_numpy(small).to(self._device)[None].permute(0, 3, 1, 2).float() / 255

    @torch.inference_mode()
    def denoise(self, lanes: Sequence[int], step: int) -> None:
        """One pass over the cohort: x <- a x + b F(c_in x, t) with F the clean latent."""
        for lane in lanes:
            place = self._lanes[lane]
            _, scale, keep, take, _ = place.schedule.rows[step]
            latent = _need(place.latent)
            given = latent if scale == 1.0 else latent * scale
            clean = self._passes.predict(given, _need(place.context), place.passes[step])
            place.latent = clean.mul_(take).add_(latent, alpha=keep)

    @torch.inference_mode()
    def finish(self, lanes: Sequence[int]) -> Sequence[Pixels]:
        """Decode: uint8 [H, W, 3] for each lane at its output size; valid until the lane's next finish."""
        return [self._finish(self._lanes[lane]) for lane in lanes]

    def _finish(self, place: _Lane) -> Pixels:
        if place.features is None or place.painting is None:
            raise RuntimeError("a lane is written and begun before it is finished")
        planes = self._passes.planes(_need(place.latent), place.features, place.painting, _need(place.texture))
        levels = planes[0].mul_(127.5).add_(128).clamp_(0, 255).byte()
        cells = levels.view(3, 2, 2, place.height // 2, place.width // 2).permute(3, 1, 4, 2, 0)
        small = cells.reshape(place.height, place.width, 3).cpu().numpy()
        size = (place.size.width, place.size.height)
        cv2.resize(small, size, dst=place.pixels, interpolation=cv2.INTER_CUBIC)
        return place.pixels

    def reset(self, lane: int) -> None:
        """Nothing is carried from frame to frame."""

    def group(self, control: ControlState, size: Size) -> GroupKey:
        """Equal inner size and step count may run as one cohort."""
        return (*working_size(size.width, size.height), self.schedule(control, size).steps)

    def read_loras(self, files: Sequence[LoraFile]) -> Loras:
        """This model takes none."""
        raise no_loras(self.spec)

    def fuse(self, loras: Loras) -> Iterator[None]:
        """This model takes none."""
        raise no_loras(self.spec)


def shrink(picture: Pixels, width: int, height: int) -> Pixels:
    """`picture` at another size: halved as often as it can be, then linear.

    Area resampling by a ratio that is not whole takes six times as long and looks no better here.
    """
    while picture.shape[0] >= 2 * height and picture.shape[1] >= 2 * width:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), np.uint8)
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def load_nano(
    *, device: str = "auto", threads: int = 0, folder: Path = WEIGHTS, openvino: bool | None = None
) -> tuple[NanoAdapter, str]:
    """The built-in model from its folder, without a network, and the device that it runs on.

    Args:
        device: `auto`, `cpu`, `cuda`, `mps`.
        threads: CPU threads; 0 leaves torch's choice.
        folder: configuration and safetensors.
        openvino: whether OpenVINO runs it on a CPU; None: where it is installed.
    """
    chosen = choose_device(device)
    if threads:
        torch.set_num_threads(threads)
    model = NanoModel.from_pretrained(folder)
    if openvino is None:
        openvino = importlib.util.find_spec("openvino") is not None
    weights = (weight_file(folder),)
    if chosen != "cpu" or not openvino:
        return NanoAdapter(model.to(chosen), weights=weights), chosen
    from liveglass.engine.models.nano.openvino_passes import OpenVinoPasses  # noqa: PLC0415 - an extra

    try:
        return NanoAdapter(model, lambda frozen: OpenVinoPasses(frozen, threads), weights), chosen
    except OSError as fault:
        warnings.warn(f"Without a cache folder torch runs the built-in model, not OpenVINO: {fault}", stacklevel=2)
        return NanoAdapter(model, weights=weights), chosen
