"""From one version's words and noise to the next one's, over the time that the version asks for; pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liveglass.engine.control import ControlState
from liveglass.engine.models.base import Cond, ModelAdapter

_LEAD_S = 1 / 24
"""A transition counts from one slot before its first frame, so that this frame shows a part of it already."""

_SMALLEST_SINE = 1e-3

Noise = NDArray[np.float32]


class Shown(NamedTuple):
    """What one frame is made of.

    Attributes:
        cond: the words, as the network takes them.
        noise: float32, of the shape that the model draws.
        progress: how far the transition is, 0 to 1.
    """

    cond: Cond
    noise: Noise
    progress: float


class Transition:
    """Of one session; it goes on from what is shown, also where the one before was not over."""

    def __init__(self) -> None:
        self._version = 0
        self._started_at = 0.0
        self._from: Shown | None = None
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
            self._to = Shown(adapter.encode_control(control), noise, 1.0)
            self._version, self._started_at = control.version, now - _LEAD_S
        progress = self.progress(control, now)
        before, after = self._from, self._to
        if progress >= 1 or before is None:
            self._newest = after
        else:
            cond = adapter.blend(before.cond, after.cond, progress)
            self._newest = Shown(cond, between(before.noise, after.noise, progress), progress)
        return self._newest


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
