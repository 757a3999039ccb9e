"""Measures of a trained model on pictures that no training saw: a table for the model card, with its bars.

Everything is compared on the same noise. What is not measured is said to be not measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from liveglass.engine.models.nano import vocabulary
from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.training.evaluator import Evaluator
from liveglass.engine.training.examples import NAMES
from liveglass.engine.training.generate import generate, seeded_dice
from liveglass.engine.training.measures import noise_gain, pan_error, psnr, ssim, texture_distance, weave
from liveglass.engine.training.pictures import ramps
from liveglass.engine.training.scenes import SCENES, draw
from liveglass.engine.training.sheets import held_out
from liveglass.engine.training.styles import COLOURS, MODIFIERS, STOCHASTIC, STYLES, stylise

Paint = Callable[[Tensor], Tensor]

_SEED = 1
"""Of the noise that the model paints from, unless another is wanted."""
_OTHER_SEED = 3
TEACHER_SIGMAS = tuple(torch.linspace(1, 0.25, 8).tolist())
_SCORES = "PSNR / SSIM / texture / PSNR of stochastic styles"
_PANS = (1, 3, 8)
_PAN_ALLOWANCE = 2.0


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
    """Means over styles: closeness of the exact ones; of the stochastic ones closeness and texture (in levels).

    Closeness is to the program with the same noise, texture to the program with another.
    """

    psnr: float
    ssim: float
    texture: float
    chance_psnr: float

    def line(self) -> str:
        """All four, as the table has them."""
        return f"{self.psnr:.1f} dB / {self.ssim:.2f} / {self.texture:.1f} / {self.chance_psnr:.1f} dB"


def targets(camera: Tensor, seed: int) -> Mapping[str, Tensor]:
    """What the style programs make of `camera` with the dice of `seed`."""
    count, _, height, width = camera.shape
    return {name: stylise(name, camera, dice=seeded_dice(seed, count, height, width)) for name in STYLES}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _judged(claim: str, value: str, bar: str, passed: bool) -> Figure:
    return Figure(claim, value, bar, "pass" if passed else "falls short")


def score(model: NanoModel, camera: Tensor, steps: int, sigmas: Sequence[float] | None = None) -> Scores:
    """Every style, compared with its program."""
    same, another = targets(camera, _SEED), targets(camera, _OTHER_SEED)
    close, alike, texture, chance = [], [], [], []
    for name, target in same.items():
        prompts = [NAMES.get(name, name)] * len(camera)
        made = generate(model, prompts, camera, steps=steps, sigmas=sigmas, seed=_SEED)
        if name in STOCHASTIC:
            texture.append(texture_distance(made, another[name]))
            chance.append(psnr(made, target))
        else:
            close.append(psnr(made, target))
            alike.append(ssim(made, target))
    return Scores(_mean(close), _mean(alike), _mean(texture), _mean(chance))


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
    """Mean difference between two seeds of the same scene, in levels."""
    empty = torch.zeros(1, 3, 176, 320)
    distances = []
    for scene in vocabulary.SCENES:
        one, two = (generate(model, [scene], empty, with_camera=False, seed=seed) for seed in (1, 2))
        distances.append(float((one - two).abs().mean()) * 255)
    return _mean(distances)


def style_prompts() -> list[tuple[str, str]]:
    """Four prompts for each style as people write them, with the style that each asks for."""
    extras = ("", ", blue", ", red", ", vivid", ", green", ", dark", ", gold", ", pink")
    result = []
    for index, name in enumerate(vocabulary.STYLES):
        words = [name, *(word for word, meant in vocabulary.SYNONYMS.items() if meant == name)]
        for turn in range(4):
            said = words[turn % len(words)] + extras[(index + 3 * turn) % len(extras)]
            result.append((f"a portrait in {said} style" if turn % 2 else said, vocabulary.token(name)))
    return result


def by_program(prompt: str, style: str, camera: Tensor) -> Tensor:
    """What the style's program makes of `camera` for a prompt's colour and modifier."""
    words = [word for word, known in vocabulary.tokens(prompt) if known]
    colour = next((word for word in words if word in COLOURS), "")
    picture = stylise(style, camera, colour)
    for word in words:
        picture = MODIFIERS[word](picture) if word in MODIFIERS else picture
    return picture.clamp(0, 1)


def styles_named(model: NanoModel, judge: Evaluator, camera: Tensor) -> tuple[float, float, dict[str, str]]:
    """Share of pictures whose style the judge names: the model's and the programs'; what it took the model's for."""
    names = tuple(STYLES)
    ours, theirs, mistakes = [], [], {}
    torch.manual_seed(7)
    for prompt, style in style_prompts():
        theirs += [float(said == style) for said in judge.names(by_program(prompt, style, camera), names)]
        for said in judge.names(generate(model, [prompt] * len(camera), camera), names):
            ours.append(float(said == style))
            if said != style:
                mistakes[style] = said
    return _mean(ours), _mean(theirs), mistakes


def scenes_named(model: NanoModel, judge: Evaluator) -> tuple[float, dict[str, str]]:
    """Share of scenes from words alone, four seeds each, that the judge names, and what it took the others for."""
    empty = torch.zeros(1, 3, 176, 320)
    right, mistakes = [], {}
    for scene in SCENES:
        for seed in range(4):
            made = generate(model, [NAMES.get(scene, scene)], empty, with_camera=False, seed=seed)
            said = judge.names(made, tuple(SCENES))[0]
            right.append(float(said == scene))
            if said != scene:
                mistakes[scene] = said
    return _mean(right), mistakes


def scenes_close(model: NanoModel, steps: int = 4) -> float:
    """Mean PSNR in dB of every scene from words alone against its program with the same noise, two seeds each."""
    height, width = 176, 320
    empty, distances = torch.zeros(1, 3, height, width), []
    for scene in SCENES:
        for seed in (_SEED, _OTHER_SEED):
            wanted = draw(scene, 1, height, width, seeded_dice(seed, 1, height, width))
            made = generate(model, [NAMES.get(scene, scene)], empty, with_camera=False, seed=seed, steps=steps)
            distances.append(psnr(made, wanted))
    return _mean(distances)


def _by_words(model: NanoModel, name: str) -> Paint:
    """What the model makes of pictures for the words of a style, from the same noise each time."""
    return lambda shown: generate(model, [NAMES.get(name, name)] * len(shown), shown)


def _by_seeded_program(name: str) -> Paint:
    """What a style's program makes of pictures one by one, from the same seed each time."""

    def paint(shown: Tensor) -> Tensor:
        count, _, height, width = shown.shape
        return stylise(name, shown, dice=seeded_dice(_SEED, count, height, width))

    return paint


def _noise_row(model: NanoModel, camera: Tensor) -> Figure:
    gains = {name: noise_gain(_by_words(model, name), camera[:1]) for name in STYLES}
    worst = max(gains, key=lambda name: gains[name])
    mean = _mean(list(gains.values()))
    return _judged(
        "still camera, noise of 4 levels, after H.264: out / in, mean of the styles",
        f"{mean:.2f} (worst: {worst} {gains[worst]:.2f})",
        "≤ 0.5",
        mean <= 0.5,
    )


def _pan_row(model: NanoModel, step: int) -> Figure:
    wide = held_out(176, 400)[1:]
    ours = {name: pan_error(_by_words(model, name), wide, step, 320) for name in STYLES}
    theirs = {name: pan_error(_by_seeded_program(name), wide, step, 320) for name in STYLES}
    worst = max(STYLES, key=lambda name: ours[name] - theirs[name])
    over = ours[worst] - theirs[worst]
    return _judged(
        f"pan of {step} px a frame, motion-compensated error (the programs: {_mean(list(theirs.values())):.1f})",
        f"{_mean(list(ours.values())):.1f} (furthest over its program: {worst} {over:+.1f})",
        "≤ its program's + 2",
        over <= _PAN_ALLOWANCE,
    )


def _distilled_rows(student: Scores, teacher: NanoModel, camera: Tensor) -> list[Figure]:
    few, many = score(teacher, camera, 4), score(teacher, camera, 4, TEACHER_SIGMAS)
    return [
        Figure(f"teacher, 8 steps: {_SCORES}", many.line()),
        Figure(f"teacher, 4 steps: {_SCORES}", few.line()),
        _judged(
            "distilled: 4 steps against the teacher's 4",
            f"{student.psnr - few.psnr:+.1f} dB, texture {student.texture / few.texture - 1:+.0%}",
            "≥ +1 dB, ≤ -10%",
            student.psnr - few.psnr >= 1 and student.texture <= 0.9 * few.texture,
        ),
    ]


def _rival_rows(rival: NanoModel, camera: Tensor) -> list[Figure]:
    return [
        Figure(f"a network that only learnt one step: {_SCORES}", score(rival, camera, 1).line()),
        Figure("the same: scenes against their program with the same noise, PSNR", f"{scenes_close(rival, 1):.1f} dB"),
    ]


def evaluate(
    student: NanoModel, judge: Evaluator, teacher: NanoModel | None = None, rival: NanoModel | None = None
) -> list[Figure]:
    """The table; the rows of teacher and one-step rival only where their weights are given."""
    camera = held_out()
    wanted, again = targets(camera, _SEED), targets(camera, _OTHER_SEED)
    four, one = score(student, camera, 4), score(student, camera, 1)
    reseeded = _mean([texture_distance(again[name], wanted[name]) for name in sorted(STOCHASTIC)])
    swaps, seeds = colour_swaps(student, camera), seeds_differ(student)
    style_share, program_share, style_mistakes = styles_named(student, judge, camera)
    scene_share, scene_mistakes = scenes_named(student, judge)
    torch.manual_seed(6)
    walls = ramps(4, 176, 320)
    on_walls = targets(walls, _SEED)
    woven = _mean([weave(_by_words(student, name)(walls), on_walls[name]) for name in STYLES])
    return [
        _judged("exact styles against their program, 4 steps, PSNR", f"{four.psnr:.1f} dB", "≥ 24 dB", four.psnr >= 24),
        _judged("the same, SSIM", f"{four.ssim:.2f}", "≥ 0.85", four.ssim >= 0.85),
        _judged(
            f"stochastic styles, texture distance, 4 steps (program reseeded: {reseeded:.1f})",
            f"{four.texture:.1f}",
            "≤ 3.5",
            four.texture <= 3.5,
        ),
        Figure("the same against their program with the same noise, PSNR", f"{four.chance_psnr:.1f} dB"),
        Figure(f"1 step: {_SCORES}", one.line()),
        *([] if teacher is None else _distilled_rows(four, teacher, camera)),
        *([] if rival is None else _rival_rows(rival, camera)),
        _judged(
            f"the judge names the style asked for, {len(style_prompts())} prompts, 2 pictures (the programs' own:"
            f" {program_share:.0%})",
            f"{style_share:.0%}{_listed(style_mistakes)}",
            "≥ 95%",
            style_share >= 0.95,
        ),
        _judged("colour words: a swap moves the colour that way", f"{swaps:.0%}", "≥ 90%", swaps >= 0.9),
        _judged(
            f"the judge names the scene, {len(SCENES)} scenes, 4 seeds",
            f"{scene_share:.0%}{_listed(scene_mistakes)}",
            "≥ 85%",
            scene_share >= 0.85,
        ),
        Figure(
            "scenes against their program with the same noise, PSNR; in 1 step",
            f"{scenes_close(student):.1f} dB; {scenes_close(student, 1):.1f} dB",
        ),
        Figure("two seeds of a scene differ by", f"{seeds:.1f} levels"),
        _noise_row(student, camera),
        *(_pan_row(student, step) for step in _PANS),
        Figure("weave of 8 pixels on plain walls, mean of the styles", f"{woven:.1f} levels"),
    ]


def _listed(mistakes: Mapping[str, str]) -> str:
    told = ", ".join(f"{asked} as {said}" for asked, said in mistakes.items())
    return f" ({told})" if told else ""


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = ["| claim | measured | bar | |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {f.claim} | {f.value} | {f.bar} | {f.verdict} |" for f in figures)])
