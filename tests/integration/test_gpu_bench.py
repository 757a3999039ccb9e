"""`benchmarks/gpu.py` on networks of a few channels: all that it measures on a GPU runs, and a cut run goes on."""

import importlib.util
import json
import sys
from pathlib import Path

import gpu
import pytest
from checkpoints import write_preset
from gpu_cells import CELLS
from gpu_given import Given

from liveglass.engine.models.diffusion.presets import PRESETS

pytestmark = pytest.mark.timeout(300)

SESSIONS = "ours, sessions"
COMPILED = "ours, compiled"
MEASURED = [what for what in CELLS if what not in {SESSIONS, COMPILED} and not what.startswith("streamdiffusion")]


@pytest.fixture(scope="module", params=PRESETS)
def given(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp(request.param)
    write_preset(PRESETS[request.param], folder)
    return Given(PRESETS[request.param], 1, folder, "cpu", 0.05, tiny=True)


@pytest.mark.parametrize("what", MEASURED)
def test_every_preset_is_measured_ours_and_as_it_is_documented(given: Given, what: str) -> None:
    figures = CELLS[what](given)
    assert figures["p50"] > 0
    json.dumps(figures)


def test_a_preset_is_measured_compiled(tmp_path: Path) -> None:
    write_preset(PRESETS["sd-turbo"], tmp_path)
    assert CELLS[COMPILED](Given(PRESETS["sd-turbo"], 1, tmp_path, "cpu", 0.05, tiny=True))["p50"] > 0


@pytest.mark.parametrize("what", ["streamdiffusion", "streamdiffusion, compiled"])
@pytest.mark.skipif(importlib.util.find_spec("streamdiffusion") is not None, reason="it is installed here")
def test_a_rival_that_is_not_installed_is_named(given: Given, what: str) -> None:
    with pytest.raises(RuntimeError, match="streamdiffusion cannot be imported"):
        CELLS[what](given)


def test_sessions_in_the_engine_are_measured_and_their_input_is_a_frame_old(tmp_path: Path) -> None:
    write_preset(PRESETS["sd-turbo"], tmp_path)
    figures = CELLS[SESSIONS](Given(PRESETS["sd-turbo"], 1, tmp_path, "cpu", 0.5, tiny=True))
    assert figures["sessions"][0]["count"] == 1
    assert (figures["input_age_frames"], figures["settles_in_frames"]) == (1, 1)


def test_a_run_that_was_cut_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, done = tmp_path / "gpu.json", []

    def measured(cell: tuple[str, int, str], *_: object) -> dict[str, object]:
        done.append(cell)
        return {"failed": "no memory"} if cell[2] == "diffusers" else {"p50": 1.0}

    monkeypatch.setattr(gpu, "measured", measured)
    command = ["gpu.py", "--tiny", "--device", "cpu", "--models-dir", str(tmp_path), "--results", str(results)]
    for limit in ("-1", "100", "100"):
        monkeypatch.setattr(sys, "argv", [*command, "--steps", "1", "--limit", limit])
        assert gpu.main() == 0
    assert len(done) == len(CELLS) + 1, "only what failed is tried again"
    assert done.count(("sd15-lcm", 1, "diffusers")) == 2
    assert set(json.loads(results.read_text())["cells"]) == {f"sd15-lcm/1/{what}" for what in CELLS}


def test_a_cell_is_a_process_of_its_own_and_its_end_is_told(tmp_path: Path) -> None:
    write_preset(PRESETS["sd15-lcm"], tmp_path)
    sure = gpu.parser().parse_args(["--tiny", "--device", "cpu", "--seconds", "0.05"])
    assert gpu.measured(("sd15-lcm", 1, "roofline"), tmp_path, sure)["p50"] > 0
    refused = gpu.measured(("sd15-lcm", 1, "roofline"), tmp_path / "elsewhere", sure)
    assert "sd15-lcm" in refused["failed"]
