"""The client's camera: one picture waits, the newest, and no more are on the way than the server's credit allows.

Pictures are encoded in a thread, just before they are sent. Belongs to the event loop of its owner.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
import numpy as np

from liveglass.engine.errors import InvalidValue
from liveglass.engine.frame import Pixels
from liveglass.transport import codecs
from liveglass.transport.flow import FIRST_CREDIT
from liveglass.transport.header import MAX_U32, Codec, FrameHeader, WireKind, is_at_or_before
from liveglass.transport.messages import PublishAck

QUALITY = 85


class _Picture(msgspec.Struct, frozen=True):
    seq: int
    pixels: Pixels
    captured_us: int


class PictureSender:
    """Sends pictures while there is credit.

    Attributes:
        replaced: pictures that gave way to newer ones before they were sent.
    """

    def __init__(self, send: Callable[[bytes], Awaitable[bool]]) -> None:
        self.replaced = 0
        self._send = send
        self._seq = 0
        self._credit = FIRST_CREDIT
        self._waiting: _Picture | None = None
        self._unacknowledged: deque[int] = deque()
        self._changed = asyncio.Event()

    @property
    def has_sent(self) -> bool:
        """Whether any picture was put."""
        return self._seq > 0

    def put(self, pixels: Pixels, captured_us: int) -> int:
        """Leave a picture (uint8 [H, W, 3] RGB) to be sent; returns its `seq`.

        Raises:
            InvalidValue: another shape or type.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InvalidValue(
                f"Pictures are uint8 [H, W, 3], not {pixels.dtype} {list(pixels.shape)}.", field="pixels"
            )
        self._seq = (self._seq + 1) & MAX_U32
        self.replaced += self._waiting is not None
        self._waiting = _Picture(self._seq, pixels.copy(), captured_us)
        self._changed.set()
        return self._seq

    def acknowledged(self, ack: PublishAck) -> None:
        """The server is done with every picture up to `ack.seq`."""
        self._credit = ack.credit
        while self._unacknowledged and is_at_or_before(self._unacknowledged[0], ack.seq):
            self._unacknowledged.popleft()
        self._changed.set()

    def reconnected(self) -> None:
        """What was on the way is lost; start with the first credit again."""
        self._unacknowledged.clear()
        self._credit = FIRST_CREDIT
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while len(self._unacknowledged) < self._credit:
                picture, self._waiting = self._waiting, None
                if picture is None:
                    break
                message = await asyncio.to_thread(_encoded, picture)
                self._unacknowledged.append(picture.seq)
                if not await self._send(message):
                    self._unacknowledged.clear()


def _encoded(picture: _Picture) -> bytes:
    header = FrameHeader(kind=WireKind.CAMERA, codec=Codec.JPEG, seq=picture.seq, source_us=picture.captured_us)
    return header.pack() + codecs.encode_jpeg(picture.pixels, QUALITY)
