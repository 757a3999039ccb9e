"""The pure parts of the pages, run in the browser they are for: random cases drawn from a fixed seed."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

pytestmark = pytest.mark.asyncio(loop_scope="session")

STATIC = Path(__file__).parents[2] / "web" / "static"
SITE = "http://pages.test"

# Small generators for the cases: a seeded draw, and a comb of capture times with what a sender makes of it.
TOOLS = """
const draws = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};
const WRAP = 2 ** 32;
const rtpOf = (captured, constant) => (((90 * Math.floor(captured) + constant) % WRAP) + WRAP) % WRAP;
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page that can import the pages' modules."""
    opened = await browser.new_page()

    async def serve(route: Route) -> None:
        name = route.request.url.removeprefix(SITE).lstrip("/")
        if name:
            await route.fulfill(path=STATIC / name, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html>", content_type="text/html")

    await opened.route(f"{SITE}/**", serve)
    await opened.goto(SITE)
    yield opened
    await opened.close()


async def run(page: Page, body: str) -> Any:
    """The value of an asynchronous function with this body, in the page."""
    return await page.evaluate(f"async () => {{ {TOOLS} {body} }}")


async def test_the_distance_of_two_time_stamps_survives_the_wrap(page: Page) -> None:
    wrong = await run(
        page,
        """
        const { rtpSince, rtpWrapped } = await import("/live/rtp.js");
        const draw = draws(1);
        const wrong = [];
        for (let n = 0; n < 2000; n++) {
          const from = Math.floor(draw() * WRAP);
          const ticks = Math.floor((draw() - 0.5) * (WRAP - 2));
          const to = rtpWrapped(from + ticks);
          if (rtpSince(to, from) !== ticks || to < 0 || to >= WRAP) wrong.push([from, ticks]);
        }
        return wrong;
        """,
    )
    assert wrong == []


async def test_slots_go_on_across_the_wrap_and_through_gaps(page: Page) -> None:
    wrong = await run(
        page,
        """
        const { SlotClock, rtpWrapped } = await import("/live/rtp.js");
        const draw = draws(2);
        const wrong = [];
        for (const ticks of [3750, 3600, 3000, 1800, 1500]) {
          const origin = Math.floor(draw() * WRAP), slot0 = Math.floor(draw() * 1e6);
          const clock = new SlotClock({ rtp_origin: origin, slot0, ticks_per_slot: ticks });
          let slot = slot0;
          for (let n = 0; n < 3000; n++) {
            slot += Math.floor(draw() * 2 * 1145324 / 10); // through several turns of the 32 bits
            const told = clock.slot(rtpWrapped(origin + (slot - slot0) * ticks));
            if (told !== slot) wrong.push([ticks, slot, told]);
          }
        }
        return wrong.slice(0, 5);
        """,
    )
    assert wrong == []


async def test_each_picture_finds_its_own_story_in_any_order_and_the_rest_is_counted(page: Page) -> None:
    found = await run(
        page,
        """
        const { Partners } = await import("/live/rtp.js");
        const draw = draws(3);
        const wrong = [];
        let unmatched = 0, lost = 0, matched = 0, stories = 0;
        for (let round = 0; round < 50; round++) {
          const partners = new Partners();
          const events = [];
          for (let slot = 0; slot < 100; slot++) {
            events.push({ at: slot * 42 + draw() * 60, shown: slot });
            if (draw() < 0.9) events.push({ at: slot * 42 + draw() * 60, told: slot });
            else lost += 1;
          }
          events.push({ at: 20, clock: true }, { at: 9000, shown: 200 }, { at: 9700, told: 300 });
          events.sort((a, b) => a.at - b.at);
          for (const { at, shown, told, clock } of events) {
            const pairs =
              clock ? partners.clock({ rtp_origin: 90, slot0: 0, ticks_per_slot: 3750 }, at)
              : shown !== undefined ? partners.shown(90 + shown * 3750, { shown }, at)
              : partners.told({ slot: told }, at);
            for (const { meta, presented } of pairs) {
              matched += 1;
              if (meta.slot !== presented.shown) wrong.push([meta.slot, presented.shown]);
            }
          }
          stories += 100;
          unmatched += partners.unmatched;
        }
        return { wrong, unmatched, matched, lost, stories };
        """,
    )
    assert found["wrong"] == []
    assert found["matched"] == found["stories"] - found["lost"]
    assert found["unmatched"] == found["lost"] + 50  # and the one picture of each round that was never told of


CAMERAS = {
    "a camera like a metronome": "1000 / 30",
    "a camera that wavers": "1000 / 30 + (draw() - 0.5) * 8",
    "a camera at 60": "1000 / 60 + (draw() - 0.5) * 2",
    "a slow camera": "1000 / 15 + (draw() - 0.5) * 5",
}


@pytest.mark.parametrize("camera", CAMERAS)
async def test_the_constant_between_lens_and_time_stamp_is_found_within_two_milliseconds(
    page: Page, camera: str
) -> None:
    worst = await run(
        page,
        f"""
        const {{ fitConstant }} = await import("/live/glass.js");
        const {{ rtpSince }} = await import("/live/rtp.js");
        let worst = 0;
        for (let seed = 0; seed < 60; seed++) {{
          const draw = draws(seed);
          const constant = Math.floor(draw() * WRAP);
          const captures = [], sent = [];
          let at = draw() * 1e6;
          for (let n = 0; n < 90; n++) {{
            at += {CAMERAS[camera]};
            if (draw() < 0.95) captures.push(at); // a preview may skip one
            const delay = 2 + draw() * 12 + (draw() < 0.1 ? 60 : 0);
            if (draw() < 0.9) sent.push({{ rtp: rtpOf(at, constant), at: at + delay }});
          }}
          const found = fitConstant(sent, captures);
          worst = Math.max(worst, found === null ? Infinity : Math.abs(rtpSince(found, constant)) / 90);
        }}
        return worst;
        """,
    )
    assert worst <= 2.0


async def test_an_encoder_that_is_mostly_late_does_not_make_the_pictures_younger(page: Page) -> None:
    worst = await run(
        page,
        """
        const { Glass } = await import("/live/glass.js");
        let worst = 0;
        for (let seed = 0; seed < 20; seed++) {
          const draw = draws(seed), glass = new Glass();
          for (let n = 0; n < 400; n++) {
            const at = 1000 + n * 1000 / 30;
            const late = n > 40; // it could be found out; then the machine gets busy
            glass.addCapture(at);
            glass.addSent(rtpOf(at, 777), at + (late && draw() < 0.95 ? 40 + draw() * 60 : 5));
            const told = glass.capturedAt(rtpOf(at, 777));
            if (told !== null) worst = Math.max(worst, Math.abs(told - at));
          }
        }
        return worst;
        """,
    )
    assert worst <= 2.0


async def test_too_few_pictures_and_strangers_have_no_age(page: Page) -> None:
    told = await run(
        page,
        """
        const { Glass, fitConstant } = await import("/live/glass.js");
        const glass = new Glass();
        const before = [];
        for (let n = 0; n < 60; n++) {
          const at = 1000 + n * 33.4;
          glass.addCapture(at);
          glass.addSent(rtpOf(at, 12345), at + 5);
          if (n === 20) before.push(glass.capturedAt(rtpOf(at, 12345)));
        }
        const last = 1000 + 59 * 33.4;
        const known = glass.capturedAt(rtpOf(last, 12345)) - last;
        const stranger = glass.capturedAt(rtpOf(last, 12345) + 7);
        glass.restart();
        return { before, known, stranger, after: glass.capturedAt(rtpOf(last, 12345)), empty: fitConstant([], []) };
        """,
    )
    assert told["before"] == [None]
    assert abs(told["known"]) <= 2.0
    assert told["stranger"] is None
    assert told["after"] is None
    assert told["empty"] is None


async def test_a_drifting_sender_clock_is_followed(page: Page) -> None:
    worst = await run(
        page,
        """
        const { Glass } = await import("/live/glass.js");
        const glass = new Glass();
        let worst = 0;
        for (let n = 0; n < 3000; n++) {
          const at = 1000 + n * 33.4, constant = WRAP - 500 + Math.round(n * 0.6); // 200 ppm, and through the wrap
          glass.addCapture(at);
          glass.addSent(rtpOf(at, constant), at + 6);
          const told = glass.capturedAt(rtpOf(at, constant));
          if (told !== null) worst = Math.max(worst, Math.abs(told - at));
        }
        return worst;
        """,
    )
    assert worst <= 2.5


async def test_the_waits_before_webrtc_is_tried_again_are_10_20_40_and_60_s(page: Page) -> None:
    waits = await run(
        page,
        'const { retryDelay } = await import("/live/losses.js"); return [0, 1, 2, 3, 4, 500].map(retryDelay);',
    )
    assert waits == [10_000, 20_000, 40_000, 60_000, 60_000, 60_000]


async def test_figures_are_of_the_time_between_two_reports(page: Page) -> None:
    figures = await run(
        page,
        """
        const { figuresOf } = await import("/live/peer-figures.js");
        const report = (at, parts) => new Map([
          { id: "c", type: "codec", mimeType: "video/H264" },
          { id: "t", type: "transport", selectedCandidatePairId: "p" },
          { id: "p", type: "candidate-pair", currentRoundTripTime: 0.012 },
          { id: "i", type: "inbound-rtp", kind: "video", codecId: "c", timestamp: at, ...parts },
        ].map((entry) => [entry.id, entry]));
        const counted = (n) => ({ bytesReceived: 125000 * n, packetsReceived: 99 * n, packetsLost: n,
          jitterBufferDelay: 0.24 * n, jitterBufferEmittedCount: 24 * n });
        return [figuresOf(report(3000, counted(4)), report(1000, counted(2)), 3), figuresOf(new Map(), null, 0)];
        """,
    )
    assert figures[0] == {
        "codec": "H.264",
        "kbps": 1000,
        "upKbps": None,
        "roundTripMs": 12,
        "lost": 0.01,
        "jitterBufferMs": 10,
        "unmatched": 3,
        "camera": None,
    }
    assert figures[1]["codec"] == ""
    assert {figures[1][name] for name in ("kbps", "upKbps", "roundTripMs", "lost", "jitterBufferMs", "camera")} == {
        None
    }


async def test_a_swap_is_told_while_it_goes_on_and_where_it_failed_but_not_once_it_is_done(page: Page) -> None:
    told = await run(
        page,
        """
        const { tell } = await import("/studio/status.js");
        const known = { connection: { state: "open" }, state: { state: "live" }, quality: null, detour: null };
        const swaps = [
          null,
          { model: "sd-turbo", state: "warming", stage: "loading" },
          { model: "sd-turbo", state: "failed", cause: "There is no room for it" },
          { model: "sd-turbo", state: "ready" },
        ];
        return swaps.map((swap) => tell({ ...known, swap }).line);
        """,
    )
    assert told == [
        "Live.",
        "Live. Another model, sd-turbo, is warming up beside this one (loading).",
        "Live. sd-turbo could not take over; this one goes on. There is no room for it.",
        "Live.",
    ]
