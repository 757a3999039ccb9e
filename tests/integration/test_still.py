"""A still camera before the built-in model, through a whole server: it rests, and wakes for what moves or is asked."""

import asyncio
from typing import Any

import numpy as np
import pytest

from liveglass.engine.frame import FrameKind, Pixels
from liveglass.transport.client import Live, LiveFrame, connect

PATIENCE_S = 60.0
SIZE = (160, 96)
ROW = 24

pytestmark = pytest.mark.timeout(240)


class Room:
    """A camera with its noise before a room, one picture for each frame that is seen."""

    def __init__(self, live: Live) -> None:
        self.finger = 0
        self.captured_us = 1_000_000
        self._live = live
        self._frames = live.frames()
        self._random = np.random.default_rng(0)
        y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
        self._room = np.stack([60 + x // 2, 60 + y, 200 - y], axis=-1)

    def _picture(self) -> Pixels:
        picture = self._room + self._random.integers(-2, 3, self._room.shape)
        picture[40:70, 60 + self.finger : 68 + self.finger] = (220, 170, 140)
        return picture.astype(np.uint8)

    async def see(self) -> LiveFrame:
        self.captured_us += 40_000
        await self._live.publish(self._picture(), captured_us=self.captured_us)
        return await anext(self._frames)

    async def rest(self) -> LiveFrame:
        """Until nothing new has come for as many frames in a row as there are in a second."""
        async with asyncio.timeout(PATIENCE_S):
            shown, row = await self.see(), 0
            while row < ROW:
                frame = await self.see()
                row = row + 1 if frame.kind is FrameKind.REPEATED and made_at(frame) == made_at(shown) else 0
                shown = frame
        return shown


def made_at(frame: LiveFrame) -> int:
    """When the camera picture was taken that the frame's base was made from."""
    return frame.source_us - frame.age_us


async def test_a_still_camera_costs_nothing_until_something_moves_or_is_asked_for(start_site: Any) -> None:
    site = await start_site(model="nano")
    async with connect(site.address, prompt="ink drawing", size=SIZE) as live:
        assert (await live.set(similarity=0.98)).version == 2
        room = Room(live)
        shown = await room.rest()
        assert (shown.version, shown.age_us, shown.holds_camera) == (2, 0, False)
        assert "behind" not in live.state.cause
        assert (await live.stats()).still > 0

        room.finger, moved_at = 20, room.captured_us
        seen: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while not seen or seen[-1] <= moved_at:
                made = made_at(await room.see())
                seen += [made] if made not in {made_at(shown), *seen} else []
        assert len(seen) <= 2, "at most one picture was on its way when the finger moved"
        assert made_at(await room.rest()) > moved_at

        receipt = await live.prompt("neon")
        watching = asyncio.create_task(receipt.applied())
        shown = await room.rest()
        assert shown.version == receipt.version
        assert (await watching).version == receipt.version
        metrics = (await site.client.get("/metrics")).text
        assert "liveglass_sources_still_total" in metrics
