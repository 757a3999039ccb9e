"""The walls of the house, read from every module's imports."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("engine", "transport", "web")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

ALLOWED_ROOMS = {"engine": {"engine"}, "transport": {"engine", "transport"}, "web": {"engine", "transport", "web"}}
ONLY_IN = {
    "torch": ("engine/models/", "engine/training/"),
    "diffusers": ("engine/models/", "engine/training/"),
    "transformers": ("engine/models/", "engine/training/"),
    "aiortc": ("transport/",),
    "av": ("transport/", "engine/training/"),
    "websockets": ("transport/", "web/"),
    "starlette": ("web/",),
    # protocol.py bounds uvicorn's own protocol; only the server knows it.
    "uvicorn": ("web/server.py", "web/protocol.py"),
    "uvloop": ("web/server.py",),
    "time": ("engine/clock.py",),
}
TRAINING = "liveglass.engine.training"


def imports(path: Path) -> Iterator[str]:
    """Every module that `path` imports, wherever in the file; relative imports as they are installed."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ["liveglass", *path.relative_to(ROOT).parent.parts]
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_rooms_are_there() -> None:
    assert {name(path).split("/")[0] for path in MODULES} == set(ROOMS)
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_imports_run_one_way_from_web_over_transport_to_engine(path: Path) -> None:
    room = name(path).split("/", maxsplit=1)[0]
    for module in imports(path):
        parts = module.split(".")
        assert parts[0] not in ROOMS, f"{name(path)} imports bare {module}"
        if parts[0] == "liveglass" and len(parts) > 1:
            assert parts[1] in ALLOWED_ROOMS[room], f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_each_library_stays_in_its_room(path: Path) -> None:
    for module in imports(path):
        rooms = ONLY_IN.get(module.split(".")[0])
        if rooms is not None:
            assert name(path).startswith(rooms), f"{name(path)} imports {module}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_the_trainer_is_never_imported_at_run_time(path: Path) -> None:
    trainers = [module for module in imports(path) if module.startswith(TRAINING)]
    if not name(path).startswith("engine/training/") and trainers:
        # A command of the command line asks for it when it runs, and nothing else does.
        assert name(path).startswith("web/")
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not [line for line in map(ast.unparse, top) if "training" in line]


def test_the_server_process_knows_its_models_without_torch() -> None:
    packed = ("packed/recipe", "packed/checkpoint")
    for module in ("base", "passthrough", "registry", "nano/spec", "nano/vocabulary", *packed):
        found = {imported.split(".")[0] for imported in imports(ROOT / "engine" / "models" / f"{module}.py")}
        assert not found & {"torch", "diffusers"}, module


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_reads_the_loops_own_clock(path: Path) -> None:
    calls = [
        node.func
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    for call in calls:
        owner = ast.unparse(call.value)
        assert not (call.attr == "time" and "loop" in owner), f"{name(path)}: {ast.unparse(call)}"
