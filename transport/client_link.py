"""The client's connection, kept up: connects, reads, and connects again with growing pauses.

Whatever comes goes to a `Listener`; nothing is kept here but commands without an answer, which are sent again after a
reconnect under the same `id` (the server does them once). Runs in one task of its owner's event loop.
"""

import asyncio
import ssl
from typing import Protocol

import stamina
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from liveglass.engine.errors import LiveglassError, MalformedMessage, OriginRefused, Unavailable
from liveglass.engine.events import ControlAccepted, ErrorEvent
from liveglass.transport.client_errors import error_of_close, error_of_event
from liveglass.transport.messages import (
    ControlCommand,
    FrameAck,
    Hello,
    ServerEvent,
    StatsSubscribe,
    encode,
    parse_event,
)

MAX_MESSAGE_BYTES = 16 * 2**20
HELLO_TIMEOUT_S = 10.0


class Listener(Protocol):
    """Who wants to know what comes; called on the event loop."""

    def on_hello(self, hello: Hello) -> None:
        """Another connection stands, after the first was lost."""
        ...

    def on_event(self, event: ServerEvent) -> None:
        """Any other event came."""
        ...

    def on_frame(self, message: bytes) -> None:
        """A frame came."""
        ...

    def on_lost(self) -> None:
        """The connection is gone; another is being made."""
        ...

    def on_end(self, error: LiveglassError | None) -> None:
        """No other connection will be made; `error` says why, None for a normal end."""
        ...


class Pauses:
    """How long to wait before connecting again: 1, 2, 4, 8 … 60 s, with jitter."""

    def __init__(self, first_s: float = 1.0, longest_s: float = 60.0, jitter_s: float = 1.0) -> None:
        self.first_s = first_s
        self.longest_s = longest_s
        self.jitter_s = jitter_s


class Link:
    """One client's connection to one session.

    Args:
        url: the WebSocket address.
        direct: never through a proxy (for loopback).
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        tls: ssl.SSLContext | None,
        direct: bool,
        pauses: Pauses,
    ) -> None:
        self._url = url
        self._token = token
        self._tls = tls
        self._direct = direct
        self._pauses = pauses
        self._socket: ClientConnection | None = None
        self._unanswered: dict[str, tuple[str, asyncio.Future[ControlAccepted | LiveglassError]]] = {}
        self._closing = False
        self._ended: LiveglassError | None = None

    async def start(self) -> Hello:
        """Connect for the first time; there is no second try. Nothing is read before `run`.

        Raises:
            Unavailable: nobody answers.
            LiveglassError: the server refuses.
        """
        return await self._connect()

    async def run(self, listener: Listener) -> None:
        """Read, and connect again whenever the connection is lost, until `close` or a refusal."""
        error: LiveglassError | None = None
        try:
            await self._read(listener)
            while not self._closing:
                listener.on_lost()
                await self._connect_again(listener)
                await self._read(listener)
        except LiveglassError as refusal:
            error = refusal
        finally:
            self._end(error)
            listener.on_end(error)

    async def close(self) -> None:
        """Close for good."""
        self._closing = True
        if self._socket is not None:
            await self._socket.close()

    async def command(self, command: ControlCommand) -> ControlAccepted:
        """Send a command and wait for its answer, over a reconnect if need be.

        Raises:
            LiveglassError: the server's error, or the one that ended the connection.
        """
        self._check_open()
        text = encode(command)
        answer: asyncio.Future[ControlAccepted | LiveglassError] = asyncio.get_running_loop().create_future()
        self._unanswered[command.id] = text, answer
        try:
            await self._send(text)
            outcome = await answer
        finally:
            self._unanswered.pop(command.id, None)
        if isinstance(outcome, LiveglassError):
            raise outcome
        return outcome

    async def report(self, message: FrameAck | StatsSubscribe) -> bool:
        """Send what has no answer; False if there is no connection now."""
        return await self._send(encode(message))

    async def send_picture(self, message: bytes) -> bool:
        """Send a camera picture; False if there is no connection now."""
        return await self._send(message)

    async def _send(self, message: str | bytes) -> bool:
        if self._socket is None:
            return False
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            return False
        return True

    async def _connect(self) -> Hello:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        try:
            socket = await open_socket(
                self._url,
                additional_headers=headers,
                compression=None,
                max_size=MAX_MESSAGE_BYTES,
                ssl=self._tls,
                proxy=None if self._direct else True,
                close_timeout=2,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            if status == 403:
                raise OriginRefused("The server does not take connections for this address.") from None
            raise Unavailable(f"The server refused the connection with {status}.") from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise Unavailable(f"The server cannot be reached: {error}.") from None
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                hello = _expect_hello(await socket.recv())
                for text, _ in list(self._unanswered.values()):
                    await socket.send(text)
        except ConnectionClosed as closed:
            raise _lost(closed) from None
        except TimeoutError:
            await socket.close()
            raise Unavailable("The server accepted the connection and said nothing.") from None
        self._socket = socket
        return hello

    async def _connect_again(self, listener: Listener) -> None:
        attempts = stamina.retry_context(
            on=Unavailable,
            attempts=None,
            timeout=None,
            wait_initial=self._pauses.first_s,
            wait_max=self._pauses.longest_s,
            wait_jitter=self._pauses.jitter_s,
        )
        async for attempt in attempts:
            with attempt:
                if attempt.num == 1:
                    # The lost connection counts as the first try, so that the first pause comes before the next.
                    raise Unavailable("The connection was lost.")
                listener.on_hello(await self._connect())

    async def _read(self, listener: Listener) -> None:
        socket = self._socket
        if socket is None:
            return
        try:
            while True:
                message = await socket.recv()
                if isinstance(message, bytes):
                    listener.on_frame(message)
                else:
                    self._on_text(message, listener)
        except ConnectionClosed as closed:
            self._socket = None
            refusal = _refusal(closed)
            if refusal is not None and not self._closing:
                raise refusal from None

    def _on_text(self, text: str, listener: Listener) -> None:
        event = parse_event(text)
        if event is None:
            return  # a newer server may say more than this client knows
        if isinstance(event, ControlAccepted | ErrorEvent) and event.id in self._unanswered:
            _, answer = self._unanswered[event.id]
            if not answer.done():
                answer.set_result(error_of_event(event) if isinstance(event, ErrorEvent) else event)
        listener.on_event(event)

    def _end(self, error: LiveglassError | None) -> None:
        self._closing = True
        self._ended = error or Unavailable("The connection is closed.")
        for _, answer in self._unanswered.values():
            if not answer.done():
                answer.set_result(self._ended)

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._ended


def _expect_hello(first: str | bytes) -> Hello:
    event = parse_event(first)
    if isinstance(event, Hello):
        return event
    if isinstance(event, ErrorEvent):
        raise error_of_event(event)
    raise MalformedMessage("The server did not say hello.", hint="Is this the address of a liveglass server?")


def _lost(closed: ConnectionClosed) -> LiveglassError:
    refusal = _refusal(closed)
    return refusal or Unavailable("The server closed the connection before it said hello.")


def _typed(event: ErrorEvent) -> LiveglassError:
    return error_of_event(event)


def _refusal(closed: ConnectionClosed) -> LiveglassError | None:
    return None if closed.rcvd is None else error_of_close(closed.rcvd.code, closed.rcvd.reason)
