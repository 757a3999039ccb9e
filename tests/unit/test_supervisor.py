"""Starting and closing in every order leaves no process, no thread and no descriptor behind."""

import asyncio
import threading
from collections.abc import Callable

import psutil
import pytest

from liveglass.engine.clock import SystemClock
from liveglass.engine.errors import ModelNotReady, SwapFailed
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.cost import USUAL_PIXELS, Case, Cost, CostTable
from liveglass.engine.worker.process import WorkerSettings
from liveglass.engine.worker.supervisor import Supervisor
from liveglass.engine.worker.worker import WorkerMode, WorkerStatus, patience_s

pytestmark = pytest.mark.timeout(60)


def workers() -> set[int]:
    """Child processes, without the one that Python itself keeps for its shared resources."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if "resource_tracker" not in " ".join(child.cmdline())}


def threads() -> set[str]:
    """The engine's own threads; the event loop's pool is asyncio's."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith(("link-", "worker-", "livegl"))}


class Seen:
    """Every status, and a way to wait for one."""

    def __init__(self) -> None:
        self.statuses: list[WorkerStatus] = []
        self._passed = 0
        self._changed = asyncio.Event()

    def note(self, status: WorkerStatus) -> None:
        self.statuses.append(status)
        self._changed.set()

    async def until(self, wanted: Callable[[WorkerStatus], bool]) -> WorkerStatus:
        """The next status that is `wanted`, however briefly it was the newest."""
        async with asyncio.timeout(30):
            while True:
                while self._passed < len(self.statuses):
                    self._passed += 1
                    if wanted(self.statuses[self._passed - 1]):
                        return self.statuses[self._passed - 1]
                self._changed.clear()
                await self._changed.wait()


def supervisor(
    model: str,
    mode: WorkerMode,
    seen: Seen,
    spare_is_up: Callable[[bool], None] | None = None,
    clock: SystemClock | None = None,
) -> Supervisor:
    settings = WorkerSettings(model, "cpu", 1, 0.0, epoch=1)
    return Supervisor(
        settings, mode, clock or SystemClock(), lambda _message, _picture: None, seen.note, spare_is_up=spare_is_up
    )


class Jumping(SystemClock):
    """The clock of a process that was stopped for a while, as often as a test says."""

    def __init__(self) -> None:
        self.stopped_s = 0.0

    def now(self) -> float:
        return super().now() + self.stopped_s


class Spare:
    """Whether a spare is up, and a way to wait for that."""

    def __init__(self) -> None:
        self.up = asyncio.Event()

    def note(self, up: bool) -> None:
        (self.up.set if up else self.up.clear)()


@pytest.mark.parametrize("mode", ["process", "thread"])
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 20])
async def test_closing_at_any_moment_of_the_start_leaves_nothing(mode: WorkerMode, turns: int) -> None:
    before, descriptors = workers(), psutil.Process().num_fds()
    keeper = supervisor("sleep:1", mode, Seen())
    keeper.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    await keeper.close()
    assert workers() == before
    assert threads() == set()
    # One that stays may be the pipe of Python's own resource tracker.
    assert psutil.Process().num_fds() <= descriptors + 1


@pytest.mark.parametrize("mode", ["process", "thread"])
async def test_closing_while_the_model_loads_leaves_nothing(mode: WorkerMode) -> None:
    before, seen = workers(), Seen()
    keeper = supervisor("sleep:200", mode, seen)
    keeper.start()
    await seen.until(lambda status: status.stage == "first frame")
    with pytest.raises(ModelNotReady):
        await keeper.probe()
    await keeper.close()
    assert workers() == before
    assert threads() == set()
    assert seen.statuses[-1].state == "stopped"


async def test_a_model_that_does_not_load_is_tried_again_later_and_closing_does_not_wait_for_that() -> None:
    seen = Seen()
    keeper = supervisor("sleep:nonsense", "thread", seen)
    keeper.start()
    lost = await seen.until(lambda status: status.state == "lost")
    assert "is not a model" in lost.cause
    await keeper.close()
    assert threads() == set()


def test_a_frame_has_the_time_that_one_of_its_size_takes_before_it_counts_as_stuck() -> None:
    table = CostTable({Case(USUAL_PIXELS, 4): Cost(0.3, 0.4)})
    assert patience_s(m.Beat(0.0, 0.0, table, Case(USUAL_PIXELS, 4))) == pytest.approx(5 * 0.4)
    assert patience_s(m.Beat(0.0, 0.0, table, Case(4 * USUAL_PIXELS, 4))) == pytest.approx(5 * 1.6)
    assert patience_s(m.Beat(0.0, 0.0, table, Case(USUAL_PIXELS // 16, 4))) == 1.0
    assert patience_s(m.Beat(0.0, 0.0, table)) == 1.0


async def test_a_thread_serves_as_a_process_does() -> None:
    seen = Seen()
    keeper = supervisor("null", "thread", seen)
    keeper.start()
    ready = await seen.until(lambda status: status.state == "ready")
    assert set(ready.cost.entries) == {*(Case(USUAL_PIXELS, steps) for steps in (1, 2, 4)), Case(160 * 90, 4)}
    assert await keeper.probe() >= 0
    keeper.kill()
    lost = await seen.until(lambda status: status.state == "lost")
    assert lost.cause
    await seen.until(lambda status: status.state == "ready")
    assert keeper.restarts == 1
    await keeper.close()
    assert threads() == set()


async def test_a_server_that_stood_still_does_not_blame_its_worker() -> None:
    seen, clock = Seen(), Jumping()
    keeper = supervisor("sleep:1", "process", seen, clock=clock)
    keeper.start()
    await seen.until(lambda status: status.state == "ready")
    for _ in range(5):
        clock.stopped_s += 5.0
        looked_again = clock.now() + 0.3
        while clock.now() < looked_again:
            assert await keeper.probe() >= 0
    assert keeper.restarts == 0
    await keeper.close()


async def test_a_spare_takes_over_without_a_moment_of_warming() -> None:
    before, seen, spare = workers(), Seen(), Spare()
    keeper = supervisor("sleep:1", "process", seen, spare.note)
    keeper.start()
    async with asyncio.timeout(30):
        for restarts in range(2):
            await spare.up.wait()
            assert len(workers() - before) == 2
            old, told = keeper.pid, len(seen.statuses)
            keeper.kill()
            await seen.until(lambda status: status.state == "lost")
            await seen.until(lambda status: status.state == "ready")
            assert [status.state for status in seen.statuses[told:]] == ["lost", "ready"]
            assert keeper.restarts == restarts + 1
            assert keeper.pid not in {None, old}
            assert keeper.link is not None
            assert await keeper.probe() >= 0
        await spare.up.wait()
    await keeper.close()
    assert workers() == before
    assert threads() == set()
    assert not spare.up.is_set()


async def test_a_spare_that_dies_is_replaced_and_nobody_notices() -> None:
    before, seen, spare = workers(), Seen(), Spare()
    keeper = supervisor("sleep:1", "process", seen, spare.note)
    keeper.start()
    async with asyncio.timeout(30):
        await spare.up.wait()
        (idle,) = workers() - before - {keeper.pid}
        told = len(seen.statuses)
        spare.up.clear()
        psutil.Process(idle).kill()
        await spare.up.wait()
        assert len(seen.statuses) == told
        assert await keeper.probe() >= 0
    await keeper.close()
    assert workers() == before


async def test_closing_while_the_spare_starts_leaves_nothing() -> None:
    before, seen = workers(), Seen()
    keeper = supervisor("sleep:200", "process", seen, Spare().note)
    keeper.start()
    await seen.until(lambda status: status.state == "ready")
    await asyncio.sleep(0)
    await keeper.close()
    assert workers() == before
    assert threads() == set()


def is_slow(status: WorkerStatus) -> bool:
    """Whether it is `sleep:40` that serves, or `null`."""
    return status.cost.frame(4).p50 > 0.03


async def swap(keeper: Supervisor, model: str, stages: list[str]) -> None:
    await keeper.swap(model, streams=lambda: (), on_stage=stages.append, on_switch=lambda: stages.append("switched"))


@pytest.mark.parametrize("mode", ["process", "thread"])
async def test_another_model_takes_over_without_a_moment_of_warming_and_stays(mode: WorkerMode) -> None:
    before, seen, stages = workers(), Seen(), list[str]()
    keeper = supervisor("sleep:40", mode, seen)
    keeper.start()
    assert is_slow(await seen.until(lambda status: status.state == "ready"))
    old, told = keeper.pid, len(seen.statuses)
    await swap(keeper, "null", stages)
    assert (keeper.model, stages[-2:]) == ("null", ["trying", "switched"])
    assert {"loading", "first frame"} & set(stages)
    assert not is_slow(keeper.status)
    assert [status.state for status in seen.statuses[told:]] == ["ready"]
    assert (keeper.restarts, keeper.pid is None or keeper.pid != old) == (0, True)
    assert await keeper.probe() < 0.03
    keeper.kill()
    await seen.until(lambda status: status.state == "lost")
    assert not is_slow(await seen.until(lambda status: status.state == "ready"))
    assert keeper.restarts == 1
    await keeper.close()
    assert workers() == before
    assert threads() == set()


async def test_a_model_that_does_not_load_leaves_the_one_that_serves_alone() -> None:
    before, seen = workers(), Seen()
    keeper = supervisor("sleep:1", "process", seen)
    keeper.start()
    await seen.until(lambda status: status.state == "ready")
    old, told, stages = keeper.pid, len(seen.statuses), list[str]()
    with pytest.raises(SwapFailed, match="is not a model"):
        await swap(keeper, "sleep:nonsense", stages)
    assert "switched" not in stages
    assert (keeper.pid, keeper.model, len(seen.statuses)) == (old, "sleep:1", told)
    assert len(workers() - before) == 1
    assert await keeper.probe() >= 0
    await keeper.close()
    assert workers() == before


async def test_a_swap_brings_a_spare_of_its_own_model() -> None:
    before, seen, spare = workers(), Seen(), Spare()
    keeper = supervisor("sleep:40", "process", seen, spare.note)
    keeper.start()
    async with asyncio.timeout(40):
        await spare.up.wait()
        await swap(keeper, "null", [])
        assert not spare.up.is_set()
        await spare.up.wait()
        while len(workers() - before) > 2:
            await asyncio.sleep(0)
        keeper.kill()
        await seen.until(lambda status: status.state == "lost")
        assert not is_slow(await seen.until(lambda status: status.state == "ready"))
    await keeper.close()
    assert workers() == before
    assert threads() == set()


async def test_a_worker_lost_while_another_model_warms_up_is_replaced_and_the_swap_goes_on() -> None:
    before, seen, stages = workers(), Seen(), list[str]()
    keeper = supervisor("sleep:40", "process", seen)
    keeper.start()
    await seen.until(lambda status: status.state == "ready")
    swapping = asyncio.create_task(swap(keeper, "null", stages))
    await asyncio.sleep(0)
    keeper.kill()
    await seen.until(lambda status: status.state == "lost")
    await swapping
    assert not is_slow(keeper.status)
    assert keeper.restarts == 1
    assert await keeper.probe() >= 0
    await keeper.close()
    assert workers() == before
    assert threads() == set()


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_closing_while_another_model_warms_up_leaves_nothing(turns: int) -> None:
    before, seen = workers(), Seen()
    keeper = supervisor("sleep:1", "process", seen)
    keeper.start()
    await seen.until(lambda status: status.state == "ready")
    swapping = asyncio.create_task(swap(keeper, "null", []))
    for _ in range(turns):
        await asyncio.sleep(0)
    swapping.cancel()
    await asyncio.gather(swapping, return_exceptions=True)
    await keeper.close()
    assert workers() == before
    assert threads() == set()
