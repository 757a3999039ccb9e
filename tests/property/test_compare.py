"""Two pictures: equal pixels are equal hashes and no difference, and the other way round."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from liveglass.engine.compare import Difference, difference, sha256
from liveglass.engine.frame import Pixels

shapes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Pixels, Pixels]:
    """Two pictures of one size: anything, or one and a copy of it with a few values changed."""
    pixels = hnp.arrays(np.uint8, draw(shapes))
    one = draw(pixels)
    if draw(st.booleans()):
        return one, draw(hnp.arrays(np.uint8, one.shape))
    other = one.copy()
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, other.size - 1))
        other.flat[place] = draw(st.integers(0, 255))
    return one, other


@given(pairs())
def test_pictures_are_equal_where_their_hashes_are_and_nowhere_else(pair: tuple[Pixels, Pixels]) -> None:
    one, other = pair
    is_same = one.tolist() == other.tolist()
    assert (sha256(one) == sha256(other)) == is_same
    assert (difference(one, other) == Difference(0, 0.0, 0.0)) == is_same


@given(pairs())
def test_the_difference_is_what_counting_says(pair: tuple[Pixels, Pixels]) -> None:
    one, other = pair
    apart = [abs(a - b) for a, b in zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)]
    pixels = [max(apart[start : start + 3]) for start in range(0, len(apart), 3)]
    found = difference(one, other)
    assert found.max == max(apart)
    assert found.mean == pytest.approx(sum(apart) / len(apart))
    assert found.share == pytest.approx(sum(most > 0 for most in pixels) / len(pixels))
    assert difference(other, one) == found


def test_a_hash_is_of_the_values_row_by_row_however_they_lie_in_memory() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert sha256(picture) == hashlib.sha256(picture.tobytes()).hexdigest()
    assert sha256(np.asfortranarray(picture)) == sha256(picture)
    assert sha256(np.zeros(0, np.float32)) == hashlib.sha256(b"").hexdigest()


def test_pictures_of_two_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="one size"):
        difference(np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8))
