"""What goes out in a slot is never newer, and never more generated, than it says."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.frame import Frame, FrameKind, Provenance, SourceStamp
from liveglass.engine.stream.scheduler import STANDBY_AFTER_S, FrameScheduler, Pick

FPS = 24
PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(
    seq: int, *, version: int = 1, epoch: int = 1, captured_at: float | None = None, progress: float = 1.0
) -> Frame:
    source = None if captured_at is None else SourceStamp(seq, captured_at, 0, is_camera=True)
    return Frame(seq, PIXELS, 0.0, Provenance(source, version, progress, 0, 4, "test", holds_camera=False, epoch=epoch))


@dataclass(frozen=True)
class Offer:
    version: int
    epoch: int
    skew: int


@dataclass(frozen=True)
class Act:
    name: str


actions = st.lists(
    st.one_of(
        st.builds(Offer, st.integers(1, 4), st.integers(1, 3), st.integers(-3, 1)),
        st.sampled_from([Act("tick"), Act("tick"), Act("hold"), Act("flush")]),
    ),
    max_size=80,
)


def played(script: list[Offer | Act], *, fades: bool) -> Iterator[tuple[str, Pick, FrameScheduler]]:
    scheduler, seq, now = FrameScheduler(FPS, fades=fades), 10, 0.0
    for action in script:
        if isinstance(action, Offer):
            seq += 1
            captured_at = None if fades else now
            scheduler.offer(
                frame(max(1, seq + action.skew), version=action.version, epoch=action.epoch, captured_at=captured_at)
            )
        elif action.name == "flush":
            scheduler.flush()
        else:
            now += 1 / FPS
            yield action.name, (scheduler.tick(now) if action.name == "tick" else scheduler.hold()), scheduler


@given(actions, st.booleans())
def test_generated_is_said_once_of_a_frame_and_only_of_one_shown_as_made(
    script: list[Offer | Act], fades: bool
) -> None:
    said, new = list[Frame](), list[Frame]()
    for _, pick, _ in played(script, fades=fades):
        if pick.base is None:
            assert pick.kind is FrameKind.STANDBY
            assert not pick.is_new
            continue
        if pick.kind is FrameKind.GENERATED:
            assert pick.toward == 1.0
            assert all(pick.base is not frame for frame in said)
            said.append(pick.base)
        assert pick.is_new == all(pick.base is not frame for frame in new)
        new.append(pick.base)


@given(actions, st.booleans())
def test_neither_the_version_nor_the_frame_ever_goes_back(script: list[Offer | Act], fades: bool) -> None:
    newest = (0, 0, 0)
    for _, pick, _ in played(script, fades=fades):
        if pick.base is not None:
            made = pick.base.provenance
            assert (made.version, made.epoch, pick.base.seq) >= newest
            newest = made.version, made.epoch, pick.base.seq


@given(actions, st.booleans())
def test_every_frame_is_shown_or_counted_as_late_or_was_thrown_away_on_purpose(
    script: list[Offer | Act], fades: bool
) -> None:
    kept = [action for action in script if not isinstance(action, Act) or action.name == "tick"]
    ticks = list(played([*kept, Act("tick")], fades=fades))
    shown = sum(pick.is_new for _, pick, _ in ticks)
    assert shown + ticks[-1][2].late == sum(isinstance(action, Offer) for action in kept)


@given(actions)
def test_with_a_camera_nothing_is_ever_blended(script: list[Offer | Act]) -> None:
    kinds = {pick.kind for _, pick, _ in played(script, fades=False)}
    assert FrameKind.BLENDED not in kinds


@given(actions, st.booleans())
def test_a_paused_stream_repeats_or_has_nothing(script: list[Offer | Act], fades: bool) -> None:
    for name, pick, _ in played(script, fades=fades):
        if name == "hold":
            assert pick.kind in {FrameKind.REPEATED, FrameKind.STANDBY}


@given(st.floats(0, 1000))
def test_the_last_picture_is_repeated_for_ten_seconds_and_then_it_is_standby(captured_at: float) -> None:
    scheduler = FrameScheduler(FPS, fades=False)
    scheduler.offer(frame(1, captured_at=captured_at))
    kinds = [scheduler.tick(captured_at + slot / FPS).kind for slot in range(1, FPS * 12)]
    repeats = int(STANDBY_AFTER_S * FPS) - 1
    assert kinds[0] is FrameKind.GENERATED
    assert set(kinds[1 : repeats - 1]) == {FrameKind.REPEATED}
    assert set(kinds[repeats + 1 :]) == {FrameKind.STANDBY}


def test_a_picture_from_words_alone_does_not_grow_old() -> None:
    scheduler = FrameScheduler(FPS, fades=True)
    scheduler.offer(frame(1))
    kinds = [scheduler.tick(slot / FPS).kind for slot in range(1, FPS * 60)]
    assert kinds == [FrameKind.GENERATED] + [FrameKind.REPEATED] * (len(kinds) - 1)


@given(st.integers(2, 12))
def test_a_fade_is_linear_and_ends_in_the_newest_frame_as_made(gap: int) -> None:
    scheduler = FrameScheduler(FPS, fades=True)
    scheduler.offer(frame(1))
    scheduler.tick(0.0)
    scheduler.offer(frame(2))
    picks = [scheduler.tick((gap + slot) / FPS) for slot in range(gap + 1)]
    weight, weights = 0.0, []
    for pick in picks[:gap]:
        weight += (1 - weight) * pick.toward
        weights.append(weight)
    assert np.allclose(weights, [(slot + 1) / gap for slot in range(gap)])
    assert [pick.kind for pick in picks] == [FrameKind.BLENDED] * (gap - 1) + [FrameKind.GENERATED, FrameKind.REPEATED]
    assert [pick.is_new for pick in picks] == [True] + [False] * gap


def test_a_cut_is_not_faded() -> None:
    scheduler = FrameScheduler(FPS, fades=True)
    scheduler.offer(frame(1))
    scheduler.tick(0.0)
    scheduler.offer(frame(2, version=2))
    assert scheduler.tick(5 / FPS).kind is FrameKind.GENERATED


def test_pausing_half_way_through_a_fade_keeps_what_is_shown() -> None:
    scheduler = FrameScheduler(FPS, fades=True)
    scheduler.offer(frame(1))
    scheduler.tick(0.0)
    scheduler.offer(frame(2))
    scheduler.tick(4 / FPS)
    held = scheduler.hold()
    assert (held.kind, held.toward) == (FrameKind.REPEATED, 0.0)
    assert scheduler.tick(6 / FPS).kind is FrameKind.BLENDED


def test_nothing_from_before_a_flush_or_a_pause_is_called_generated_afterwards() -> None:
    scheduler = FrameScheduler(FPS, fades=False)
    scheduler.offer(frame(1, captured_at=0.0))
    scheduler.hold()
    assert scheduler.tick(1.0).kind is FrameKind.STANDBY
    scheduler.offer(frame(2, captured_at=0.0))
    scheduler.flush()
    assert scheduler.tick(1.0).kind is FrameKind.STANDBY
