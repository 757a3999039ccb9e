"""The size that a model works at inside, for any size that is asked for; pure, imports no torch."""


def working_size(width: int, height: int, pixels: int, unit: int, narrowest: int = 64) -> tuple[int, int]:
    """The inner (width, height) for an output size: the same aspect, multiples of `unit`, about `pixels` pixels.

    A small output is not made larger than it needs to be; no side is under `narrowest`.
    """
    scale = min(1.0, (pixels / (width * height)) ** 0.5)
    inner = [max(narrowest, round(side * scale / unit) * unit) for side in (width, height)]
    return inner[0], inner[1]
