"""Colour bars from a page's camera, through both codecs, and back onto the page: within 3 levels of what was drawn."""

import pytest
from e2e.pages import LAUNCH, chromium
from e2e.server import Server
from playwright.async_api import async_playwright

BARS = [
    *([255, 255, 255], [255, 255, 0], [0, 255, 255], [0, 255, 0]),
    *([255, 0, 255], [255, 0, 0], [0, 0, 255], [16, 128, 235]),
]
TOLERANCE = 3
# The bars carry grain, as a camera's picture does: an encoder leaves alone what stands still, however wrong. The page
# reads the planes of each frame and converts them by the matrix that the frame itself names: a canvas would go through
# libyuv, whose BT.709 has room for a factor of 2.0 where blue needs 2.112.
ROUNDS = """
async ({ bars, codec, url, token }) => {
  const [width, height] = [640, 360];
  const camera = Object.assign(document.createElement("canvas"), { width, height });
  const paint = camera.getContext("2d");
  const grains = Array.from({ length: 5 }, () => {
    const grain = paint.createImageData(width, height);
    grain.data.forEach((_, at, data) => {
      const [r, g, b] = bars[Math.floor(((at >> 2) % width) / 80)];
      data[at] = [r, g, b, 255][at & 3] + Math.round(Math.random() * 4 - 2) * ((at & 3) !== 3);
    });
    return grain;
  });
  let drawn = 0;
  const draw = () => paint.putImageData(grains[drawn++ % grains.length], 0, 0);
  draw();
  const drawing = setInterval(draw, 40);
  const [track] = camera.captureStream(24).getVideoTracks();
  const connection = new RTCPeerConnection();
  const line = connection.addTransceiver(track, { direction: "sendrecv" });
  const wanted = RTCRtpReceiver.getCapabilities("video").codecs.filter(({ mimeType }) =>
    [`video/${codec}`, "video/rtx"].includes(mimeType));
  line.setCodecPreferences(wanted);
  connection.createDataChannel("events");
  await connection.setLocalDescription();
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` },
    body: connection.localDescription.sdp,
  });
  if (answer.status !== 201) throw new Error(await answer.text());
  await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });

  const shares = { bt709: [0.2126, 0.0722], smpte170m: [0.299, 0.114], bt470bg: [0.299, 0.114] };
  const colours = (planes, layout, matrix) => bars.map((_, i) => {
    const mean = (plane, x, y) => {
      let sum = 0;
      for (let at = 0; at < 256; at++)
        sum += planes[layout[plane].offset + (y + (at >> 4)) * layout[plane].stride + x + (at & 15)];
      return sum / 256;
    };
    const luma = (mean(0, i * 80 + 32, 172) - 16) / 219;
    const [u, v] = [1, 2].map((plane) => (mean(plane, i * 40 + 12, 82) - 128) / 224);
    const [kr, kb] = shares[matrix];
    const [red, blue] = [luma + 2 * (1 - kr) * v, luma + 2 * (1 - kb) * u];
    const green = (luma - kr * red - kb * blue) / (1 - kr - kb);
    return [red, green, blue].map((level) => Math.round(255 * Math.min(1, Math.max(0, level))));
  });
  const off = (found) =>
    Math.max(...found.flatMap((pixel, i) => pixel.map((level, j) => Math.abs(level - bars[i][j]))));
  let best = { colours: bars.map(() => [0, 0, 0]), matrix: "none" };
  const frames = new MediaStreamTrackProcessor({ track: line.receiver.track }).readable.getReader();
  for (let read = 0; read < 360 && off(best.colours) > 3; read++) {
    const { value: frame } = await frames.read();
    if (frame.codedWidth !== width) {
      frame.close();
      continue;
    }
    const planes = new Uint8Array(frame.allocationSize());
    const layout = await frame.copyTo(planes);
    const { matrix, fullRange } = frame.colorSpace;
    if (frame.format !== "I420" || fullRange) throw new Error(`${frame.format}, full range ${fullRange}`);
    const found = colours(planes, layout, matrix);
    if (off(found) < off(best.colours)) best = { colours: found, matrix };
    frame.close();
  }
  clearInterval(drawing);
  connection.close();
  return best;
}
"""


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_colour_bars_come_back_as_they_were_drawn(tmp_path, codec) -> None:
    server = await Server.start(tmp_path, "--model", "null")
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=LAUNCH)
            page = await browser.new_page()
            await page.goto(f"{server.url}/livez")
            opened = await server.open(camera_visible="all")
            call = {"bars": BARS, "codec": codec, "url": opened["urls"]["peer"], "token": opened["token"]}
            found = await page.evaluate(ROUNDS, call)
            await browser.close()
        for wanted, seen in zip(BARS, found["colours"], strict=True):
            off = max(abs(a - b) for a, b in zip(wanted, seen, strict=True))
            assert off <= TOLERANCE, (codec, wanted, seen, found)
    finally:
        await server.stop()
