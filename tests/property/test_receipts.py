"""Each accepted version ends in exactly one way, and its receipt says so in order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.events import ControlApplied, ControlSettled, ControlSuperseded
from liveglass.engine.frame import Frame, FrameKind, OutputFrame, Provenance
from liveglass.engine.stream.receipts import ReceiptEvent, Receipts

PIXELS = np.zeros((2, 2, 3), np.uint8)


def output(slot: int, version: int, *, progress: float = 1.0, kind: FrameKind = FrameKind.GENERATED) -> OutputFrame:
    base = Frame(slot, PIXELS, 0.0, Provenance(None, version, progress, 0, 4, "test", holds_camera=False, epoch=1))
    return OutputFrame(
        slot, 0, kind, PIXELS, base, version, 0, 0, holds_camera=False, is_new=True, deadline=0.0, picked_at=0.0
    )


def standby(slot: int) -> OutputFrame:
    return OutputFrame(
        slot, 0, FrameKind.STANDBY, PIXELS, None, 0, 0, 0, holds_camera=False, is_new=False, deadline=0.0, picked_at=0.0
    )


steps = st.lists(
    st.one_of(
        st.just("change"),
        st.just("standby"),
        st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.4, 1.0]), st.booleans()),
    ),
    max_size=60,
)


@given(steps)
def test_every_version_is_applied_or_superseded_exactly_once_and_settles_after_it_was_applied(
    script: list[str | tuple[int, float, bool]],
) -> None:
    receipts, accepted, shown = Receipts(), 1, 0
    receipts.accepted(1, 0.0)
    told: list[ReceiptEvent] = []
    for slot, step in enumerate(script):
        if step == "change":
            accepted += 1
            receipts.accepted(accepted, float(slot))
        elif isinstance(step, tuple):
            # As the scheduler promises: any version that was accepted, never an older one than before.
            shown = max(shown, accepted - step[0], 1)
            kind = FrameKind.BLENDED if step[2] else FrameKind.GENERATED
            told += receipts.handed_over(output(slot, shown, progress=step[1], kind=kind), float(slot))
        else:
            told += receipts.handed_over(standby(slot), float(slot))
    told += receipts.handed_over(output(len(script), accepted), float(len(script)))

    applied = [event.version for event in told if isinstance(event, ControlApplied)]
    superseded = [event.version for event in told if isinstance(event, ControlSuperseded)]
    settled = [event.version for event in told if isinstance(event, ControlSettled)]
    assert sorted(applied + superseded) == list(range(1, accepted + 1))
    assert applied == sorted(applied)
    assert len(set(settled)) == len(settled)
    assert set(settled) <= set(applied)
    assert accepted in settled
    for event in told:
        if isinstance(event, ControlSettled):
            assert told.index(event) > next(
                at for at, e in enumerate(told) if isinstance(e, ControlApplied) and e.version == event.version
            )
        if isinstance(event, ControlSuperseded):
            assert event.by > event.version


def test_a_cut_settles_in_the_slot_that_applies_it() -> None:
    receipts = Receipts()
    receipts.accepted(1, 1.0)
    events = receipts.handed_over(output(7, 1), 1.25)
    assert events == [ControlApplied(1, 7, 250.0), ControlSettled(1, 7)]


def test_a_transition_is_applied_by_its_first_frame_and_settles_with_its_last() -> None:
    receipts = Receipts()
    receipts.accepted(1, 0.0)
    told = [
        receipts.handed_over(output(slot, 1, progress=progress), 1.0)
        for slot, progress in enumerate([0.2, 0.6, 1.0, 1.0])
    ]
    assert told == [[ControlApplied(1, 0, 1000.0)], [], [ControlSettled(1, 2)], []]


def test_a_transition_that_was_overtaken_is_not_said_to_be_over() -> None:
    receipts = Receipts()
    receipts.accepted(1, 0.0)
    receipts.handed_over(output(0, 1, progress=0.5), 0.0)
    receipts.accepted(2, 0.0)
    assert receipts.handed_over(output(1, 2), 0.0) == [ControlApplied(2, 1, 0.0), ControlSettled(2, 1)]
