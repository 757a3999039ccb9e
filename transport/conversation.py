"""The events of one connection, whatever carries them: `hello` first, then commands in and answers and news out.

A socket and a data channel hold the same conversation. It reads texts, does commands, tells errors and keeps the flood
rule; it never sends by itself (it is given a way to `say`) and never closes anything (it is given a way to `end`).
Belongs to the event loop.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from liveglass.engine.clock import wall
from liveglass.engine.errors import Flood, LiveglassError
from liveglass.engine.events import ControlAccepted, ErrorEvent, SessionEvent, SessionState, Stats
from liveglass.engine.stream.session import Session
from liveglass.transport.commands import Commander
from liveglass.transport.flow import FloodRule
from liveglass.transport.hub import Hub
from liveglass.transport.messages import (
    Command,
    FrameAck,
    Hello,
    Limits,
    PictureSize,
    Ping,
    Pong,
    Role,
    ServerEvent,
    StatsSubscribe,
    command_id,
    parse_message,
    read_command,
)

GOING_AWAY = 1001
POLICY_VIOLATION = 1008

Say = Callable[[ServerEvent], None]
End = Callable[[int, str], None]
"""Ends the connection with a WebSocket close code and a reason."""


class Conversation:
    """What one connection says and hears.

    Args:
        by: what `control.changed` calls this kind of connection.
        on_ack: what a viewer's `frame.ack` means here; a peer connection has RTCP for it.
    """

    def __init__(
        self,
        session: Session,
        role: Role,
        hub: Hub,
        *,
        by: str,
        say: Say,
        end: End,
        on_ack: Callable[[int], None] | None = None,
    ) -> None:
        self._session = session
        self._role: Role = role
        self._hub = hub
        self._say = say
        self._end = end
        self._on_ack = on_ack
        number = hub.connection_number()
        self._commander = Commander(
            session, hub.room(session), role, connection=number, by=f"{by}:{number}", end=hub.end
        )
        self._flood = FloodRule(Limits().messages_per_s)
        self._stats_interval_s = 0.0
        self._subscribed = asyncio.Event()

    def greet(self) -> None:
        """Say `hello`, the current state, what is given up by now, and which other model is on its way."""
        session = self._session
        state = session.state
        self._say(
            Hello(
                session=session.id,
                role=self._role,
                state=state.state,
                control=session.control_view(),
                server_time=wall() * 1000,
                fps=session.options.fps,
                slot=session.current_slot,
                size=PictureSize.of(session.options.size),
                applies=session.applies,
            ),
        )
        self._say(state)
        if session.given_up is not None:
            self._say(session.given_up)
        if session.swap is not None:
            self._say(session.swap)

    def on_event(self, event: SessionEvent) -> None:
        """The session said something: pass it on."""
        if isinstance(event, Stats | ControlAccepted):
            return  # statistics go to who asked for them, receipts to who sent the command
        self._say(event)
        if isinstance(event, SessionState) and event.state == "closed":
            self._end(GOING_AWAY, event.cause or "the session is closed")

    def on_text(self, raw: str) -> None:
        """The other side sent a text."""
        if self._flood.count(self._hub.clock.now()):
            self.flooded("messages")
            return
        its_id: str | None = None
        try:
            message = parse_message(raw)
            its_id = command_id(message)
            self._do(read_command(message), raw)
        except LiveglassError as error:
            self.tell(error, command=its_id)

    async def send_stats(self) -> None:
        """Say `stats` as often as was asked for, until cancelled."""
        await self._subscribed.wait()
        while True:
            self._subscribed.clear()
            self._say(self._session.stats())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stats_interval_s):
                    await self._subscribed.wait()

    def tell(self, error: LiveglassError, *, command: str | None = None, seq: int | None = None) -> None:
        """Say an error, about the command or the frame at fault where there is one."""
        self._hub.metrics.errors.labels(error.code).inc()
        self._say(ErrorEvent.of(error.body(), id=command, seq=seq))

    def flooded(self, what: str) -> None:
        """Too much of `what` came: say so and end it."""
        error = Flood(f"Too many {what} for too long.")
        self.tell(error)
        self._end(POLICY_VIOLATION, f"{error.code}: too many {what}")

    def _do(self, command: Command, raw: str) -> None:
        match command:
            case FrameAck():
                if self._on_ack is not None:
                    self._on_ack(command.seq)
            case Ping():
                self._say(Pong(t=command.t, server_time=wall() * 1000))
            case StatsSubscribe():
                self._stats_interval_s = command.interval_ms / 1000
                self._subscribed.set()
            case _:
                answer = self._commander.answer(command, raw)
                if isinstance(answer, ErrorEvent):
                    self._hub.metrics.errors.labels(answer.code).inc()
                self._say(answer)
