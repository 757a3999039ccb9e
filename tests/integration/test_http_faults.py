"""A fault of our own is a typed answer too, and only a stuck process is not alive."""

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from liveglass.engine.clock import ManualClock
from liveglass.engine.errors import LiveglassError
from liveglass.engine.metrics import Metrics
from liveglass.web import errors
from liveglass.web.health import LoopWatch, stuck_because
from liveglass.web.logs import RequestLog


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("with a secret inside")


async def test_a_fault_in_one_request_is_a_typed_500_that_tells_no_inside_and_is_counted() -> None:
    metrics = Metrics()
    transport = httpx.ASGITransport(RequestLog(broken, ManualClock(), metrics))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert answer.json()["error"]["retryable"] is True
    assert "secret" not in answer.text
    assert b'liveglass_errors_total{code="internal"} 1.0' in metrics.text()


def test_overload_is_not_death_and_ten_silent_seconds_are() -> None:
    assert stuck_because(loop_silent_s=9.9, output_silent_s=9.9) == ""
    assert "event loop" in stuck_because(loop_silent_s=10.1, output_silent_s=0.0)
    assert "output thread" in stuck_because(loop_silent_s=0.0, output_silent_s=10.1)


def test_the_loop_is_silent_since_its_last_beat() -> None:
    clock, metrics = ManualClock(), Metrics()
    watch = LoopWatch(clock, metrics)
    clock.advance(4.0)
    assert watch.silent_s() == 4.0
    watch.beat(0.02)
    assert watch.silent_s() == 0.0
    assert b"liveglass_event_loop_lag_seconds_count 1.0" in metrics.text()


def every(kind: type[LiveglassError]) -> list[type[LiveglassError]]:
    """Those that a server raises; a program's own, and the client's, are not its business."""
    below = [deeper for child in kind.__subclasses__() for deeper in every(child)]
    return [one for one in (kind, *below) if one.__module__.startswith(("liveglass.engine", "liveglass.web"))]


@pytest.mark.parametrize("kind", every(LiveglassError), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_has_a_status_that_fits_whether_it_can_be_tried_again(
    kind: type[LiveglassError],
) -> None:
    error = kind.__new__(kind)
    LiveglassError.__init__(error, "what happened")
    status = errors.status_of(error)
    assert 400 <= status < 600
    if status in {500, 503}:
        assert error.retryable or type(error) is LiveglassError
    if error.retryable:
        assert status in {408, 500, 503}
