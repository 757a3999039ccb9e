"""Who watches a session inside this process."""

import asyncio
from typing import Any

import numpy as np

from liveglass.engine.clock import ManualClock
from liveglass.engine.frame import FrameKind, OutputFrame
from liveglass.engine.stream.audience import Audience


def output(slot: int) -> OutputFrame:
    return OutputFrame(
        slot=slot,
        pts=slot * 3750,
        kind=FrameKind.STANDBY,
        pixels=np.zeros((4, 4, 3), np.uint8),
        base=None,
        version=0,
        source_us=0,
        age_us=0,
        holds_camera=False,
        is_new=False,
        deadline=0.0,
        picked_at=0.0,
    )


async def test_a_reader_whose_loop_is_late_sees_no_frame_twice() -> None:
    calls: list[Any] = []
    audience = Audience(calls.append, ManualClock())
    frames = audience.frames()
    seen = []
    reading = asyncio.ensure_future(anext(frames))
    await asyncio.sleep(0)
    for slot in range(2):  # both are there before the loop hears of the first
        audience.deliver(output(slot))
    for call in calls:
        call()
        seen.append((await reading).slot)
        reading = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0)
    reading.cancel()
    assert seen == [0, 1]
