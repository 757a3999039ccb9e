"""Noise on its way to another seed: as strong as noise is all the way, from what is shown to what is asked."""

from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.control import ControlState, Params
from liveglass.engine.frame import Size
from liveglass.engine.models.base import Cond, ModelAdapter
from liveglass.engine.worker.messages import Wish
from liveglass.engine.worker.transition import LONGEST_COURSE, Noise, Transition, between, shown_again

SHAPE = (4, 32, 32)


def drawn(seed: int) -> Noise:
    return np.random.default_rng(seed).standard_normal(SHAPE, np.float32)


class Words:
    """Just so much of an adapter."""

    def encode_control(self, control: ControlState) -> Cond:
        return float(control.version)

    def blend(self, a: Cond, b: Cond, progress: float) -> Cond:
        return a + progress * (b - a)

    def draw_noise(self, seed: int, size: Size) -> Noise:
        return drawn(seed)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_noise_between_two_seeds_is_as_strong_as_noise(one: int, other: int, share: float) -> None:
    made = between(drawn(one), drawn(other), share)
    assert made.dtype == np.float32
    assert made.shape == SHAPE
    assert made.std() == pytest.approx(1, abs=0.1)


@given(st.integers(0, 99), st.integers(100, 199))
def test_it_begins_at_the_one_and_ends_at_the_other(one: int, other: int) -> None:
    np.testing.assert_allclose(between(drawn(one), drawn(other), 0.0), drawn(one), atol=1e-5)
    np.testing.assert_allclose(between(drawn(one), drawn(other), 1.0), drawn(other), atol=1e-5)


@pytest.mark.parametrize("noise", [drawn(1), -drawn(1), np.zeros(SHAPE, np.float32), np.zeros(0, np.float32)])
def test_noise_of_any_kind_stays_finite(noise: Noise) -> None:
    assert np.isfinite(between(drawn(1) if noise.size else noise.copy(), noise, 0.5)).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.8)), min_size=1, max_size=8))
def test_no_frame_is_far_from_the_one_before_however_often_the_seed_changes(changes: list[tuple[int, float]]) -> None:
    """A change in 400 ms, at 24 frames a second: an eighth of the way in each."""
    transition, adapter, now, shown = Transition(), cast("ModelAdapter", Words()), 0.0, None
    for version, (seed, seconds) in enumerate(changes, 1):
        control = ControlState(version, params=Params(seed=seed), transition_ms=400)
        for _ in range(1 + round(seconds * 24)):
            newest = transition.shown(control, now, adapter, drawn(seed))
            if shown is not None:
                assert np.abs(newest.noise - shown.noise).mean() < 0.3
            shown, now = newest, now + 1 / 24
        assert shown is not None
        if seconds > 0.5:
            np.testing.assert_array_equal(shown.noise, drawn(seed))
            assert (shown.cond, shown.progress) == (version, 1.0)


changes = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0, 400]), st.floats(0, 0.6)), min_size=1, max_size=LONGEST_COURSE + 4
)


@given(changes)
def test_every_frame_of_a_transition_can_be_told_again_to_the_bit(wished: list[tuple[int, int, float]]) -> None:
    """Whatever gave way to what on the way, with the same seed or another one."""
    transition, adapter, now = Transition(), cast("ModelAdapter", Words()), 0.0
    controls: dict[int, ControlState] = {}
    newest_noise: dict[int, Noise] = {}
    for version, (seed, transition_ms, seconds) in enumerate(wished, 1):
        control = controls[version] = ControlState(version, params=Params(seed=seed), transition_ms=transition_ms)
        newest_noise = {seed: newest_noise.get(seed, drawn(seed))}  # as a stream keeps the noise of one seed
        for _ in range(1 + round(seconds * 6)):
            shown = transition.shown(control, now, adapter, newest_noise[seed])
            now += 1 / 6
            assert (shown.course == ()) == (shown.progress >= 1)
            if shown.course is None:
                assert version > LONGEST_COURSE
                continue
            way = [Wish(controls[point.version], point.progress) for point in shown.course]
            again = shown_again([*way, Wish(control, shown.progress)], Size(16, 16), adapter)
            assert again.cond == shown.cond
            np.testing.assert_array_equal(again.noise, shown.noise)
