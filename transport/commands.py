"""Commands done: what each one means for a session; called on the event loop, never waits.

Every command ends in `control.accepted` or a typed error; a repeated one is answered again.
"""

from collections.abc import Callable

import msgspec

from liveglass.engine.errors import LiveglassError, NotAllowed, NotAvailable
from liveglass.engine.events import ControlAccepted, ErrorEvent
from liveglass.engine.stream.session import Session
from liveglass.engine.stream.steering import Receipt
from liveglass.transport.hub import Room
from liveglass.transport.messages import (
    ControlCommand,
    HistoryRedo,
    HistoryUndo,
    ParamsSet,
    PromptSet,
    PromptStage,
    PromptTake,
    Role,
    SessionClose,
    StreamPanic,
    StreamPause,
    StreamResume,
)

STAGED_NOTE = "Staged; its words are encoded when it is taken."


class Commander:
    """Does the commands of one connection.

    Args:
        connection: its number, which no other connection has.
        by: its name in `control.changed`.
        end: ends the session; None where this server cannot.
    """

    def __init__(
        self,
        session: Session,
        room: Room,
        role: Role,
        *,
        connection: int,
        by: str,
        end: Callable[[str, str], None] | None,
    ) -> None:
        self._session = session
        self._room = room
        self._role = role
        self._connection = connection
        self._by = by
        self._end = end

    def answer(self, command: ControlCommand, raw: str) -> ControlAccepted | ErrorEvent:
        """Do `command`, which came as the text `raw`, unless it is done already, and say so."""
        answered = self._room.answered
        known = answered.recall(self._connection, command.id, raw)
        if known is not None:
            return known
        answer: ControlAccepted | ErrorEvent
        try:
            if self._role != "controller":
                raise NotAllowed("A viewer cannot change a session.")
            receipt = self._do(command)
            answer = ControlAccepted(
                id=command.id, version=receipt.version, effective=receipt.effective, notes=receipt.notes
            )
        except LiveglassError as error:
            answer = ErrorEvent.of(error.body(), id=command.id)
        answered.remember(self._connection, command.id, raw, answer)
        return answer

    def _do(self, command: ControlCommand) -> Receipt:
        session = self._session
        match command:
            case PromptSet() | ParamsSet():
                receipt = session.patch(command.patch(), by=self._by)
            case PromptStage():
                receipt = self._stage(command)
            case PromptTake():
                receipt = session.patch(self._room.deck.take(command.cue), by=self._by)
            case HistoryUndo():
                receipt = session.undo(by=self._by)
            case HistoryRedo():
                receipt = session.redo(by=self._by)
            case StreamPause():
                receipt = session.pause()
            case StreamResume():
                receipt = session.resume()
            case StreamPanic():
                receipt = session.panic()
                # The session's own event would do it a turn of the loop later, behind a writer that is due now.
                self._room.flush()
            case SessionClose():
                receipt = self._close()
        return receipt

    def _stage(self, command: PromptStage) -> Receipt:
        patch = command.patch()
        now = self._session.control
        now.patched(patch)  # too long or too many is said now, not when the cue is taken
        self._room.deck.stage(command.cue, patch)
        effective = {"cue": command.cue, **msgspec.to_builtins(patch)}
        return Receipt(version=now.version, effective=effective, notes=(STAGED_NOTE,))

    def _close(self) -> Receipt:
        if self._end is None:
            raise NotAvailable("This server does not end sessions over the socket.", hint="Use DELETE over HTTP.")
        version = self._session.control.version
        self._end(self._session.id, "closed by a client")
        return Receipt(version=version, effective={}, notes=())
