"""Flow control: a far viewer keeps its rate, a stuck one keeps nothing waiting, a silent one gets little."""

import math
from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from liveglass.transport.flow import FloodRule, Throttle, ViewerWindow, allowance

fps_values = st.sampled_from([24, 25, 30, 50, 60])


def play(window: ViewerWindow, fps: int, seconds: float, trip_s: float, *, start: int = 0) -> list[tuple[int, float]]:
    """Offer every slot to a viewer that acknowledges each frame `trip_s` after it was sent; what was sent, and when."""
    sent: list[tuple[int, float]] = []
    coming: deque[tuple[int, float]] = deque()
    for slot in range(start, start + math.floor(seconds * fps)):
        now = (slot - start) / fps
        while coming and coming[0][1] <= now:
            seq, at = coming.popleft()
            window.acknowledged(seq & 0xFFFFFFFF, at)
        if window.has_room(now):
            window.sent(slot & 0xFFFFFFFF, now)
            sent.append((slot, now))
            coming.append((slot, now + trip_s))
    return sent


@given(fps_values)
def test_who_never_acknowledges_gets_every_frame_for_a_second_and_then_two_a_second(fps: int) -> None:
    sent = play(ViewerWindow(fps), fps, 10.0, trip_s=math.inf)
    first = [slot for slot, at in sent if at < 1.0]
    assert first == list(range(fps))
    later = [at for _, at in sent if at >= 1.0]
    assert all(b - a >= 0.5 for a, b in pairwise(later))
    assert 16 <= len(later) <= 18


@given(fps_values, st.floats(0.0, 0.9), st.integers(0, 2**32 - 1))
def test_a_far_viewer_keeps_every_slot(fps: int, trip_s: float, start: int) -> None:
    sent = play(ViewerWindow(fps), fps, 8.0, trip_s, start=start)
    assert [slot for slot, _ in sent] == list(range(start, start + 8 * fps))


@given(fps_values, st.floats(0.0, 5.0), st.lists(st.integers(0, 400), max_size=60))
def test_no_more_than_the_allowance_is_ever_on_the_way_after_the_first_acknowledgement(
    fps: int, first_trip_s: float, acks: list[int]
) -> None:
    window = ViewerWindow(fps)
    window.sent(0, 0.0)
    window.acknowledged(0, first_trip_s)
    now = first_trip_s
    for slot, ack in enumerate([*acks, *[0] * 200], start=1):
        now += 1 / fps
        if window.has_room(now):
            window.sent(slot, now)
        if slot <= len(acks):
            window.acknowledged(ack, now)
        assert window.limit is not None
        assert window.unacknowledged <= window.limit <= 3 + math.ceil(fps * first_trip_s)
    assert not window.has_room(now)


@given(fps_values, st.floats(0.0, 0.5), st.floats(0.6, 3.0))
def test_the_shortest_round_trip_counts(fps: int, short_s: float, long_s: float) -> None:
    window = ViewerWindow(fps)
    window.sent(1, 0.0)
    window.acknowledged(1, long_s)
    window.sent(2, 10.0)
    window.acknowledged(2, 10.0 + short_s)
    window.sent(3, 20.0)
    window.acknowledged(3, 20.0 + long_s)
    assert window.round_trip_s is not None
    assert math.isclose(window.round_trip_s, short_s, abs_tol=1e-9)
    assert window.limit == 3 + math.ceil(window.round_trip_s * fps)


def test_one_acknowledgement_settles_all_before_it() -> None:
    window = ViewerWindow(24)
    for slot in (4, 5, 7, 9):
        window.sent(slot, slot / 24)
    assert window.acknowledged(7, 1.0) == 3
    assert window.unacknowledged == 1
    assert window.acknowledged(7, 1.0) == 0


@given(st.integers(0, 2**32 - 1))
def test_what_was_never_sent_cannot_be_acknowledged(seq: int) -> None:
    window = ViewerWindow(24)
    window.acknowledged(seq, 0.0)
    assert window.limit is None
    window.sent(10, 0.0)
    assert window.acknowledged((10 + 1 + seq % 2**30) & 0xFFFFFFFF, 0.1) == 0
    assert window.unacknowledged == 1


def test_what_waits_to_be_sent_counts_as_on_the_way() -> None:
    window = ViewerWindow(24)
    window.sent(0, 0.0)
    window.acknowledged(0, 0.0)
    window.sent(1, 0.0)
    window.sent(2, 0.0)
    assert window.has_room(0.0)
    assert not window.has_room(0.0, waiting=1)


def test_a_publisher_nobody_has_measured_gets_the_first_credit() -> None:
    assert allowance(None, 24) == 3
    assert allowance(0.2, 24) == 8


@given(st.integers(1, 500), st.integers(0, 500), st.integers(3, 10))
def test_up_to_the_limit_is_never_a_flood(limit: int, fewer: int, seconds: int) -> None:
    rule = FloodRule(limit)
    rate = max(1, limit - fewer)
    assert not any(rule.count(i / rate) for i in range(rate * seconds))


@given(st.integers(10, 500), st.floats(1.3, 100.0))
def test_over_the_limit_for_two_seconds_is_a_flood(limit: int, factor: float) -> None:
    rule = FloodRule(limit)
    rate = math.ceil(limit * factor) + 2
    told = next(i / rate for i in range(4 * rate) if rule.count(i / rate))
    assert 2.0 <= told <= 2.0 + 2 / rate


def test_a_burst_after_a_stall_is_no_flood() -> None:
    rule = FloodRule(120)
    assert not any(rule.count(0.0) for _ in range(5000))
    assert not any(rule.count(3.0) for _ in range(5000))
    assert not rule.count(6.0)


@given(st.lists(st.floats(0, 5), max_size=50))
def test_a_throttle_lets_one_through_in_each_interval(gaps: list[float]) -> None:
    throttle, now, passed = Throttle(1.0), 0.0, []
    for gap in gaps:
        now += gap
        if throttle.allows(now):
            passed.append(now)
    assert all(b - a >= 1.0 for a, b in pairwise(passed))
    assert bool(passed) == bool(gaps)
