"""Shared memory between two processes: seen on both sides, nameless, and gone when closed."""

import multiprocessing
import os
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest

from liveglass.engine.clock import now
from liveglass.engine.control import ControlState
from liveglass.engine.errors import OutOfMemory
from liveglass.engine.frame import Size, SourceStamp
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.process import WorkerSettings, run_process
from liveglass.engine.worker.ring import CellPool, Ring

SIZE = Size(64, 48)


def descriptors() -> int:
    return psutil.Process().num_fds()


def test_a_spawned_process_sees_the_pixels_and_hands_its_own_back() -> None:
    before_shm = set(Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else set()
    inbound, outbound = Ring(4), Ring(4)
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    worker = multiprocessing.get_context("spawn").Process(
        target=run_process, args=(theirs, inbound, outbound, WorkerSettings("null", "cpu", 1, 0.0, 7)), daemon=True
    )
    worker.start()
    theirs.close()
    before = descriptors()
    picture = np.random.default_rng(1).integers(0, 255, SIZE.shape, np.uint8)
    inbound.view(2, SIZE)[:] = picture
    stamp = SourceStamp(1, now(), 0, is_camera=True)
    for message in (
        m.OpenStream("a", SIZE, now(), 24, ControlState(1), has_source=True, running=True),
        m.NewSource("a", 2, stamp),
    ):
        ours.send_bytes(msgspec.msgpack.encode(message))
    decoder: msgspec.msgpack.Decoder[m.ToServer] = msgspec.msgpack.Decoder(m.ToServer)
    while not isinstance(message := decoder.decode(ours.recv_bytes()), m.Generated):
        pass
    assert np.array_equal(outbound.view(message.cell, SIZE), picture)
    assert message.provenance.source == stamp
    assert message.provenance.holds_camera
    assert message.provenance.epoch == 7
    if Path("/dev/shm").is_dir():
        names = {path.name for path in set(Path("/dev/shm").iterdir()) - before_shm}
        assert not {name for name in names if name.startswith(("psm_", "liveglass"))}
    # The server's end closes: the worker leaves by itself.
    ours.close()
    worker.join(20)
    assert worker.exitcode == 0
    inbound.close()
    outbound.close()
    worker.close()
    assert descriptors() < before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create (Linux)")
def test_closing_a_ring_gives_every_descriptor_back_even_under_a_view() -> None:
    before = descriptors()
    rings = [Ring(3) for _ in range(10)]
    view = rings[0].view(1, SIZE)
    view[:] = 5
    for ring in rings:
        ring.close()
        ring.close()
    assert view.max() == 5
    del view
    assert descriptors() == before


def test_cells_do_not_overlap() -> None:
    ring = Ring(3, SIZE.nbytes)
    for cell in range(3):
        ring.view(cell, SIZE)[:] = cell + 1
    assert [int(ring.view(cell, SIZE).max()) for cell in range(3)] == [1, 2, 3]
    assert [int(ring.view(cell, SIZE).min()) for cell in range(3)] == [1, 2, 3]
    ring.close()


def test_a_pool_hands_out_every_cell_once_and_then_says_so() -> None:
    pool = CellPool(3)
    taken = {pool.take() for _ in range(3)}
    assert taken == {0, 1, 2}
    with pytest.raises(OutOfMemory):
        pool.take()
    pool.give(1)
    assert (len(pool), pool.take()) == (1, 1)
