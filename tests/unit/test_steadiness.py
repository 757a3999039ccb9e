"""Flicker and warp error, on pictures whose truth is known."""

import cv2
import numpy as np
import pytest

from liveglass.engine.worker.steadiness import Steadiness


def picture(shift: int = 0, *, light: int = 0) -> np.ndarray:
    random = np.random.default_rng(3)
    wide = cv2.GaussianBlur(random.integers(0, 256, (180, 420, 3), np.uint8), (0, 0), 6)
    wide = cv2.normalize(wide, None, 20, 220, cv2.NORM_MINMAX)
    return np.clip(wide[:, 40 + shift : 360 + shift].astype(int) + light, 0, 255).astype(np.uint8)


def test_a_still_source_whose_picture_changes_flickers() -> None:
    steadiness = Steadiness()
    assert steadiness.look(picture(), picture(), 1, 0.0) is None, "one picture is not enough"
    steady = steadiness.look(picture(), picture(light=5), 1, 0.04)
    assert steady is not None
    assert steady.flicker == pytest.approx(5, abs=0.5)
    assert steady.warp_error == pytest.approx(5, abs=0.5)


def test_a_picture_that_moves_with_its_source_is_steady() -> None:
    steadiness = Steadiness()
    steadiness.look(picture(), picture(), 1, 0.0)
    steady = steadiness.look(picture(8), picture(8), 1, 0.04)
    assert steady is not None
    assert steady.warp_error < 2
    assert steady.flicker is None, "nothing stands still"


def test_a_picture_that_stays_behind_its_source_is_not() -> None:
    steadiness = Steadiness()
    steadiness.look(picture(), picture(), 1, 0.0)
    steady = steadiness.look(picture(8), picture(), 1, 0.04)
    assert steady is not None
    assert steady.warp_error > 5


def test_it_looks_once_a_second_and_never_across_a_change_of_control() -> None:
    steadiness = Steadiness()
    said = [steadiness.look(picture(), picture(), 1 + (number > 30), number / 24) for number in range(60)]
    told = [number for number, steady in enumerate(said) if steady is not None]
    assert told == [1, 26, 51]
    steadiness = Steadiness()
    assert steadiness.look(picture(), picture(), 1, 0.0) is None
    assert steadiness.look(picture(), picture(light=90), 2, 0.04) is None
    assert steadiness.look(picture(), picture(light=90), 2, 0.08) is not None
