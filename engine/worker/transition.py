"""From one version's words and noise to the next one's, over the time that the version asks for; pure."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveglass.engine.control import ControlState
from liveglass.engine.frame import Course, Size, Waypoint
from liveglass.engine.models.base import Cond, ModelAdapter
from liveglass.engine.worker.messages import Wish

_LEAD_S = 1 / 24
"""A transition counts from one slot before its first frame, so that this frame shows a part of it already."""

_SMALLEST_SINE = 1e-3

LONGEST_COURSE = 16
"""Transitions that gave way to each other one after the other, each before it was over, are told up to here."""

Noise = NDArray[np.float32]


class Shown(NamedTuple):
    """What one frame is made of.

    Attributes:
        cond: the words, as the network takes them.
        noise: float32, of the shape that the model draws.
        progress: how far the transition is, 0 to 1.
        course: the versions that it comes from, while it is under way.
    """

    cond: Cond
    noise: Noise
    progress: float
    course: Course = ()


class Transition:
    """Of one session; it goes on from what is shown, also where the one before was not over."""

    def __init__(self) -> None:
        self._version = 0
        self._started_at = 0.0
        self._from: Shown | None = None
        self._course: Course = ()
        self._to: Shown | None = None
        self._newest: Shown | None = None

    def progress(self, control: ControlState, now: float) -> float:
        """0 to 1; 1 where nothing is to be blended."""
        if control.version != self._version:
            return 0.0 if control.transition_ms and self._to is not None else 1.0
        if not control.transition_ms or self._from is None:
            return 1.0
        return min(1.0, (now - self._started_at) * 1000 / control.transition_ms)

    def shown(self, control: ControlState, now: float, adapter: ModelAdapter, noise: Noise) -> Shown:
        """What the network gets at `now`; `noise` is that of the version's seed."""
        if control.version != self._version or self._to is None:
            self._from = self._newest if control.transition_ms else None
            self._course = _onward(self._from, self._version)
            self._to = Shown(adapter.encode_control(control), noise, 1.0)
            self._version, self._started_at = control.version, now - _LEAD_S
        progress = self.progress(control, now)
        before, after = self._from, self._to
        if progress >= 1 or before is None:
            self._newest = after
        else:
            self._newest = _blended(before, after, progress, adapter)._replace(course=self._course)
        return self._newest


def shown_again(wishes: Sequence[Wish], size: Size, adapter: ModelAdapter) -> Shown:
    """What the network got for a frame on its way through `wishes`: its own version last, before it what it came from.

    Raises:
        ValueError: there is no wish.
    """
    noises: dict[int, Noise] = {}
    shown: Shown | None = None
    for control, progress in ((wish.control, wish.progress) for wish in wishes):
        seed = control.params.seed
        if seed not in noises:
            # Drawn once for a seed: noise that stays the same is passed on as it is, not turned by an angle of nothing.
            noises[seed] = adapter.draw_noise(seed, size)
        after = Shown(adapter.encode_control(control), noises[seed], 1.0)
        shown = after if shown is None or progress >= 1 else _blended(shown, after, progress, adapter)
    if shown is None:
        raise ValueError("a frame belongs to a control version")
    return shown


def _blended(before: Shown, after: Shown, progress: float, adapter: ModelAdapter) -> Shown:
    cond = adapter.blend(before.cond, after.cond, progress)
    return Shown(cond, between(before.noise, after.noise, progress), progress)


def _onward(before: Shown | None, version: int) -> Course:
    """The course of a transition that goes on from `before`, which `version` had shown."""
    if before is None:
        return ()
    if before.course is None or len(before.course) >= LONGEST_COURSE:
        return None
    return (*before.course, Waypoint(version, before.progress))


def between(one: Noise, other: Noise, share: float) -> Noise:
    """The noise at `share` of the way from `one` to `other`, on the arc between them (Shoemake 1985, slerp).

    On the straight line the noise would be weaker half way, and a denoiser takes weak noise for a flat picture.
    """
    if one is other:
        return one
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    angle = float(np.arccos(np.clip(np.vdot(one, other) / lengths, -1, 1))) if lengths else 0.0
    sine = float(np.sin(angle))
    if sine < _SMALLEST_SINE:
        return np.asarray(one + share * (other - one), np.float32)
    weights = np.sin((1 - share) * angle) / sine, np.sin(share * angle) / sine
    return np.asarray(weights[0] * one + weights[1] * other, np.float32)
