"""`liveglass chaos` on a real server: everything that it breaks is outlived, and no camera pixel is ever seen."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from liveglass.web.chaos.faults import ANY_MODEL, ON_COMMAND

pytestmark = pytest.mark.timeout(400)


async def test_every_fault_is_outlived_without_a_camera_pixel_and_without_a_viewer_noticing_more_than_stand_ins(
    tmp_path: Path,
) -> None:
    results = tmp_path / "results.json"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("liveglass")),
        *("chaos", "--model", "faulty:40", "--json", str(results)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, out.decode() + errors.decode()
    told = json.loads(results.read_text())["results"]
    assert [one["fault"] for one in told] == [*ANY_MODEL, *ON_COMMAND]
    for one in told:
        name = one["fault"]
        assert one["recovered_s"] is not None, name
        assert one["victim"]["camera"] == one["other"]["camera"] == 0, name
        assert max(one["victim"]["likeness"], one["other"]["likeness"]) < 0.15, name
        assert one["other"]["reconnects"] == 0, name
        assert one["victim"]["reconnects"] == (1 if name == "line cut" else 0), name
        if name.startswith("frames:") and not name.endswith("hang"):
            # Every frame of the victim's failed for 5 s; the other one's went on.
            assert one["victim"]["stand_in_s"] > 4, name
            assert one["other"]["stand_in_s"] < one["victim"]["stand_in_s"] / 2, name
        assert name in out.decode()


async def test_a_fault_that_does_not_exist_is_answered_with_the_nearest_one() -> None:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("liveglass")),
        *("chaos", "worker kiled"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "worker killed" in errors.decode()
