"""The servers that `peers` compares with, each as its own documentation writes it; imports nothing of liveglass.

    python peer_servers.py aiortc|fastrtc|fastrtc-latest|websocket MILLISECONDS

The "model" sleeps for that long and hands the picture back. Prints `ready PORT` once it listens on 127.0.0.1.

- `aiortc`: a track that transforms what it receives in `recv`, as the server in aiortc's examples does.
- `fastrtc`: `Stream(handler)`; `fastrtc-latest`: with its `VideoStreamHandler(skip_frames=True)`.
- `websocket`: JPEG pictures into a queue, one task that takes them out, JPEG pictures back.
"""

import asyncio
import contextlib
import socket
import sys
import time

import aioice.ice
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

aioice.ice.get_host_addresses = lambda **_: ["127.0.0.1"]  # stay on this machine


def plain_aiortc(seconds: float) -> Starlette:
    # Each server needs its own packages and nobody else's.
    from aiortc import (  # noqa: PLC0415
        MediaStreamTrack,
        RTCConfiguration,
        RTCPeerConnection,
        RTCSessionDescription,
    )
    from av import VideoFrame  # noqa: PLC0415

    class Transformed(MediaStreamTrack):
        kind = "video"

        def __init__(self, track: MediaStreamTrack) -> None:
            super().__init__()
            self.track = track

        async def recv(self) -> VideoFrame:
            frame = await self.track.recv()
            picture = frame.to_ndarray(format="bgr24")
            time.sleep(seconds)  # noqa: ASYNC251 - the examples transform in place, too
            made = VideoFrame.from_ndarray(picture, format="bgr24")
            made.pts, made.time_base = frame.pts, frame.time_base
            return made

    peers = set()

    async def offer(request: Request) -> JSONResponse:
        body = await request.json()
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers.add(peer)
        peer.on("track", lambda track: peer.addTrack(Transformed(track)))
        await peer.setRemoteDescription(RTCSessionDescription(body["sdp"], body["type"]))
        await peer.setLocalDescription(await peer.createAnswer())
        return JSONResponse({"sdp": peer.localDescription.sdp, "type": peer.localDescription.type})

    return Starlette(routes=[Route("/offer", offer, methods=["POST"])])


def with_fastrtc(seconds: float, *, latest: bool) -> Starlette:
    from fastapi import FastAPI  # noqa: PLC0415
    from fastrtc import Stream, VideoStreamHandler  # noqa: PLC0415

    def handler(picture: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return picture

    given = VideoStreamHandler(handler, skip_frames=True) if latest else handler
    # Without servers of somebody else's for finding its own address.
    stream = Stream(given, modality="video", mode="send-receive", server_rtc_configuration={"iceServers": []})
    app = FastAPI()
    stream.mount(app)

    @app.post("/start/{webrtc_id}")
    async def start(webrtc_id: str) -> dict[str, str]:
        stream.set_input(webrtc_id, None)  # the first argument is the picture; until this is called nothing is handled
        return {}

    return app


def plain_websocket(seconds: float) -> Starlette:
    import cv2  # noqa: PLC0415

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        waiting: asyncio.Queue[bytes] = asyncio.Queue()

        async def work() -> None:
            while True:
                data = await waiting.get()
                picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
                await asyncio.to_thread(time.sleep, seconds)
                await socket.send_bytes(cv2.imencode(".jpg", picture)[1].tobytes())

        working = asyncio.create_task(work())
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                waiting.put_nowait(await socket.receive_bytes())
        working.cancel()

    return Starlette(routes=[WebSocketRoute("/socket", talk)])


def main() -> None:
    kind, seconds = sys.argv[1], float(sys.argv[2]) / 1000
    app = {
        "aiortc": lambda: plain_aiortc(seconds),
        "fastrtc": lambda: with_fastrtc(seconds, latest=False),
        "fastrtc-latest": lambda: with_fastrtc(seconds, latest=True),
        "websocket": lambda: plain_websocket(seconds),
    }[kind]()
    listening = socket.create_server(("127.0.0.1", 0))
    print(f"ready {listening.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error", ws_max_size=2**24)).run(sockets=[listening])


if __name__ == "__main__":
    main()
