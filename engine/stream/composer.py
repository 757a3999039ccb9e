"""From a pick to the picture that goes out, and the one gate that no camera pixel passes by accident; one thread.

Every output (viewers, overlay, snapshot, recording) shows what `compose` returned and nothing else.
"""

from dataclasses import replace

from liveglass.engine.frame import Frame, FrameKind, OutputFrame, Pixels, Provenance, SourceFrame, SourceStamp
from liveglass.engine.options import SessionOptions
from liveglass.engine.person.matting import Matte
from liveglass.engine.reproject.warp import Moved
from liveglass.engine.stream.grid import Grid
from liveglass.engine.stream.picture import blended, slate
from liveglass.engine.stream.scheduler import Pick

_ANOTHER_CLOCK_US = 1_000_000


class Composer:
    """Makes the output frames of one session.

    Attributes:
        lacks_matte: whether the newest slot should have kept the person, or the room, and could not.
        refused: pictures that held camera pixels and were not shown.
        refusing: whether the newest slot was such a one.
    """

    def __init__(self, options: SessionOptions) -> None:
        self.refused = 0
        self.refusing = False
        self.lacks_matte = False
        self._options = options
        self._slate = slate(options.size)
        self._shown: Pixels = self._slate
        self._shown_base: Frame | None = None
        self._shown_camera = False
        self._shown_source: SourceStamp | None = None

    def compose(
        self,
        grid: Grid,
        slot: int,
        pick: Pick | None,
        newest_source: SourceFrame | None,
        now: float,
        *,
        matte: Matte | None = None,
        moved: Moved | None = None,
        is_still: bool = False,
    ) -> OutputFrame:
        """The frame of `slot`, picked at `now`.

        Args:
            pick: what the scheduler chose; None in panic: the safe picture, never the camera.
            newest_source: shown only where the session's fallback is its visible camera.
            matte: a camera picture with its person mask, for a base that is not for all of the picture.
            moved: where the base is by now, if that is known and wanted.
            is_still: whether the camera shows what the base was made from.
        """
        self.lacks_matte = False
        base = pick.base if pick is not None else None
        self.refusing = base is not None and base.provenance.holds_camera and not self._camera_allowed
        if self.refusing:
            self.refused += 1
        if pick is None or base is None or self.refusing:
            return self._standby(grid, slot, None if pick is None else newest_source, now)
        kind, pixels, camera, source = pick.kind, base.pixels, base.provenance.holds_camera, base.provenance.source
        if moved is not None and moved.pixels is not None:
            if moved.pixels is not base.pixels:
                kind, pixels, source = FrameKind.WARPED, moved.pixels, moved.source
        elif pick.kind is FrameKind.REPEATED and self._shown_base is base and not is_still:
            # It may have been moved before: what is shown stays, and does not jump back.
            pixels, source = self._shown, self._shown_source
        if pick.toward < 1.0:
            pixels = blended(self._shown, base.pixels, pick.toward) if pick.toward else self._shown
            camera = camera or self._shown_camera
        self._shown, self._shown_base, self._shown_camera, self._shown_source = pixels, base, camera, source
        made = OutputFrame(
            slot=slot,
            pts=grid.pts(slot),
            kind=kind,
            pixels=pixels,
            base=base,
            version=base.provenance.version,
            source_us=source.publisher_us if source else 0,
            age_us=_between_us(base.provenance.source, source),
            captured_at=source.captured_at if source else None,
            holds_camera=camera,
            is_new=pick.is_new,
            deadline=grid.deadline(slot),
            picked_at=now,
            is_still=is_still,
        )
        return made if base.provenance.apply == "all" else self._kept(made, base.provenance, matte)

    def _kept(self, made: OutputFrame, base: Provenance, matte: Matte | None) -> OutputFrame:
        """`made` with the person of a camera picture in front, or with its room behind; as it is without a mask."""
        if matte is None:
            self.lacks_matte = True
            return made
        is_person = base.apply == "background"
        stamp = matte.source.stamp
        kept = replace(
            made,
            source_us=stamp.publisher_us,
            age_us=_between_us(base.source, stamp),
            captured_at=stamp.captured_at,
            holds_camera=made.holds_camera or stamp.is_camera,
            person_only=is_person and not made.holds_camera,
        )
        if not self._options.may_show(kept):
            self.lacks_matte = True
            return made
        return replace(kept, pixels=matte.lay(made.pixels, "person" if is_person else "room"))

    @property
    def _camera_allowed(self) -> bool:
        return self._options.camera_visible == "all"

    def _standby(self, grid: Grid, slot: int, newest_source: SourceFrame | None, now: float) -> OutputFrame:
        """The session's fallback: the slate, the last picture, or the camera where it is visible anyway."""
        pixels, base, source_us, camera = self._slate, None, 0, False
        if self._options.fallback == "camera" and self._camera_allowed and newest_source is not None:
            pixels, source_us = newest_source.pixels, newest_source.stamp.publisher_us
            camera = newest_source.stamp.is_camera
        elif self._options.fallback == "hold" and self._shown_base is not None:
            pixels, base = self._shown, self._shown_base
            camera = self._shown_camera
        else:
            # What was shown before the slate is not faded in from afterwards.
            self._shown, self._shown_camera, self._shown_base = self._slate, False, None
        return OutputFrame(
            slot=slot,
            pts=grid.pts(slot),
            kind=FrameKind.STANDBY,
            pixels=pixels,
            base=base,
            version=base.provenance.version if base else 0,
            source_us=source_us,
            age_us=0,
            holds_camera=camera,
            is_new=False,
            deadline=grid.deadline(slot),
            picked_at=now,
        )


def _between_us(older: SourceStamp | None, newer: SourceStamp | None) -> int:
    """Microseconds from one source picture to another, by their publisher's clock where they have the same."""
    if older is None or newer is None:
        return 0
    arrived_us = round((newer.captured_at - older.captured_at) * 1e6)
    taken_us = newer.publisher_us - older.publisher_us
    is_one_clock = older.publisher_us and newer.publisher_us and abs(taken_us - arrived_us) < _ANOTHER_CLOCK_US
    return max(0, taken_us if is_one_clock else arrived_us)
