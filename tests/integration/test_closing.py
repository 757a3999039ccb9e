"""An engine that is closed leaves nothing behind, whenever that happens."""

import asyncio
import threading
from multiprocessing import resource_tracker

import psutil
import pytest
from support import PATIENCE_S, SIZE, Camera

from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import ServerClosing
from liveglass.engine.options import SessionRequest
from liveglass.engine.worker.worker import WorkerMode

CONFIG = EngineConfig(model="sleep:20", device="cpu", threads=1)


def engine_threads() -> list[str]:
    names = ("link-", "worker-", "liveglass", "output")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


@pytest.mark.parametrize("mode", ["process", "thread"])
async def test_closing_leaves_no_process_no_thread_and_no_descriptor(mode: WorkerMode) -> None:
    here = psutil.Process()
    resource_tracker.ensure_running()  # Python's own, one for each process that ever spawned another
    children, running = {child.pid for child in here.children(recursive=True)}, engine_threads()
    descriptors = here.num_fds()
    engine = Engine(EngineConfig(model="sleep:5", device="cpu", threads=1, worker_mode=mode))
    await engine.start()
    async with asyncio.timeout(PATIENCE_S):
        await engine.wait_ready()
    camera = Camera(engine)
    await camera.until_new(2)
    await engine.close()
    await camera.session.closed.wait()
    assert camera.states[-1].state == "closed"
    assert {child.pid for child in here.children(recursive=True)} == children
    assert sorted(engine_threads()) == sorted(running)
    assert here.num_fds() == descriptors
    with pytest.raises(ServerClosing):
        engine.open(SessionRequest())


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_closing_right_after_the_start_leaves_nothing(turns: int) -> None:
    here = psutil.Process()
    children, running = {child.pid for child in here.children(recursive=True)}, engine_threads()
    engine = Engine(CONFIG)
    await engine.start()
    session = engine.open(SessionRequest(size=SIZE))
    for _ in range(turns):
        await asyncio.sleep(0)
    await engine.close()
    await session.closed.wait()
    assert {child.pid for child in here.children(recursive=True)} == children
    assert sorted(engine_threads()) == sorted(running)
