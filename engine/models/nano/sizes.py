"""The size that the built-in model works at inside, for any size that is asked for; pure, imports no torch."""

WORKING_PIXELS = 58_000
"""About 320 x 176: what two CPU threads paint at a good rate."""

_UNIT = 16
_NARROWEST = 64


def working_size(width: int, height: int) -> tuple[int, int]:
    """The inner (width, height) for an output size: the same aspect, multiples of 16, about 58,000 pixels.

    640 x 360 gives 320 x 176, 512 x 512 gives 240 x 240, 360 x 640 gives 176 x 320. A small output is not made larger
    than it needs to be; no side is under 64.
    """
    scale = min(1.0, (WORKING_PIXELS / (width * height)) ** 0.5)
    inner = [max(_NARROWEST, round(side * scale / _UNIT) * _UNIT) for side in (width, height)]
    return inner[0], inner[1]
