"""What chaos tells is true: camera pixels are found wherever they are, and a time without new pictures is as seen."""

import cv2
import numpy as np
import pytest

from liveglass.engine.frame import FrameKind, Pixels
from liveglass.engine.stream.sample import Sample
from liveglass.transport import codecs
from liveglass.web.chaos.run import CALM_S, _recovered, _view
from liveglass.web.chaos.user import SIZE, Mark, Seen, changes

MARK = Mark(1)
SAMPLE = Sample(SIZE).picture(0.0)


def shown(picture: Pixels) -> Pixels:
    """What a viewer gets of `picture`."""
    return codecs.decode_jpeg(codecs.encode_jpeg(picture))


def seen(at: float, base: int, *, kind: FrameKind = FrameKind.GENERATED, likeness: float = 0.0) -> Seen:
    return Seen(at, round(at * 24), kind, (1, base), likeness)


@pytest.mark.parametrize(
    ("what", "is_leak"),
    [
        ("camera", True),
        ("a quarter of it", True),
        ("another camera", False),
        ("nothing", False),
        ("a painting of it", False),
    ],
)
def test_camera_pixels_are_found_and_nothing_else_is(what: str, is_leak: bool) -> None:
    camera = shown(MARK.on(SAMPLE))
    part = np.zeros_like(camera)
    part[: SIZE.height // 2, : SIZE.width // 2] = camera[: SIZE.height // 2, : SIZE.width // 2]
    small = cv2.resize(camera, (SIZE.width // 4, SIZE.height // 4), interpolation=cv2.INTER_AREA)
    pictures = {
        "camera": camera,
        "a quarter of it": part,
        "another camera": shown(Mark(2).on(SAMPLE)),
        "nothing": np.zeros_like(camera),
        "a painting of it": cv2.resize(small, (SIZE.width, SIZE.height)),
    }
    likeness = MARK.likeness(shown(np.asarray(pictures[what], np.uint8)))
    assert seen(0.0, 0, likeness=likeness).is_leak == is_leak


def test_a_view_is_the_longest_times_and_every_leak() -> None:
    frames = [seen(0.0, 1), seen(0.04, 1), seen(0.3, 2), seen(0.34, 2, likeness=0.9), seen(0.38, 2), seen(1.34, 3)]
    view = _view(frames, 2)
    assert view.gap_s == pytest.approx(0.96)
    assert view.stand_in_s == pytest.approx(1.04)
    assert (view.camera, view.reconnects, view.likeness) == (1, 2, 0.9)
    assert changes(frames) == [0.3, 1.34]


def test_a_picture_that_was_on_its_way_when_the_worker_died_is_no_recovery() -> None:
    beat = [seen(number / 12, number) for number in range(12)]
    on_its_way = [seen(1.05, 20)]
    again = [seen(9.0 + number / 12, 30 + number) for number in range(int(CALM_S * 12))]
    assert _recovered([*beat, *on_its_way, *again], healed_at=1.0) == pytest.approx(8.0)
    assert _recovered([*beat, *on_its_way], healed_at=1.0) == pytest.approx(0.05)
