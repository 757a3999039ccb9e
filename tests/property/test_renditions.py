"""Which rendition a viewer gets and when a keyframe is due, on any history."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from liveglass.transport.webrtc.congestion import FIRST_TRY_S, LONGEST_S, LinkReport, RenditionChooser
from liveglass.transport.webrtc.encoding import LOW_BPS, Rendition
from liveglass.transport.webrtc.renditions import JOINER_WAITS_S, LOSER_WAITS_S, KeyframeRule

MAIN_BPS = 1_500_000
STEP_S = 0.25


def link(*, estimate_bps=None, sent_bps=MAIN_BPS, loss=0.0, asked_again=0.0) -> LinkReport:
    return LinkReport(estimate_bps, loss, asked_again, sent_bps, 0.05)


def run(chooser, capacity_bps, start, seconds):
    """A link of that capacity, whose receiver estimates what comes in; the renditions over time."""
    chosen = []
    for i in range(int(seconds / STEP_S)):
        sent = MAIN_BPS if chooser.rendition is Rendition.MAIN else LOW_BPS
        carried = min(sent, capacity_bps)
        estimate = 0.85 * carried if carried < sent else 1.5 * sent
        now = start + i * STEP_S
        chosen.append(chooser.report(now, link(estimate_bps=int(estimate), sent_bps=sent, loss=1 - carried / sent)))
    return chosen


def test_a_link_of_200_kbit_gets_the_low_rendition_within_3_s_and_is_tried_ever_more_rarely() -> None:
    chooser = RenditionChooser(0.0)
    chosen = run(chooser, 200_000, 0.0, 120)
    assert chosen[int(3 / STEP_S)] is Rendition.LOW
    assert chosen.count(Rendition.LOW) > 0.85 * len(chosen)
    tries = [i for i in range(1, len(chosen)) if (chosen[i - 1], chosen[i]) == (Rendition.LOW, Rendition.MAIN)]
    gaps = [b - a for a, b in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 2 * gaps[0]


def test_a_link_that_is_good_again_gets_the_main_rendition_back_within_3_s_of_a_first_slump() -> None:
    chooser = RenditionChooser(0.0)
    run(chooser, 200_000, 0.0, 3)
    assert chooser.rendition is Rendition.LOW
    chosen = run(chooser, 10_000_000, 3.0, FIRST_TRY_S + 10)
    assert chosen[int((FIRST_TRY_S + STEP_S) / STEP_S)] is Rendition.MAIN
    assert set(chosen[int((FIRST_TRY_S + STEP_S) / STEP_S) :]) == {Rendition.MAIN}


def test_a_try_that_the_link_does_not_carry_is_given_up_at_the_first_wave_of_repairs() -> None:
    chooser = RenditionChooser(0.0)
    assert chooser.report(0.1, link(asked_again=0.5)) is Rendition.LOW
    assert chooser.report(0.1 + FIRST_TRY_S, link()) is Rendition.MAIN
    assert chooser.report(0.2 + FIRST_TRY_S, link(asked_again=0.5)) is Rendition.LOW


def test_an_estimate_that_low_pressed_down_does_not_spoil_the_way_back() -> None:
    """Chrome's estimate follows what comes in down to it, and rises again by 8% a second."""
    chooser = RenditionChooser(0.0)
    chooser.report(0.1, link(asked_again=0.5))
    assert chooser.rendition is Rendition.LOW
    for i in range(400):
        estimate = 65_000 * 1.08 ** (i * STEP_S)
        chooser.report(4.0 + i * STEP_S, link(estimate_bps=int(min(estimate, 2 * MAIN_BPS))))
        assert chooser.rendition is Rendition.MAIN


def test_a_queue_that_grows_without_a_loss_is_noticed() -> None:
    chooser = RenditionChooser(0.0)
    for i in range(20):
        chooser.report(i * STEP_S, LinkReport(None, 0.0, 0.0, MAIN_BPS, 0.03 + 0.05 * i))
    assert chooser.rendition is Rendition.LOW


@given(st.floats(2_000_000, 50_000_000), st.floats(0.0, 0.2))
def test_a_link_that_carries_everything_keeps_the_main_rendition_through_random_loss(capacity, loss) -> None:
    chooser = RenditionChooser(0.0)
    for i in range(400):
        estimate = None if i < 8 else int(min(capacity, 1.5 * MAIN_BPS))
        assert chooser.report(i * STEP_S, link(estimate_bps=estimate, loss=loss, asked_again=loss)) is Rendition.MAIN


@given(st.lists(st.tuples(st.floats(0.05, 5.0), st.integers(0, 3_000_000), st.floats(0, 1)), max_size=300))
def test_no_history_makes_it_flap_faster_than_its_rule(history) -> None:
    chooser, now, ups = RenditionChooser(0.0), 0.0, []
    before = Rendition.MAIN
    for step, estimate, loss in history:
        now += step
        after = chooser.report(now, link(estimate_bps=estimate, loss=loss, asked_again=loss / 2))
        if (before, after) == (Rendition.LOW, Rendition.MAIN):
            ups.append(now)
        before = after
    assert all(b - a >= FIRST_TRY_S for a, b in itertools.pairwise(ups))
    assert chooser._patience <= LONGEST_S


@given(st.lists(st.tuples(st.floats(0.01, 0.5), st.sampled_from(["join", "lose", "none"])), max_size=200))
def test_keyframes_are_gathered_and_no_joiner_waits_over_300_ms(history) -> None:
    rule, now, last, joined_at, lost_at = KeyframeRule(), 0.0, None, None, None
    for step, event in history:
        for _ in range(max(1, round(step * 24))):
            now += 1 / 24
            if rule.take(now):
                if last is not None:
                    assert now - last >= JOINER_WAITS_S - 1e-9
                    assert joined_at is not None or now - last >= LOSER_WAITS_S - 1e-9
                assert joined_at is not None or lost_at is not None
                last, joined_at, lost_at = now, None, None
            assert joined_at is None or now - joined_at < 0.3
            assert lost_at is None or now - lost_at < LOSER_WAITS_S + 0.1
        if event == "join":
            rule.join()
            joined_at = now if joined_at is None else joined_at
        elif event == "lose":
            rule.lose()
            lost_at = now if lost_at is None else lost_at
