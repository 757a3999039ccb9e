"""The client's receipts: applied, settled, superseded, also when a reconnect lost the events."""

import asyncio

import pytest

from liveglass.engine.errors import Unavailable
from liveglass.engine.events import ControlAccepted, ControlApplied, ControlSettled, ControlSuperseded
from liveglass.transport.client_errors import Superseded
from liveglass.transport.client_receipts import Progress, Receipt


def accepted(progress: Progress, version: int) -> Receipt:
    return progress.receipt(ControlAccepted("x", version, {"strength": 0.5}, ("a note",)))


async def test_a_change_is_followed_to_the_picture() -> None:
    progress = Progress()
    receipt = accepted(progress, 2)
    progress.note(ControlApplied(2, 10, 41.5))
    progress.note(ControlSettled(2, 12))
    assert (await receipt.applied()).latency_ms == 41.5
    assert (await receipt.settled()).slot == 12
    assert receipt.effective == {"strength": 0.5}
    assert receipt.notes == ("a note",)


async def test_events_that_overtake_the_answer_are_not_lost() -> None:
    progress = Progress()
    progress.note(ControlApplied(2, 10, 41.5))
    assert (await accepted(progress, 2).applied()).slot == 10


async def test_a_superseded_change_says_by_which() -> None:
    progress = Progress()
    receipt = accepted(progress, 2)
    progress.note(ControlSuperseded(2, by=4))
    for stage in (receipt.applied(), receipt.settled()):
        with pytest.raises(Superseded) as told:
            await stage
        assert (told.value.version, told.value.by) == (2, 4)


async def test_a_transition_cut_short_never_settles_but_was_applied() -> None:
    progress = Progress()
    first, second = accepted(progress, 2), accepted(progress, 3)
    progress.note(ControlApplied(2, 10, 40.0))
    progress.note(ControlApplied(3, 20, 40.0))
    assert (await first.applied()).slot == 10
    with pytest.raises(Superseded):
        await first.settled()
    assert (await second.applied()).slot == 20


async def test_two_may_wait_and_one_may_give_up() -> None:
    progress = Progress()
    receipt = accepted(progress, 2)
    impatient, patient = asyncio.create_task(receipt.applied()), asyncio.create_task(receipt.applied())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.wait([impatient])
    progress.note(ControlApplied(2, 10, 40.0))
    assert (await patient).slot == 10


async def test_after_a_reconnect_the_frames_tell_what_the_events_would_have() -> None:
    progress = Progress()
    older, newer = accepted(progress, 2), accepted(progress, 3)
    progress.reconnected()
    progress.saw_frame(version=1, slot=9)
    progress.saw_frame(version=3, slot=30)
    assert (await newer.applied()).slot == 30
    with pytest.raises(Superseded):
        await older.applied()


async def test_without_a_reconnect_frames_tell_nothing() -> None:
    progress = Progress()
    receipt = accepted(progress, 2)
    progress.saw_frame(version=2, slot=9)
    progress.note(ControlApplied(2, 10, 40.0))
    assert (await receipt.applied()).slot == 10


async def test_who_waits_is_told_when_the_connection_ends() -> None:
    progress = Progress()
    receipt = accepted(progress, 2)
    progress.fail(Unavailable("Gone."))
    with pytest.raises(Unavailable):
        await receipt.applied()
