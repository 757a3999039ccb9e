"""Small pictures of what a change would make, without making it: tiles of looks. Event loop."""

import asyncio

import cv2
import numpy as np

from liveglass.engine.asides import Asides
from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import CameraNotVisible
from liveglass.engine.frame import Pixels, Size, SourceFrame
from liveglass.engine.options import check_steps
from liveglass.engine.stream.session import Session
from liveglass.engine.worker.supervisor import Supervisor

LONGER_SIDE = 160
_BUDGET_S = 5.0


class Previews:
    """Makes previews for every session of one worker."""

    def __init__(self, supervisor: Supervisor, asides: Asides) -> None:
        self._supervisor = supervisor
        self._asides = asides

    async def make(self, session: Session, patch: ControlPatch) -> Pixels:
        """What `patch` would make of the session's newest source: uint8 [H, W, 3], the longer side 160 pixels.

        Everything in it is generated, whatever `apply` says: no camera pixel is laid over it.

        Raises:
            InvalidInput: a value that nobody can use, with its field.
            CameraNotVisible: this model hands the camera's picture through, and the session hides it.
            AtCapacity: four others wait already.
            ModelNotReady: the model is still warming up.
            GenerationTimeout: no picture within five seconds.
        """
        control = session.control.patched(patch).renumbered(1)
        check_steps(control.params.steps, session.spec)
        async with self._asides.turn("preview", _BUDGET_S):
            source, size = _allowed(session), small(session.options.size)
            picture = None if source is None else await asyncio.to_thread(_shrunk, source.pixels, size)
            return await self._supervisor.preview(size, control, picture)


def small(size: Size) -> Size:
    """The size of a preview: the same shape, even, the longer side 160 pixels at most."""
    scale = min(1.0, LONGER_SIDE / max(size.width, size.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (size.width, size.height))
    return Size(width, height)


def _allowed(session: Session) -> SourceFrame | None:
    source = session.newest_source
    shows = source is not None and source.stamp.is_camera and session.spec.passes_camera
    if shows and session.options.camera_visible != "all":
        raise CameraNotVisible("A preview of this model shows a camera that this session hides.")
    return source


def _shrunk(pixels: Pixels, size: Size) -> Pixels:
    return np.asarray(cv2.resize(pixels, (size.width, size.height), interpolation=cv2.INTER_AREA), np.uint8)
