"""The built-in model with the weights that ship in the package: what it does to pixels."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from numpy.typing import NDArray
from PIL import Image

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.nano.adapter import WEIGHTS, NanoAdapter, load_nano
from liveglass.engine.models.nano.model import SIGMAS, NanoConfig, NanoModel
from liveglass.engine.models.nano.network import Kernel, _as_groups, _row_by_row, coordinates
from liveglass.engine.models.nano.openvino_passes import OpenVinoPasses
from liveglass.engine.training.photographs import held_out_photographs

SIZE = Size(320, 176)


@pytest.fixture(scope="module")
def adapter() -> NanoAdapter:
    return load_nano(device="cpu", threads=1)[0]


@pytest.fixture(scope="module")
def camera() -> Pixels:
    """A portrait that no training run has seen."""
    portrait = (held_out_photographs()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)[:282]
    return cv2.resize(portrait, (SIZE.width, SIZE.height), interpolation=cv2.INTER_AREA)


def control(*prompts: str | tuple[str, float], **params: float) -> ControlState:
    parts = tuple(Prompt(part) if isinstance(part, str) else Prompt(*part) for part in prompts)
    return ControlState(1, parts, params=Params(**params))  # type: ignore[arg-type]  # numbers by name


def paint(adapter: NanoAdapter, state: ControlState, camera: Pixels | None, size: Size = SIZE) -> NDArray[np.float32]:
    """One frame as the worker makes it, float32 [H, W, 3] in 0..255."""
    lane = adapter.open_lane(size)
    try:
        schedule = adapter.schedule(state, size)
        noise = adapter.draw_noise(state.params.seed, size)
        adapter.write(lane, adapter.encode_control(state), schedule, noise, state.params.strength)
        adapter.begin([lane], [camera])
        for step in range(schedule.steps):
            adapter.denoise([lane], step)
        return adapter.finish([lane])[0].astype(np.float32)
    finally:
        adapter.close_lane(lane)


def mean_colour(picture: NDArray[np.float32]) -> Sequence[float]:
    return [float(value) for value in picture.mean((0, 1))]


def test_night_vision_green_is_green(adapter: NanoAdapter, camera: Pixels) -> None:
    red, green, blue = mean_colour(paint(adapter, control("night vision green"), camera))
    assert green > 2 * red
    assert green > 2 * blue


def test_blue_ink_is_blue_on_light_paper(adapter: NanoAdapter, camera: Pixels) -> None:
    picture = paint(adapter, control("ink drawing, blue"), camera)
    dark = picture[picture.mean(2) < 120]
    assert len(dark) > 200
    assert dark[:, 2].mean() > dark[:, 0].mean() + 60
    assert np.percentile(picture.mean(2), 90) > 190


def test_pink_neon_is_pink_over_darkness(adapter: NanoAdapter, camera: Pixels) -> None:
    picture = paint(adapter, control("neon, pink"), camera)
    red, green, blue = mean_colour(picture)
    assert min(red, blue) > green + 30
    assert np.percentile(picture.mean(2), 25) < 60


@pytest.mark.parametrize(
    ("prompt", "strongest", "weakest"), [("blueprint", 2, 0), ("fire", 0, 2), ("hologram", 1, 0), ("vintage", 0, 2)]
)
def test_a_style_has_its_colours(
    adapter: NanoAdapter, camera: Pixels, prompt: str, strongest: int, weakest: int
) -> None:
    colour = mean_colour(paint(adapter, control(prompt), camera))
    assert colour[strongest] > colour[weakest] + 20


@pytest.mark.parametrize("style", ["ink", "neon"])
def test_swapping_the_colour_word_swaps_the_colour(adapter: NanoAdapter, camera: Pixels, style: str) -> None:
    red = mean_colour(paint(adapter, control(f"{style}, red"), camera))
    blue = mean_colour(paint(adapter, control(f"{style}, blue"), camera))
    assert red[0] - red[2] > blue[0] - blue[2] + 40


def test_scenes_are_painted_from_words_alone(adapter: NanoAdapter) -> None:
    beach, stars = (paint(adapter, control(words), None) for words in ("beach", "stars"))
    top, middle = beach[:40].mean((0, 1)), beach[-25:].mean((0, 1))
    assert top[2] > top[0] + 20, "sky above"
    assert middle[0] > middle[2], "sand below"
    assert stars.mean() < 70


def test_two_prompts_and_two_seeds_differ(adapter: NanoAdapter, camera: Pixels) -> None:
    fire = paint(adapter, control("fire"), camera)
    assert np.abs(fire - paint(adapter, control("blueprint"), camera)).mean() > 25
    one, two = (paint(adapter, control("clouds", seed=seed), None) for seed in (1, 2))
    assert np.abs(one - two).mean() > 3


def test_the_same_seed_gives_the_same_picture(adapter: NanoAdapter, camera: Pixels) -> None:
    one, two = (paint(adapter, control("fire", seed=5), camera) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_every_valid_step_count_gives_the_style(adapter: NanoAdapter, camera: Pixels, steps: int) -> None:
    assert steps in adapter.spec.valid_steps
    state = control("night vision green", steps=steps)
    assert adapter.schedule(state, SIZE).steps == steps
    red, green, blue = mean_colour(paint(adapter, state, camera))
    assert green > 1.3 * max(red, blue)


def test_words_fade_in_with_strength(adapter: NanoAdapter, camera: Pixels) -> None:
    pictures = [paint(adapter, control("neon, pink", strength=strength), camera) for strength in (0.0, 0.15, 0.3, 0.6)]
    away = [float(np.abs(picture - camera).mean()) for picture in pictures]
    assert max(away[:2]) < 15, "little but the camera"
    assert away[1:] == sorted(away[1:])
    assert away[-1] > 3 * max(away[:2])


def test_strength_goes_from_the_camera_to_nothing_of_it(adapter: NanoAdapter, camera: Pixels) -> None:
    def likeness(strength: float) -> float:
        made = paint(adapter, control("cartoon", strength=strength), camera)
        return float(np.corrcoef(made.mean(2).ravel(), camera.mean(2).ravel())[0, 1])

    low, usual, full = likeness(0.1), likeness(0.6), likeness(1.0)
    assert low > 0.9
    assert usual > 0.5
    assert full < 0.3


def test_at_full_strength_the_camera_has_no_influence_at_all(adapter: NanoAdapter, camera: Pixels) -> None:
    state = control("cartoon", strength=1.0)
    assert np.array_equal(paint(adapter, state, camera), paint(adapter, state, 255 - camera))


@pytest.mark.parametrize("text", ["水墨画 青", "🔥🔥", "\x00", "x" * 2000, "a " * 900, "   "])
def test_any_text_gives_a_picture(adapter: NanoAdapter, camera: Pixels, text: str) -> None:
    assert paint(adapter, control(text), camera).std() > 8


def test_no_words_keep_the_picture_recognisable(adapter: NanoAdapter, camera: Pixels) -> None:
    made = paint(adapter, control(), camera)
    assert np.corrcoef(made.mean(2).ravel(), camera.mean(2).ravel())[0, 1] > 0.85


def test_weights_of_prompts_mix_them(adapter: NanoAdapter) -> None:
    only, other = (adapter.encode_control(control(words)) for words in ("fire", "ink"))
    mixed = adapter.encode_control(control(("fire", 3.0), ("ink", 1.0)))
    torch.testing.assert_close(mixed, 0.75 * only + 0.25 * other)
    torch.testing.assert_close(adapter.blend(other, only, 0.75), mixed)


@pytest.fixture(scope="module")
def by_openvino(tmp_path_factory: pytest.TempPathFactory) -> NanoAdapter:
    model = NanoModel.from_pretrained(WEIGHTS)
    return NanoAdapter(model, lambda frozen: OpenVinoPasses(frozen, 1, tmp_path_factory.mktemp("openvino")))


@pytest.mark.parametrize("size", [Size(640, 360), Size(160, 90), Size(256, 256)])
def test_openvino_paints_what_torch_paints(by_openvino: NanoAdapter, camera: Pixels, size: Size) -> None:
    by_torch = load_nano(device="cpu", threads=1, openvino=False)[0]
    shown = cv2.resize(camera, (size.width, size.height))
    for picture, state in (
        (shown, control("ink, red", seed=2)),
        (shown, control("comic", seed=2, steps=1)),
        (None, control("sunset sea", seed=5, strength=1.0)),
    ):
        assert np.abs(paint(by_torch, state, picture, size) - paint(by_openvino, state, picture, size)).max() <= 2


def test_openvino_keeps_two_lanes_apart(by_openvino: NanoAdapter, camera: Pixels) -> None:
    states = [control("ink, red", seed=2), control("neon, green", seed=3)]
    alone = [paint(by_openvino, state, camera) for state in states]
    lanes = [by_openvino.open_lane(SIZE) for _ in states]
    for lane, state in zip(lanes, states, strict=True):
        schedule, noise = by_openvino.schedule(state, SIZE), by_openvino.draw_noise(state.params.seed, SIZE)
        by_openvino.write(lane, by_openvino.encode_control(state), schedule, noise, state.params.strength)
    by_openvino.begin(lanes, [camera, camera])
    for step in range(4):
        by_openvino.denoise(lanes, step)
    together = by_openvino.finish(lanes)
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))
    for lane in lanes:
        by_openvino.close_lane(lane)


@pytest.mark.parametrize("steps", [4, 2, 1])
def test_the_stock_scheduler_walks_where_the_adapter_walks(adapter: NanoAdapter, camera: Pixels, steps: int) -> None:
    model = NanoModel.from_pretrained(WEIGHTS)
    scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(str(WEIGHTS))
    scheduler.set_timesteps(sigmas=list(SIGMAS[steps]))
    state = control("neon, pink", steps=steps, seed=3)
    noise = adapter.draw_noise(3, SIZE)
    height, width = SIZE.height // 8, SIZE.width // 8
    latent = torch.from_numpy(noise[: 12 * height * width]).view(1, 12, height, width)
    picture = torch.from_numpy(camera).permute(2, 0, 1)[None].float() / 255
    one = torch.ones(1)
    with torch.no_grad():
        text = model.encode_text(["neon, pink"])
        for t, sigma in zip(scheduler.timesteps, SIGMAS[steps], strict=True):
            velocity = model(latent, one * sigma, text, picture, strength=one * 0.6, present=one, steps=steps)
            latent = scheduler.step(velocity, t, latent, return_dict=False)[0]
        features = model.encode_camera(picture, one * 0.6, one)
        texture = torch.from_numpy(noise[12 * height * width :]).view(1, 4, 4 * height, 4 * width)
        painting = model.decoder.conditions(text, one * 0.6, one)
        painted = model.paint(latent, features, painting, texture, coordinates(height, width))
    stock = (painted[0].permute(1, 2, 0).numpy() * 255).clip(0, 255)
    assert np.abs(stock - paint(adapter, state, camera)).mean() < 1.0


def test_the_shipped_folder_is_small_and_complete() -> None:
    names = {path.name for path in WEIGHTS.iterdir()}
    assert {"config.json", "scheduler_config.json", "diffusion_pytorch_model.safetensors", "README.md"} <= names
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 16e6


def test_kernels_of_each_row_are_the_same_row_by_row_and_as_groups() -> None:
    torch.manual_seed(2)
    x, kernel = torch.randn(3, 5, 12, 16), Kernel(torch.randn(3, 7, 5, 3, 3), torch.randn(3, 7))
    for dilation in (1, 2):
        torch.testing.assert_close(_as_groups(x, kernel, dilation), _row_by_row(x, kernel, dilation))


def test_a_saved_model_loads_as_itself(tmp_path: pytest.TempPathFactory) -> None:
    model = NanoModel(NanoConfig(denoiser_widths=(16, 16, 16), painter_widths=(16, 16, 16)))
    model.save_pretrained(tmp_path)
    again = NanoModel.from_pretrained(tmp_path)
    assert again.config == model.config
    assert all(torch.equal(ours, again.state_dict()[name]) for name, ours in model.state_dict().items())


def test_the_picture_is_a_function_of_the_noise_that_is_given(adapter: NanoAdapter) -> None:
    one, two = adapter.draw_noise(7, SIZE), adapter.draw_noise(7, SIZE)
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert abs(float(one.std()) - 1) < 0.02


def test_a_thumbnail_of_each_look_is_its_own_picture(adapter: NanoAdapter, camera: Pixels) -> None:
    made = [paint(adapter, control(look.prompt), camera) for look in adapter.spec.looks]
    small = [np.asarray(Image.fromarray(picture.astype(np.uint8)).resize((32, 18)), np.float32) for picture in made]
    distances = [np.abs(a - b).mean() for n, a in enumerate(small) for b in small[:n]]
    assert min(distances) > 6
