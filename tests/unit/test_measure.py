"""Figures are measured, over the last seconds, and not told before there are enough of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.frame import Frame, FrameKind, OutputFrame, Provenance, SourceStamp
from liveglass.engine.stream.measure import FEWEST_SAMPLES, Meter, percentiles_ms

PIXELS = np.zeros((2, 2, 3), np.uint8)


def output(
    slot: int, kind: FrameKind, *, captured_at: float | None = None, moved_on: float = 0.0, is_new: bool = False
) -> OutputFrame:
    base = None
    if captured_at is not None:
        stamp = SourceStamp(slot, captured_at, 0, is_camera=True)
        base = Frame(slot, PIXELS, 0.0, Provenance(stamp, 1, 1.0, 0, 4, "x", holds_camera=False, epoch=1))
    return OutputFrame(
        slot,
        0,
        kind,
        PIXELS,
        base,
        version=1,
        source_us=0,
        age_us=0,
        holds_camera=False,
        is_new=is_new,
        deadline=0.0,
        picked_at=0.0,
        captured_at=None if captured_at is None else captured_at + moved_on,
    )


@given(
    st.lists(st.tuples(st.sampled_from(list(FrameKind)), st.booleans()), min_size=2, max_size=300),
    st.sampled_from([24, 30, 60]),
)
def test_new_frames_and_stand_ins_together_are_the_output(slots: list[tuple[FrameKind, bool]], fps: int) -> None:
    meter = Meter()
    for slot, (kind, is_new) in enumerate(slots):
        meter.slot(output(slot, kind, is_new=is_new), slot / fps)
    stats = meter.stats((len(slots) - 1) / fps)
    assert stats.out_fps == pytest.approx(fps, abs=0.01)
    assert stats.generated_fps + sum(stats.standin_fps.values()) == pytest.approx(stats.out_fps, abs=0.05)


@given(st.integers(1, 2000))
def test_only_the_last_seconds_count(slots: int) -> None:
    meter = Meter()
    for slot in range(slots):
        meter.slot(output(slot, FrameKind.GENERATED, is_new=True), slot / 24)
    now = (slots - 1) / 24
    assert meter.new_in(2.0 + 0.5 / 24, now) == min(slots, 49)
    assert meter.stats(now + 60.0).out_fps == 0.0


def test_percentiles_are_not_told_of_too_few_samples() -> None:
    assert percentiles_ms([0.1] * (FEWEST_SAMPLES - 1)) is None
    told = percentiles_ms([0.1] * FEWEST_SAMPLES)
    assert told is not None
    assert (told.p50, told.p95, told.p99) == (100.0, 100.0, 100.0)


def test_the_age_of_a_slate_is_nobodys() -> None:
    meter = Meter()
    assert meter.slot(output(1, FrameKind.STANDBY, captured_at=1.0), 2.0) == (None, None)
    assert meter.slot(output(2, FrameKind.REPEATED, captured_at=1.0), 2.5) == (1.5, 1.5)
    assert meter.slot(output(3, FrameKind.WARPED, captured_at=1.0, moved_on=0.5), 2.5) == (1.0, 1.5)


def test_a_stage_is_told_in_milliseconds() -> None:
    meter = Meter()
    for _ in range(FEWEST_SAMPLES):
        meter.stage("encode", 0.0125)
    assert meter.stats(0.0).latency["encode"].p95 == 12.5
