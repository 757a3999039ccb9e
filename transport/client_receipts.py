"""Following a change until it is on show, on the client's side; touches no socket. The event loop's alone."""

import asyncio
from collections import OrderedDict
from typing import TypeVar

from liveglass.engine.errors import LiveglassError
from liveglass.engine.events import ControlAccepted, ControlApplied, ControlSettled, ControlSuperseded
from liveglass.transport.client_errors import Superseded

T = TypeVar("T", ControlApplied, ControlSettled)

_REMEMBERED = 256

_Applied = ControlApplied | ControlSuperseded | LiveglassError
_Settled = ControlSettled | ControlSuperseded | LiveglassError


class _Stages:
    """What became of one version. Outcomes are results, never exceptions: nobody has to look at them."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.applied: asyncio.Future[_Applied] = loop.create_future()
        self.settled: asyncio.Future[_Settled] = loop.create_future()

    def is_open(self) -> bool:
        return not (self.applied.done() and self.settled.done())

    def give_up(self, outcome: ControlSuperseded | LiveglassError) -> None:
        if not self.applied.done():
            self.applied.set_result(outcome)
        if not self.settled.done():
            self.settled.set_result(outcome)


class Receipt:
    """The answer to a change.

    Attributes:
        version: the control version that it made; frames carry it.
        effective: what really applies, e.g. a strength that the model snapped.
        notes: remarks for people, e.g. "no effect with this model".
    """

    def __init__(self, accepted: ControlAccepted, stages: _Stages) -> None:
        self.version = accepted.version
        self.effective = accepted.effective
        self.notes = accepted.notes
        self._stages = stages

    async def applied(self) -> ControlApplied:
        """Wait for the first frame that was made with this change: its slot and `latency_ms`.

        Raises:
            Superseded: a newer change took its place before it was ever shown.
            LiveglassError: the connection ended for good.
        """
        return _unless_superseded(await asyncio.shield(self._stages.applied))

    async def settled(self) -> ControlSettled:
        """Wait for the end of the transition to this change.

        Raises:
            Superseded: a newer change took its place before it was over.
            LiveglassError: the connection ended for good.
        """
        return _unless_superseded(await asyncio.shield(self._stages.settled))

    def __repr__(self) -> str:
        return f"Receipt(version={self.version}, effective={self.effective}, notes={self.notes})"


class Progress:
    """The stages of the last versions, as the server's events tell them."""

    def __init__(self) -> None:
        self._stages: OrderedDict[int, _Stages] = OrderedDict()
        self._missed_events = False

    def receipt(self, accepted: ControlAccepted) -> Receipt:
        """The receipt of a change that the server has accepted."""
        return Receipt(accepted, self._of(accepted.version))

    def note(self, event: ControlApplied | ControlSettled | ControlSuperseded) -> None:
        """An event about a version came."""
        stages = self._of(event.version)
        if isinstance(event, ControlSuperseded):
            stages.give_up(event)
            return
        if isinstance(event, ControlApplied):
            if not stages.applied.done():
                stages.applied.set_result(event)
        elif not stages.settled.done():
            stages.settled.set_result(event)
        # An older transition that was on its way ends here: nothing else will say so.
        self._supersede_before(event.version)

    def reconnected(self) -> None:
        """Events may have been missed: from now on the frames themselves tell what became of open versions."""
        self._missed_events = any(stages.is_open() for stages in self._stages.values())

    def saw_frame(self, version: int, slot: int) -> None:
        """A frame made with `version` came; after a reconnect it stands for the events that were missed."""
        if not self._missed_events:
            return
        stages = self._stages.get(version)
        if stages is not None:
            # The latency was measured while nobody listened.
            self.note(ControlApplied(version, slot, latency_ms=float("nan")))
            self.note(ControlSettled(version, slot))
        self._supersede_before(version)
        self._missed_events = any(stages.is_open() for stages in self._stages.values())

    def fail(self, error: LiveglassError) -> None:
        """No event will come any more."""
        for stages in self._stages.values():
            stages.give_up(error)

    def _supersede_before(self, version: int) -> None:
        for older, stages in self._stages.items():
            if older < version:
                stages.give_up(ControlSuperseded(older, by=version))

    def _of(self, version: int) -> _Stages:
        stages = self._stages.get(version)
        if stages is None:
            stages = self._stages[version] = _Stages()
            if len(self._stages) > _REMEMBERED:
                _, oldest = self._stages.popitem(last=False)
                oldest.give_up(ControlSuperseded(version - _REMEMBERED, by=version))
        return stages


def _unless_superseded(outcome: T | ControlSuperseded | LiveglassError) -> T:
    if isinstance(outcome, ControlSuperseded):
        raise Superseded(outcome.version, outcome.by)
    if isinstance(outcome, LiveglassError):
        raise outcome
    return outcome
