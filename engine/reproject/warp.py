"""The last generated picture, moved to where the camera is now; one stream, one thread at a time.

Full size is touched once for each picture that goes out: motion is looked for, and judged, in small views. No pixel of
the camera enters the picture.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from liveglass.engine.frame import Frame, Pixels, Size, SourceFrame, SourceStamp, frozen
from liveglass.engine.reproject.choice import Way, choose
from liveglass.engine.reproject.motion import CameraMotion, Flow, View, places, sampled
from liveglass.engine.reproject.texture import Anchor, AnchorJudge, Gain, ScreenTexture, printed, without

_MOST_DOUBT = 0.8
_SEEN = 1 / 255
"""A smaller share of a way is not seen."""
_LEARNS_FIRST, _LEARNS_EVERY = 12, 6
"""What a style is fixed to is looked at for its first pictures, then now and then."""

Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Moved:
    """A generated picture at another moment of its camera.

    Attributes:
        base: what was moved.
        source: the camera picture that it was moved to.
        pixels: uint8 [H, W, 3]; the base's own where nothing moved; None where the motion cannot be told (a cut).
        doubt: share of the picture whose motion is not understood, 0..1.
    """

    base: Frame
    source: SourceStamp
    pixels: Pixels | None
    doubt: float = 0.0


class Reprojector:
    """Follows one camera and moves one picture after the other along with it.

    Args:
        size: of the generated pictures.
        view: size at which motion is looked for.
    """

    def __init__(self, size: Size, view: Size) -> None:
        self._motion = CameraMotion(view)
        self._judge = AnchorJudge(self._motion)
        self._texture = ScreenTexture()
        self._base: Frame | None = None
        self._base_view: View | None = None
        self._since_base: Flow | None = None
        self._bare: tuple[Pixels, Gain] | None = None
        self._last: Moved | None = None
        self._learnt = 0
        self._unlearnt: deque[tuple[Frame, View | None, View | None]] = deque(maxlen=_LEARNS_FIRST)
        self._size = size
        self._scale = (size.width / view.width, size.height / view.height)

    @property
    def anchor(self) -> Anchor:
        """What the pictures are fixed to, as far as it has shown."""
        return self._judge.anchor

    def see(self, source: SourceFrame, *, follow: bool = True) -> None:
        """The camera shows `source`; `follow`: a picture is likely to be moved to it."""
        view = self._motion.see(source, follow=follow)
        if view is not None and self._since_base is not None:
            step = view.step
            self._since_base = None if step is None else step + self._motion.along(self._since_base, step)

    def offer(self, base: Frame, *, follow: bool = True) -> None:
        """A newer picture was generated; `follow`: it is likely to be moved."""
        before, older = self._base, self._base_view
        source = base.provenance.source
        self._base, self._base_view = base, None if source is None else self._motion.find(source)
        self._since_base = None
        newest = self._motion.newest
        if self._base_view is not None and newest is not None:
            self._since_base = self._motion.composed(newest, self._base_view)
        if before is None or before.provenance.version != base.provenance.version:
            self._judge.forget()
            self._texture.clear()
            self._learnt = 0
            self._unlearnt.clear()
        texture = self._texture.gain() if follow and self._judge.anchor is Anchor.BOTH else None
        self._bare = None if texture is None else (without(base.pixels, texture), texture)
        if follow:
            self._unlearnt.append((base, self._base_view, older))

    def learn(self) -> None:
        """See what the offered pictures are fixed to, for those that come; after the newest was moved."""
        while self._unlearnt:
            base, view, older = self._unlearnt.popleft()
            flow = None
            self._learnt += 1
            is_due = self._learnt <= _LEARNS_FIRST or self._learnt % _LEARNS_EVERY == 0
            if is_due and older is not None and view is not None:
                choice = choose(self._motion, view, older, self._motion.composed(view, older))
                flow = None if choice.is_cut else choice.flow
            self._judge.look(base.pixels, flow)
            if self._judge.anchor is Anchor.BOTH:
                self._texture.add(base.pixels)

    def moved(self, at: float | None = None) -> Moved | None:
        """The newest picture moved to where the camera was; None where there is nothing to move.

        Args:
            at: when, in seconds of the server's clock; None: now.
        """
        base, older = self._base, self._base_view
        newest = self._motion.newest if at is None else self._motion.at(at)
        if base is None or newest is None or older is None:
            return None
        last = self._last
        if last is None or last.base is not base or last.source is not newest.stamp:
            last = self._last = self._to(base, newest, older)
        return last

    def _to(self, base: Frame, newest: View, older: View) -> Moved:
        if older.stamp.seq >= newest.stamp.seq or self._judge.anchor is Anchor.SCREEN:
            return Moved(base, newest.stamp, base.pixels)
        is_newest = newest is self._motion.newest
        composed = self._since_base if is_newest else self._motion.composed(newest, older)
        choice = choose(self._motion, newest, older, composed)
        if choice.is_cut or choice.doubt > _MOST_DOUBT:
            return Moved(base, newest.stamp, None, choice.doubt)
        if all(way.flow is None for way in choice.ways):
            return Moved(base, newest.stamp, base.pixels, choice.doubt)
        return Moved(base, newest.stamp, frozen(self._brought(base.pixels, choice.ways)), choice.doubt)

    def _brought(self, pixels: Pixels, ways: Sequence[Way]) -> Pixels:
        """`pixels` by all ways at once; what is fixed to the screen stays."""
        if self._bare is None:
            return self._blended(pixels, ways)
        bare, texture = self._bare
        return printed(self._blended(bare, ways), texture)

    def _blended(self, pixels: Pixels, ways: Sequence[Way]) -> Pixels:
        """The ways over one another; of four channels, as `sampled` likes them."""
        picture = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA), np.uint8)
        made = self._by(ways[0].flow, picture, np.s_[:, :])
        for way in ways[1:]:
            share = self._enlarged(way.share)
            left, top, width, height = cv2.boundingRect((share >= _SEEN).view(np.uint8))
            box = np.s_[top : top + height, left : left + width]
            cover = np.ascontiguousarray(share[box])
            below = np.ascontiguousarray(made[box])
            made[box] = cv2.blendLinear(below, self._by(way.flow, picture, box), 1 - cover, cover)
        return np.asarray(cv2.cvtColor(made, cv2.COLOR_RGBA2RGB), np.uint8)

    def _by(self, flow: Flow | None, picture: Pixels, box: Box) -> Pixels:
        """What comes into `box` of the moved picture."""
        if flow is None:
            return np.ascontiguousarray(picture[box])
        scaled = cv2.multiply(flow, (*self._scale, 1, 1))  # type: ignore[call-overload]  # a factor for each channel
        away = self._enlarged(np.asarray(scaled, np.float32))
        return sampled(picture, away[box] + places(self._size)[box])

    def _enlarged(self, values: Flow) -> Flow:
        return np.asarray(cv2.resize(values, (self._size.width, self._size.height)), np.float32)
