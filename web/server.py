"""Starts and stops a server: the only place that knows uvicorn and uvloop.

Starting: socket, engine, application, uvicorn, then the word that it is ready. Stopping, within 5 s: no new
connections, every session says that it closes and its connections end with 1001, then the engine, then this process.
Runs the main thread's event loop.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.models import registry
from liveglass.engine.person.supply import MaskSupply
from liveglass.transport.hub import Hub
from liveglass.web.app import create_app
from liveglass.web.auth import load_secret
from liveglass.web.errors import SettingsRefused
from liveglass.web.files import make_private_dir
from liveglass.web.house import House
from liveglass.web.protocol import BoundedHttp
from liveglass.web.settings import Settings
from liveglass.web.tls import certificate_files

SEND_BUFFER = 256 * 1024
NOT_SENT_LOW_WATER = 64 * 1024
# Twice what the protocol takes, so that a picture somewhat too large is refused by name and its connection stays.
MAX_MESSAGE = 2 * (4 * 2**20 + 24)
NICENESS = -10
_LAST_WORDS_S = 2.0
_SAME_SIGNAL_S = 0.5
_BACKLOG = 512

log = structlog.get_logger()


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket whose connections keep little in the kernel, so that what is old can still be dropped here.

    Raises:
        SettingsRefused: the address cannot be bound, with what to do.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise SettingsRefused(f"There is no address {host!r}.", hint="Use --host 127.0.0.1.", field="host") from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if sys.platform in {"linux", "darwin"}:
            low_water = getattr(socket, "TCP_NOTSENT_LOWAT", 25 if sys.platform == "linux" else 0x201)
            bound.setsockopt(socket.IPPROTO_TCP, low_water, NOT_SENT_LOW_WATER)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsRefused(
            f"Port {port} on {host} cannot be used: {why}.",
            hint="Another program may have it. Choose a port with --port; --port 0 takes a free one.",
            field="port",
        ) from None
    bound.setblocking(False)  # noqa: FBT003 - the only way that it is called
    return bound


def engine_config(settings: Settings) -> EngineConfig:
    """What of the settings is the engine's."""
    return EngineConfig(
        model=settings.model,
        device=settings.device,
        linger_s=settings.linger_s,
        queue_limit=settings.queue_limit,
        step_delay_ms=settings.step_delay_ms,
        worker_mode=settings.worker_mode,
        threads=settings.threads,
        compiles=settings.compile,
        keeps_spare=settings.spare,
        models_dir=Path(settings.models_dir),
        person_mask=MaskSupply(Path(settings.models_dir), may_fetch=settings.fetch_models),
    )


def run(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        on_ready: called once with the server's address, when `/readyz` would answer 200.

    Raises:
        SettingsRefused: the server cannot start like this.
    """
    registry.check(settings.model, Path(settings.models_dir))
    _hurry()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, on_ready))


async def serve(settings: Settings, on_ready: Callable[[str], None], stop: asyncio.Event | None = None) -> None:
    """The same inside a running event loop, until a signal or `stop` ends it; see `run`."""
    with contextlib.closing(listening_socket(settings.host, settings.port)) as bound:
        port = bound.getsockname()[1]
        secret = await asyncio.to_thread(_prepare, settings)
        context = await asyncio.to_thread(_tls_context, settings)
        engine = Engine(engine_config(settings))
        hub = Hub(engine.metrics, end=engine.end)
        house = House.build(settings, engine, hub, secret=secret, port=port)
        await asyncio.to_thread(house.names.load)
        server = _Server(_uvicorn_config(create_app(house), context), house)
        try:
            await engine.start()
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(house.watch.run(), name="loop watch"),
                    group.create_task(house.names.run(), name="names"),
                    group.create_task(_announce(house, on_ready), name="announce"),
                    group.create_task(server.stop_at(stop or asyncio.Event()), name="stop"),
                ]
                try:
                    await server.serve(sockets=[bound])
                finally:
                    for task in helpers:
                        task.cancel()
        finally:
            house.names.closing()
            await engine.close()
            await house.peers.close()
            await house.names.flush()
            hub.close()


def address_of(settings: Settings, port: int) -> str:
    """Where a browser on this machine finds the server."""
    host = settings.host.strip("[]")
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - a wildcard is no address to go to
        host = "127.0.0.1"
    return f"{'https' if settings.is_tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def _announce(house: House, on_ready: Callable[[str], None]) -> None:
    await house.engine.wait_ready()
    while not (await house.engine.readiness()).ready:  # noqa: ASYNC110 - only a generation tells, nothing to wait for
        await asyncio.sleep(1.0)
    gc.collect()
    gc.freeze()
    address = address_of(house.settings, house.port)
    log.info("ready", address=address, model=house.settings.model)
    on_ready(address)


def _prepare(settings: Settings) -> bytes:
    try:
        make_private_dir(Path(settings.state_dir))
        return load_secret(settings)
    except OSError as error:
        raise SettingsRefused(
            f"The state folder {settings.state_dir} cannot be used: {error.strerror}.",
            hint="Name another with --state-dir.",
            field="state_dir",
        ) from None


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    files = certificate_files(settings)
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(*files)
    except (OSError, ssl.SSLError) as error:
        raise SettingsRefused(
            f"The certificate cannot be used: {error}.",
            hint="Give PEM files of a certificate and its key.",
            field="tls_cert",
        ) from None
    return context


def _uvicorn_config(app: Starlette, context: ssl.SSLContext | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=BoundedHttp,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=MAX_MESSAGE,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=1,
    )
    config.load()
    if context is not None:
        config.ssl = context
    return config


class _Server(uvicorn.Server):
    """uvicorn's server, with signals and an order of stopping of our own."""

    def __init__(self, config: uvicorn.Config, house: House) -> None:
        super().__init__(config)
        self._house = house
        self._asked_at = 0.0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal stops in order, a second one at once; uvicorn would raise it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def stop_at(self, stop: asyncio.Event) -> None:
        """Stop in order once `stop` is set."""
        await stop.wait()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came; supervisors that signal a process and its group at once mean it once."""
        now = self._house.clock.now()
        if self.should_exit and now - self._asked_at > _SAME_SIGNAL_S:
            os._exit(128 + sig)  # the worker ends by itself when its pipe closes
        if not self.should_exit:
            self._asked_at = now
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """No new connections; every session says that it closes; then uvicorn's own end."""
        for server in self.servers:
            server.close()
        log.info("stopping", sessions=len(self._house.engine.sessions))
        self._house.names.closing()
        for session_id in list(self._house.engine.sessions):
            self._house.engine.end(session_id, "The server is shutting down.")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._answered()
        await super().shutdown(sockets)

    async def _answered(self) -> None:
        """Wait for the peers' own closes: uvicorn cuts whoever has not answered, who then never reads the 1001."""
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks)
        # uvicorn keeps its connections in a set, and tells nobody when one leaves it.
        while any(isinstance(c, WebSocketsSansIOProtocol) for c in self.server_state.connections):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _hurry() -> None:
    """Let the output thread have the interpreter and a core when a slot is due, as far as this user may.

    The usual switch interval of 5 ms lets every busy thread of the process delay a slot by that much. The server needs
    a tenth of a core; a browser that keeps all cores busy can still make it wait for longer than a slot.
    """
    sys.setswitchinterval(0.0005)
    if sys.platform != "win32":
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not everywhere

    return partial(uvloop.new_event_loop)
