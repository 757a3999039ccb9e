"""A whole WebRTC client for tests: stock aiortc, a camera of flat colours, and everything that it is sent.

    async with Peer.connected(site, session) as peer:
        await peer.until("hello")

On loopback: aiortc's own gathering skips 127.0.0.1, so it is told of it.
"""

import asyncio
import fractions
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from unittest.mock import patch

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

SDP = "application/sdp"


class FlatCamera(MediaStreamTrack):
    """A camera whose pictures are one colour, uint8 RGB, at a chosen size; both can change at any picture."""

    kind = "video"

    def __init__(self, colour: tuple[int, int, int], size: tuple[int, int] = (640, 360), fps: int = 24) -> None:
        super().__init__()
        self.colour = colour
        self.size = size
        self.sent = 0
        self._fps = fps

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / self._fps)  # a camera's own rate, not a wait for anything
        width, height = self.size
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = self.colour
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        self.sent += 1
        frame.pts = self.sent * (90_000 // self._fps)
        frame.time_base = fractions.Fraction(1, 90_000)
        return frame


class Peer:
    """One connected client.

    Attributes:
        events, metas: what came on the two data channels.
        frames: decoded pictures, newest last, as uint8 [H, W, 3] RGB with their size.
        location: the path of its resource.
    """

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.events: list[dict[str, Any]] = []
        self.metas: list[dict[str, Any]] = []
        self.frames: list[np.ndarray] = []
        self.location = ""
        self.answer = ""
        self.changed = asyncio.Condition()
        self._channel: Any = None
        self._pulls: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, site: Any, session: dict[str, Any], *, camera: MediaStreamTrack | None = None, token: str = "", **how: Any
    ) -> AsyncIterator["Peer"]:
        peer = cls()
        try:
            await peer.connect(site, session, camera=camera, token=token, **how)
            yield peer
        finally:
            await peer.close()

    async def offer(
        self, *, camera: MediaStreamTrack | None = None, direction: str = "recvonly", only: str = ""
    ) -> str:
        """Make the offer; `only` leaves one video codec in it."""
        if camera is not None:
            line = self.connection.addTransceiver(camera, direction="sendrecv")
        else:
            line = self.connection.addTransceiver("video", direction=direction)
        if only:
            from aiortc import RTCRtpSender

            line.setCodecPreferences(
                [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.name in {only, "rtx"}]
            )
        self._channel = self.connection.createDataChannel("events")
        meta = self.connection.createDataChannel("meta", ordered=False, maxRetransmits=0)
        self._channel.on("message", lambda text: self._note(self.events, json.loads(text)))
        meta.on("message", lambda text: self._note(self.metas, json.loads(text)))
        self.connection.on("track", lambda track: self._pulls.append(asyncio.ensure_future(self._pull(track))))
        with patch("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"]):
            await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def connect(self, site: Any, session: dict[str, Any], *, token: str = "", **how: Any) -> None:
        offer = await self.offer(**how)
        reply = await site.client.post(
            f"/v1/sessions/{session['id']}/peer",
            content=offer,
            headers={"Content-Type": SDP, "Authorization": f"Bearer {token or session['token']}"},
        )
        assert reply.status_code == 201, reply.text
        assert reply.headers["content-type"].startswith(SDP)
        self.location, self.answer = reply.headers["location"], reply.text
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=reply.text, type="answer"))

    async def until(self, type_: str, **fields: object) -> dict[str, Any]:
        """The first event of that type with those fields."""
        return await self._first(self.events, {"type": type_, **fields})

    async def until_meta(self, **fields: object) -> dict[str, Any]:
        """The first `frame.meta` with those fields."""
        return await self._first(self.metas, fields)

    async def until_frame(self, check: Any) -> np.ndarray:
        """The first picture that comes from now on and that `check` takes."""
        seen = len(self.frames)
        async with self.changed:
            while True:
                for frame in self.frames[seen:]:
                    if check(frame):
                        return frame
                seen = len(self.frames)
                await self.changed.wait()

    def send(self, **command: object) -> None:
        self._channel.send(json.dumps(command))

    async def close(self) -> None:
        await self.connection.close()
        for task in self._pulls:
            task.cancel()
        await asyncio.gather(*self._pulls, return_exceptions=True)

    async def vanish(self) -> None:
        """Go without a word: no BYE, no DTLS alert, no answer to any check from here on."""
        for transceiver in self.connection.getTransceivers():
            ice = transceiver.receiver.transport.transport._connection
            for protocol in ice._protocols:
                protocol.transport.abort()

    async def _first(self, where: list[dict[str, Any]], fields: dict[str, object]) -> dict[str, Any]:
        async with self.changed:
            while True:
                for event in where:
                    if fields.items() <= event.items():
                        return event
                await self.changed.wait()

    def _note(self, where: list[dict[str, Any]], event: dict[str, Any]) -> None:
        where.append(event)
        self._tell()

    async def _pull(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.frames.append(frame.to_ndarray(format="rgb24"))
                del self.frames[:-200]
                self._tell()

    def _tell(self) -> None:
        async def tell() -> None:
            async with self.changed:
                self.changed.notify_all()

        task = asyncio.ensure_future(tell())
        self._pulls.append(task)
        task.add_done_callback(self._pulls.remove)
