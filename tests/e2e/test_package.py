"""What `pip install .` brings: all that a server needs at run time, and nothing of its tests."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine", "transport", "web")


def test_the_wheel_holds_pages_weights_and_sample_and_no_tests(tmp_path: Path) -> None:
    # A copy, so that what an earlier build left in the tree cannot stand in for what is missing.
    source = tmp_path / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = (
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(tmp_path),
    )
    built = subprocess.run([sys.executable, "-m", *command, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr

    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    missing = {
        f"liveglass/{path.relative_to(source).as_posix()}"
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file() and "build" not in path.parts
    } - names
    assert missing == set()
    assert {
        "liveglass/engine/stream/sample.jpg",
        "liveglass/engine/models/nano/weights/diffusion_pytorch_model.safetensors",
        "liveglass/web/static/studio.html",
        "liveglass/web/static/live/paint.worker.js",
    } <= names
    assert not [name for name in names if "test" in name.split("/")[0] or "conftest" in name]
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"liveglass"}
