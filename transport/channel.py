"""What the frame socket needs of a connection, so that it knows no web framework; pure."""

from typing import Protocol


class ChannelClosed(Exception):  # it is how every connection ends, not an error
    """The peer has closed or is gone.

    Attributes:
        code: the WebSocket close code, where one was received.
    """

    def __init__(self, code: int | None = None) -> None:
        super().__init__(f"the connection is closed ({code})")
        self.code = code


class Channel(Protocol):
    """One accepted WebSocket. `receive` has one caller at a time, and so have both sends together."""

    async def receive(self) -> str | bytes:
        """The next message: text is `str`, binary is `bytes`. Raises ChannelClosed."""
        ...

    async def send_text(self, text: str) -> None:
        """Send an event; waits while the kernel's buffer is full. Raises ChannelClosed."""
        ...

    async def send_bytes(self, data: bytes) -> None:
        """Send a frame; waits while the kernel's buffer is full. Raises ChannelClosed."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket code; closing twice, or after the peer, does nothing."""
        ...
