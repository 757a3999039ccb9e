"""The studio in real Chromium, on the same cores as the server: new pictures a second, prompts, first pictures.

    liveglass bench studio [--seconds 60] [--opens 5]

The built-in model, four passes, Chromium's fake camera over WebRTC. First the page is opened a few times: how long
until the first picture that the model made is there, and, once *Use my camera* is pressed, the first that shows the
camera. Then it runs: slots out, late and skipped, new pictures (generated and not overtaken by a newer one), and four
changes of prompt, each with what its receipt says. A run in which the page was hidden or left its peer is refused.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
from machine import describe, quantile, save, table
from playwright.async_api import Browser, async_playwright

from liveglass.web.chaos.server import Server, server

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from e2e.pages import LAUNCH, PAINTED, RECORDER, Studio, chromium

PROMPTS = ("ink drawing, blue", "neon, pink", "night vision green", "watercolour")
STAMPED = """
(() => {
  const { log } = wire;
  const push = log.push.bind(log);
  log.push = (entry) => push({ ...entry, at: performance.now() });
})();
"""
"""Every entry of the recorder's log gets the time of the page."""
PRESS = """
() => {
  const at = performance.now();
  document.getElementById("camera").click();
  return at;
}
"""
SETTLE_S = 5.0


async def opened(browser: Browser, url: str) -> tuple[Studio, float]:
    """The studio in a context of its own, and the milliseconds until its first picture."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    await context.add_init_script(RECORDER)
    await context.add_init_script(STAMPED)
    studio = Studio(await context.new_page())
    await studio.go(url)
    painted = await studio.until(f"wire.log.find((m) => m.type === 'frame' && {list(PAINTED)}.includes(m.kind))")
    return studio, float(painted["at"])


async def leave(running: Server, studio: Studio) -> None:
    """Close the page and end its session, which would else keep its place for a while."""
    await studio.page.context.close()
    async with httpx.AsyncClient(base_url=running.url, trust_env=False) as client:
        headers = {"Authorization": f"Bearer {studio.token}"}
        (await client.delete(f"/v1/sessions/{studio.session}", headers=headers)).raise_for_status()


async def pressed_ms(studio: Studio) -> float:
    """From *Use my camera* to the first painted picture that shows the camera."""
    pressed = await studio.page.evaluate(PRESS)
    shows = f"m.type === 'frame' && {list(PAINTED)}.includes(m.kind) && m.source > 0"
    first = await studio.until(f"wire.log.find((m) => {shows})")
    return float(first["at"] - pressed)


async def run(running: Server, seconds: float, opens: int) -> dict[str, Any]:
    """Everything that a page sees."""
    first: list[float] = []
    camera: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
        try:
            for number in range(opens):
                studio, ms = await opened(browser, running.url)
                first.append(ms)
                camera.append(await pressed_ms(studio))
                if number + 1 < opens:
                    await leave(running, studio)
            await asyncio.sleep(SETTLE_S)
            figures = await steered(running, studio, seconds)
        finally:
            await browser.close()
    return {**figures, "first_picture_ms": spread(first), "camera_picture_ms": spread(camera)}


def spread(samples: list[float]) -> dict[str, float]:
    """The median and the worst."""
    ordered = sorted(samples)
    return {"p50": quantile(ordered, 0.5), "max": ordered[-1]}


async def steered(running: Server, studio: Studio, seconds: float) -> dict[str, Any]:
    """`seconds` of it, with four changes of prompt; what the server counted meanwhile."""
    before, mark = await asyncio.to_thread(running.metrics), await studio.mark()
    began = time.perf_counter()
    psutil.cpu_percent()
    for prompt in PROMPTS:
        await asyncio.sleep(seconds / (len(PROMPTS) + 1))
        await studio.send_prompt(prompt)
    await asyncio.sleep(seconds / (len(PROMPTS) + 1))
    busy = psutil.cpu_percent()
    after, took = await asyncio.to_thread(running.metrics), time.perf_counter() - began
    log = await studio.log(mark)
    hidden, peers = await studio.page.evaluate("() => [document.hidden, wire.peers.length]")
    if hidden or peers != 1:
        raise SystemExit(f"Invalid run: hidden {hidden}, peers made {peers}.")

    def counted(name: str) -> float:
        return sum(value - before.get(key, 0.0) for key, value in after.items() if key.partition("{")[0] == name)

    slots = counted("liveglass_slots_total")
    return {
        "seconds": took,
        "out_fps": slots / took,
        "missed": counted("liveglass_slots_missed_total"),
        "slots": slots,
        "seen": sum(entry["type"] == "frame" for entry in log),
        "new_fps": (counted("liveglass_frames_generated_total") - counted("liveglass_frames_late_total")) / took,
        "prompt_to_picture_ms": [entry["latency_ms"] for entry in log if entry["type"] == "control.applied"],
        "busy": busy,
    }


def main() -> None:
    """Run it, print it, keep it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--opens", type=int, default=5)
    options = parser.parse_args()
    print("\n".join(f"{key}: {value}" for key, value in describe().items()), "\n")
    with server("nano") as running:
        found = asyncio.run(run(running, options.seconds, options.opens))
    first, camera = found["first_picture_ms"], found["camera_picture_ms"]
    landed = ", ".join(f"{ms:.0f}" for ms in found["prompt_to_picture_ms"])
    print(
        table(
            f"The studio in Chromium, {options.seconds:.0f} s, the machine {found['busy']:.0f}% busy",
            [
                ("", ""),
                ("out, frames a second", f"{found['out_fps']:.2f}"),
                ("slots late or skipped, of all", f"{found['missed']:.0f} of {found['slots']:.0f}"),
                ("pictures that the page was told of", f"{found['seen']}"),
                ("new, frames a second", f"{found['new_fps']:.1f}"),
                ("prompt to picture, ms", landed),
                ("first picture after opening, ms: median, worst", f"{first['p50']:.0f}, {first['max']:.0f}"),
                ("first picture of the camera, ms: median, worst", f"{camera['p50']:.0f}, {camera['max']:.0f}"),
            ],
        )
    )
    print(f"raw figures: {save('studio', {'machine': describe(), **found})}")


if __name__ == "__main__":
    main()
