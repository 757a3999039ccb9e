"""The server's end of the wall, with the worker's end played by hand."""

import multiprocessing
import queue
from collections.abc import Iterator
from multiprocessing.connection import Connection

import msgspec
import numpy as np
import pytest

from liveglass.engine.control import ControlState
from liveglass.engine.errors import ErrorBody
from liveglass.engine.frame import Pixels, Provenance, Size, SourceFrame, SourceStamp
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.link import CELLS_PER_SESSION, WorkerLink
from liveglass.engine.worker.process import shut
from liveglass.engine.worker.ring import Ring

SIZE = Size(16, 16)
WAIT_S = 20.0


class Wall:
    """A link and the other end of its pipe."""

    def __init__(self) -> None:
        self.inbound, self.outbound = Ring(8, SIZE.nbytes), Ring(8, SIZE.nbytes)
        self.ours, self.theirs = multiprocessing.Pipe()
        self.told: queue.Queue[tuple[m.ToServer | None, Pixels | None]] = queue.Queue()
        self.link = WorkerLink(self.ours, self.inbound, self.outbound, lambda *said: self.told.put(said))
        self.link.start()
        self._decoder: msgspec.msgpack.Decoder[m.ToWorker] = msgspec.msgpack.Decoder(m.ToWorker)

    def arrived(self) -> m.ToWorker:
        assert self.theirs.poll(WAIT_S), "nothing was sent"
        return self._decoder.decode(self.theirs.recv_bytes())

    def say(self, message: m.ToServer) -> None:
        self.theirs.send_bytes(msgspec.msgpack.encode(message))

    def heard(self) -> tuple[m.ToServer | None, Pixels | None]:
        return self.told.get(timeout=WAIT_S)

    def open(self, session: str = "a") -> None:
        self.link.open(m.OpenStream(session, SIZE, 0.0, 24, ControlState(1), has_source=True, running=True))
        assert isinstance(self.arrived(), m.OpenStream)

    def end(self, connection: Connection) -> None:
        shut(connection)
        self.link.detach()
        self.link.join()


@pytest.fixture
def wall() -> Iterator[Wall]:
    wall = Wall()
    yield wall
    wall.end(wall.ours)
    for part in (wall.ours, wall.theirs, wall.inbound, wall.outbound):
        part.close()


def source(seq: int) -> SourceFrame:
    return SourceFrame(SourceStamp(seq, 0.0, 0, is_camera=True), np.full(SIZE.shape, seq, np.uint8))


def generated(session: str, cell: int) -> m.Generated:
    made = Provenance(None, version=1, progress=1.0, seed=0, steps=4, model="x", holds_camera=False, epoch=1)
    return m.Generated(session, cell, made, 0.0)


def test_what_the_worker_cannot_take_yet_waits_and_only_the_newest_of_it(wall: Wall) -> None:
    wall.open()
    replaced = [wall.link.put_source("a", source(seq)) for seq in range(1, 8)]
    assert replaced == [False] * (CELLS_PER_SESSION + 1) + [True] * 3
    sent = [wall.arrived() for _ in range(CELLS_PER_SESSION)]
    assert [message.stamp.seq for message in sent if isinstance(message, m.NewSource)] == [1, 2, 3]
    assert isinstance(sent[0], m.NewSource)
    wall.say(m.SourceDone("a", sent[0].cell, replaced=True))
    last = wall.arrived()
    assert isinstance(last, m.NewSource)
    assert last.stamp.seq == 7
    assert wall.inbound.view(last.cell, SIZE).max() == 7


def test_a_worker_that_reads_nothing_makes_nobody_wait(wall: Wall) -> None:
    wall.open()
    count = 20_000
    for version in range(count):
        wall.link.send(m.NewControl("a", ControlState(version)))
    for version in range(count):
        message = wall.arrived()
        assert isinstance(message, m.NewControl)
        assert message.control.version == version


def test_a_finished_picture_is_copied_out_before_its_cell_goes_back(wall: Wall) -> None:
    wall.open()
    wall.outbound.view(3, SIZE)[:] = 77
    wall.say(generated("a", 3))
    assert wall.arrived() == m.Freed(3)
    wall.outbound.view(3, SIZE)[:] = 0
    _, picture = wall.heard()
    assert picture is not None
    assert picture.min() == 77


def test_what_a_closed_stream_still_had_in_flight_never_reaches_the_one_that_has_its_id_now(wall: Wall) -> None:
    wall.open()
    wall.link.close_stream("a")
    assert wall.arrived() == m.CloseStream("a")
    wall.open()
    wall.say(generated("a", 3))
    wall.say(m.Failed("a", ErrorBody(code="model_failed", message="", retryable=True)))
    wall.say(m.Still("a", SourceStamp(2, 0.0, 0, is_camera=True), 1))
    wall.say(m.Closed("a"))
    wall.say(generated("a", 4))
    pictures = [wall.heard(), wall.heard()]
    assert [(said.cell, picture is None) for said, picture in pictures if isinstance(said, m.Generated)] == [
        (3, True),
        (4, False),
    ]
    assert [wall.arrived(), wall.arrived()] == [m.Freed(3), m.Freed(4)]


def test_the_source_of_a_frame_is_known_for_as_long_as_the_worker_has_it(wall: Wall) -> None:
    wall.open()
    one, other = source(1), source(2)
    for frame in (one, other):
        wall.link.put_source("a", frame)
    sent = wall.arrived()
    assert isinstance(sent, m.NewSource)
    assert wall.link.source_of("a", one.stamp) is one
    assert wall.link.source_of("b", one.stamp) is None
    assert wall.link.source_of("a", None) is None
    wall.say(m.SourceDone("a", sent.cell, replaced=False))
    wall.heard()
    assert wall.link.source_of("a", one.stamp) is None
    assert wall.link.source_of("a", other.stamp) is other


def test_sources_of_a_session_that_is_not_open_are_nobodys(wall: Wall) -> None:
    assert wall.link.put_source("a", source(1)) is False
    wall.open()
    wall.link.close_stream("a")
    wall.link.close_stream("a")
    assert wall.link.put_source("a", source(1)) is False
    assert wall.arrived() == m.CloseStream("a")
    assert not wall.theirs.poll(0)


def test_the_end_of_the_worker_is_told_once_and_last(wall: Wall) -> None:
    wall.say(m.Loading("first frame"))
    wall.end(wall.theirs)
    assert wall.heard() == (m.Loading("first frame"), None)
    assert wall.heard() == (None, None)
    assert wall.told.empty()
    wall.link.send(m.Stop())
