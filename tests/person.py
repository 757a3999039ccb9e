"""The person mask's network for tests, from the npm package that it comes in."""

from pathlib import Path

from liveglass.engine.person.model_file import FILE

_PACKAGE = Path(__file__).parent.parent / "node_modules" / "@mediapipe" / "selfie_segmentation"


def network() -> Path:
    """The file; a test that needs it fails without it."""
    path = _PACKAGE / FILE
    assert path.is_file(), f"{path} is missing; npm ci brings it."
    return path
