"""What the newest generated frame was made of, so that it can be made again. No thread of its own: the session's lock.

Keeps one frame, its source picture, and the control versions that a frame may still be made of.
"""

from collections import deque
from dataclasses import dataclass

import msgspec

from liveglass.engine.control import ControlState
from liveglass.engine.errors import NotReplayable
from liveglass.engine.frame import Frame, SourceFrame
from liveglass.engine.worker.messages import Wish

KEPT_VERSIONS = 256
"""At 24 changes a second that is ten seconds of them, as long as a transition takes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A generated frame, and what it was made of.

    Attributes:
        source: its picture; None where it came from words alone.
        wishes: its own control version last, with the passes that it had; before it those that its transition came
            from, oldest first.
    """

    frame: Frame
    source: SourceFrame | None
    wishes: tuple[Wish, ...]


class Origins:
    """One session's newest frame and its newest control versions.

    Args:
        first: the version that it opens with.
    """

    def __init__(self, first: ControlState) -> None:
        self._controls = deque([first], maxlen=KEPT_VERSIONS)
        self._newest: tuple[Frame, SourceFrame | None] | None = None

    def wished(self, control: ControlState) -> None:
        """A newer version counts."""
        self._controls.append(control)

    def made(self, frame: Frame, source: SourceFrame | None) -> None:
        """`frame` was generated from `source`."""
        self._newest = frame, source

    def forget(self) -> None:
        """Nothing that was made before is made again."""
        self._newest = None

    def control(self, frame: Frame) -> ControlState | None:
        """The version that `frame` was made with, with the passes that it had; None where it is not kept any more."""
        control = self._version(frame.provenance.version)
        if control is None:
            return None
        params = msgspec.structs.replace(control.params, steps=frame.provenance.steps)
        return msgspec.structs.replace(control, params=params)

    def newest(self) -> Origin | None:
        """The newest frame and what it was made of; None without one.

        Raises:
            NotReplayable: its source picture or a control version is not kept any more.
        """
        if self._newest is None:
            return None
        frame, source = self._newest
        made = frame.provenance
        if made.source != (source.stamp if source is not None else None):
            raise NotReplayable("The camera's picture that the newest frame was made from is not kept any more.")
        if made.course is None:
            raise NotReplayable("The newest frame is amid too many transitions that gave way to each other.")
        controls = [*(self._version(point.version) for point in made.course), self.control(frame)]
        progress = [*(point.progress for point in made.course), made.progress]
        wishes = [Wish(control, far) for control, far in zip(controls, progress, strict=True) if control is not None]
        if len(wishes) < len(controls):
            raise NotReplayable("A control version that the newest frame was made with is not kept any more.")
        return Origin(frame, source, tuple(wishes))

    def _version(self, number: int) -> ControlState | None:
        return next((control for control in reversed(self._controls) if control.version == number), None)
