"""Which control version reached the viewer, and when: the stages of a receipt; pure."""

from dataclasses import dataclass

from liveglass.engine.events import ControlApplied, ControlSettled, ControlSuperseded
from liveglass.engine.frame import FrameKind, OutputFrame

ReceiptEvent = ControlApplied | ControlSettled | ControlSuperseded


@dataclass(slots=True)
class _Pending:
    version: int
    accepted_at: float
    applied: bool = False


class Receipts:
    """Follows every version from acceptance to its picture.

    A version is *applied* with the first frame whose base was made with it, *settled* when its transition is over, and
    *superseded* when a newer one was applied and it never was.
    """

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    def accepted(self, version: int, at: float) -> None:
        """`version` was accepted at `at`, seconds."""
        self._pending.append(_Pending(version, at))

    def handed_over(self, output: OutputFrame, at: float) -> list[ReceiptEvent]:
        """`output` was handed to transport at `at`, seconds; returns what that means for the versions."""
        base = output.base
        if base is None or not self._pending or self._pending[0].version > output.version:
            return []
        events: list[ReceiptEvent] = []
        settled = base.provenance.progress >= 1.0 and output.kind is not FrameKind.BLENDED
        left = []
        for pending in self._pending:
            if pending.version < output.version and not pending.applied:
                events.append(ControlSuperseded(pending.version, output.version))
            elif pending.version == output.version:
                if not pending.applied:
                    pending.applied = True
                    latency_ms = round((at - pending.accepted_at) * 1000, 1)
                    events.append(ControlApplied(pending.version, output.slot, latency_ms))
                if settled:
                    events.append(ControlSettled(pending.version, output.slot))
                else:
                    left.append(pending)
            elif pending.version > output.version:
                left.append(pending)
        self._pending = left
        return events
