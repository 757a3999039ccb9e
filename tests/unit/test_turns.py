"""Work in turns: one run at a time, once more if asked meanwhile, nothing lost and nothing done twice."""

from collections.abc import Callable
from concurrent.futures import Executor, Future

from liveglass.engine.turns import Turns


class ByHand(Executor):
    """A pool that runs what was submitted when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []
        self.is_shut = False

    def submit(self, fn: Callable[..., object], /, *args: object, **kwargs: object) -> Future[object]:  # type: ignore[override]
        if self.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.waiting.append(lambda: fn(*args, **kwargs))
        return Future()

    def run_one(self) -> None:
        self.waiting.pop(0)()


def test_asking_twice_before_a_run_is_one_run() -> None:
    pool, runs = ByHand(), list[int]()
    turns = Turns(pool, lambda: runs.append(1))
    turns.ask()
    turns.ask()
    pool.run_one()
    assert (runs, pool.waiting) == ([1], [])


def test_asking_during_a_run_is_one_more_run_behind_everybody_else() -> None:
    pool, runs = ByHand(), list[str]()
    other = Turns(pool, lambda: runs.append("other"))

    def job() -> None:
        runs.append("job")
        if len(runs) == 1:
            other.ask()
            turns.ask()
            turns.ask()

    turns = Turns(pool, job)
    turns.ask()
    while pool.waiting:
        pool.run_one()
    assert runs == ["job", "other", "job"]


def test_a_pool_that_was_shut_is_no_error() -> None:
    pool, runs = ByHand(), list[int]()
    turns = Turns(pool, lambda: runs.append(1))
    pool.is_shut = True
    turns.ask()
    pool.is_shut = False
    turns.ask()
    pool.run_one()
    assert runs == [1]
