"""The judge: a small network that names the style or the scene of a picture.

It learns from the style and scene programs alone and never sees what the model paints, so that its verdict on the model
is its own. Pictures are `[B, 3, H, W]` in 0..1, any size from 64 pixels up.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from numpy.typing import NDArray
from torch import Tensor, nn

from liveglass.engine.training.examples import Examples
from liveglass.engine.training.fields import from_bytes, to_bytes
from liveglass.engine.training.scenes import SCENES
from liveglass.engine.training.styles import STYLES

CLASSES = (*STYLES, *SCENES)
"""What the judge can say: the styles, then the scenes."""

_STEPS = 2400
_EACH = 360
_SCENES_SHARE = 4
"""A style comes in any colour over any picture; scenes vary less, and are drawn a quarter as often."""
_BATCH = 32
_RATE = 3e-3
_DRAWN = 144
_SHOWN = 128
_TOLD = 100


class Evaluator(nn.Module):
    """Five convolutions with stride, each batch-normalised, mean and deviation over the picture, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 32, 48, 64, 96)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, wider, 3, 2, 1, bias=False), nn.BatchNorm2d(wider), nn.ReLU())
            for wide, wider in pairwise(widths)
        )
        self.leave = nn.Linear(2 * widths[-1], len(CLASSES))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits `[B, classes]`."""
        hidden = pictures * 2 - 1
        for layer in self.layers:
            hidden = layer(hidden)
        result: Tensor = self.leave(torch.cat([hidden.mean((2, 3)), hidden.std((2, 3))], 1))
        return result

    @torch.no_grad()
    def names(self, pictures: Tensor, among: Sequence[str]) -> list[str]:
        """The likeliest of the names in `among` for each picture, over crops of the size that was learnt."""
        columns = [CLASSES.index(name) for name in among]
        height, width = (min(_SHOWN, side) for side in pictures.shape[2:])
        crops = pictures.unfold(2, height, max(1, height // 3)).unfold(3, width, max(1, width // 3))
        count = crops.shape[2] * crops.shape[3]
        flat = crops.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, height, width)
        likely = F.log_softmax(self(flat)[:, columns], 1).view(len(pictures), count, -1).mean(1)
        return [among[index] for index in likely.argmax(1).tolist()]


def _draw(examples: Examples, each: int) -> list[NDArray[np.uint8]]:
    """Program pictures of every class, uint8 `[N, 3, 144, 144]`: `each` of a style, a quarter as many of a scene."""
    drawn = []
    for name in CLASSES:
        count = each if name in STYLES else max(1, each // _SCENES_SHARE)
        pictures = np.empty((count, 3, _DRAWN, _DRAWN), np.uint8)
        for number in range(count):
            if name in STYLES:
                picture = examples.wish(style=name).paint(examples.camera(1, _DRAWN, _DRAWN))
            else:
                whole = examples.scene(name)
                left = int(torch.randint(0, whole.shape[-1] - whole.shape[-2] + 1, ()).item())
                square = whole[..., left : left + whole.shape[-2]]
                picture = F.interpolate(square, size=(_DRAWN, _DRAWN), mode="area")
            pictures[number] = to_bytes(picture[0])
        drawn.append(pictures)
    return drawn


def _lesson(drawn: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """A batch of crops and their classes."""
    classes = torch.randint(0, len(CLASSES), (_BATCH,))
    crops = []
    for index in classes.tolist():
        number = int(torch.randint(0, len(drawn[index]), ()).item())
        top, left = torch.randint(0, _DRAWN - _SHOWN + 1, (2,)).tolist()
        crop = from_bytes(drawn[index][number, :, top : top + _SHOWN, left : left + _SHOWN])
        crops.append(crop.flip(2) if torch.rand(()) < 0.5 else crop)
    return torch.stack(crops), classes


def _taught(pictures: NDArray[np.uint8], seed: int, tell: Callable[[str], None], steps: int, each: int) -> Evaluator:
    """Teach a judge on program pictures over camera pictures `[N, 3, S, S]`; some five minutes on one core."""
    drawn = _draw(Examples(pictures, seed), each)
    judge = Evaluator()
    optimiser = torch.optim.AdamW(judge.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    right: list[float] = []
    for step in range(steps):
        shown, classes = _lesson(drawn)
        logits = judge(shown)
        loss = F.cross_entropy(logits, classes)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
        right.append(float((logits.argmax(1) == classes).float().mean()))
        if (step + 1) % _TOLD == 0:
            tell(f"evaluator  step {step + 1} of {steps}  right {np.mean(right[-_TOLD:]):.1%}")
    return judge


def stored_evaluator(
    path: Path,
    pictures: NDArray[np.uint8],
    seed: int,
    tell: Callable[[str], None],
    *,
    steps: int = _STEPS,
    each: int = _EACH,
) -> Evaluator:
    """The judge kept at `path`, taught first where there is none."""
    if not path.exists():
        torch.save(_taught(pictures, seed, tell, steps, each).state_dict(), path)
    judge = Evaluator()
    judge.load_state_dict(torch.load(path, weights_only=True))
    return judge.eval().requires_grad_(requires_grad=False)
