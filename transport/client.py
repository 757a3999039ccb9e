"""The Python client: open a session or join one, send a camera, get labelled frames, steer, and follow every change.

    async with connect("http://127.0.0.1:8787", prompt="ink drawing, blue", source="sample") as live:
        receipt = await live.prompt("oil painting, red")
        print("on show after", (await receipt.applied()).latency_ms, "ms")
        async for frame in live.frames():
            show(frame.pixels, label=frame.kind)

Reconnects by itself; raises the engine's own typed errors. All of it belongs to one event loop; decoding and encoding
run in threads.
"""

import asyncio
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from msgspec import UNSET

from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.control import ParamsPatch
from liveglass.engine.errors import LiveglassError, NoSuchSession, Unavailable
from liveglass.engine.events import (
    ControlApplied,
    ControlChanged,
    ControlSettled,
    ControlSuperseded,
    ErrorEvent,
    SessionState,
    Stats,
)
from liveglass.engine.frame import Pixels
from liveglass.engine.options import (
    CameraVisible,
    Fallback,
    Fit,
    Fps,
    SessionRequest,
    SizeRequest,
    SourceKind,
)
from liveglass.engine.record import Replay
from liveglass.engine.validation import convert
from liveglass.transport.client_errors import error_of_event
from liveglass.transport.client_http import Address, Format, Opened
from liveglass.transport.client_link import Link, Pauses
from liveglass.transport.client_publish import PictureSender
from liveglass.transport.client_steering import Steering
from liveglass.transport.client_stream import EventStream, LiveFrame
from liveglass.transport.header import FrameHeader
from liveglass.transport.messages import (
    FrameAck,
    Hello,
    PublishAck,
    ServerEvent,
    StatsSubscribe,
)

_STATS_INTERVAL_MS = 60_000


@asynccontextmanager
async def connect(
    url: str = "http://127.0.0.1:8787",
    *,
    session: str | None = None,
    token: str | None = None,
    name: str | None = None,
    prompt: str | None = None,
    source: SourceKind = "camera",
    model: str | None = None,
    strength: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    size: tuple[int, int] = (640, 360),
    fps: Fps = 24,
    fit: Fit = "cover",
    camera_visible: CameraVisible = "none",
    fallback: Fallback = "slate",
    publish: bool | None = None,
    view: bool = True,
    format: Format = "jpeg",  # noqa: A002 # the wire's own word
    credential: str | None = None,
    tls: ssl.SSLContext | None = None,
    pauses: Pauses | None = None,
    clock: Clock | None = None,
) -> AsyncIterator["Live"]:
    """A session on the server at `url`, to be used with `async with`.

    With `session` (and its `token`) it joins one that is open; else it opens one, which ends with the block unless it
    has a `name`.

    Args:
        url: where the server is.
        session: the id of a session to join.
        token: what opening it returned: the control token, or the viewer token to watch only.
        name: open the session of this name, or return to it; it outlives this program.
        prompt: the first words.
        source: what the pictures are made from: this program's `camera`, the built-in `sample`, or `none`: words.
        model: the model's name; the server's own where None.
        strength: how far the picture moves away from the camera, 0 to 1.
        steps: denoise passes for a frame, one of the model's `valid_steps`.
        seed: of the noise; drawn by the server where None.
        size: the output's width and height in pixels.
        fps: output frames a second.
        fit: whether a camera of another shape is cut (`cover`) or framed in black (`contain`).
        camera_visible: whether viewers may ever see camera pixels.
        fallback: what is shown when there is nothing to show.
        publish: whether this program sends pictures; by itself, where it opens a session whose source is `camera`.
        view: whether it gets frames.
        format: `jpeg`, or `raw` for pixels that no codec has touched.
        credential: an operator token or a stream key, where the server wants one for opening.
        tls: for a server with a certificate of its own.
        pauses: between tries to reconnect.
        clock: what pictures and ages are timed by; the machine's where None.

    Raises:
        InvalidInput: something that was asked for cannot be used.
        AtCapacity: the server is full.
        Unavailable: no server answers at `url`.
        LiveglassError: any other refusal, as the server says.
    """
    address = Address(url, tls)
    opened: Opened | None = None
    if session is None:
        numbers: dict[str, object] = {"strength": strength, "steps": steps, "seed": seed}
        request = SessionRequest(
            prompt=UNSET if prompt is None else prompt,
            model=UNSET if model is None else model,
            source=source,
            params=convert({key: value for key, value in numbers.items() if value is not None}, ParamsPatch),
            camera_visible=camera_visible,
            fallback=fallback,
            size=SizeRequest(*size),
            fit=fit,
            fps=fps,
        )
        opened = await address.open(request, name=name, credential=credential)
        session, token = opened.id, opened.token
        publish = source == "camera" if publish is None else publish
    link = Link(
        address.socket(session, publish=bool(publish), view=view, fmt=format),
        token,
        tls=tls,
        direct=address.is_loopback,
        pauses=pauses or Pauses(),
    )
    try:
        hello = await link.start()
        replay = partial(address.replay, session, token)
        live = Live(link, hello, opened, clock or SystemClock(), replay=replay)
        tasks = [asyncio.create_task(link.run(live)), asyncio.create_task(live.send_pictures())]
        try:
            yield live
        finally:
            await link.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    finally:
        if opened is not None and name is None:
            with suppress(LiveglassError):
                await address.end(opened.id, opened.token)


class Live(Steering):
    """A connection to one session; made by `connect`.

    Attributes:
        id: the session's id.
        opened: the tokens, where this program opened the session.
        state: where the session stands, with the cause wherever it is neither ready nor live.
        control: the control state, as last told.
        hello: what the server said first on the newest connection.
        reconnects: how often the connection was made again.
    """

    def __init__(
        self,
        link: Link,
        hello: Hello,
        opened: Opened | None,
        clock: Clock,
        *,
        replay: Callable[[], Awaitable[Replay]],
    ) -> None:
        super().__init__(link)
        self._replay = replay
        self.id = hello.session
        self.opened = opened
        self.hello = hello
        self.state = SessionState(hello.state)
        self.control = hello.control
        self.reconnects = 0
        self._clock = clock
        self._camera = PictureSender(link.send_picture)
        self._newest: bytes | None = None
        self._changed = asyncio.Event()
        self._refused_picture: LiveglassError | None = None
        self._over = False
        self._error: LiveglassError | None = None
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()

    # --- pictures ---------------------------------------------------------------------------------------------------

    async def publish(self, pixels: Pixels, *, captured_us: int | None = None) -> int:
        """Send a camera picture (uint8 [H, W, 3] RGB, at most 1920×1080); returns its `seq`.

        Never waits for the network: where the server's credit is used up, the newest picture waits and replaces an
        older one.

        Args:
            pixels: copied, so the buffer may be used again.
            captured_us: when it was taken, microseconds on this client's clock; now where None.

        Raises:
            InvalidValue: another shape or type.
            LiveglassError: why the server refused an earlier picture, or why the connection ended.
        """
        if self._over:
            raise self._error or Unavailable("The connection is closed.")
        refused, self._refused_picture = self._refused_picture, None
        if refused is not None:
            raise refused
        at_us = round(self._clock.now() * 1e6) if captured_us is None else captured_us
        seq = self._camera.put(pixels, at_us)
        await asyncio.sleep(0)  # a loop that does nothing but publish must let the sender run
        return seq

    async def send_pictures(self) -> None:
        """Send what `publish` leaves, until cancelled; `connect` runs it."""
        await self._camera.run()

    async def frames(self) -> AsyncIterator[LiveFrame]:
        """The output, decoded, newest first: who reads slowly skips frames and falls behind by none.

        Each is acknowledged once it is decoded. Ends when the session ends. One reader at a time.

        Raises:
            LiveglassError: why the connection ended for good.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            message, self._newest = self._newest, None
            if message is not None:
                # The publisher's clock is this one only where this client publishes; it is read as the frame comes.
                now_us = self._clock.now() * 1e6 if self._camera.has_sent else None
                frame = await asyncio.to_thread(LiveFrame.decode, message, now_us)
                await self._link.report(FrameAck(seq=frame.slot))
                yield frame
            if self._over:
                self._changed.set()
                if self._error is not None:
                    raise self._error
                return

    # --- what the server says ---------------------------------------------------------------------------------------

    def events(self) -> EventStream:
        """Every event from now on, to be iterated with `async for`; ends with the session."""
        stream = EventStream()
        if self._over:
            stream.end(self._error)
        self._streams.add(stream)
        return stream

    async def stats(self) -> Stats:
        """The server's measured figures of the last seconds.

        Raises:
            LiveglassError: why the connection ended.
        """
        events = self.events()
        await self._link.report(StatsSubscribe(interval_ms=_STATS_INTERVAL_MS))
        async for event in events:
            if isinstance(event, Stats):
                return event
            if isinstance(event, Hello):
                await self._link.report(StatsSubscribe(interval_ms=_STATS_INTERVAL_MS))
        raise Unavailable("The session ended.")

    async def replay(self) -> Replay:
        """The newest generated frame, made once more by the server: whether it is the same, and by how much it is not.

        Raises:
            NotAllowed: this client only watches.
            NoSuchFrame: nothing was generated yet.
            NotReplayable: what it was made of is not all there any more.
            LiveglassError: any other refusal, as the server says.
        """
        return await self._replay()

    def on_hello(self, hello: Hello) -> None:
        """The link has connected again."""
        self.hello = hello
        self.control = hello.control
        self.state = SessionState(hello.state)
        self.reconnects += 1
        self._progress.reconnected()
        self._camera.reconnected()
        self._spread(hello)

    def on_event(self, event: ServerEvent) -> None:
        """The link read an event."""
        match event:
            case SessionState():
                self.state = event
            case ControlChanged():
                self.control = event.control
            case ControlApplied() | ControlSettled() | ControlSuperseded():
                self._progress.note(event)
            case PublishAck():
                self._camera.acknowledged(event)
            case ErrorEvent(seq=int()):
                self._refused_picture = error_of_event(event)
            case _:
                pass
        self._spread(event)

    def on_frame(self, message: bytes) -> None:
        """The link read a frame."""
        self._newest = message
        header = FrameHeader.unpack(message)
        self._progress.saw_frame(header.version, header.seq)
        self._changed.set()

    def on_lost(self) -> None:
        """The link lost its connection."""
        if self.state.state != "closed":
            self.state = SessionState("reconnecting", cause="The connection was lost.")
            self._spread(self.state)

    def on_end(self, error: LiveglassError | None) -> None:
        """The link has given up, or was closed."""
        if isinstance(error, NoSuchSession) and self.state.state == "closed":
            error = None  # it ended, and said so: that is no fault
        self._over, self._error = True, error
        self._progress.fail(error or Unavailable("The session ended."))
        for stream in self._streams:
            stream.end(error)
        self._changed.set()

    def _spread(self, event: ServerEvent) -> None:
        for stream in self._streams:
            stream.put(event)
