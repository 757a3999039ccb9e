"""How the Python client steers a session: every change answered by a receipt. Belongs to the client's event loop."""

import uuid
from collections.abc import Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from liveglass.engine.control import Policy, Prompt
from liveglass.engine.events import ControlAccepted
from liveglass.engine.frame import Apply
from liveglass.transport.client_link import Link
from liveglass.transport.client_receipts import Progress, Receipt
from liveglass.transport.messages import (
    ControlCommand,
    HistoryRedo,
    HistoryUndo,
    ParamsSet,
    PromptSet,
    PromptStage,
    PromptTake,
    SessionClose,
    StreamPanic,
    StreamPause,
    StreamResume,
)

T = TypeVar("T")


class Steering:
    """The commands of a controller. Each raises the server's own typed errors (NotAllowed for a viewer)."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._progress = Progress()

    async def prompt(
        self,
        text: str | None = None,
        *,
        prompts: Sequence[Prompt] | None = None,
        negative: str | None = None,
        blend_ms: int | None = None,
    ) -> Receipt:
        """Show other words; `blend_ms` fades to them.

        Raises:
            PromptTooLong: over 2,000 characters.
            InvalidInput: no words, both kinds of words, or a number out of range.
        """
        words = PromptSet(
            id=_new_id(),
            text=_or_unset(text),
            prompts=UNSET if prompts is None else tuple(prompts),
            negative=_or_unset(negative),
            blend_ms=_or_unset(blend_ms),
        )
        return await self._change(words)

    async def stage(self, cue: str, text: str, *, blend_ms: int | None = None) -> ControlAccepted:
        """Keep words under the name `cue`; `take` shows them."""
        return await self._link.command(PromptStage(id=_new_id(), cue=cue, text=text, blend_ms=_or_unset(blend_ms)))

    async def take(self, cue: str) -> Receipt:
        """Show the words staged as `cue`.

        Raises:
            InvalidValue: nothing is staged under that name.
        """
        return await self._change(PromptTake(id=_new_id(), cue=cue))

    async def set(
        self,
        *,
        strength: float | None = None,
        steps: int | None = None,
        seed: int | None = None,
        guidance: float | None = None,
        edge: float | None = None,
        depth: float | None = None,
        apply: Apply | None = None,
        policy: Policy | None = None,
        blend_ms: int | None = None,
        similarity: float | None = None,
    ) -> Receipt:
        """Change some of the numbers; the others stay.

        Another seed is reached over `blend_ms`; with a `similarity` over 0, say 0.98, a camera that stands still costs
        the model nothing.

        Raises:
            InvalidValue: out of range, or not a step count of this model.
        """
        return await self._change(
            ParamsSet(
                id=_new_id(),
                strength=_or_unset(strength),
                steps=_or_unset(steps),
                seed=_or_unset(seed),
                guidance=_or_unset(guidance),
                edge=_or_unset(edge),
                depth=_or_unset(depth),
                apply=_or_unset(apply),
                policy=_or_unset(policy),
                blend_ms=_or_unset(blend_ms),
                similarity=_or_unset(similarity),
            )
        )

    async def undo(self) -> Receipt:
        """Back to the wishes before the last change."""
        return await self._change(HistoryUndo(id=_new_id()))

    async def redo(self) -> Receipt:
        """Again what was undone last."""
        return await self._change(HistoryRedo(id=_new_id()))

    async def pause(self) -> ControlAccepted:
        """Repeat the last picture until `resume`."""
        return await self._link.command(StreamPause(id=_new_id()))

    async def resume(self) -> ControlAccepted:
        """End a pause or a panic."""
        return await self._link.command(StreamResume(id=_new_id()))

    async def panic(self) -> ControlAccepted:
        """Show the safe picture at once, to everybody."""
        return await self._link.command(StreamPanic(id=_new_id()))

    async def close_session(self) -> ControlAccepted:
        """End the session for everybody."""
        return await self._link.command(SessionClose(id=_new_id()))

    async def _change(self, command: ControlCommand) -> Receipt:
        return self._progress.receipt(await self._link.command(command))


def _new_id() -> str:
    return uuid.uuid4().hex


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
