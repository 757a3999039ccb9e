"""The worker process from its first line to its last; also runs as a thread, for debugging.

It is spawned, never forked, runs at a lower priority than the server, and leaves when its pipe closes, because then the
server is gone.
"""

import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import structlog

from liveglass.engine.clock import Clock, SystemClock
from liveglass.engine.errors import LiveglassError, ModelFailed
from liveglass.engine.frame import Lora
from liveglass.engine.makings import hashed
from liveglass.engine.models import registry
from liveglass.engine.models.base import LoraFile, ModelAdapter
from liveglass.engine.models.compiling import is_compiling
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.inbox import Inbox
from liveglass.engine.worker.loop import WorkerLoop
from liveglass.engine.worker.ring import Ring

log = structlog.get_logger()

BEAT_S = 0.25
NICENESS = 5
_COHORT = 4
"""Frames that may run together on a GPU, where the cost table says that it pays; on a CPU it only doubles their age."""


class WorkerSettings(msgspec.Struct, frozen=True):
    """What a worker is started with.

    Attributes:
        loras: low-rank weights that are put into the model before it serves.
        threads: CPU threads of the model; 0 leaves one core to the server where there are more than two.
        step_delay_s: added to every step, to test slowness.
        epoch: counts the workers of one server.
        models_dir: where weights lie that do not come with the package.
        compiles: networks go through torch.compile, where the model has some.
    """

    model: str
    device: str
    threads: int
    step_delay_s: float
    epoch: int
    models_dir: str = ""
    compiles: bool = False
    loras: tuple[LoraFile, ...] = ()


def model_threads(wanted: int) -> int:
    """CPU threads for the model: as wanted, else all cores but one, which belongs to the server and to the browser."""
    return wanted or max(1, cpu_cores() - 1)


def cpu_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def run_process(connection: Connection, inbound: Ring, outbound: Ring, settings: WorkerSettings) -> None:
    """The spawned process's main function; never returns to anything that matters."""
    import signal  # noqa: PLC0415 - in thread mode signals belong to the server

    # Both reach the whole process group; who ends when is the server's decision.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if sys.platform != "win32":
        # Below the server; beside everybody else where the server could be lifted above them.
        lifted = os.getpriority(os.PRIO_PROCESS, 0) < 0
        os.setpriority(os.PRIO_PROCESS, 0, 0 if lifted else NICENESS)
    # Read by the OpenMP runtime when torch is imported. Threads that spin for long at a barrier burn the core that the
    # thread they wait for needs: beside another busy program, frames of 60 ms then take 2 s.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    serve(connection, inbound, outbound, settings, on_lost=lambda: os._exit(0))


def serve(
    connection: Connection,
    inbound: Ring,
    outbound: Ring,
    settings: WorkerSettings,
    *,
    on_lost: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> None:
    """Load the model, then serve until the pipe closes or a Stop comes.

    Args:
        on_lost: called on the reader's thread when the server's end of the pipe is gone.
    """
    clock = clock or SystemClock()
    outlet = _Outlet(connection)
    inbox = Inbox()
    # It reads from the start: a server that goes away while the model loads must not leave it behind.
    reader = threading.Thread(target=_read, args=(connection, inbox, on_lost), name="worker-reader", daemon=True)
    reader.start()
    try:
        _load_and_run(outlet, inbox, inbound, outbound, settings, clock=clock)
    finally:
        shut(connection)
        reader.join()
        connection.close()


def shut(connection: Connection) -> None:
    """End a pipe for both of its ends: unlike closing it, this wakes whoever is waiting at either of them."""
    if sys.platform != "win32":
        with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as pipe:
            pipe.shutdown(socket.SHUT_RDWR)


def _load_and_run(
    outlet: "_Outlet", inbox: Inbox, inbound: Ring, outbound: Ring, settings: WorkerSettings, *, clock: Clock
) -> None:
    started = clock.now()
    try:
        adapter, device = registry.load(
            settings.model,
            settings.device,
            model_threads(settings.threads),
            Path(settings.models_dir),
            lambda stage: outlet.send(m.Loading(stage)),
            compiles=settings.compiles,
        )
        loras = _fused(adapter, settings.loras, outlet)
        loop = WorkerLoop(
            adapter,
            inbound,
            outbound,
            outlet.send,
            clock,
            inbox=inbox,
            epoch=settings.epoch,
            step_delay_s=settings.step_delay_s,
            max_batch=_COHORT if device.startswith("cuda") else 1,
            free_bytes=partial(registry.free_bytes, device),
            loras=loras,
        )
        outlet.send(m.Loading(m.COMPILING if settings.compiles else "first frame"))
        loop.warm_up()
    except LiveglassError as error:
        outlet.send(m.Fatal(error.body()))
        return
    except Exception as error:
        log.exception("the model did not load")
        outlet.send(m.Fatal(ModelFailed(f"The model did not load: {error}").body()))
        return
    makings = adapter.makings
    outlet.send(m.Ready(device, clock.now() - started, loop.meter.table(), makings.kernels, loras))
    over = threading.Event()
    beats = threading.Thread(target=_beat, args=(outlet, loop, clock, over), name="worker-beat", daemon=True)
    weighing = threading.Thread(target=_weigh, args=(outlet, makings.weights, over), name="worker-weigh", daemon=True)
    for beside in (beats, weighing):
        beside.start()
    try:
        loop.run()
    except Exception as error:
        log.exception("the worker gives up")
        outlet.send(m.Fatal(ModelFailed(f"The model failed again and again: {error}").body()))
    finally:
        over.set()
        for beside in (beats, weighing):
            beside.join()


def _fused(adapter: ModelAdapter, files: Sequence[LoraFile], outlet: "_Outlet") -> tuple[Lora, ...]:
    """The low-rank weights of `files`, put into a model that serves nobody yet.

    They were in the model before this one. What cannot be used any more is left out: a stream without a style is better
    than none.
    """
    if not files:
        return ()
    outlet.send(m.Loading("low-rank weights"))
    try:
        loras = adapter.read_loras(files)
    except (LiveglassError, OSError):
        loras = adapter.read_loras([file for file in files if _is_usable(adapter, file)])
    for _ in adapter.fuse(loras):
        pass
    return loras.fused


def _is_usable(adapter: ModelAdapter, file: LoraFile) -> bool:
    try:
        adapter.read_loras([file])
    except (LiveglassError, OSError) as error:
        log.warning("low-rank weights are left out", name=file.name, cause=str(error))
        return False
    return True


class _Outlet:
    """The worker's writing end; any of its threads may send."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._encoder = msgspec.msgpack.Encoder()

    def send(self, message: m.ToServer) -> None:
        """Hand a message to the server; a server that is gone is noticed by the reader."""
        data = self._encoder.encode(message)
        with self._lock:
            try:
                self._connection.send_bytes(data)
            except (BrokenPipeError, OSError):
                log.debug("the server's end of the pipe is closed")


def _read(connection: Connection, inbox: Inbox, on_lost: Callable[[], None]) -> None:
    decoder = msgspec.msgpack.Decoder(m.ToWorker)
    try:
        while True:
            message = decoder.decode(connection.recv_bytes())
            inbox.put(message)
            if isinstance(message, m.Stop):
                return
    except (EOFError, OSError):
        inbox.put(m.Stop())
        on_lost()


def _beat(outlet: _Outlet, loop: WorkerLoop, clock: Clock, stop: threading.Event) -> None:
    since: float | None = None
    while not stop.wait(BEAT_S):
        now, progress_at = clock.now(), loop.progress_at
        since = None if not is_compiling() else now if since is None else since
        if since is not None and now - since < m.COMPILING_BUDGET_S:
            progress_at = None  # a shape that was never met: this frame takes minutes, and nothing hangs
        outlet.send(m.Beat(now, progress_at, loop.meter.table(), loop.case))


def _weigh(outlet: _Outlet, weights: Sequence[Path], stop: threading.Event) -> None:
    """Hash the weights beside the first frames: nobody waits for it, and gigabytes take seconds."""
    try:
        files = [hashed(path, stop.is_set) for path in weights]
    except OSError as fault:
        log.warning("weights cannot be hashed", error=str(fault))
        return
    whole = tuple(file for file in files if file is not None)
    if len(whole) == len(files):
        outlet.send(m.Weighed(whole))
