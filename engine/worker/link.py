"""The server's end of the wall to one worker: writes sources into the ring, reads frames out of it.

Any thread may send and none ever waits: a writer thread of its own feeds the pipe, since a worker that is stuck reads
nothing and whoever waited for it could not replace it. A reader thread takes what the worker says, copies finished
pictures out (the one copy on their way) and hands everything to `on_message`. When the worker is gone, `on_message`
gets None, once and last.
"""

import queue
import threading
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection

import msgspec
import numpy as np

from liveglass.engine.frame import Pixels, Size, SourceFrame, SourceStamp
from liveglass.engine.stream.mailbox import Mailbox
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.ring import CellPool, Ring

CELLS_PER_SESSION = 3
"""One being written, one waiting in the worker, one that its frame is made from."""

OnMessage = Callable[[m.ToServer | None, Pixels | None], None]


class WorkerLink:
    """One worker's pipe and rings, as the server uses them.

    Args:
        on_message: called on the reader's thread with each message and, for `Generated`, the picture; None: it is gone.
    """

    def __init__(self, connection: Connection, inbound: Ring, outbound: Ring, on_message: OnMessage) -> None:
        self._connection = connection
        self._inbound = inbound
        self._outbound = outbound
        self._on_message = on_message
        self._cells = CellPool(inbound.cells)
        self._held: Counter[str] = Counter()
        self._closing: Counter[str] = Counter()
        self._given: dict[int, tuple[str, SourceFrame]] = {}
        self._sizes: dict[str, Size] = {}
        self._waiting: dict[str, Mailbox[SourceFrame]] = {}
        self._lock = threading.Lock()
        self._outgoing: queue.SimpleQueue[m.ToWorker | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="link-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="link-writer", daemon=True)

    def start(self) -> None:
        """Begin to read and to write."""
        self._reader.start()
        self._writer.start()

    def detach(self) -> None:
        """Touch the rings no more; sources that still come are refused."""
        with self._lock:
            self._waiting.clear()
            self._given.clear()

    def join(self) -> None:
        """Wait for reader and writer, which end when the pipe is shut; not to be called on either of them."""
        self._outgoing.put(None)
        self._reader.join()
        self._writer.join()

    def send(self, message: m.ToWorker) -> None:
        """Tell the worker; a worker that is gone is told nothing, its end is reported by the reader."""
        self._outgoing.put(message)

    def open(self, message: m.OpenStream) -> None:
        """Tell the worker about a session and follow its pictures' size."""
        with self._lock:
            self._sizes[message.session] = message.size
            self._waiting[message.session] = Mailbox()
            self.send(message)

    def close_stream(self, session: str) -> None:
        """Forget a session; its cells come back when the worker is done with them."""
        with self._lock:
            if self._waiting.pop(session, None) is not None:
                self._closing[session] += 1
                self.send(m.CloseStream(session))

    def put_source(self, session: str, frame: SourceFrame) -> bool:
        """Hand a source picture over, or leave it as the newest to go; True if it replaced one that never went."""
        with self._lock:
            mailbox = self._waiting.get(session)
            if mailbox is None:
                return False
            replaced = mailbox.put(frame)
            self._hand_over(session)
        return replaced

    def source_of(self, session: str, stamp: SourceStamp | None) -> SourceFrame | None:
        """The source picture of that stamp, as long as its cell is the worker's; that of a frame that has come is."""
        with self._lock:
            given = (frame for owner, frame in self._given.values() if owner == session and frame.stamp == stamp)
            return next(given, None)

    def _hand_over(self, session: str) -> None:
        """Copy the waiting picture into a free cell, if there are both, and send it. The caller holds the lock.

        It is sent under the lock, too: a newer picture must not overtake an older one on its way to the pipe.
        """
        mailbox = self._waiting.get(session)
        if mailbox is None or self._held[session] >= CELLS_PER_SESSION or not len(self._cells):
            return
        frame = mailbox.take()
        if frame is None:
            return
        cell = self._cells.take()
        self._held[session] += 1
        self._given[cell] = session, frame
        np.copyto(self._inbound.view(cell, self._sizes[session]), frame.pixels)
        self.send(m.NewSource(session, cell, frame.stamp))

    def _write(self) -> None:
        encoder = msgspec.msgpack.Encoder()
        try:
            while (message := self._outgoing.get()) is not None:
                self._connection.send_bytes(encoder.encode(message))
        except OSError:
            return

    def _read(self) -> None:
        decoder: msgspec.msgpack.Decoder[m.ToServer] = msgspec.msgpack.Decoder(m.ToServer)
        try:
            while True:
                self._take(decoder.decode(self._connection.recv_bytes()))
        except (EOFError, OSError):
            self._on_message(None, None)

    def _take(self, message: m.ToServer) -> None:
        match message:
            case m.Generated(session, cell):
                with self._lock:
                    # What a closed stream still had in flight is nobody's, even if its id is open again.
                    size = None if self._closing[session] else self._sizes.get(session)
                picture = None if size is None else self._outbound.view(cell, size).copy()
                self.send(m.Freed(cell))
                self._on_message(message, picture)
            case m.SourceDone(session, cell):
                with self._lock:
                    self._cells.give(cell)
                    self._given.pop(cell, None)
                    self._held[session] -= 1
                    self._hand_over(session)
                self._on_message(message, None)
            case m.Closed(session):
                with self._lock:
                    self._closing[session] -= 1
                    self._forget(session)
            case m.Failed(session) | m.Still(session) if self._closing[session]:
                pass
            case _:
                self._on_message(message, None)

    def _forget(self, session: str) -> None:
        """Keep nothing of a session that is closed for good. The caller holds the lock."""
        if session not in self._waiting and not self._closing[session]:
            for kept in (self._held, self._closing, self._sizes):
                kept.pop(session, None)
