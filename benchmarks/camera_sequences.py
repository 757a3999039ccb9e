"""Camera pictures whose motion is known, 24 a second, for measuring stand-ins: made from held-out photographs.

Each function gives `count` pictures, uint8 [size, size, 3]. All carry a little sensor noise, as cameras do.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from liveglass.engine.frame import Pixels
from liveglass.engine.training.fields import to_bytes
from liveglass.engine.training.photographs import load

CUT_AT = 0.6
"""Where in the whip pan the picture is cut, as a share of the sequence."""

_NOISE = 2.0


def _photograph(name: str, height: int) -> Pixels:
    whole = to_bytes(load(name).permute(1, 2, 0))
    scale = height / whole.shape[0]
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(whole, None, fx=scale, fy=scale, interpolation=mode), np.uint8)


@dataclass(frozen=True)
class _Place:
    """Where a window or a layer lies: pixels right and down, degrees."""

    x: float
    y: float
    turn: float = 0.0


def _seen(picture: Pixels, size: int, place: _Place) -> Pixels:
    """A window of `size` on `picture`, to a fraction of a pixel."""
    matrix = cv2.getRotationMatrix2D((place.x + size / 2, place.y + size / 2), place.turn, 1.0)
    matrix[:, 2] -= (place.x, place.y)
    return np.asarray(
        cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _over(back: Pixels, layer: Pixels, mask: NDArray[np.float32], place: _Place) -> Pixels:
    """`layer` with its mask [h, w] laid over `back`, its corner at `place`, turned about its middle."""
    height, width = mask.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), place.turn, 1.0)
    matrix[:, 2] += (place.x, place.y)
    size = (back.shape[1], back.shape[0])
    shown = cv2.warpAffine(layer, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None]
    return np.asarray(back * (1 - share) + shown * share, np.uint8)


def _noisy(frames: list[Pixels]) -> list[Pixels]:
    random = np.random.default_rng(3)
    return [
        np.clip(frame + random.normal(0, _NOISE, frame.shape).astype(np.float32), 0, 255).astype(np.uint8)
        for frame in frames
    ]


def _head(size: int) -> tuple[Pixels, NDArray[np.float32]]:
    """A head with shoulders, and where it is."""
    whole = _photograph("astronaut.png", size * 9 // 8)
    head = whole[: size * 7 // 8, size // 8 : size * 7 // 8]
    height, width = head.shape[:2]
    mask = np.zeros((height, width), np.float32)
    cv2.ellipse(mask, (width // 2, height * 3 // 10), (width // 4, height * 3 // 10), 0, 0, 360, 1.0, -1)
    cv2.ellipse(mask, (width // 2, height), (width * 9 // 20, height * 4 // 9), 0, 0, 360, 1.0, -1)
    return np.ascontiguousarray(head), np.asarray(cv2.GaussianBlur(mask, (0, 0), size / 200), np.float32)


def _hand(size: int) -> tuple[Pixels, NDArray[np.float32]]:
    """A drawn hand with five fingers, and where it is."""
    side = size // 3
    mask = np.zeros((side, side), np.float32)
    cv2.ellipse(mask, (side // 2, side * 2 // 3), (side // 4, side // 4), 0, 0, 360, 1.0, -1)
    for finger, (spread, reach) in enumerate(zip((-52, -24, -4, 16, 38), (0.40, 0.56, 0.60, 0.56, 0.46), strict=True)):
        angle = math.radians(spread - 90)
        root = (side // 2 + (finger - 2) * side // 11, side * 6 // 10)
        tip = (round(root[0] + side * reach * math.cos(angle)), round(root[1] + side * reach * math.sin(angle)))
        cv2.line(mask, root, tip, 1.0, max(2, side // 11), cv2.LINE_AA)
    light = np.linspace(1.1, 0.75, side, dtype=np.float32)[None, :, None]
    random = np.random.default_rng(5)
    skin = cv2.GaussianBlur(random.normal(0, 1, (side, side)).astype(np.float32), (0, 0), side / 60)[..., None]
    hand = np.array([214, 160, 128], np.float32) * light + 60 * skin
    return np.clip(hand, 0, 255).astype(np.uint8), np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.0), np.float32)


def pan(size: int, count: int) -> list[Pixels]:
    """The camera swings over a building, up to 8 pixels a frame (at 512)."""
    wide = _photograph("china.jpg", size * 11 // 10)
    reach = wide.shape[1] - size
    turn = 2 * math.pi * 8 / 512 * size / (math.pi * reach)
    return _noisy(
        [_seen(wide, size, _Place(reach * (0.5 - 0.5 * math.cos(turn * i)), size / 20)) for i in range(count)]
    )


def _room(size: int) -> Pixels:
    room = _photograph("coffee.png", size * 5 // 4)
    return np.asarray(cv2.GaussianBlur(room, (0, 0), size / 300), np.uint8)


def _heads(size: int, count: int, hand_held: float) -> list[Pixels]:
    room, (layer, mask) = _room(size), _head(size)
    random = np.random.default_rng(7)
    shake = cv2.GaussianBlur(random.normal(0, 1, (count, 2)), (0, 0), 2.0) * hand_held * size
    frames = []
    for index in range(count):
        sway = math.sin(2 * math.pi * index / 40)
        place = _Place(size * (0.12 + 0.11 * sway), size * (0.12 + 0.01 * math.sin(index / 5)), 5 * sway)
        frame = _over(room, layer, mask, place)
        margin = size // 10
        window = _Place(margin + float(shake[index, 0]), margin + float(shake[index, 1]))
        frames.append(_seen(frame, size, window))
    return _noisy(frames)


def head(size: int, count: int) -> list[Pixels]:
    """A head sways before a still room, up to 9 pixels a frame (at 512)."""
    return _heads(size, count, 0.0)


def hand_held_head(size: int, count: int) -> list[Pixels]:
    """The same by a camera that is held in a hand."""
    return _heads(size, count, 0.012)


def hand(size: int, count: int) -> list[Pixels]:
    """A hand waves before a still face, up to 25 pixels a frame (at 512)."""
    room, (face, face_mask), (layer, mask) = _room(size), _head(size), _hand(size)
    back = _over(room, face, face_mask, _Place(size * 0.15, size * 0.12))[:size, :size]
    frames = []
    for index in range(count):
        sway = math.sin(25 / 512 * index / 0.25)
        place = _Place(size * (0.36 + 0.25 * sway), size * 0.45, -25 * sway)
        frames.append(_over(back, layer, mask, place))
    return _noisy(frames)


def whip(size: int, count: int) -> list[Pixels]:
    """A pan that gets faster, up to 40 pixels a frame (at 512), then a cut to another picture."""
    wide, other = _photograph("china.jpg", size * 3 // 2), _photograph("coffee.png", size * 11 // 10)
    cut = round(count * CUT_AT)
    frames = []
    for index in range(count):
        share = index / cut
        if index < cut:
            frames.append(_seen(wide, size, _Place((wide.shape[1] - size) * share**2, size / 4)))
        else:
            frames.append(_seen(other, size, _Place(size / 10 + index - cut, size / 20)))
    return _noisy(frames)


def still(size: int, count: int) -> list[Pixels]:
    """Nobody moves; the sensor's noise does."""
    return _noisy([_seen(_photograph("astronaut.png", size), size, _Place(0, 0))] * count)


SEQUENCES: Mapping[str, Callable[[int, int], list[Pixels]]] = {
    "pan": pan,
    "head": head,
    "hand-held head": hand_held_head,
    "hand": hand,
    "whip and cut": whip,
    "still": still,
}
