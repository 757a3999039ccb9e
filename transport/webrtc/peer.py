"""One WebRTC peer of a session: the camera in, the picture out, events beside them. Event loop.

An offer is answered at once and whole; `run` owns everything else, from the first check to the last byte, and however
it ends, the viewer, the publisher and the session's count of connections are given back. A peer that says nothing for
8 s is gone. Decides nothing about tokens and knows no HTTP.
"""

import asyncio
import secrets
from contextlib import ExitStack

import structlog
from aiortc import RTCDataChannel, RTCIceCandidate
from aiortc.rtcdtlstransport import RTCDtlsTransport

from liveglass.engine.errors import LiveglassError, MalformedSdp, PublisherReplaced
from liveglass.engine.stream.session import Session
from liveglass.transport.aiortc_tuning import TunedConnection
from liveglass.transport.conversation import Conversation
from liveglass.transport.flow import Throttle
from liveglass.transport.hub import Hub
from liveglass.transport.messages import Role, ServerEvent, StreamClock, encode
from liveglass.transport.webrtc.camera import PeerCamera
from liveglass.transport.webrtc.congestion import LinkReport, RenditionChooser
from liveglass.transport.webrtc.decoding import CameraDecoder, CameraPicture
from liveglass.transport.webrtc.encoding import Rendition
from liveglass.transport.webrtc.gatherer import Gatherer
from liveglass.transport.webrtc.ice import IceServer, IceSettings
from liveglass.transport.webrtc.offer import Offer
from liveglass.transport.webrtc.receiver import CameraReceiver
from liveglass.transport.webrtc.renditions import VideoFanOut, VideoPacket
from liveglass.transport.webrtc.sender import SlotSender
from liveglass.transport.webrtc.trickle import Trickle

log = structlog.get_logger()

CONNECT_WITHIN_S = 15.0
SILENCE_S = 8.0
_LOOK_EVERY_S = 1.0
_LAST_WORDS_S = 1.0
_CLOSE_WITHIN_S = 5.0
MOST_UNREAD_BYTES = 1 << 20
MOST_CANDIDATES = 128
MOST_UNREAD_META_BYTES = 1 << 13
_ID_BYTES = 12


class Peer:
    """One peer connection.

    Attributes:
        id: its name in the address of its resource; nobody can guess it.
        ice_ufrag, ice_pwd: the remote ICE credentials, which tell a trickle from a restart.
        rendition: which of the session's two sizes it gets.
    """

    def __init__(
        self, session: Session, role: Role, hub: Hub, *, ice: IceSettings, servers: tuple[IceServer, ...]
    ) -> None:
        self.id = secrets.token_urlsafe(_ID_BYTES)
        self.ice_ufrag = self.ice_pwd = ""
        self._candidates_left = MOST_CANDIDATES
        self._ice = ice
        self._servers = servers
        self._session = session
        self._role: Role = role
        self._hub = hub
        self._clock = hub.clock
        self._room = hub.room(session)
        self._chooser = RenditionChooser(hub.clock.now())
        self._camera = PeerCamera(
            session,
            self._room.rtp_times,
            hub.clock,
            publishing=self._room.publishing,
            on_replaced=self._tell_replaced,
        )
        self._conversation = Conversation(session, role, hub, by="peer", say=self._say, end=self._end)
        self._events: RTCDataChannel | None = None
        self._meta: RTCDataChannel | None = None
        self._fanout: VideoFanOut | None = None
        self._sender: SlotSender | None = None
        self._receiver: CameraReceiver | None = None
        self._complaints = Throttle(1.0)
        self._has_greeted = False
        self._heard_at = hub.clock.now()
        self._ended = asyncio.Event()
        self._connection = TunedConnection(
            make_gatherer=self._gatherer,
            make_halves=self._halves,
        )
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    @property
    def rendition(self) -> Rendition:
        """Which of the session's two sizes it gets; read from the output thread, too."""
        return self._chooser.rendition

    # --- signalling -------------------------------------------------------------------------------------------------

    async def answer(self, offer: Offer) -> str:
        """The answer to `offer`, with all candidates; call `run` next.

        Raises:
            MalformedSdp: aiortc found a fault that no check of ours had found.
            Unavailable: no address or port to receive on.
        """
        self.ice_ufrag, self.ice_pwd = offer.ice_ufrag, offer.ice_pwd
        try:
            return await self._connection.answer(offer.sdp, may_publish=self._role == "controller")
        except LiveglassError:
            raise
        except Exception as fault:  # noqa: BLE001 - the boundary to a parser that raises whatever its lines lead to
            log.warning("an offer that passed our checks was refused", fault=repr(fault))
            raise MalformedSdp(f"The offer cannot be answered: {type(fault).__name__}.") from None

    async def add(self, trickle: Trickle) -> None:
        """Take candidates that came after the offer (RFC 8840); more than anybody has are left alone.

        Their end is not passed on: a browser that hides its addresses is found by its own checks, later.
        """
        taken = trickle.candidates[: self._candidates_left]
        self._candidates_left -= len(taken)
        for candidate in taken:
            await self._connection.addIceCandidate(
                RTCIceCandidate(
                    component=candidate.component,
                    foundation=candidate.foundation,
                    ip=candidate.host,
                    port=candidate.port,
                    priority=candidate.priority,
                    protocol=candidate.protocol,
                    type=candidate.type,
                    sdpMid=candidate.mid,
                )
            )

    # --- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the session until one side ends it, the peer falls silent, or it never connects."""
        with ExitStack() as stack:
            stack.enter_context(self._session.attach())
            stack.callback(self._session.listen(self._conversation.on_event))
            stack.callback(self._camera.stop)
            try:
                async with asyncio.TaskGroup() as group:
                    helpers = [
                        group.create_task(work)
                        for work in (
                            self._show(stack),
                            self._watch(),
                            self._conversation.send_stats(),
                        )
                    ]
                    await self._ended.wait()
                    for task in helpers:
                        task.cancel()
            finally:
                await self._close()

    def end(self) -> None:
        """End it; `run` returns soon."""
        self._ended.set()

    async def discard(self) -> None:
        """Let go of a peer that was not answered."""
        self._ended.set()
        await self._close()

    async def _show(self, stack: ExitStack) -> None:
        """Once connected: watch the session, and tell the peer where its grid lies."""
        sender = self._sender
        if sender is None:
            return
        await sender.started.wait()
        if sender.codec is not None and sender._enabled:
            self._fanout = stack.enter_context(self._room.watching(self, sender.codec))

    async def _watch(self) -> None:
        """End a peer that never connects, or that has been silent for too long."""
        began = self._clock.now()
        while not self._ended.is_set():
            await asyncio.sleep(_LOOK_EVERY_S)
            now, heard_at = self._clock.now(), self._heard_at
            if self._sender is not None and self._receiver is not None:
                heard_at = max(heard_at, self._sender.heard_at, self._receiver.heard_at)
            is_connected = self._connection.connectionState == "connected"
            if now - heard_at >= SILENCE_S if is_connected else now - began >= CONNECT_WITHIN_S:
                self.end()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_WITHIN_S):
                await self._connection.close()
        except TimeoutError:
            log.warning("a peer did not close in time", peer=self.id)

    def _end(self, code: int, reason: str) -> None:
        """The conversation is over: let its last words go out, then close."""
        log.info("peer ends", peer=self.id, code=code, reason=reason)
        asyncio.get_running_loop().call_later(_LAST_WORDS_S if self._has_greeted else 0.0, self.end)

    # --- parts ------------------------------------------------------------------------------------------------------

    def _gatherer(self) -> Gatherer:
        gatherer = Gatherer(self._ice, self._servers)
        gatherer.on("statechange", lambda: self._log_faults(gatherer))
        return gatherer

    def _log_faults(self, gatherer: Gatherer) -> None:
        if gatherer.state == "completed" and gatherer.faults:
            log.warning("not every way in was found", peer=self.id, faults=gatherer.faults)

    def _halves(self, transport: RTCDtlsTransport) -> tuple[SlotSender, CameraReceiver]:
        session = self._session
        sender = self._sender = SlotSender(
            transport,
            grid=lambda: session.grid,
            clock=self._clock,
            on_keyframe_needed=self._lost_picture,
            on_report=self._on_report,
            on_crash=self._on_crash,
        )
        receiver = self._receiver = CameraReceiver(
            transport,
            clock=self._clock,
            pool=self._hub.pool,
            decoder=CameraDecoder(session.options.size, session.options.fit),
            round_trip_s=lambda: sender.round_trip_s,
            on_picture=self._on_picture,
            on_replaced=session.count_replaced,
            on_fault=self._tell_fault,
            on_crash=self._on_crash,
        )
        return sender, receiver

    def _on_state(self) -> None:
        if self._connection.connectionState in {"failed", "closed"}:
            self.end()

    def _on_crash(self, fault: BaseException) -> None:
        """A task that was to run as long as the peer has failed: the peer ends, and its client connects anew."""
        log.error("a peer's task failed", peer=self.id, exc_info=fault)
        self.end()

    def _tell_fault(self, error: LiveglassError) -> None:
        """The camera cannot be decoded: said once a second at most."""
        if self._complaints.allows(self._clock.now()):
            self._conversation.tell(error)

    def _on_picture(self, picture: CameraPicture, decode_s: float) -> None:
        if self._role == "controller" and not self._ended.is_set():
            self._camera.publish(picture, decode_s)

    def _tell_replaced(self) -> None:
        self._conversation.tell(PublisherReplaced("A newer publisher took over this session."))

    # --- the picture out --------------------------------------------------------------------------------------------

    def put(self, packet: VideoPacket) -> None:
        """Send a slot, and what it is."""
        sender = self._sender
        if sender is None:
            return
        if sender.moved_origin(packet.slot):
            self._say_clock()
        if not sender.put(packet):
            return
        meta = self._meta
        if meta is not None and meta.readyState == "open" and meta.bufferedAmount < MOST_UNREAD_META_BYTES:
            meta.send(packet.meta)

    def flush(self) -> None:
        """Forget what waits, unless it is the safe picture."""
        if self._sender is not None:
            self._sender.flush()

    def _lost_picture(self) -> None:
        if self._fanout is not None:
            self._fanout.lost_picture(self)

    def _on_report(self, report: LinkReport) -> None:
        before = self._chooser.rendition
        after = self._chooser.report(self._clock.now(), report)
        if after is not before and self._sender is not None and self._fanout is not None:
            self._hub.metrics.rendition_changes.labels(after.value).inc()
            self._sender.start_anew()
            self._fanout.follow(self)

    # --- events -----------------------------------------------------------------------------------------------------

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "meta":
            self._meta = channel
        elif channel.label == "events" and self._events is None:
            self._events = channel
            channel.on("message", self._on_message)
            self._greet()

    def _greet(self) -> None:
        self._has_greeted = True
        self._conversation.greet()
        self._say_clock()

    def _say_clock(self) -> None:
        sender = self._sender
        if sender is not None and self._has_greeted:
            ticks = (sender.timestamp(sender.slot0 + 1) - sender.rtp_origin) % 2**32
            self._say(StreamClock(rtp_origin=sender.rtp_origin, slot0=sender.slot0, ticks_per_slot=ticks))

    def _on_message(self, message: str | bytes) -> None:
        self._heard_at = self._clock.now()
        if self._ended.is_set():
            return
        self._conversation.on_text(message if isinstance(message, str) else message.decode(errors="replace"))

    def _say(self, event: ServerEvent) -> None:
        channel = self._events
        if channel is None or not self._has_greeted or channel.readyState != "open":
            return
        if channel.bufferedAmount > MOST_UNREAD_BYTES:
            self.end()
            return
        channel.send(encode(event))
