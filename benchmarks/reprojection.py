"""What moving the last picture along with the camera gains over repeating it, through the real code.

A perfect generator (a style program) of 12, 8 and 4 pictures a second, or one that stalls for 2 s, works on camera
pictures whose motion is known; the truth in every slot is the style of that very camera picture. Writes
`results/reprojection-SIZE.json`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import cv2
import numpy as np
import torch
from camera_sequences import SEQUENCES
from machine import describe, save

from liveglass.engine.frame import Frame, Pixels, Provenance, Size, SourceFrame, SourceStamp
from liveglass.engine.reproject.warp import Reprojector
from liveglass.engine.training.dice import Dice
from liveglass.engine.training.fields import from_bytes, to_bytes
from liveglass.engine.training.generate import seeded_dice
from liveglass.engine.training.styles import plain, stylise

FPS = 24
STYLES_SHOWN = ("thermal", "neon", "cartoon", "noir", "plain")
"""Styles whose patterns move with what the camera shows."""
ON_PAPER = ("nightvision", "pencil", "vintage")
"""Styles with grain or paper that stays on the screen."""
BARS = {
    ("pan", 8): (9.0, 6.0),
    ("head", 8): (8.0, 6.0),
    ("hand-held head", 8): (8.0, 6.0),
    ("hand", 8): (5.5, 3.0),
    ("hand", 4): (5.0, None),
    ("whip and cut", 8): (5.0, None),
    ("pan", 0): (6.0, None),
    ("head", 0): (6.0, None),
}
"""By sequence and generated pictures a second (0: a stall of 2 s): least median and 5th percentile of the gain, dB."""


@dataclass
class Row:
    """One sequence at one rate: gains in dB over all slots that would have repeated, and what they cost."""

    sequence: str
    rate: int
    median: float = 0.0
    p5: float = 0.0
    worse: float = 0.0
    held: float = 0.0
    jump: float = 0.0
    gains: list[float] = field(default_factory=list)
    jumps: list[float] = field(default_factory=list)

    def closed(self) -> "Row":
        """With its figures."""
        self.median = statistics.median(self.gains)
        self.p5 = float(np.percentile(self.gains, 5))
        self.worse = sum(gain < -0.3 for gain in self.gains) / len(self.gains)
        self.jump = statistics.median(self.jumps) if self.jumps else 0.0
        return self


def psnr(made: Pixels, truth: Pixels) -> float:
    """In dB."""
    error = cv2.norm(made, truth, cv2.NORM_L2SQR) / made.size
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def painted(style: str, frames: Sequence[Pixels], dice: Dice | None = None) -> list[Pixels]:
    """Every frame in that style."""
    pictures = (from_bytes(frame).permute(2, 0, 1)[None] for frame in frames)
    made = (plain(picture, "") if style == "plain" else stylise(style, picture, dice=dice) for picture in pictures)
    return [to_bytes(picture[0].permute(1, 2, 0)) for picture in made]


def bases(rate: int, count: int) -> Iterator[tuple[int, int]]:
    """Slot and camera picture of every generated picture: each takes as long as the rate leaves it."""
    period = FPS // rate if rate else 2
    for source in range(0, count - period, period):
        if rate or source + period <= count // 3:
            yield source + period, source


def measure(row: Row, frames: Sequence[Pixels], made: Sequence[Pixels], size: int, costs: list[float]) -> int:
    """Add the gains of one style to `row`; returns how many slots were held."""
    reprojector = Reprojector(Size(size, size), Size(size // 2, size // 2))
    coming, base, shown, held = dict(bases(row.rate, len(frames))), None, None, 0
    for slot, frame in enumerate(frames):
        began = time.thread_time()  # of one core, whoever else is on it
        stamp = SourceStamp(slot + 1, slot / FPS, 0, is_camera=True)
        reprojector.see(SourceFrame(stamp, frame))
        if slot in coming:
            base = made[coming[slot]]
            reprojector.offer(generated(slot, coming[slot], made))
        if base is None:
            continue
        moved = reprojector.moved()
        costs.append(time.thread_time() - began)
        reprojector.learn()
        held += moved is not None and moved.pixels is None
        before, shown = shown, base if moved is None or moved.pixels is None else moved.pixels
        row.gains.append(psnr(shown, made[slot]) - psnr(base, made[slot]))
        if slot in coming and before is not None:
            row.jumps.append(difference(shown, before) / max(difference(made[slot], made[slot - 1]), 1e-3))
    return held


def difference(one: Pixels, other: Pixels) -> float:
    """Mean absolute difference, levels."""
    return cv2.norm(one, other, cv2.NORM_L1) / one.size


def paper(size: int, count: int) -> dict[str, float]:
    """What it gains to leave what is fixed to the screen there: dB over moving all of it, by style; a pan at 8 fps.

    One of the two never sees two pictures of a style in a row, and so never learns what is fixed.
    """
    frames, result = SEQUENCES["pan"](size, count), {}
    dice = seeded_dice(1, 1, size, size)
    coming = dict(bases(8, count))
    for style in ON_PAPER:
        made = painted(style, frames, dice)
        gains: list[float] = []
        knowing, unknowing = (Reprojector(Size(size, size), Size(size // 2, size // 2)) for _ in range(2))
        for slot, frame in enumerate(frames):
            for reprojector in (knowing, unknowing):
                reprojector.see(SourceFrame(SourceStamp(slot + 1, slot / FPS, 0, is_camera=True), frame))
            if slot in coming:
                knowing.offer(generated(slot, coming[slot], made, version=1))
                unknowing.offer(generated(slot, coming[slot], made, version=slot))
            shown = [reprojector.moved() for reprojector in (knowing, unknowing)]
            knowing.learn()
            unknowing.learn()
            if slot > count // 2 and all(moved is not None and moved.pixels is not None for moved in shown):
                one, other = (psnr(moved.pixels, made[slot]) for moved in shown)
                gains.append(one - other)
        result[style] = statistics.median(gains)
    return result


def generated(slot: int, source: int, made: Sequence[Pixels], version: int = 1) -> Frame:
    """The picture that is ready in `slot`, made from camera picture `source`."""
    stamp = SourceStamp(source + 1, source / FPS, 0, is_camera=True)
    provenance = Provenance(stamp, version, 1.0, 1, 4, "program", holds_camera=False, epoch=1)
    return Frame(slot, made[source], 0.0, provenance)


def run(size: int, count: int, rates: Sequence[int], tell: Callable[[str], None]) -> tuple[list[Row], list[float]]:
    """Every sequence at every rate; the seconds that each slot took."""
    rows: list[Row] = []
    costs: list[float] = []
    for name, make in SEQUENCES.items():
        frames = make(size, count)
        styles = {style: painted(style, frames) for style in STYLES_SHOWN}
        for rate in rates:
            row = Row(name, rate)
            held = sum(measure(row, frames, made, size, costs) for made in styles.values())
            row.held = held / len(row.gains)
            rows.append(row.closed())
            tell(line(rows[-1]))
    return rows, costs


def line(row: Row) -> str:
    """A row of the table, with its bar."""
    median, p5 = BARS.get((row.sequence, row.rate), (None, None))
    passed = (median is None or row.median >= median) and (p5 is None or row.p5 >= p5)
    bar = "" if median is None else f">= {median}" + ("" if p5 is None else f" [{p5}]")
    verdict = "" if median is None else "pass" if passed else "falls short"
    rate = f"{row.rate} fps" if row.rate else "stall"
    return (
        f"| {row.sequence} | {rate} | {row.median:+.1f} [{row.p5:+.1f}] | {bar} | {verdict} "
        f"| {row.worse:.1%} | {row.held:.0%} | {row.jump:.2f} |"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--rates", type=int, nargs="*", default=[12, 8, 4, 0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    machine = describe()
    print("| sequence | generated | gain over repeating, dB: median [p5] | bar | | slots 0.3 dB worse | held | jump |")
    print("|---|---|---|---|---|---|---|---|")
    rows, costs = run(options.size, options.frames, options.rates, print)
    p50, p95 = (float(np.percentile(costs, share)) * 1000 for share in (50, 95))
    fixed = paper(options.size, options.frames)
    told = ", ".join(f"{style} {gain:+.1f}" for style, gain in fixed.items())
    print(f"\nwhat is fixed to the screen left there, over moving it along, dB: {told} (bar +2 where it is seen)")
    print(f"a slot at {options.size} x {options.size}: {p50:.1f} / {p95:.1f} ms of one core (p50 / p95)")
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    kept = [{key: value for key, value in asdict(row).items() if key not in {"gains", "jumps"}} for row in rows]
    result = {
        "machine": machine,
        "size": options.size,
        "rows": kept,
        "paper_db": fixed,
        "slot_ms": {"p50": p50, "p95": p95},
    }
    save(f"reprojection-{options.size}", result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
