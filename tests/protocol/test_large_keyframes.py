"""A keyframe of 300 kB arrives, both ways."""

import asyncio
import fractions
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.h264 import H264Encoder

from liveglass.engine.clock import SystemClock
from liveglass.engine.frame import FrameKind, Size
from liveglass.engine.stream.grid import Grid
from liveglass.transport.aiortc_tuning import TunedConnection
from liveglass.transport.webrtc.decoding import CameraDecoder
from liveglass.transport.webrtc.gatherer import Gatherer
from liveglass.transport.webrtc.ice import IceSettings
from liveglass.transport.webrtc.receiver import CameraReceiver
from liveglass.transport.webrtc.renditions import VideoPacket
from liveglass.transport.webrtc.sender import SlotSender

SIZE = Size(1280, 720)
LEAST = 300_000


def large_keyframe() -> bytes:
    """An H.264 keyframe of noise, at least 300 kB."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = SIZE.width, SIZE.height, "yuv420p"
    context.time_base = fractions.Fraction(1, 90_000)
    context.framerate = fractions.Fraction(24, 1)
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "qp": "38"}
    context.profile = "Baseline"
    noise = np.random.default_rng(0).integers(0, 255, SIZE.shape, np.uint8)
    frame = av.VideoFrame.from_ndarray(noise, format="rgb24")
    frame.pts = 0
    data = b"".join(map(bytes, [*context.encode(frame), *context.encode(None)]))
    assert len(data) >= LEAST
    return data


class Ours:
    """Our side of a connection, without a session behind it."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.sender: SlotSender | None = None
        self.pictures: asyncio.Queue = asyncio.Queue()
        self._pool = pool
        settings = IceSettings(bind=("127.0.0.1",))
        self.connection = TunedConnection(make_gatherer=lambda: Gatherer(settings, ()), make_halves=self._halves)

    def _halves(self, transport):
        clock = SystemClock()
        grid = Grid(clock.now(), 24)
        self.sender = sender = SlotSender(
            transport,
            grid=lambda: grid,
            clock=clock,
            on_keyframe_needed=lambda: None,
            on_report=lambda report: None,
            on_crash=self.pictures.put_nowait,
        )
        receiver = CameraReceiver(
            transport,
            clock=clock,
            pool=self._pool,
            decoder=CameraDecoder(SIZE, "cover"),
            round_trip_s=lambda: sender.round_trip_s,
            on_picture=lambda picture, decode_s: self.pictures.put_nowait(picture),
            on_replaced=lambda count: None,
            on_fault=self.pictures.put_nowait,
            on_crash=self.pictures.put_nowait,
        )
        return sender, receiver


@pytest.fixture
async def pool():
    with ThreadPoolExecutor(1) as pool:
        yield pool


async def connected(offering, ours) -> None:
    """Connect the two; `ours` answers."""
    await offering.setLocalDescription(await offering.createOffer())
    answer = await ours.connection.answer(offering.localDescription.sdp, may_publish=True)
    await offering.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
    await ours.sender.started.wait()


def large_slot(slot: int) -> VideoPacket:
    payloads = tuple(H264Encoder._packetize(H264Encoder._split_bitstream(large_keyframe())))
    assert sum(map(len, payloads)) >= LEAST
    return VideoPacket(slot, FrameKind.GENERATED, payloads, is_keyframe=True, meta="", encoded_at=0.0)


async def test_in(pool) -> None:
    # A sender that paces, as browsers do: a burst of 300 kB does not fit into anybody's socket.
    camera, ours = Ours(pool), Ours(pool)
    camera.connection.addTransceiver("video", direction="sendrecv")
    await connected(camera.connection, ours)
    await camera.sender.started.wait()
    camera.sender.put(large_slot(1))
    picture = await ours.pictures.get()
    assert picture.pixels.shape == SIZE.shape
    assert picture.pixels.std() > 20
    assert picture.timestamp == camera.sender.timestamp(1)
    await asyncio.gather(camera.connection.close(), ours.connection.close())


async def test_out(pool, monkeypatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    ours, theirs = Ours(pool), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    came: asyncio.Future[MediaStreamTrack] = asyncio.get_running_loop().create_future()
    theirs.on("track", came.set_result)
    theirs.addTransceiver("video", direction="recvonly")
    await connected(theirs, ours)
    for slot in (1, 2):  # stock aiortc gives a picture away when the next one begins
        ours.sender.put(large_slot(slot))
    track = await came
    frame = await track.recv()
    assert (frame.width, frame.height) == (SIZE.width, SIZE.height)
    await asyncio.gather(ours.connection.close(), theirs.close())
