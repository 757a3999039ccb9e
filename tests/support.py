"""A session with a camera in this process, for the tests that drive a whole engine."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np

from liveglass.engine.clock import now
from liveglass.engine.engine import Engine
from liveglass.engine.events import SessionEvent, SessionState
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.options import SessionRequest, SizeRequest

SIZE = SizeRequest(64, 64)
PATIENCE_S = 40.0


class Camera:
    """A stream with a camera that gives a picture for each slot, and everything that its viewer saw."""

    def __init__(self, engine: Engine, patience_s: float = PATIENCE_S, **asked: Any) -> None:
        self.patience_s = patience_s
        self.session = engine.open(SessionRequest(camera_visible="all", size=SIZE, **asked))
        self.outputs: list[OutputFrame] = []
        self.states: list[SessionState] = []
        self.events: list[SessionEvent] = []
        self.is_on = True
        self.session.start_publishing()
        self.session.listen(self._heard)

    def _heard(self, event: SessionEvent) -> None:
        self.events.append(event)
        if isinstance(event, SessionState):
            self.states.append(event)

    async def until(self, wanted: Callable[[OutputFrame], bool]) -> OutputFrame:
        async with asyncio.timeout(self.patience_s):
            async for output in self.session.frames():
                self.outputs.append(output)
                if self.is_on:
                    picture = np.full((64, 64, 3), output.slot % 200 + 20, np.uint8)
                    self.session.publish(picture, output.slot, now())
                if wanted(output):
                    return output
        raise AssertionError("the session ended")

    async def until_new(self, count: int = 1) -> OutputFrame:
        seen = 0

        def counted(output: OutputFrame) -> bool:
            nonlocal seen
            seen += output.is_new
            return seen >= count

        return await self.until(counted)

    async def until_state(self, name: str) -> SessionState:
        await self.until(lambda _: self.session.state.state == name)
        return next(state for state in reversed(self.states) if state.state == name)

    def check_every_slot_is_labelled(self) -> None:
        for output in self.outputs:
            assert output.kind in {FrameKind.GENERATED, FrameKind.REPEATED, FrameKind.STANDBY}
            assert (output.base is None) == (output.kind is FrameKind.STANDBY)
        bases = [id(output.base) for output in self.outputs if output.kind is FrameKind.GENERATED]
        assert len(bases) == len(set(bases))
