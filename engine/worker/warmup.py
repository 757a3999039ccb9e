"""A worker's first frames: run so that nothing is done for the first time under a user, and measured."""

from collections.abc import Callable

import structlog

from liveglass.engine.errors import LiveglassError, OutOfMemory, as_model_failure
from liveglass.engine.frame import Size
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.worker.beside import PROBE_SIZE, SMALL_PROBE_SIZE
from liveglass.engine.worker.cost import CostMeter

log = structlog.get_logger()

FRAMES = 8
UNCOUNTED_FRAMES = 2
"""They touch memory and choose kernels."""

BUDGET_S = 1.0


def warm_up(
    spec: ModelSpec,
    probe: Callable[[int, int, Size, float], float],
    meter: CostMeter,
    max_batch: int,
    goes_on: Callable[[], bool],
) -> int:
    """Measure what frames take; returns the largest cohort that there is memory for.

    Args:
        probe: makes a cohort of frames that nobody sees, of so many passes, frames and pixels, held by a hint so much;
            returns its seconds.
        max_batch: of a cohort.
        goes_on: asked before each frame; False ends it.
    """

    def measure(size: Size, steps: int, batch: int, frames: int) -> None:
        if spec.guide is not None and steps == spec.default_steps and goes_on():
            probe(steps, batch, size, 1.0)  # captured and compiled by then, whoever asks for it first
        spent = 0.0
        for number in range(frames):
            if (number > UNCOUNTED_FRAMES and spent > BUDGET_S) or not goes_on():
                return
            seconds = probe(steps, batch, size, 0.0)
            spent += seconds
            if number >= UNCOUNTED_FRAMES:
                meter.add(steps, batch, seconds, pixels=size.pixels)

    for steps in spec.valid_steps:
        measure(PROBE_SIZE, steps, 1, FRAMES if steps == spec.default_steps else UNCOUNTED_FRAMES + 1)
    # What a frame takes whatever its size is told by a second one.
    measure(SMALL_PROBE_SIZE, spec.default_steps, 1, UNCOUNTED_FRAMES + 1)
    batch = 2
    while batch <= max_batch:
        # What was never measured together is never planned together.
        try:
            measure(PROBE_SIZE, spec.default_steps, batch, FRAMES)
        except (LiveglassError, MemoryError, RuntimeError) as error:
            if not isinstance(as_model_failure(error), OutOfMemory):
                raise
            log.warning("there is no memory for larger cohorts", batch=batch)
            return batch // 2
        batch *= 2
    return max_batch
