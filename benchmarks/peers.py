"""The same camera and the same model through liveglass and through what people use instead, in one run.

    liveglass bench peers [--seconds 60] [--times 3] [--models 20 60 120] [--fastrtc PYTHON]

The model sleeps for a chosen time and hands its picture back, so that only the way there and back differs. Every camera
picture carries its number as large squares; the viewer reads it back from what it is shown. Age is what a viewer sees:
at every 10 ms, the time since the newest number on show was put before the camera. Printed after 10 s and at the end;
with it pictures and new numbers a second, the longest and the number of times that no other picture came for 250 ms,
and the server's processor time. Of several runs the median is printed, of the age at the end the span, too. The peers
are in `peer_servers.py`; fastrtc needs an environment of its own, whose Python is given with --fastrtc (`pip install
fastrtc`). Where over a quarter of the pictures show no number, since they are broken, no age is told. A run in which
hardly a picture came is refused.
"""

import argparse
import asyncio
import contextlib
import fractions
import itertools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
import cv2
import httpx
import numpy as np
import psutil
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from machine import cpu_seconds, describe, plot, quantile, save, table
from websockets.asyncio.client import connect as open_socket

from liveglass.engine.frame import Pixels, Size
from liveglass.engine.stream.sample import Sample
from liveglass.transport import codecs
from liveglass.transport.client import connect
from liveglass.web.chaos.server import server

SIZE = Size(640, 360)
FPS = 24
BITS, SQUARE = 17, 36
"""Sixteen bits of the number as a Gray code and their parity, each a square in the top row. A second row says the
opposite: what a damaged picture shows is not taken for a number."""

EDGE = SQUARE // 4
"""Of a square, this much at its rim is not read."""

TEXTURE, SHIFT = 40.0, 18.0
"""Each square has a pattern of its own, this strong in levels, and is lighter or darker by the bit. Nothing elsewhere
looks like it, so that what follows motion finds none in a square that changes, and leaves it where it is."""

MOST_UNREAD = 0.25
"""Where more pictures than that are broken, the newest number on show says nothing of what a viewer sees."""

TICK_S = 0.01
FREEZE_S = 0.25
WINDOW_S = 5.0
LOCAL = patch("aioice.ice.get_host_addresses", lambda **_: ["127.0.0.1"])


# --- the camera and the viewer --------------------------------------------------------------------------------------


class Camera:
    """The sample's photograph, swaying, with the number of each picture in it; remembers when each was shown."""

    def __init__(self) -> None:
        sample = Sample(SIZE)
        self._pictures = [sample.picture(number / FPS) for number in range(2 * FPS)]
        self.shown_at: dict[int, float] = {}

    async def pictures(self) -> AsyncIterator[tuple[int, Pixels]]:
        """Twenty-four a second on an absolute grid."""
        began = time.perf_counter()
        for number in itertools.count(1):
            await asyncio.sleep(max(0.0, began + number / FPS - time.perf_counter()))
            picture = self._pictures[number % len(self._pictures)].copy()
            write(picture, number)
            self.shown_at[number] = time.perf_counter()
            yield number, picture


def patterns() -> np.ndarray[Any, Any]:
    """What the squares look like without their bits: float32 [2 * SQUARE, W], every square's mean 128."""
    height, width = 2 * SQUARE, SIZE.width
    noise = np.random.default_rng(5).standard_normal((height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    squares = smooth[:, : BITS * SQUARE].reshape(2, SQUARE, BITS, SQUARE)
    squares -= squares[:, EDGE:-EDGE, :, EDGE:-EDGE].mean(axis=(1, 3), keepdims=True)
    return 128 + np.clip(TEXTURE / smooth.std() * smooth, -90, 90)


def write(picture: Pixels, number: int) -> None:
    """Put `number` into the top of `picture`."""
    code = coded(number)
    shifts = [SHIFT if code >> bit & 1 else -SHIFT for bit in range(BITS)]
    band = PATTERNS.copy()
    band[:SQUARE, : BITS * SQUARE] += np.repeat(shifts, SQUARE)
    band[SQUARE:, : BITS * SQUARE] -= np.repeat(shifts, SQUARE)
    picture[: 2 * SQUARE] = band.astype(np.uint8)[:, :, np.newaxis]


def read(picture: np.ndarray[Any, Any]) -> int | None:
    """The number in `picture` (uint8 [H, W] or [H, W, 3]); None where it cannot be read."""
    rows = picture[: 2 * SQUARE, : BITS * SQUARE].reshape(2, SQUARE, BITS, SQUARE, -1)
    levels = rows[:, EDGE:-EDGE, :, EDGE:-EDGE].mean(axis=(1, 3, 4))
    code, opposite = (sum(1 << bit for bit in range(BITS) if row[bit] > 128) for row in levels)
    number = gray = code & 0xFFFF
    while gray := gray >> 1:
        number ^= gray
    is_sound = coded(number) == code and code ^ opposite == (1 << BITS) - 1
    return number if number and is_sound else None


def coded(number: int) -> int:
    """The seventeen bits that are shown for a number of sixteen."""
    gray = number ^ number >> 1
    return gray | (gray.bit_count() & 1) << 16


PATTERNS = patterns()


@dataclass
class Viewer:
    """What came, and when."""

    began: float = field(default_factory=time.perf_counter)
    frames: list[tuple[float, int | None]] = field(default_factory=list)

    def see(self, picture: np.ndarray[Any, Any]) -> None:
        self.frames.append((time.perf_counter(), read(picture)))


def ages(viewer: Viewer, shown_at: dict[int, float], seconds: float) -> list[tuple[float, float]]:
    """At every tick since the viewer began: seconds, and the age of the newest number on show, milliseconds."""
    numbers = [(at, number) for at, number in viewer.frames if number is not None]
    result, place, newest = [], 0, 0
    for tick in range(round(seconds / TICK_S)):
        at = viewer.began + tick * TICK_S
        while place < len(numbers) and numbers[place][0] <= at:
            newest, place = numbers[place][1], place + 1
        if newest in shown_at:
            result.append((tick * TICK_S, 1000 * (at - shown_at[newest])))
    return result


def judge(viewer: Viewer, shown_at: dict[int, float], seconds: float) -> dict[str, Any]:
    """The figures of one run.

    Raises:
        SystemExit: hardly a picture came.
    """
    numbers = [(at, number) for at, number in viewer.frames if number is not None]
    if len(numbers) < 5:
        raise SystemExit(f"Invalid run: {len(numbers)} numbers were read from {len(viewer.frames)} pictures.")
    unread = 1 - len(numbers) / len(viewer.frames)
    course = ages(viewer, shown_at, seconds) if unread <= MOST_UNREAD else []

    def before(until_s: float) -> list[float]:
        return sorted(age for at, age in course if until_s - WINDOW_S <= at < until_s)

    late = [at for at, _ in viewer.frames if at > viewer.began + 3.0]
    gaps = [after - before for before, after in itertools.pairwise(late)]
    new = {number for at, number in numbers if at > viewer.began + 3.0}
    span = seconds - 3.0
    early, end = before(min(10.0, seconds)), before(seconds)
    return {
        "age_10_s_p50": quantile(early, 0.5) if early else None,
        "age_end_p50": quantile(end, 0.5) if end else None,
        "age_end_p95": quantile(end, 0.95) if end else None,
        "shown_fps": len(late) / span,
        "new_fps": len(new) / span,
        "freezes": float(sum(gap > FREEZE_S for gap in gaps)),
        "longest_gap_ms": 1000 * max(gaps, default=float("nan")),
        "course": course[:: round(1 / TICK_S) // 4],
        "unread": unread,
    }


# --- the ways there and back ----------------------------------------------------------------------------------------


class CameraTrack(MediaStreamTrack):
    kind = "video"

    def __init__(self, camera: Camera) -> None:
        super().__init__()
        self._pictures = camera.pictures()

    async def recv(self) -> av.VideoFrame:
        number, picture = await anext(self._pictures)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number * 90_000 // FPS, fractions.Fraction(1, 90_000)
        return frame


Answer = Callable[[str], Any]
"""Takes an offer, returns the answer's SDP."""


async def by_webrtc(
    answer: Answer, camera: Camera, viewer: Viewer, seconds: float, started: Callable[[], Any] | None = None
) -> str:
    """Stock aiortc as camera and viewer; returns the codec that came back."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pulls: list[asyncio.Task[None]] = []

    async def pull(track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                viewer.see(frame.to_ndarray(format="gray"))

    peer.on("track", lambda track: pulls.append(asyncio.ensure_future(pull(track))))
    line = peer.addTransceiver(CameraTrack(camera), direction="sendrecv")
    peer.createDataChannel("events")
    try:
        with LOCAL:
            await peer.setLocalDescription(await peer.createOffer())
        sdp = await answer(peer.localDescription.sdp)
        await peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        if started is not None:
            await started()
        viewer.began = time.perf_counter()
        await asyncio.sleep(seconds)
        return line._codecs[0].name
    finally:
        await peer.close()
        for task in pulls:
            task.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)


async def liveglass_webrtc(url: str, camera: Camera, viewer: Viewer, seconds: float) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
        body = {"camera_visible": "all", "size": {"width": SIZE.width, "height": SIZE.height}}
        session = (await http.post("/v1/sessions", json=body)).json()

        async def answer(sdp: str) -> str:
            headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {session['token']}"}
            reply = await http.post(f"/v1/sessions/{session['id']}/peer", content=sdp, headers=headers)
            return reply.raise_for_status().text

        return await by_webrtc(answer, camera, viewer, seconds)


async def liveglass_socket(url: str, camera: Camera, viewer: Viewer, seconds: float) -> str:
    async with connect(url, camera_visible="all", size=(SIZE.width, SIZE.height)) as live:

        async def publish() -> None:
            async for _, picture in camera.pictures():
                await live.publish(picture)

        async def watch() -> None:
            async for frame in live.frames():
                viewer.see(frame.pixels)

        viewer.began = time.perf_counter()
        await for_a_while(seconds, publish(), watch())
    return "JPEG"


async def other_webrtc(url: str, camera: Camera, viewer: Viewer, seconds: float) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def answer(sdp: str) -> str:
            reply = await http.post("/offer", json={"sdp": sdp, "type": "offer"})
            return str(reply.raise_for_status().json()["sdp"])

        return await by_webrtc(answer, camera, viewer, seconds)


async def fastrtc_webrtc(url: str, camera: Camera, viewer: Viewer, seconds: float) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:

        async def answer(sdp: str) -> str:
            reply = await http.post("/webrtc/offer", json={"sdp": sdp, "type": "offer", "webrtc_id": "one"})
            return str(reply.raise_for_status().json()["sdp"])

        return await by_webrtc(answer, camera, viewer, seconds, started=lambda: http.post("/start/one"))


async def other_socket(url: str, camera: Camera, viewer: Viewer, seconds: float) -> str:
    async with open_socket(f"ws{url.removeprefix('http')}/socket", max_size=2**24, proxy=None) as socket:

        async def publish() -> None:
            async for _, picture in camera.pictures():
                await socket.send(codecs.encode_jpeg(picture))

        async def watch() -> None:
            async for message in socket:
                assert isinstance(message, bytes)
                viewer.see(codecs.decode_jpeg(message))

        viewer.began = time.perf_counter()
        await for_a_while(seconds, publish(), watch())
    return "JPEG"


async def for_a_while(seconds: float, *work: Coroutine[Any, Any, None]) -> None:
    """Run all of it, for so long."""
    tasks = [asyncio.create_task(one) for one in work]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


# --- the run --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def other_server(kind: str, ms: float, python: str) -> Iterator[tuple[str, psutil.Process]]:
    """One of the peers, in a process of its own."""
    script = Path(__file__).with_name("peer_servers.py")
    process = subprocess.Popen([python, str(script), kind, str(ms)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready "):
            raise SystemExit(f"The server {kind} did not start.")
        yield f"http://127.0.0.1:{line.split()[1]}", psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def our_server(ms: float) -> Iterator[tuple[str, psutil.Process]]:
    with server(f"sleep:{ms:g}") as running:
        yield running.url, running.process


def family_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its children."""
    return sum(cpu_seconds(one) for one in [process, *process.children(recursive=True)])


def ways(fastrtc: str | None) -> dict[str, tuple[Callable[[float], Any], Callable[..., Any]]]:
    """By name: how to start the server, and how to go there and back."""
    here = sys.executable
    found: dict[str, tuple[Callable[[float], Any], Callable[..., Any]]] = {
        "liveglass, WebRTC": (our_server, liveglass_webrtc),
        "plain aiortc": (lambda ms: other_server("aiortc", ms, here), other_webrtc),
        "liveglass, socket": (our_server, liveglass_socket),
        "WebSocket and queue": (lambda ms: other_server("websocket", ms, here), other_socket),
    }
    if fastrtc:
        found["fastrtc"] = (lambda ms: other_server("fastrtc", ms, fastrtc), fastrtc_webrtc)
        found["fastrtc, newest"] = (lambda ms: other_server("fastrtc-latest", ms, fastrtc), fastrtc_webrtc)
    return found


def measure(start: Callable[[float], Any], go: Callable[..., Any], ms: float, seconds: float) -> dict[str, Any]:
    """One way with one model."""
    camera, viewer = Camera(), Viewer()
    with start(ms) as (url, process):
        before = family_seconds(process)
        codec = asyncio.run(go(url, camera, viewer, seconds))
        used = (family_seconds(process) - before) / seconds
    return {**judge(viewer, camera.shown_at, seconds), "cpu": used, "codec": codec}


LINES = {
    "liveglass, WebRTC": ("#1a7f4b", "-"),
    "liveglass, socket": ("#5cc48d", "-"),
    "plain aiortc": ("#333333", "-"),
    "WebSocket and queue": ("#777777", "--"),
    "fastrtc": ("#aaaaaa", "-."),
    "fastrtc, newest": ("#cc8888", ":"),
}
"""Ours are green, the peers grey."""


def draw(figures: dict[str, list[dict[str, Any]]]) -> None:
    """The age of what is on show over time, medians of two seconds, for each model; every run is a line."""
    models = sorted({name.partition(": ")[0] for name in figures}, key=lambda name: float(name.split()[0]))
    with plot("peers", rows=len(models), height=2.6 * len(models)) as axes:
        for axis, model in zip(axes, models, strict=True):
            for way, (colour, style) in LINES.items():
                for place, run in enumerate(figures.get(f"{model}: {way}", [])):
                    points = [
                        (at, statistics.median(age for _, age in part))
                        for at, part in itertools.groupby(run["course"], key=lambda point: 2 * (point[0] // 2) + 1)
                    ]
                    course = zip(*(points or [(0, math.nan)]), strict=True)
                    axis.plot(*course, style, label=way if place == 0 else None, color=colour, linewidth=1.2)
            axis.set_yscale("log" if axis.get_ylim()[1] > 1000 else "linear")
            axis.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms")
            axis.yaxis.set_minor_formatter("")
            axis.set_ylabel(f"model of {model}:\nage on show")
            if axis.get_yscale() == "linear":
                axis.set_ylim(bottom=0)
        axes[-1].set_xlabel("seconds")
        axes[0].legend(fontsize=7, ncols=2)


def row(name: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    """The medians of all runs of one way, and how far apart the ages at the end were."""

    def middle(figure: str) -> float:
        return statistics.median(run[figure] for run in runs)

    def known(figure: str) -> list[float]:
        return [run[figure] for run in runs if run[figure] is not None]

    def age(figure: str) -> str:
        found = known(figure)
        return f"{statistics.median(found):.0f}" if found else "–"

    ends = known("age_end_p50")
    return (
        name, runs[0]["codec"], f"{len(runs)}",
        age("age_10_s_p50"), age("age_end_p50"), f"{min(ends):.0f} to {max(ends):.0f}" if ends else "–",
        age("age_end_p95"), f"{middle('shown_fps'):.1f}", f"{middle('new_fps'):.1f}",
        f"{middle('freezes'):.0f}", f"{middle('longest_gap_ms'):.0f}", f"{middle('cpu'):.0%}",
        f"{middle('unread'):.0%}",
    )  # fmt: skip


def main() -> None:
    """Run it all, print it, keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--models", type=float, nargs="+", default=[20.0, 60.0, 120.0], help="milliseconds")
    parser.add_argument("--fastrtc", metavar="PYTHON", help="the Python of an environment with fastrtc")
    parser.add_argument("--only", nargs="*", help="some of the ways, by name")
    options = parser.parse_args()
    figures: dict[str, list[dict[str, Any]]] = {}
    machine = describe()
    print("\n".join(f"{key}: {value}" for key, value in machine.items()), "\n")
    chosen = {name: way for name, way in ways(options.fastrtc).items() if not options.only or name in options.only}
    for time_, ms, (name, (start, go)) in itertools.product(range(options.times), options.models, chosen.items()):
        told = f"{ms:g} ms: {name}"
        try:
            run = measure(start, go, ms, options.seconds)
        except SystemExit as refused:
            print(f"{told}: {refused}", flush=True)
            continue
        figures.setdefault(told, []).append(run)
        print(f"run {time_ + 1}", *row(told, [run]), sep="  ", flush=True)
        kept = save("peers", {"machine": machine, **figures})
    draw(figures)
    head = ("", "codec", "runs", "age ms, 10 s", f"{options.seconds:.0f} s", "from to", "p95", "shown fps", "new fps",
            "gaps > 250 ms", "longest ms", "CPU", "broken")  # fmt: skip
    for ms in options.models:
        rows = [row(name, figures[told]) for name in chosen if (told := f"{ms:g} ms: {name}") in figures]
        print(
            table(f"a model of {ms:g} ms, one camera of 24 pictures a second, {options.seconds:.0f} s", [head, *rows])
        )
    print(f"raw figures: {kept}")


if __name__ == "__main__":
    main()
