"""What a session's connections share: staged cues, and the answers to commands already done; pure.

Both are bounded and hold nothing that outlives the session. The event loop's alone.
"""

import hashlib
from collections import OrderedDict

import msgspec

from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import InvalidValue
from liveglass.engine.events import ControlAccepted, ErrorEvent
from liveglass.engine.validation import did_you_mean

MAX_CUES = 64
MAX_ANSWERS = 256
UNIQUE_ID_CHARS = 16


class Deck:
    """Prompts kept under a name, to be taken later. The first of too many gives way."""

    def __init__(self) -> None:
        self._cues: OrderedDict[str, ControlPatch] = OrderedDict()

    def stage(self, cue: str, patch: ControlPatch) -> None:
        """Keep `patch` as `cue`, in place of what was there."""
        self._cues[cue] = patch
        self._cues.move_to_end(cue)
        if len(self._cues) > MAX_CUES:
            self._cues.popitem(last=False)

    def take(self, cue: str) -> ControlPatch:
        """The words staged as `cue`; they stay staged.

        Raises:
            InvalidValue: nothing is staged under that name.
        """
        if cue not in self._cues:
            hint = did_you_mean(cue, self._cues) if self._cues else "Stage it first with prompt.stage."
            raise InvalidValue(f"There is no cue {cue!r}.", hint=hint, field="cue")
        return self._cues[cue]


class _Done(msgspec.Struct, frozen=True):
    digest: bytes
    answer: ControlAccepted | ErrorEvent


class Answered:
    """The answers to the last commands, so that a repeated `id` is answered again and not done again.

    On the connection that sent it, an id alone is enough. After a reconnect the same command under the same id is the
    same command, provided that the id can be unique (16 characters or more): `1` is a counter that every page
    starts anew, and a panic must never be taken for yesterday's.
    """

    def __init__(self) -> None:
        self._done: OrderedDict[tuple[int, str], _Done] = OrderedDict()

    def recall(self, connection: int, command_id: str, command: str) -> ControlAccepted | ErrorEvent | None:
        """The answer that this command had; None if it is a new one."""
        own = self._done.get((connection, command_id))
        if own is not None:
            return own.answer
        if len(command_id) < UNIQUE_ID_CHARS:
            return None
        digest = _digest(command)
        same = (
            done.answer for (_, its_id), done in self._done.items() if (its_id, done.digest) == (command_id, digest)
        )
        return next(same, None)

    def remember(self, connection: int, command_id: str, command: str, answer: ControlAccepted | ErrorEvent) -> None:
        """`command` is done; an answer that says `retryable` is not kept, so that it can be tried again."""
        if isinstance(answer, ErrorEvent) and answer.retryable:
            return
        self._done[connection, command_id] = _Done(_digest(command), answer)
        if len(self._done) > MAX_ANSWERS:
            self._done.popitem(last=False)


def _digest(command: str) -> bytes:
    return hashlib.sha256(command.encode()).digest()
