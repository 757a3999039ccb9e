"""Measures of a trained model on pictures that no training saw: a table for the model card, with its bars.

Everything is compared on the same noise. What is not measured is said to be not measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.models.nano.vocabulary import SCENES
from liveglass.engine.training.distil import TEACHER_SIGMAS
from liveglass.engine.training.fields import blur, luma
from liveglass.engine.training.generate import generate
from liveglass.engine.training.losses import texture_loss
from liveglass.engine.training.sheets import held_out
from liveglass.engine.training.styles import COLOURS, STOCHASTIC, STYLES

_PHRASES = {"nightvision": "night vision"}


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        claim: what was measured.
        value: with its unit.
        bar: what it should be; empty where there is none.
        verdict: `pass`, `falls short` or empty.
    """

    claim: str
    value: str
    bar: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Scores:
    """Means over styles: closeness for exact ones, texture for stochastic ones (in grey levels)."""

    psnr: float
    ssim: float
    texture: float

    def line(self) -> str:
        """All three, as the table has them."""
        return f"{self.psnr:.1f} dB / {self.ssim:.2f} / {self.texture:.1f}"


def psnr(made: Tensor, target: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB."""
    errors = ((made - target) ** 2).mean((1, 2, 3)).clamp(min=1e-9)
    return float((-10 * torch.log10(errors)).mean())


def ssim(made: Tensor, target: Tensor) -> float:
    """Structural similarity of brightness (Wang et al. 2004), Gaussian window of sigma 1.5."""
    ours, theirs = luma(made), luma(target)
    mean_ours, mean_theirs = blur(ours, 1.5), blur(theirs, 1.5)
    var_ours = blur(ours * ours, 1.5) - mean_ours**2
    var_theirs = blur(theirs * theirs, 1.5) - mean_theirs**2
    covariance = blur(ours * theirs, 1.5) - mean_ours * mean_theirs
    top = (2 * mean_ours * mean_theirs + 1e-4) * (2 * covariance + 9e-4)
    return float((top / ((mean_ours**2 + mean_theirs**2 + 1e-4) * (var_ours + var_theirs + 9e-4))).mean())


def texture_distance(made: Tensor, target: Tensor) -> float:
    """Sliced Wasserstein distance of patches in grey levels, with fixed projections."""
    state = torch.random.get_rng_state()
    torch.manual_seed(5)
    distance = float(texture_loss(made, target, 64)) * 255
    torch.random.set_rng_state(state)
    return distance


def targets(camera: Tensor, seed: int) -> Mapping[str, Tensor]:
    """What the style programs make of `camera`."""
    torch.manual_seed(seed)
    return {name: style(camera, "").clamp(0, 1) for name, style in STYLES.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def score(
    model: NanoModel, camera: Tensor, wanted: Mapping[str, Tensor], steps: int, sigmas: Sequence[float] | None = None
) -> Scores:
    """Every style, compared with its program."""
    close, alike, texture = [], [], []
    for name, target in wanted.items():
        prompts = [_PHRASES.get(name, name)] * len(camera)
        made = generate(model, prompts, camera, steps=steps, sigmas=sigmas)
        if name in STOCHASTIC:
            texture.append(texture_distance(made, target))
        else:
            close.append(psnr(made, target))
            alike.append(ssim(made, target))
    return Scores(_mean(close), _mean(alike), _mean(texture))


def colour_swaps(model: NanoModel, camera: Tensor) -> float:
    """Share of swaps of a colour word in ink and neon that move the mean colour towards the new word's colour."""
    names = [name for name in COLOURS if name not in {"white", "gold"}]
    hits: list[float] = []
    for style in ("ink", "neon"):
        made = {name: generate(model, [f"{style}, {name}"] * len(camera), camera).mean((0, 2, 3)) for name in names}
        for first, second in pairwise([*names, names[0]]):
            moved = made[second] - made[first]
            wanted = torch.tensor(COLOURS[second]) - torch.tensor(COLOURS[first])
            hits.append(float(torch.dot(moved - moved.mean(), wanted - wanted.mean()) > 0))
    return _mean(hits)


def seeds_differ(model: NanoModel) -> float:
    """Mean difference between two seeds of the same scene, in grey levels."""
    empty = torch.zeros(1, 3, 176, 320)
    distances = []
    for scene in SCENES:
        one, two = (generate(model, [scene], empty, with_camera=False, seed=seed) for seed in (1, 2))
        distances.append(float((one - two).abs().mean()) * 255)
    return _mean(distances)


def noise_gain(model: NanoModel, camera: Tensor) -> float:
    """Output noise over input noise of a still picture with camera noise of 4 grey levels, mean over styles."""
    torch.manual_seed(9)
    first, second = ((camera + torch.randn_like(camera) * 4 / 255).clamp(0, 1) for _ in range(2))
    into = float((first - second).std())
    gains = []
    for name in STYLES:
        prompts = [_PHRASES.get(name, name)] * len(camera)
        gains.append(float((generate(model, prompts, first) - generate(model, prompts, second)).std()) / into)
    return _mean(gains)


def _judged(claim: str, value: str, bar: str, passed: bool) -> Figure:
    return Figure(claim, value, bar, "pass" if passed else "falls short")


def evaluate(student: NanoModel, teacher: NanoModel | None = None) -> list[Figure]:
    """The table; the teacher's rows only where its weights are given."""
    camera = held_out()
    wanted, again = targets(camera, 3), targets(camera, 4)
    four, one = score(student, camera, wanted, 4), score(student, camera, wanted, 1)
    reseeded = _mean([texture_distance(again[name], wanted[name]) for name in sorted(STOCHASTIC)])
    figures = [
        _judged("exact styles against their program, 4 steps, PSNR", f"{four.psnr:.1f} dB", "≥ 24 dB", four.psnr >= 24),
        _judged("the same, SSIM", f"{four.ssim:.2f}", "≥ 0.85", four.ssim >= 0.85),
        _judged(
            f"stochastic styles, texture distance, 4 steps (program reseeded: {reseeded:.1f})",
            f"{four.texture:.1f}",
            "≤ 3.5",
            four.texture <= 3.5,
        ),
        Figure("1 step: PSNR / SSIM / texture", one.line()),
    ]
    if teacher is not None:
        few, many = score(teacher, camera, wanted, 4), score(teacher, camera, wanted, 4, TEACHER_SIGMAS)
        figures += [
            Figure("teacher, 8 steps: PSNR / SSIM / texture", many.line()),
            Figure("teacher, 4 steps: PSNR / SSIM / texture", few.line()),
            _judged(
                "distillation, 4 steps against the teacher's 4",
                f"{four.psnr - few.psnr:+.1f} dB, texture {four.texture / few.texture - 1:+.0%}",
                "≥ +1 dB, ≤ -10%",
                four.psnr - few.psnr >= 1 and four.texture <= 0.9 * few.texture,
            ),
        ]
    swaps, seeds, gain = colour_swaps(student, camera), seeds_differ(student), noise_gain(student, camera)
    return [
        *figures,
        _judged("colour words: a swap moves the colour that way", f"{swaps:.0%}", "≥ 90%", swaps >= 0.9),
        Figure("two seeds of a scene differ by", f"{seeds:.1f} grey levels"),
        _judged("still camera, noise out / noise in (before a codec)", f"{gain:.2f}", "≤ 0.5", gain <= 0.5),
    ]


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| claim | measured | bar | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {f.claim} | {f.value} | {f.bar} | {f.verdict} |" for f in figures)])
