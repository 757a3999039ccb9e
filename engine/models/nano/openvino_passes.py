"""The networks of a frame and a prompt by OpenVINO (extra `openvino`): same pictures, three quarters of the time.

What depends on the prompt goes in as inputs, kernels too, so that a change of prompt compiles nothing. Each network is
compiled twice: for the default size, where a fixed shape is a sixth faster, and for any other. The conversion takes
some seconds and is kept in the user's cache, by the weights that it was made of.
"""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino  # type: ignore[import-untyped]  # OpenVINO ships no types
import platformdirs
import torch
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager  # type: ignore[import-untyped]
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # type: ignore[import-untyped]
from torch import Tensor, nn

from liveglass.engine.models.nano import network
from liveglass.engine.models.nano.model import NanoModel, visibility
from liveglass.engine.models.nano.network import Drawn, Features, Kernel, PaintCondition, PassCondition

_USUAL = (176, 320)
"""Height and width inside for 640 x 360."""

_LARGEST_KERNEL = 5
"""Pixels along a side; whatever is larger is a picture."""


class OpenVinoPasses:
    """By OpenVINO, on the CPU.

    Args:
        model: with its weights.
        threads: CPU threads; 0 leaves OpenVINO's choice.
        cache: where conversions are kept.
    """

    def __init__(self, model: NanoModel, threads: int, cache: Path | None = None) -> None:
        folder = cache or Path(platformdirs.user_cache_dir("liveglass", appauthor=False)) / "openvino"
        folder.mkdir(parents=True, exist_ok=True)
        core = openvino.Core()
        self._threads = threads
        core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1, "CACHE_DIR": str(folder)})
        if threads:
            core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
        key = _key(model)
        examples = _examples(model)
        modules = {
            "camera": _Camera(model),
            "denoise": _Denoise(model),
            "paint": _Paint(model),
            "texture": _Texture(model),
        }
        self._camera, self._denoise, self._paint, self._texture = (
            _Network(core, module, examples[name], folder / f"{name}-{key}.xml") for name, module in modules.items()
        )
        self._kernels = model.decoder.texture.kernels

    @property
    def backend(self) -> str:
        """See `Passes`."""
        threads = f"{self._threads} threads" if self._threads else "threads of its own choice"
        return f"OpenVINO {openvino.get_version()}, float32, {threads}"

    def lay(self, tensor: Tensor) -> Tensor:
        """Rows by channel, as OpenVINO takes them."""
        return tensor.contiguous()

    def texture(self, drawn: Drawn, code: Tensor) -> Tensor:
        """See `Passes`."""
        [made] = self._texture([*drawn, *_one_row(self._kernels(code))])
        return torch.from_numpy(made.copy())

    def encode_camera(self, picture: Tensor, strength: Tensor, present: Tensor) -> Features:
        """See `Passes`."""
        found = self._camera([picture, visibility(strength, present)])
        return Features(*(torch.from_numpy(part.copy()) for part in found))

    def predict(self, latent: Tensor, context: Tensor, condition: PassCondition) -> Tensor:
        """See `Passes`."""
        [clean] = self._denoise([latent, context, *condition.films, condition.layout])
        return torch.from_numpy(clean.copy())

    def planes(self, latent: Tensor, features: Features, condition: PaintCondition, texture: Tensor) -> Tensor:
        """See `Passes`."""
        [picture] = self._paint([latent, *features, *_flat(condition), texture])
        return torch.from_numpy(picture)


class _Network:
    """One network, compiled for its usual shapes and for any."""

    def __init__(self, core: openvino.Core, module: nn.Module, example: Sequence[Tensor], kept: Path) -> None:
        if not kept.exists():
            _convert(module, example, kept)
        usual = [list(part.shape) for part in example]
        self._usual = usual[0][2:]
        self._fixed = self._compiled(core, kept, usual)
        self._any = self._compiled(core, kept, [_open(shape) for shape in usual])

    @staticmethod
    def _compiled(core: openvino.Core, kept: Path, shapes: Sequence[list[int]]) -> openvino.InferRequest:
        graph = core.read_model(kept)
        graph.reshape(dict(enumerate(shapes)))
        return core.compile_model(graph, "CPU").create_infer_request()

    def __call__(self, inputs: Sequence[Tensor]) -> list[NDArray[np.float32]]:
        """The outputs in order; they stay good until the next call."""
        request = self._fixed if list(inputs[0].shape[2:]) == self._usual else self._any
        given = [part.contiguous().numpy() for part in inputs]
        return list(request.infer(given, share_inputs=True, share_outputs=True).values())


def _open(shape: list[int]) -> list[int]:
    """A shape whose height and width may be any, where it has them: kernels and conditions are small."""
    return [*shape[:2], -1, -1] if len(shape) == 4 and min(shape[2:]) > _LARGEST_KERNEL else shape


def _convert(module: nn.Module, example: Sequence[Tensor], kept: Path) -> None:
    """Trace `module` and write it at `kept`, whole or not at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing fixes is fixed on purpose: one row, no gradients
        traced = torch.jit.trace(module, tuple(example), check_trace=False)  # type: ignore[no-untyped-call]
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=tuple(example))  # kept: the graph reads through it
    graph = frontend.convert(frontend.load(decoder))
    part = kept.with_suffix(".part.xml")
    openvino.save_model(graph, part, compress_to_fp16=False)
    part.with_suffix(".bin").replace(kept.with_suffix(".bin"))
    part.replace(kept)


def _key(model: NanoModel) -> str:
    """What a conversion depends on."""
    known = hashlib.sha256(openvino.get_version().encode())
    known.update(Path(network.__file__).read_bytes())
    known.update(Path(__file__).read_bytes())
    for name, part in sorted(model.state_dict().items()):
        known.update(name.encode())
        known.update(part.contiguous().numpy().tobytes())
    return known.hexdigest()[:16]


def _examples(model: NanoModel) -> dict[str, list[Tensor]]:
    """Inputs of the usual size for each network."""
    height, width = _USUAL
    one = torch.ones(1)
    picture = torch.rand(1, 3, height, width)
    features = model.encode_camera(picture, one * 0.6, one)
    text = torch.randn(1, network.TEXT_WIDTH)
    places = network.coordinates(height // 8, width // 8)
    condition = model.condition(text, one, 4, one, one, places=places)
    painting = model.decoder.conditions(text, one, one)
    noise = torch.randn(1, network.TEXTURE_CHANNELS, height // 2, width // 2)
    latent = torch.randn(1, network.LATENT_CHANNELS, height // 8, width // 8)
    context = model.denoiser.context(features, places)
    drawn = model.decoder.texture.drawn(noise, places, network.phases(height, width))
    kernels = model.decoder.texture.kernels(painting.code)
    texture = model.decoder.texture.printed(drawn, kernels)
    return {
        "camera": [picture, one.view(1, 1, 1, 1)],
        "denoise": [latent, context, *condition.films, condition.layout],
        "paint": [latent, *features, *_flat(painting), texture],
        "texture": [*drawn, *_one_row(kernels)],
    }


def _flat(condition: PaintCondition) -> list[Tensor]:
    kernels = (condition.see_quarter, condition.see_half, condition.first, condition.second, condition.leave)
    return [*condition.films, condition.grain, *_one_row(kernels)]


def _one_row(kernels: Sequence[Kernel]) -> list[Tensor]:
    """Kernels as a convolution takes them."""
    return [part[0] for kernel in kernels for part in kernel]


def _kernels(parts: Sequence[Tensor]) -> list[Kernel]:
    """The other way round."""
    return [Kernel(weight[None], bias[None]) for weight, bias in zip(parts[::2], parts[1::2], strict=True)]


class _Camera(nn.Module):
    def __init__(self, model: NanoModel) -> None:
        super().__init__()
        self.part = model.camera

    def forward(self, picture: Tensor, visible: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.part(picture, visible))


class _Denoise(nn.Module):
    def __init__(self, model: NanoModel) -> None:
        super().__init__()
        self.part = model.denoiser

    def forward(self, latent: Tensor, context: Tensor, *condition: Tensor) -> Tensor:
        result: Tensor = self.part(latent, context, PassCondition(condition[:-1], condition[-1]))
        return result


class _Paint(nn.Module):
    def __init__(self, model: NanoModel) -> None:
        super().__init__()
        self.part = model.decoder

    def forward(self, latent: Tensor, *rest: Tensor) -> Tensor:
        features, rest = Features(*rest[:4]), rest[4:]
        films, grain, parts, texture = rest[:2], rest[2], rest[3:-1], rest[-1]
        see_quarter, see_half, first, second, leave = _kernels(parts)
        unread = grain  # the texture, which the code is for, is made already
        condition = PaintCondition(films, see_quarter, see_half, first, second, leave, grain, unread)
        result: Tensor = self.part.planes(latent, features, condition, texture)
        return result


class _Texture(nn.Module):
    def __init__(self, model: NanoModel) -> None:
        super().__init__()
        self.part = model.decoder.texture

    def forward(self, noise: Tensor, patterns: Tensor, broad: Tensor, *kernels: Tensor) -> Tensor:
        result: Tensor = self.part.printed(Drawn(noise, patterns, broad), _kernels(kernels))
        return result
