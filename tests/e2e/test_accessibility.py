"""The studio for people who use it by keyboard or with a screen reader, on a desktop and on a phone held upright."""

from pathlib import Path

import pytest
from e2e.pages import Studio

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}

_REACHABLE = """
() => [...document.querySelectorAll("button, input, select, textarea, a[href], [tabindex]")]
  .filter((e) => !e.disabled && e.tabIndex >= 0 && !e.closest("[inert], dialog:not([open])") && e.checkVisibility())
  .map((e, place) => (e.dataset.place = String(place)))
"""

_FOCUS = """
() => [document.activeElement.dataset.place, getComputedStyle(document.activeElement).outlineStyle !== "none"]
"""


async def violations(studio: Studio) -> list[str]:
    """What axe finds wrong, one line each."""
    found = await studio.page.evaluate("async () => (await axe.run(document)).violations")
    return [f"{rule['id']}: {rule['help']}: {node['html']}" for rule in found for node in rule["nodes"]]


@pytest.mark.parametrize("size", SIZES)
async def test_axe_finds_no_violation(studio: Studio, size: str) -> None:
    assert AXE.is_file(), "axe-core is missing: run npm ci"
    await studio.page.set_viewport_size(SIZES[size])
    await studio.page.evaluate(AXE.read_text())
    await studio.use_camera()
    await studio.page.click("#hud")
    await studio.page.fill("#prompt", "a zeppelin, neon")
    await studio.page.press("#prompt", "Enter")
    await studio.until("document.querySelector('#receipts .note')")
    await studio.until("document.getElementById('wipe').getAttribute('aria-valuenow') === '50'")
    assert await violations(studio) == []

    await studio.page.click("#help")
    assert await violations(studio) == []
    await studio.page.keyboard.press("Escape")
    await studio.page.click("#obs")
    assert await violations(studio) == []
    await studio.page.keyboard.press("Escape")
    await studio.page.keyboard.press("`")
    await studio.until("!document.getElementById('panic-banner').hidden")
    assert await violations(studio) == []


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_is_cut_off_at_the_side(studio: Studio, size: str) -> None:
    await studio.page.set_viewport_size(SIZES[size])

    wide = await studio.page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert wide <= 0


async def test_tab_reaches_every_control_and_shows_where_it_is(studio: Studio) -> None:
    controls = await studio.page.evaluate(_REACHABLE)
    reached = set()
    for _ in range(len(controls) + 5):
        await studio.page.keyboard.press("Tab")
        place, outlined = await studio.page.evaluate(_FOCUS)
        if place is not None:
            assert outlined, f"control {place} has no visible focus"
            reached.add(place)

    assert len(controls) > 40
    assert reached == set(controls)


async def test_panic_works_from_inside_the_prompt_box_and_no_key_ends_it(studio: Studio) -> None:
    await studio.page.focus("#prompt")
    await studio.page.keyboard.press("`")
    await studio.until("document.getElementById('tally').textContent === 'panic'")
    assert "`" not in await studio.page.input_value("#prompt")

    await studio.page.keyboard.press("Escape")
    for key in ("p", "`", "c", "h"):
        await studio.page.keyboard.press(key)
    assert await studio.text("tally") == "panic"


async def test_the_line_between_camera_and_picture_moves_by_keys(studio: Studio) -> None:
    await studio.use_camera()
    await studio.until("document.getElementById('wipe').getAttribute('aria-valuenow') === '50'")
    await studio.page.focus("#wipe")

    for key, place in (("Home", "0"), ("End", "100"), ("ArrowLeft", "98")):
        await studio.page.keyboard.press(key)
        assert await studio.page.get_attribute("#wipe", "aria-valuenow") == place
