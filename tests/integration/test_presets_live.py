"""Each preset's classes and the packed family's in a live session, in a real worker, from what diffusers wrote."""

import asyncio
from pathlib import Path

import pytest
from checkpoints import write_packed, write_preset
from support import Camera

from liveglass.engine.control import ControlPatch, ParamsPatch
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.events import ControlApplied
from liveglass.engine.models.diffusion.presets import PRESETS

PATIENCE_S = 150.0
"""Importing what the families need takes most of it on a busy machine."""

pytestmark = pytest.mark.timeout(300)


PACKED = "packed:tiny/klein"


@pytest.mark.parametrize("name", [*PRESETS, PACKED])
async def test_two_sessions_are_painted_and_steered_each_by_its_own_words(name: str, tmp_path: Path) -> None:
    if name == PACKED:
        write_packed("tiny/klein", tmp_path)
    else:
        write_preset(PRESETS[name], tmp_path)
    engine = Engine(EngineConfig(model=name, device="cpu", threads=1, models_dir=tmp_path, linger_s=PATIENCE_S))
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        # The second one is let in as soon as the first one's small pictures have been measured.
        one, other = (Camera(engine, PATIENCE_S, prompt="blue ink", params=ParamsPatch(steps=1)) for _ in range(2))
        await one.until(lambda _: other.session.admission.state == "admitted")
        await asyncio.gather(one.until_new(3), other.until_new(3))
        receipt = one.session.patch(ControlPatch(prompt="red fire", strength=0.9), by="test")
        shown = await one.until(lambda output: output.version == receipt.version and output.is_new)
        assert shown.base is not None
        assert (shown.base.provenance.model, shown.base.provenance.steps) == (name, 1)
        assert not shown.holds_camera
        seen = await other.until_new(2)
        assert seen.version == other.session.control.version
        applied = [event.version for event in one.events if isinstance(event, ControlApplied)]
        assert receipt.version in applied
        again = await engine.replays.newest(one.session)
        assert (again.result, again.record.model, again.record.batch) == ("exact", name, 1)
        assert again.record.control == one.session.control
        one.check_every_slot_is_labelled()
        other.check_every_slot_is_labelled()
    finally:
        await engine.close()
