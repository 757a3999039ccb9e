"""Structured logs: one line for each request, and what the server itself has to say.

Never holds a secret, a token or a prompt: addresses are logged with their tokens masked, bodies not at all. Event loop.
"""

import logging
import re
import sys
from collections.abc import MutableMapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liveglass.engine.clock import Clock
from liveglass.engine.metrics import Metrics
from liveglass.web.errors import Internal, error_response
from liveglass.web.settings import Settings

_TOKEN = re.compile(r"((?:^|[?&;])token=)[^&;#]*", re.IGNORECASE)
_QUIET = frozenset({"/livez", "/readyz", "/metrics"})
MASK = "***"


def mask(query: str) -> str:
    """A query string with its tokens covered."""
    return _TOKEN.sub(rf"\1{MASK}", query)


def set_up(settings: Settings) -> None:
    """Point structlog and the libraries' loggers at standard error; standard output belongs to the command."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(max(level, logging.WARNING))


class _Forward(logging.Handler):
    """Hands the libraries' own log lines over to structlog, so that everything has one form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, mask(record.getMessage()), logger=record.name, exc_info=record.exc_info
        )


class RequestLog:
    """The outermost layer: logs every request with its duration, and turns a fault of ours into a typed 500.

    One of the two places with a broad `except`: a fault in one request must not end the connection without an answer.
    """

    def __init__(self, app: ASGIApp, clock: Clock, metrics: Metrics) -> None:
        self._app = app
        self._clock = clock
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or one WebSocket, whole."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started = self._clock.now()
        said: MutableMapping[str, object] = {}

        async def watched(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                said["status"] = message["status"]
            elif message["type"] == "websocket.accept":
                said["status"] = 101
            elif message["type"] == "websocket.close":
                said["close"] = message.get("code", 1000)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as fault:  # noqa: BLE001 - around one request
            structlog.get_logger().error("request failed", path=scope["path"], exc_info=fault)
            self._metrics.errors.labels(Internal.code).inc()
            await _answer_fault(scope, receive, watched, answered="status" in said)
        finally:
            self._log(scope, said, (self._clock.now() - started) * 1e3)

    def _log(self, scope: Scope, said: MutableMapping[str, object], duration_ms: float) -> None:
        query = mask(scope.get("query_string", b"").decode("latin-1"))
        address = scope["path"] + (f"?{query}" if query else "")
        method = scope["method"] if scope["type"] == "http" else "WS"
        logger = structlog.get_logger()
        note = logger.debug if scope["path"] in _QUIET and said.get("status") == 200 else logger.info
        note("request", method=method, address=address, **said, duration_ms=round(duration_ms, 1))


async def _answer_fault(scope: Scope, receive: Receive, send: Send, *, answered: bool) -> None:
    error = Internal("The server failed on this request.")
    if scope["type"] == "http":
        if not answered:
            await error_response(error)(scope, receive, send)
        return
    await send({"type": "websocket.close", "code": 1011, "reason": error.code})
