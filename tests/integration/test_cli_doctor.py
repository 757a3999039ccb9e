"""`liveglass doctor`: what follows from what was found."""

import pytest

from liveglass.web import cli
from liveglass.web.doctor import TorchFacts, gpu_finding

CPU_BUILD = TorchFacts(version="2.13.0+cpu", built_for="", cuda=False, mps=False, device="")
CUDA_BUILD = TorchFacts(version="2.13.0", built_for="13.0", cuda=False, mps=False, device="")
WORKING = TorchFacts(version="2.13.0", built_for="13.0", cuda=True, mps=False, device="H100")


def test_a_gpu_with_a_cpu_build_of_torch_is_told_with_the_way_out() -> None:
    found = gpu_finding("RTX 4090", CPU_BUILD)
    assert found.verdict == "warning"
    assert "RTX 4090 is there" in found.says
    assert "CPU build" in found.says
    assert "pip" in found.do


def test_a_gpu_that_torch_cannot_reach_points_at_the_driver() -> None:
    found = gpu_finding("RTX 4090", CUDA_BUILD)
    assert found.verdict == "warning"
    assert "driver" in found.do


def test_no_gpu_is_no_problem_and_neither_is_a_working_one() -> None:
    assert gpu_finding("", CPU_BUILD).verdict == "ok"
    assert gpu_finding("H100", WORKING).verdict == "ok"


def test_a_torch_that_does_not_start_is_a_problem_with_its_reason() -> None:
    found = gpu_finding("", None, "libcudart.so.13: cannot open")
    assert found.verdict == "problem"
    assert "libcudart" in found.says


def test_the_whole_report_covers_every_part(
    capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEGLASS_STATE_DIR", str(tmp_path))
    assert cli.main(["doctor", "--port", "0"]) == 0
    shown = capsys.readouterr().out
    for part in ("GPU", "port", "state", "codecs", "TLS", "TURN"):
        assert part in shown
