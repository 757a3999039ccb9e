"""The person mask for tests: its network, from the npm package that it comes in, and a person to find."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

from liveglass.engine.frame import Pixels, Size
from liveglass.engine.person.model_file import FILE

SIZE = Size(640, 360)

_PACKAGE = Path(__file__).parent.parent / "node_modules" / "@mediapipe" / "selfie_segmentation"


def network() -> Path:
    """The file; a test that needs it fails without it."""
    path = _PACKAGE / FILE
    assert path.is_file(), f"{path} is missing; npm ci brings it."
    return path


def portrait(shift: int = 0) -> Pixels:
    """A person in the middle of a picture of `SIZE`, `shift` pixels further right."""
    picture = cv2.resize(data.astronaut()[20:308], (SIZE.width, SIZE.height), interpolation=cv2.INTER_AREA)
    return np.roll(np.asarray(picture, np.uint8), shift, axis=1)
