"""Our count of incoming bits says what aiortc's own does."""

from aiortc.rate import RateCounter
from hypothesis import given
from hypothesis import strategies as st

from liveglass.transport.webrtc.rate import IncomingRate, LightEstimator


@given(st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 1500), st.sampled_from(["add", "rate", "reset"]))))
def test_it_answers_as_the_counter_of_a_thousand_buckets_does(history) -> None:
    ours, theirs, now = IncomingRate(), RateCounter(1000, 8000), 0
    for step, size, what in history:
        now += step
        if what == "add":
            ours.add(size, now)
            theirs.add(size, now)
        elif what == "reset":
            ours.reset()
            theirs.reset()
        assert ours.rate(now) == theirs.rate(now)


def test_an_estimator_with_it_estimates() -> None:
    estimator, estimates = LightEstimator(), []
    for packet in range(4000):
        estimate = estimator.add(packet * 5, (packet * 5 * 262) & 0xFF_FFFF, 1000, 7)
        estimates += [] if estimate is None else [estimate[0]]
    assert estimates
    assert 1_000_000 < estimates[-1] < 3_000_000
