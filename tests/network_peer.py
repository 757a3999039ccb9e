"""A light WebRTC viewer: stock aiortc that puts pictures together from packets, counts them, and decodes none.

It stands for a browser where many are wanted or no picture has to be seen. What it cannot stand for is a browser's loss
handling; that is measured in Chromium. Belongs to the event loop that made it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import httpx
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.base import Decoder
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import VideoFrame

SLOT_TICKS = 3750
_CONNECT_S = 20.0


class PeerViewer:
    """One viewer.

    Attributes:
        stamps: the 90 kHz time stamp of each whole picture, in order.
        events: every event of the channel `events`.
        metas: every `frame.meta`.
    """

    def __init__(self, connection: RTCPeerConnection) -> None:
        self.stamps: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.metas: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def watching(cls, session: dict[str, Any]) -> AsyncIterator["PeerViewer"]:
        """Watch `session` (what opening it answered) with its viewer's token; leaves it in order.

        Raises:
            TimeoutError: no connection came about.
        """
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        viewer = cls(connection)
        headers = {"Authorization": f"Bearer {session['viewer_token']}"}
        counting: asyncio.Task[None] | None = None
        async with httpx.AsyncClient(headers=headers, trust_env=False, timeout=_CONNECT_S) as http:
            resource = ""
            try:
                async with asyncio.timeout(_CONNECT_S):
                    viewer._open("events", viewer.events)
                    viewer._open("meta", viewer.metas, ordered=False, maxRetransmits=0)
                    line = connection.addTransceiver("video", direction="recvonly")
                    await connection.setLocalDescription(await connection.createOffer())
                    url = session["urls"]["peer"]
                    sdp = {"content": connection.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
                    answer = await http.post(url, **sdp)
                    assert answer.status_code == 201, answer.text
                    resource = str(httpx.URL(url).join(answer.headers["location"]))
                    await connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
                counting = asyncio.create_task(viewer._count(line.receiver.track))
                yield viewer
            finally:
                if counting is not None:
                    counting.cancel()
                    await asyncio.wait([counting])
                await connection.close()
                if resource:
                    with suppress(httpx.HTTPError):
                        await http.delete(resource)

    @property
    def pictures(self) -> int:
        """Whole pictures so far."""
        return len(self.stamps)

    @property
    def slots(self) -> list[int]:
        """The slot of each picture, counted from any one."""
        return [stamp // SLOT_TICKS for stamp in self.stamps]

    async def until(self, count: int, *, within_s: float) -> None:
        """Wait for so many pictures.

        Raises:
            TimeoutError: they did not come.
        """
        await self.until_changed(lambda: self.pictures >= count, within_s=within_s)

    async def until_changed(self, holds: Callable[[], bool], *, within_s: float) -> None:
        """Wait until that holds; asked again with each picture and event.

        Raises:
            TimeoutError: it did not come to that.
        """
        async with asyncio.timeout(within_s):
            while not holds():
                self.changed.clear()
                await self.changed.wait()

    def _open(self, label: str, log: list[dict[str, Any]], **options: Any) -> None:
        channel: RTCDataChannel = self._connection.createDataChannel(label, **options)

        @channel.on("message")
        def received(message: str | bytes) -> None:
            log.append(json.loads(message))
            self.changed.set()

    async def _count(self, track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                self.stamps.append(frame.pts)
                self.changed.set()


class _Counter(Decoder):
    """Hands on an empty picture for each encoded one."""

    def decode(self, encoded_frame: Any) -> list[Any]:
        """One picture, of which only the time is right."""
        frame = VideoFrame(16, 16, "yuv420p")
        frame.pts = encoded_frame.timestamp
        frame.time_base = Fraction(1, 90_000)
        return [frame]


@contextmanager
def never_decode() -> Iterator[None]:
    """Peers of this process that start in this block decode nothing."""
    with patch("aiortc.rtcrtpreceiver.get_decoder", lambda codec: _Counter()):
        yield
