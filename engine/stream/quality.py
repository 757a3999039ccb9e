"""How well one session is served, judged slot by slot, and what its ladder makes of it. Output thread."""

from collections.abc import Callable

import msgspec

from liveglass.engine.events import QualityChanged
from liveglass.engine.frame import OutputFrame
from liveglass.engine.metrics import Metrics
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.stream.ladder import Ladder, Move, Rung, rungs
from liveglass.engine.stream.steering import Receipt
from liveglass.engine.worker.admission import least_fps, longest_wait
from liveglass.engine.worker.cost import CostTable


class Quality:
    """Measures two things: for how long a newer camera picture has been waiting to be seen, and late hand-offs.

    Args:
        steps: passes that the session asks for at first.
        pixels: of its pictures.
        tell: hears of every move.

    Attributes:
        rung: the rung in force. Any thread may read it.
        given_up: what was said last, where something is given up now.
    """

    def __init__(
        self,
        fps: int,
        steps: int,
        spec: ModelSpec,
        metrics: Metrics,
        tell: Callable[[QualityChanged], None],
        *,
        pixels: int,
    ) -> None:
        self._fps, self._spec, self._metrics, self._tell = fps, spec, metrics, tell
        self._asked = steps, least_fps("cpu")
        self._ladder = Ladder(fps, self._rungs(), pixels=pixels)
        self.rung = Rung()
        self.given_up: QualityChanged | None = None
        self._is_new_model = False

    def adopt(self, spec: ModelSpec) -> None:
        """Another model makes the pictures: what was given up for the one before says nothing about it. Event loop."""
        self._spec, self.rung, self._is_new_model = spec, Rung(), True

    def rest(self) -> None:
        """There is nothing to judge now: no camera, no worker, a pause."""
        self._ladder.rest()

    def slot(
        self, output: OutputFrame, at: float, *, waited: float, steps: int, device: str, new_fps: float, cost: CostTable
    ) -> bool:
        """`output` was handed over at `at`, seconds.

        Args:
            waited: for how long a newer camera picture has been there, seconds.
            steps: passes that the session asks for.
            device: where the model runs.
            new_fps: new pictures a second by now.
            cost: of frames, as measured by now.

        Returns:
            Whether `rung` is another one now.
        """
        if self._is_new_model:
            self._is_new_model = False
            self._asked = steps, least_fps(device)
            self._ladder = Ladder(self._fps, self._rungs())
            self._say("Another model makes the pictures.")
        if (steps, least_fps(device)) != self._asked:
            self._asked = steps, least_fps(device)
            self._ladder.renew(self._rungs())
            self._say("The session asks for something else.")
        late = max(0.0, at - output.deadline)
        # A slot is missed when it is half a slot late.
        move = self._ladder.slot(
            at, wait=waited / longest_wait(self._asked[1]), late=late * 2 * self._fps, new_fps=new_fps, cost=cost
        )
        # On the best rung there is no limit: whatever the session asks for next is what it gets.
        rung = self._ladder.rung if self._ladder.place else Rung()
        changed, self.rung = rung != self.rung, rung
        if move is not None:
            self._metrics.quality_moves.labels("down" if move.is_down else "up").inc()
            self._say(_cause(move))
        return changed

    def told(self, receipt: Receipt, steps: int) -> Receipt:
        """`receipt` of a change that asks for `steps` passes, with the fewer ones that the rung gives."""
        if steps <= self.rung.steps:
            return receipt
        note = f"steps: {self.rung.steps} for now, until there is room for {steps} again"
        effective = {**receipt.effective, "steps": self.rung.steps}
        return msgspec.structs.replace(receipt, effective=effective, notes=(*receipt.notes, note))

    def _rungs(self) -> tuple[Rung, ...]:
        steps, least = self._asked
        return rungs(self._fps, steps, self._spec.valid_steps, least)

    def _say(self, cause: str) -> None:
        """Tell what is given up by now, where that is news."""
        rung, asked = self._ladder.rung, self._asked[0]
        gave_up = []
        if rung.steps < asked:
            gave_up.append(f"{rung.steps} step{'s' * (rung.steps > 1)} instead of {asked}")
        if rung.every > 1:
            gave_up.append(f"{self._fps / rung.every:g} new frames a second instead of {self._fps}")
        if tuple(gave_up) == (self.given_up.gave_up if self.given_up else ()):
            return
        event = QualityChanged(self._ladder.place, len(self._ladder.rungs), tuple(gave_up), cause)
        self.given_up = event if gave_up else None
        self._tell(event)


def _cause(move: Move) -> str:
    if not move.is_down:
        return "There has been room for more."
    if move.late > move.wait:
        return "This machine hands frames over late."
    return f"The model is behind: it takes {move.wait:.1f} times as long as it may."
