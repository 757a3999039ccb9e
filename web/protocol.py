"""The HTTP and WebSocket protocols of uvicorn with bounds of our own; event loop.

A client that never finishes its request headers, or sends them without end, holds a connection for 10 s and 64 KiB at
most. uvicorn bounds neither.
"""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEADER_BYTES = 64 * 1024
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
)
_BODY = (
    b'{"error":{"code":"headers_too_large","message":"The request\'s headers are over 64 KiB.",'
    b'"retryable":false,"hint":"Send shorter headers."}}'
)


class _HeadersTooLarge(Exception):
    """Ends the parsing of a request."""


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP protocol, impatient with half-sent headers.

    Attributes:
        header_patience_s: from the connection, or the first byte of a further request, to the end of its headers.
    """

    header_patience_s = 10.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._header_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._unfinished_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """A client connected: its headers are due."""
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._headers_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins: its headers are due."""
        super().on_message_begin()
        self._header_bytes = 0
        self._expect_headers()

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, whole."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are whole."""
        self._headers_came()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came in; nothing is read any more from a connection that is being closed."""
        if self.transport.is_closing():
            return
        self._unfinished_bytes += len(data)
        super().data_received(data)
        if self._header_timer is None:
            self._unfinished_bytes = 0
        elif self._unfinished_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            # One line that never ends: the parser keeps it to itself until it is whole.
            self._refuse_headers()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up: on what is no HTTP, or on headers that are too large."""
        if self._header_bytes <= MAX_HEADER_BYTES:
            super().send_400_response(msg)
            return
        self._refuse_headers()

    def _refuse_headers(self) -> None:
        self.transport.write(_TOO_LARGE % (len(_BODY), _BODY))
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _HeadersTooLarge

    def _expect_headers(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self.header_patience_s, self._out_of_patience)

    def _headers_came(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _out_of_patience(self) -> None:
        self._header_timer = None
        if not self.transport.is_closing():
            self.transport.close()
