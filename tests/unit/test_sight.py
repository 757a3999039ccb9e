"""Which camera pictures the one on show is right for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.frame import Frame, Provenance, SourceStamp
from liveglass.engine.stream.sight import Sight

PERIOD_S = 1 / 24
PIXELS = np.zeros((2, 2, 3), np.uint8)


def stamp(seq: int) -> SourceStamp:
    return SourceStamp(seq, seq * PERIOD_S, 0, is_camera=True)


def made_from(seq: int) -> Frame:
    return Frame(seq, PIXELS, 0.0, Provenance(stamp(seq), 1, 1.0, 0, 4, "x", holds_camera=False, epoch=1))


@given(st.integers(1, 30), st.lists(st.integers(1, 30), max_size=5), st.integers(1, 30))
def test_what_waits_is_the_first_picture_after_the_last_that_was_found_alike(
    base: int, alike: list[int], came: int
) -> None:
    sight, now = Sight(PERIOD_S), 40 * PERIOD_S
    for seq in range(1, came + 1):
        sight.see(stamp(seq))
    for seq in sorted(alike):
        sight.confirm(base, stamp(seq))
    right_for = max(alike, default=base)
    waiting = [seq for seq in range(1, came + 1) if seq > right_for]
    assert sight.waited(made_from(base), now) == pytest.approx(now - waiting[0] * PERIOD_S if waiting else 0.0)


def test_what_was_found_of_one_picture_says_nothing_about_another() -> None:
    sight = Sight(PERIOD_S)
    sight.see(stamp(3))
    sight.confirm(1, stamp(3))
    assert sight.is_still(made_from(1), 3 * PERIOD_S)
    assert not sight.is_still(made_from(2), 3 * PERIOD_S)
    assert not sight.is_still(None, 3 * PERIOD_S)
    assert (sight.seen_at(made_from(1)), sight.seen_at(made_from(2))) == (3 * PERIOD_S, -math.inf)


def test_a_newer_picture_that_nobody_has_judged_for_two_slots_ends_it() -> None:
    sight = Sight(PERIOD_S)
    sight.confirm(1, stamp(3))
    sight.see(stamp(4))
    assert sight.is_still(made_from(1), 5.9 * PERIOD_S)
    assert not sight.is_still(made_from(1), 6.1 * PERIOD_S)
    sight.confirm(1, stamp(4))
    assert sight.is_still(made_from(1), 6.1 * PERIOD_S)
