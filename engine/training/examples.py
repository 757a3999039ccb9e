"""Training examples: a prompt, what the camera shows, and the picture that should come out.

`Examples.styles` gives crops of camera pictures with a style, `Examples.scenes` whole pictures painted from words.
Everything is made on the fly from programs: no example comes twice. Strength is part of the target: below 0.4 the
camera shines through, up to 0.7 the style is full, above it the network sees less and less of the camera.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.training.dice import Dice, noises
from liveglass.engine.training.fields import from_bytes, lerp, luma
from liveglass.engine.training.pictures import ramps, recolour
from liveglass.engine.training.scenes import SCENES, draw
from liveglass.engine.training.styles import COLOURS, MODIFIERS, STYLES, plain, stylise, tint

NAMES = {"nightvision": "night vision", "sunset": "sunset sea", "city": "city lights"}
"""What people write, for the programs whose names differ."""

WORDLESS_SCENE = "clouds"
"""What is painted without a camera where no word is known."""

_SHAPES = ((176, 320), (256, 256), (320, 176), (208, 288))
_WHOLE = (176, 320)
_PLAIN_SHARE = 0.08
_COLOUR_NATIVE = ("ink", "neon")
"""Styles that are made of one colour: they carry the colour words, and are drawn twice as often."""


@dataclass(frozen=True)
class Batch:
    """What one training step sees; without a camera the target is a function of words and noise.

    Attributes:
        prompts: one for each row.
        camera: `[B, 3, H, W]`; zeros where `present` is 0.
        target: `[B, 3, H, W]`.
        strength: `[B]`.
        present: `[B]`, 1 with a camera.
        exact: `[B]`, 1 where the target is a function of camera picture and noise, so that pixels may be compared.
        start: starting noise, `[B, 12, H/8, W/8]`.
        noise: decoder noise, `[B, 4, H/2, W/2]`.
        window: top, left, bottom, right of this crop within the whole picture, as fractions.
    """

    prompts: list[str]
    camera: Tensor
    target: Tensor
    strength: Tensor
    present: Tensor
    exact: Tensor
    start: Tensor
    noise: Tensor
    window: tuple[float, float, float, float]


@dataclass(frozen=True)
class Wish:
    """A prompt taken apart."""

    style: str
    scene: str
    colour: str
    modifier: str
    text: str

    def paint(self, source: Tensor, dice: Dice | None = None) -> Tensor:
        """Style, colour and modifier over `source` `[B, 3, H, W]`; a stochastic style throws `dice`, or its own."""
        if self.style:
            picture = stylise(self.style, source, self.colour, dice)
        else:
            picture = tint(source, self.colour) if self.scene else plain(source, self.colour)
        return MODIFIERS[self.modifier](picture) if self.modifier else picture

    @property
    def exact(self) -> bool:
        """Whether the same camera picture and the same dice always give the same target; not so in a scene's light."""
        return not self.scene


class Examples:
    """An endless source of batches.

    Args:
        pictures: camera pictures, uint8 `[N, 3, S, S]`.
        seed: of everything that is drawn here; torch's global generator is seeded too.
    """

    def __init__(self, pictures: NDArray[np.uint8], seed: int) -> None:
        self._pictures = pictures
        self._random = np.random.default_rng(seed)
        torch.manual_seed(seed)

    def _pick(self, options: tuple[str, ...]) -> str:
        return options[int(self._random.integers(len(options)))]

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)

    def _noise_word(self) -> str:
        letters = self._random.integers(97, 123, size=int(self._random.integers(3, 10)))
        return "".join(chr(letter) for letter in letters)

    def wish(self, *, style: str = "", scene: str = "") -> Wish:
        """A prompt around `style` and `scene`, with words in any order and sometimes one that means nothing."""
        coloured = 0.85 if style in _COLOUR_NATIVE else 0.3 if style else 0.12
        colour = self._pick(tuple(COLOURS)) if self._chance(coloured) else ""
        modifier = self._pick(tuple(MODIFIERS)) if self._chance(0.12 if style else 0.3) else ""
        if (scene, modifier) in {("city", "night"), ("stars", "night")}:
            modifier = ""
        if style == "nightvision" and self._chance(0.3):
            colour = "green"
        words = [word for word in (style, scene, colour, modifier) if word]
        self._random.shuffle(words)
        if self._chance(0.10):
            words.insert(int(self._random.integers(len(words) + 1)), self._noise_word())
        return Wish(style, scene, colour, modifier, ", ".join(NAMES.get(word, word) for word in words))

    def strengths(self, count: int) -> Tensor:
        """Mostly where people leave the slider, sometimes anywhere."""
        kinds = self._random.random(count)
        usual = self._random.uniform(0.42, 0.72, count)
        low, high = self._random.uniform(0, 0.42, count), self._random.uniform(0.72, 1, count)
        values = np.where(kinds < 0.74, usual, np.where(kinds < 0.88, low, high))
        return torch.tensor(values, dtype=torch.float32)

    def camera(self, count: int, height: int, width: int) -> Tensor:
        """Crops of camera pictures at any offset, at one to two times their size; now and then a plain wall."""
        size = self._pictures.shape[-1]
        crops = []
        for index in self._random.integers(len(self._pictures), size=count):
            if self._chance(_PLAIN_SHARE):
                crops.append(ramps(1, height, width))
                continue
            zoom = float(self._random.uniform(max(0.55, max(height, width) / size), 1.0)) if self._chance(0.6) else 1.0
            zoom = max(zoom, height / size, width / size)
            tall, wide = min(size, round(height / zoom)), min(size, round(width / zoom))
            if zoom >= 1.0:
                tall, wide = min(size, height), min(size, width)
            top, left = (int(self._random.integers(size - side + 1)) for side in (tall, wide))
            crop = from_bytes(self._pictures[index, :, top : top + tall, left : left + wide])[None]
            if (tall, wide) != (height, width):
                crop = F.interpolate(crop, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
            crops.append(crop.flip(3) if self._chance(0.5) else crop)
        return recolour(torch.cat(crops))

    def styles(self, wishes: int, each: int, side: int) -> Batch:
        """`wishes` prompts with `each` square crops of a camera picture."""
        prompts: list[str] = []
        targets, cameras, exact = [], [], []
        strength = self.strengths(wishes * each)
        start, noise = noises(wishes * each, side, side)
        names = (*STYLES, *_COLOUR_NATIVE)
        for first in range(0, wishes * each, each):
            rows = slice(first, first + each)
            dice = Dice(start[rows], noise[rows], side, side)
            camera = self.camera(each, side, side)
            kind = self._random.random()
            if kind < 0.07:
                text = "" if self._chance(0.5) else " ".join(self._noise_word() for _ in range(2))
                wish, painted = Wish("", "", "", "", text), plain(camera, "")
            elif kind < 0.13:
                wish = self.wish(scene=self._pick(tuple(SCENES)))
                painted = double_exposure(self._scene_crop(wish.scene, each, side), camera, wish)
            else:
                wish = self.wish(style=self._pick(names))
                painted = wish.paint(camera, dice)
            prompts += [wish.text] * each
            cameras.append(camera)
            targets.append(painted.clamp(0, 1))
            exact += [float(wish.exact)] * each
        camera, target = torch.cat(cameras), torch.cat(targets)
        shown = (strength / 0.4).clamp(0, 1)[:, None, None, None]
        target = lerp(camera, target, shown)
        exactness = torch.tensor(exact) * (strength <= 0.8).float()
        top, left = (float(value) for value in self._random.uniform(0, 0.5, 2))
        window = (top, left, top + 0.5, left + 0.5)
        return Batch(prompts, camera, target, strength, torch.ones(len(prompts)), exactness, start, noise, window)

    def _scene_crop(self, scene: str, count: int, side: int) -> Tensor:
        whole = draw(scene, 1, 176, 224)
        top, left = int(self._random.integers(176 - side + 1)), int(self._random.integers(224 - side + 1))
        return whole[:, :, top : top + side, left : left + side].expand(count, -1, -1, -1)

    def scene(self, name: str) -> Tensor:
        """One picture `[1, 3, 176, 320]` of a scene, in any of its colours."""
        return self.wish(scene=name).paint(draw(name, 1, *_WHOLE)).clamp(0, 1)

    def scenes(self, count: int, shape: tuple[int, int] | None = None) -> Batch:
        """`count` whole pictures of one shape painted from words, without a camera."""
        height, width = shape or _SHAPES[int(self._random.choice(4, p=(0.5, 0.2, 0.15, 0.15)))]
        prompts: list[str] = []
        targets = []
        start, noise = noises(count, height, width)
        for row in range(count):
            wish = self._scene_wish(self._pick(tuple(SCENES)))
            dice = Dice(start[row : row + 1], noise[row : row + 1], height, width)
            prompts.append(wish.text)
            targets.append(wish.paint(draw(wish.scene, 1, height, width, dice), dice).clamp(0, 1))
        none, camera = torch.zeros(count), torch.zeros(1, 3, height, width).expand(count, -1, -1, -1)
        strength, target = self.strengths(count), torch.cat(targets)
        return Batch(prompts, camera, target, strength, none, torch.ones(count), start, noise, (0, 0, 1, 1))

    def _scene_wish(self, scene: str) -> Wish:
        """A prompt for `scene`, now and then in a style, for a style alone, or without a known word."""
        kind = self._random.random()
        if kind > 0.93:
            return Wish("", WORDLESS_SCENE, "", "", "" if self._chance(0.5) else self._noise_word())
        style = self._pick(STYLES) if kind < 0.09 else ""
        if style and kind < 0.04:
            return replace(self.wish(style=style), scene=WORDLESS_SCENE)
        return self.wish(style=style, scene=scene)


def double_exposure(scene: Tensor, camera: Tensor, wish: Wish) -> Tensor:
    """What a scene's words do to a camera picture: the scene's colours, lit by the camera."""
    light = luma(camera)
    return wish.paint((scene * (0.25 + 1.0 * light) + 0.45 * (light - 0.5).clamp(0)).clamp(0, 1))
