"""The size that the built-in model works at inside, for any size that is asked for; pure, imports no torch."""

from liveglass.engine.models import sizes

WORKING_PIXELS = 58_000
"""About 320 x 176: what two CPU threads paint at a good rate."""

_UNIT = 16


def working_size(width: int, height: int) -> tuple[int, int]:
    """The inner (width, height): 640 x 360 gives 320 x 176, 512 x 512 gives 240 x 240, 360 x 640 gives 176 x 320."""
    return sizes.working_size(width, height, WORKING_PIXELS, _UNIT)
