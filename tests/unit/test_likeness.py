"""What counts as a still camera: its noise does, a waving finger does not."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.frame import Pixels
from liveglass.engine.worker.likeness import BLOCK, likeness, small

STILL = 0.98


def room(height: int = 360, width: int = 640) -> Pixels:
    blurred = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8), (0, 0), 9)
    return np.asarray(cv2.normalize(blurred, np.zeros_like(blurred), 30, 210, cv2.NORM_MINMAX), np.uint8)


def noisy(picture: Pixels, levels: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, levels, picture.shape)
    return np.clip(np.round(picture + noise), 0, 255).astype(np.uint8)


def seen(one: Pixels, other: Pixels) -> float:
    return likeness(small(one), small(other))


@pytest.mark.parametrize("size", [(360, 640), (512, 512), (240, 426), (64, 64)])
@pytest.mark.parametrize("levels", [2, 3])
def test_the_noise_of_a_camera_is_no_change(size: tuple[int, int], levels: float) -> None:
    shown = room(*size)
    assert all(seen(noisy(shown, levels, 0), noisy(shown, levels, seed)) >= STILL for seed in range(1, 6))


def test_light_that_flickers_by_two_levels_under_noise_is_no_change() -> None:
    shown = room()
    assert seen(noisy(shown, 2, 1), noisy(shown + np.uint8(2), 2, 2)) >= STILL


@pytest.mark.parametrize("moved_by", [2, 4, 12])
def test_a_finger_that_waves_in_a_still_room_is_a_change(moved_by: int) -> None:
    pictures = []
    for left in (300, 300 + moved_by):
        picture = room()
        picture[150:190, left : left + 9] = (205, 150, 120)
        pictures.append(noisy(picture, 2, left))
    assert seen(*pictures) < STILL


def test_a_light_that_changes_its_colour_and_not_its_brightness_is_a_change() -> None:
    before, after = room(), room()
    before[100:110, 100:110], after[100:110, 100:110] = (200, 60, 60), (60, 131, 60)
    assert seen(before, after) < STILL


def test_the_worst_block_decides_whatever_the_rest_does() -> None:
    before = np.full((32, 32, 3), 100, np.uint8)
    after = before.copy()
    after[:BLOCK, :BLOCK, 1] += 51
    assert seen(before, after) == pytest.approx(0.8)


@given(st.integers(0, 255), st.integers(0, 255))
def test_likeness_is_what_its_definition_says(one: int, other: int) -> None:
    pictures = [np.full((16, 24, 3), level, np.uint8) for level in (one, other)]
    assert seen(*pictures) == pytest.approx(1 - abs(one - other) / 255)
    assert seen(*pictures) == seen(*reversed(pictures))
