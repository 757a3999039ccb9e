"""What the user steers: control versions, undo and redo, and which version reached the viewer; no thread of its own."""

import msgspec

from liveglass.engine.control import ControlPatch, ControlState, History
from liveglass.engine.events import ControlView
from liveglass.engine.frame import OutputFrame
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.options import check_steps, fitted
from liveglass.engine.stream.effect import in_effect
from liveglass.engine.stream.receipts import ReceiptEvent, Receipts


class Receipt(msgspec.Struct, frozen=True):
    """The answer to a command: the version that now counts, what applies, and notes for people."""

    version: int
    effective: dict[str, object]
    notes: tuple[str, ...] = ()


class Steering:
    """The control state of one session and its history; the caller sees to it that one thread at a time is inside."""

    def __init__(self, first: ControlState, spec: ModelSpec, now: float) -> None:
        self._spec = spec
        self._history = History(first)
        self._receipts = Receipts()
        self._receipts.accepted(first.version, now)

    @property
    def control(self) -> ControlState:
        """The version in force."""
        return self._history.current

    def view(self) -> ControlView:
        """The control state as clients read it."""
        control = self.control
        return ControlView(control.version, control.prompts, control.negative, control.params, control.apply)

    def patch(self, patch: ControlPatch, now: float) -> Receipt:
        """Lay a change over the control state.

        Raises:
            InvalidInput: a value that nobody can use, with its field.
        """
        following = self.control.patched(patch)
        check_steps(following.params.steps, self._spec)
        before = self.control
        self._history.push(following)
        return self._accepted(before, now)

    def undo(self, now: float) -> Receipt:
        """Go back to the wishes before the last change, as a new version.

        Raises:
            InvalidValue: there is nothing to undo.
        """
        before = self.control
        self._history.undo()
        return self._accepted(before, now)

    def redo(self, now: float) -> Receipt:
        """Go forward again to what was undone last, as a new version.

        Raises:
            InvalidValue: there is nothing to redo.
        """
        before = self.control
        self._history.redo()
        return self._accepted(before, now)

    def adopt(self, spec: ModelSpec, now: float) -> Receipt | None:
        """Another model makes the pictures from now on: whatever it does not know of the wishes becomes its default.

        Returns:
            The receipt of the version now in force, where it is another one or something has no effect any more.
        """
        before, known = self.control, in_effect(self.control, self._spec)[1]
        self._spec = spec
        self._history.refit(lambda control: fitted(control, spec))
        applies, notes = in_effect(self.control, spec)
        news = [note for note in notes if note not in known]
        if self.control.version != before.version:
            self._receipts.accepted(self.control.version, now)
            news.append(f"steps: {spec.name} does not make {before.params.steps}; {self.control.params.steps} now")
        return Receipt(self.control.version, applies, tuple(news)) if news else None

    def unchanged(self) -> Receipt:
        """The answer to a command that changes no wish, such as a pause."""
        applies, _ = in_effect(self.control, self._spec)
        return Receipt(self.control.version, applies)

    def handed_over(self, output: OutputFrame, at: float) -> list[ReceiptEvent]:
        """`output` was handed to transport at `at`, seconds; returns what that means for the versions."""
        return self._receipts.handed_over(output, at)

    def _accepted(self, before: ControlState, now: float) -> Receipt:
        """The receipt of the version now in force; it notes only what this change brought."""
        self._receipts.accepted(self.control.version, now)
        applies, notes = in_effect(self.control, self._spec)
        _, known = in_effect(before, self._spec)
        same_words = before.prompts == self.control.prompts
        return Receipt(
            self.control.version, applies, tuple(note for note in notes if not (same_words and note in known))
        )
