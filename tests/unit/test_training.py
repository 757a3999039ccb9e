"""The trainer: programs, batches, losses, and a toy run that ends in a model that loads."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from liveglass.engine.models.nano import vocabulary
from liveglass.engine.models.nano.adapter import load_nano
from liveglass.engine.models.nano.model import SIGMAS, NanoConfig, NanoModel
from liveglass.engine.models.nano.network import LATENT_SCALE, to_latent
from liveglass.engine.training import cli, photographs
from liveglass.engine.training.dice import Dice, noises
from liveglass.engine.training.evaluate import style_prompts
from liveglass.engine.training.evaluator import stored_evaluator
from liveglass.engine.training.examples import Examples
from liveglass.engine.training.loop import Settings, fit
from liveglass.engine.training.losses import pixel_loss, pyramid, texture_loss, weave_loss
from liveglass.engine.training.measures import noise_gain, pan_error
from liveglass.engine.training.muon import orthogonal
from liveglass.engine.training.pictures import ramps
from liveglass.engine.training.scenes import SCENES, draw
from liveglass.engine.training.styles import COLOURS, EXACT, MODIFIERS, STOCHASTIC, STYLES, stylise

torch.set_num_threads(1)
PICTURE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def examples() -> Examples:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    return Examples(pictures, seed=2)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("colour", ["", "blue"])
def test_a_style_program_stays_in_range(style: str, colour: str) -> None:
    painted = stylise(style, PICTURE, colour)
    assert painted.shape == PICTURE.shape
    assert torch.isfinite(painted).all()
    assert painted.std() > 0.01


@pytest.mark.parametrize("style", EXACT)
def test_a_style_that_is_called_exact_gives_the_same_twice(style: str) -> None:
    assert torch.equal(stylise(style, PICTURE), stylise(style, PICTURE))


@pytest.mark.parametrize("style", STOCHASTIC)
def test_a_stochastic_style_is_a_function_of_its_dice(style: str) -> None:
    start, noise = noises(2, 64, 64)
    one, same = (stylise(style, PICTURE, dice=Dice(start, noise, 64, 64)) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, stylise(style, PICTURE))


@pytest.mark.parametrize("shape", [(64, 64), (44, 80), (50, 37)])
def test_dice_throw_what_is_asked_for(shape: tuple[int, int]) -> None:
    torch.manual_seed(1)
    dice = Dice.thrown(3, *shape)
    assert dice.white().shape == dice.bumps(3).shape == dice.cloud(22, 60).shape == (3, 1, *shape)
    assert dice.grain(0.7).std().item() == pytest.approx(1, abs=0.1)
    assert dice.strokes(0.5, 9).std().item() == pytest.approx(1, abs=0.1)
    assert dice.bumps(22, 60).diff(dim=2).std() < dice.bumps(22, 60).diff(dim=3).std(), "longer than it is wide"


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("shape", [(64, 112), (96, 64)])
def test_a_scene_program_draws_any_shape_and_never_twice_the_same(scene: str, shape: tuple[int, int]) -> None:
    picture = draw(scene, 2, *shape)
    assert picture.shape == (2, 3, *shape)
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert not torch.equal(picture[0], picture[1])
    start, noise = noises(1, *shape)
    one, same = (draw(scene, 1, *shape, Dice(start, noise, *shape)) for _ in range(2))
    assert torch.equal(one, same)


def test_programs_and_published_words_are_the_same() -> None:
    names = {"sunset": "sunset sea", "city": "city lights"}
    assert {vocabulary.token(name) for name in vocabulary.STYLES} == set(STYLES)
    assert set(vocabulary.SCENES) == {names.get(scene, scene) for scene in SCENES}
    assert set(vocabulary.COLOURS) == set(COLOURS)
    assert set(vocabulary.MODIFIERS) == set(MODIFIERS)


def test_every_prompt_of_training_says_what_its_target_shows(examples: Examples) -> None:
    for _ in range(60):
        wish = examples.wish(style="nightvision", scene="")
        words = [word for word, known in vocabulary.tokens(wish.text) if known]
        assert sorted(words) == sorted(word for word in (wish.style, wish.colour, wish.modifier) if word)


def test_a_batch_is_made_of_matching_rows(examples: Examples) -> None:
    batch = examples.styles(3, 2, 64)
    assert len(batch.prompts) == 6
    assert batch.camera.shape == batch.target.shape == (6, 3, 64, 64)
    assert batch.present.eq(1).all()
    assert batch.target.min() >= 0
    assert batch.target.max() <= 1
    scenes = examples.scenes(2, (64, 96))
    assert scenes.camera.eq(0).all()
    assert scenes.present.eq(0).all()
    assert scenes.target.shape == (2, 3, 64, 96)


def test_low_strength_lets_the_camera_shine_through(examples: Examples) -> None:
    for _ in range(12):
        batch = examples.styles(3, 2, 64)
        for row in (batch.strength < 0.08).nonzero()[:, 0].tolist():
            assert (batch.target[row] - batch.camera[row]).abs().mean() < 0.2


def test_the_same_seed_makes_the_same_examples() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    one, two = (Examples(pictures, seed=5).styles(2, 2, 64) for _ in range(2))
    assert one.prompts == two.prompts
    assert torch.equal(one.target, two.target)


def test_held_out_photographs_are_never_trained_on() -> None:
    assert not set(photographs.TRAINING) & set(photographs.HELD_OUT)
    assert [photograph.shape[0] for photograph in photographs.held_out_photographs()] == [3, 3]


def test_the_latent_is_the_mean_of_four_by_four_pixels() -> None:
    latent = to_latent(PICTURE)
    assert latent.shape == (2, 12, 8, 8)
    corner = (PICTURE[0, 0, :4, :4].mean() * 2 - 1) * LATENT_SCALE
    torch.testing.assert_close(latent[0, 0, 0, 0], corner)


def test_a_pyramid_adds_up_to_its_picture() -> None:
    total = torch.zeros(())
    for band in reversed(pyramid(PICTURE)):
        if total.dim():
            total = torch.nn.functional.interpolate(total, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + band
    torch.testing.assert_close(total, PICTURE)


def test_losses_vanish_on_the_target_and_texture_ignores_where_it_lies() -> None:
    ones = torch.ones(2)
    assert pixel_loss(PICTURE, PICTURE, ones) == 0
    assert texture_loss(PICTURE, PICTURE) == 0
    shuffled = PICTURE[..., torch.randperm(64, generator=torch.Generator().manual_seed(1))]
    grey = torch.full_like(PICTURE, 0.5)
    assert texture_loss(shuffled, PICTURE) < 0.5 * texture_loss(grey, PICTURE)
    assert pixel_loss(shuffled, PICTURE, ones) > pixel_loss(grey, PICTURE, ones)


def test_the_weave_is_what_repeats_every_eight_pixels() -> None:
    flat = torch.full((1, 3, 128, 128), 0.5)
    pattern = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.02
    woven, once = flat + pattern.repeat(1, 1, 16, 16), flat.clone()
    once[..., :8, :8] += pattern
    assert weave_loss(flat + 0.1, flat) < 1e-3, "an even error is no weave"
    assert weave_loss(woven, flat) == pytest.approx(float((pattern - pattern.mean()).pow(2).mean().sqrt()), rel=0.05)
    assert weave_loss(once, flat) < 0.1 * weave_loss(woven, flat)


@pytest.mark.parametrize("shape", [(16, 144), (64, 48), (32, 32)])
def test_muon_moves_every_direction_of_a_kernel_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    matrix[:, 0] *= 100
    singular = torch.linalg.svdvals(orthogonal(matrix))
    assert singular.max() < 1.3
    assert singular.median() > 0.6


def test_plain_walls_are_plain() -> None:
    walls = ramps(3, 32, 48)
    assert walls.shape == (3, 3, 32, 48)
    assert (walls[..., 1:] - walls[..., :-1]).abs().max() < 0.2


def test_what_paints_nothing_new_keeps_all_noise_and_follows_every_pan() -> None:
    wide = torch.nn.functional.interpolate(PICTURE[:1], size=(64, 128), mode="bicubic").clamp(0, 1)
    assert pan_error(lambda shown: shown, wide, 3, 96) < 1e-3
    assert pan_error(lambda shown: shown * torch.linspace(0, 1, 96), wide, 3, 96) > 1
    wall = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    still = noise_gain(lambda shown: shown[:1].expand_as(shown), wall)
    assert still < 0.2 < noise_gain(lambda shown: shown, wall)


def test_the_judge_is_kept_and_names_what_it_was_taught(tmp_path: Path) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (3, 3, 160, 160), dtype=np.uint8)
    told: list[str] = []
    path = tmp_path / "judge.pt"
    stored_evaluator(path, pictures, 1, told.append, steps=100, each=1)
    again = stored_evaluator(path, pictures, 1, told.append, steps=100, each=1)
    assert len(told) == 1
    assert again.names(PICTURE, ("ink", "neon"))[0] in {"ink", "neon"}


def test_every_prompt_of_the_evaluation_asks_for_its_style() -> None:
    asked = style_prompts()
    assert len(asked) >= 50
    for prompt, style in asked:
        words = [word for word, known in vocabulary.tokens(prompt) if known]
        assert style in words
        assert vocabulary.unknown(prompt) == ()


def test_a_toy_run_trains_distils_resumes_and_loads(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--tiny", "--minutes", "0.05", "--processes", "2", "--run", str(tmp_path), "--seed", "3"]
    assert cli.main(["all", *options]) == 0
    lines = capfd.readouterr().out
    assert "ETA" in lines
    assert "estimate" in lines
    assert cli.main(["rival", *options]) == 0
    assert (tmp_path / "rival.pt").exists()
    capfd.readouterr()
    assert cli.main(["teacher", *options]) == 0
    assert "resumes at step" in capfd.readouterr().out
    adapter, device = load_nano(device="cpu", folder=tmp_path / "model")
    assert device == "cpu"
    assert adapter.spec.name == "nano"


class Poisoned:
    """A phase whose every other loss is not a number."""

    name, rate, warmup = "poisoned", 1e-3, 1

    def loss(self, model: NanoModel, step: int) -> tuple[Tensor, dict[str, float]]:
        loss = sum((parameter.square().mean() for parameter in model.parameters()), torch.zeros(()))
        loss = loss * (math.nan if step % 2 else 1.0)
        return loss, {"figure": loss.item()}


def test_a_step_that_is_not_a_number_is_left_out(tmp_path: Path) -> None:
    model = NanoModel(NanoConfig(denoiser_widths=(16, 16, 16), painter_widths=(16, 16, 16)))
    before = sum(float(parameter.detach().square().sum()) for parameter in model.parameters())
    told: list[str] = []
    average = fit(model, Poisoned(), Settings(tmp_path, 0.3), told.append)
    after = sum(float(parameter.square().sum()) for parameter in average.parameters())
    assert after < before
    assert "skipped 0." in told[-1]
    assert "nan" not in told[-1]


def test_learning_lowers_the_loss_of_a_single_batch() -> None:
    torch.manual_seed(0)
    model = NanoModel(NanoConfig(denoiser_widths=(16, 16, 16), painter_widths=(16, 16, 16)))
    from liveglass.engine.training.generate import Painter

    target = to_latent(PICTURE)
    one = torch.ones(2)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        painter = Painter(model, ["ink", "fire"], PICTURE, one * 0.6, one)
        loss = ((painter.roll(torch.zeros_like(target), SIGMAS[2], 2) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
