"""What someone sees and does in the studio, from the first second on, with the built-in model."""

import itertools
import re
import warnings

import numpy as np
import pytest
from e2e.pages import CAMERA_FLAG, GENERATED, PAINTED, REPEATED, STANDBY, WARPED, Studio, frames_of, over_socket
from e2e.server import Server, bearer, total

pytestmark = pytest.mark.asyncio(loop_scope="session")

TILE_COLOURS = """
Object.fromEntries([...document.querySelectorAll("#looks .tile:not([hidden])")].map((tile) => {
  const canvas = tile.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i++) if (i % 4 < 3) sums[i % 4] += data[i];
  return [tile.textContent.replace(/^[0-9]/, ""), sums.map((sum) => sum / (data.length / 4))];
}))
"""


async def test_the_studio_opens_already_generating_the_sample(studio: Studio, nano: Server) -> None:
    view = await nano.session(studio.session, studio.token)

    assert view["options"]["source"] == "sample"
    assert await studio.text("camera") == "Use my camera"
    assert await studio.page.locator("#slate").is_hidden()
    assert await studio.page.locator("#preview").is_hidden()


async def test_the_pictures_move(studio: Studio) -> None:
    await studio.until_frames(PAINTED, 3, since=await studio.mark())
    first = (await studio.pixels()).astype(int)
    since = await studio.mark()
    await studio.until_frames(PAINTED, 12, since=since)
    later = (await studio.pixels()).astype(int)

    assert first[..., :3].std() > 10, "the first picture is flat"
    assert np.abs(later - first).mean() > 1.0, "twelve new pictures look like the first"


@over_socket
async def test_every_slot_has_a_labelled_frame_and_none_is_lost_uncounted(studio: Studio, nano: Server) -> None:
    before = await nano.metrics()
    await studio.until_frames(PAINTED, 15, since=await studio.mark())
    frames = await studio.frames()
    view = await nano.session(studio.session, studio.token)
    missed = total(await nano.metrics(), "liveglass_slots_missed_total") - total(before, "liveglass_slots_missed_total")

    slots = [frame.slot for frame in frames]
    gaps = sum(later - earlier - 1 for earlier, later in itertools.pairwise(slots))
    if missed:
        warnings.warn(f"this machine is so busy that {missed:.0f} slots were missed", stacklevel=1)
    assert all(later > earlier for earlier, later in itertools.pairwise(slots))
    # A gap in the numbers is a slot that the grid skipped or a frame that this viewer could not take: both are counted.
    assert gaps <= view["stats"]["missed"] + view["stats"]["dropped"]
    assert {frame.kind for frame in frames} <= {GENERATED, WARPED, REPEATED, STANDBY}
    shown = [frame for frame in frames if frame.kind != STANDBY]
    assert {frame.version for frame in shown} == {1}
    assert not any(frame.flags & CAMERA_FLAG for frame in frames)


@over_socket
async def test_a_typed_prompt_brings_its_receipts_in_order_and_the_picture_becomes_what_was_asked(
    studio: Studio,
) -> None:
    await studio.page.fill("#prompt", "night vision")
    assert not any(entry["type"] == "control.accepted" for entry in await studio.log()), "typing alone sent it"

    version = await studio.send_prompt("night vision green")
    await studio.until(f"wire.log.some((m) => m.type === 'control.settled' && m.version === {version})")
    log = await studio.log()
    receipts = [entry for entry in log if entry["type"].startswith("control.") and entry.get("version") == version]

    assert [entry["type"] for entry in receipts] == ["control.accepted", "control.applied", "control.settled"]
    row = studio.page.locator("#receipts li").first
    await studio.until("document.querySelector('#receipts .phases')?.textContent.includes('settled')")
    assert "night vision green" in await row.locator(".what").inner_text()
    words = (await row.locator(".phases").inner_text()).split(" · ")
    assert [word.split()[0] for word in words] == ["accepted", "applied", "settled"]
    applied = receipts[1]
    told = re.fullmatch(r"applied in (\d+) ms", words[1])
    assert told is not None
    assert abs(int(told[1]) - applied["latency_ms"]) <= 0.5

    # No frame before the slot of `applied` was made with the new words, and none after it with older ones.
    for entry in log:
        if entry["type"] == "frame" and entry["kind"] != STANDBY:
            assert (entry["version"] >= version) == (entry["slot"] >= applied["slot"])

    await studio.until_frames(PAINTED, 4, since=await studio.mark())
    red, green, blue = await studio.mean_rgb()
    assert green > 1.25 * red, f"asked for green, shows {red:.0f} {green:.0f} {blue:.0f}"
    assert green > 1.25 * blue, f"asked for green, shows {red:.0f} {green:.0f} {blue:.0f}"

    version = await studio.send_prompt("ink drawing, blue")
    await studio.until(f"wire.log.some((m) => m.type === 'control.settled' && m.version === {version})")
    await studio.until_frames(PAINTED, 4, since=await studio.mark())
    red, green, blue = await studio.mean_rgb()
    assert green < 1.12 * max(red, blue), f"asked for blue ink, shows {red:.0f} {green:.0f} {blue:.0f}"


async def test_an_unknown_word_is_answered_with_the_nearest_known_one(studio: Studio) -> None:
    await studio.send_prompt("watercolous of a zeppelin")
    await studio.until("document.querySelector('#receipts .note')")

    assert "zeppelin" in await studio.text("receipts")


async def test_receipts_and_their_notes_move_nothing_else_on_the_desk(studio: Studio) -> None:
    before = await studio.page.locator("#strength").bounding_box()
    for words in ("a zeppelin, neon", "a xylophone and a zeppelin in a wardrobe, thermal", "comic"):
        await studio.send_prompt(words)
    await studio.until("document.querySelectorAll('#receipts li').length === 3")

    assert await studio.page.locator("#strength").bounding_box() == before


async def test_looks_are_tiles_of_ones_own_picture_and_change_nothing_until_they_are_taken(
    studio: Studio, nano: Server
) -> None:
    await studio.until(
        "[...document.querySelectorAll('#looks .tile:not([hidden]) canvas')].every((c) => c.width === 160)"
    )
    means = await studio.page.evaluate(TILE_COLOURS)
    red, green, blue = means["Night vision"]
    assert green > 1.3 * max(red, blue), "night vision is green"
    red, green, blue = means["Thermal"]
    assert red > 1.3 * blue, "thermal is warm"
    view = await nano.session(studio.session, studio.token)
    assert view["control"]["version"] == 1
    await studio.page.click("#looks .tile:has-text('Night vision')")
    await studio.until("document.getElementById('version').textContent === 'version 2'")
    assert await studio.page.locator("#looks .tile[aria-pressed=true]").inner_text() == "6Night vision"


async def test_undo_brings_the_words_back_from_the_keyboard(studio: Studio) -> None:
    first = await studio.page.input_value("#prompt")
    await studio.send_prompt("neon, pink")
    await studio.page.keyboard.press("Escape")
    await studio.page.keyboard.press("Control+z")

    await studio.until(f"document.getElementById('prompt').value === {first!r}")
    await studio.page.keyboard.press("Control+Shift+z")
    await studio.until("document.getElementById('prompt').value === 'neon, pink'")


@over_socket
async def test_my_camera_takes_the_place_of_the_sample_in_the_same_session(studio: Studio, nano: Server) -> None:
    since = await studio.use_camera()
    await studio.until_frames(PAINTED, 10, since=await studio.mark())
    log = await studio.log(since)
    shown = [frame for frame in frames_of(log) if frame.kind != STANDBY]
    first = next(i for i, frame in enumerate(shown) if frame.source > 0)

    assert all(frame.source > 0 for frame in shown[first:]), "a sample's picture came after the camera's first"
    assert len({frame.source for frame in shown[first:]}) > 5
    assert not any(frame.flags & CAMERA_FLAG for frame in shown), "the camera shows through"
    assert not any(entry["type"] == "hello" for entry in log), "the page connected again"
    assert (await nano.session(studio.session, studio.token))["id"] == studio.session
    assert await studio.text("camera") == "Stop my camera"
    await studio.until("document.getElementById('side-program').hidden === false")
    assert await studio.text("side-camera") == "camera, seen only here"


async def test_a_reload_comes_back_to_the_same_session(studio: Studio, nano: Server) -> None:
    version = await studio.send_prompt("thermal")
    before = studio.session
    await studio.page.reload()
    await studio.remember()
    await studio.until_frames(PAINTED, 2)

    assert studio.session == before
    assert {frame.version for frame in await studio.frames() if frame.kind != STANDBY} == {version}
    await studio.until("document.getElementById('prompt').value === 'thermal'")
    assert total(await nano.metrics(), "liveglass_sessions") >= 1


async def test_a_reload_resumes_the_camera_and_a_stopped_one_stays_off(studio: Studio) -> None:
    await studio.page.context.grant_permissions(["camera"])
    await studio.use_camera()
    await studio.page.reload()
    await studio.until(f"wire.log.some((m) => m.type === 'frame' && {list(PAINTED)}.includes(m.kind) && m.source > 0)")
    await studio.until("document.getElementById('camera').textContent === 'Stop my camera'")
    await studio.until("document.getElementById('side-program').hidden === false")

    await studio.page.click("#camera")
    await studio.page.reload()
    await studio.until("wire.log.some((m) => m.type === 'hello')")
    await studio.until_frames((REPEATED,), 6)
    assert await studio.text("camera") == "Use my camera"
    assert await studio.page.locator("#preview").is_hidden()


async def test_the_viewer_link_shows_the_picture_and_takes_no_commands(studio: Studio, nano: Server) -> None:
    watching = Studio(await studio.page.context.new_page())
    await watching.go(f"{nano.url}/#session={studio.session}&token={studio.viewer_token}")

    assert await watching.page.evaluate("() => document.body.dataset.role") == "viewer"
    refused = await nano.http.patch(
        f"/v1/sessions/{studio.session}", headers=bearer(studio.viewer_token), json={"prompt": "fire"}
    )
    assert refused.status_code == 403
    await watching.page.close()
