"""The pages and what they load: files, with headers that let nothing foreign in. Event loop; files on a thread."""

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liveglass.web.settings import Settings

STATIC = Path(__file__).parent / "static"


class PageRoutes:
    """`/`, `/overlay/{id}`, `/client.js` and what they load."""

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/", self.studio, methods=["GET"]),
            Route("/overlay/{id}", self.overlay, methods=["GET"]),
            Route("/client.js", self.client, methods=["GET"]),
            # What client.js imports, seen from the address that embedders use.
            Mount("/live", StaticFiles(directory=STATIC / "live", check_dir=False)),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ]

    async def studio(self, request: Request) -> Response:
        """`GET /`."""
        return FileResponse(STATIC / "studio.html", media_type="text/html")

    async def overlay(self, request: Request) -> Response:
        """`GET /overlay/{id}`: the same page for every session; its token decides what it shows."""
        return FileResponse(STATIC / "overlay.html", media_type="text/html")

    async def client(self, request: Request) -> Response:
        """`GET /client.js`."""
        return FileResponse(STATIC / "client.js", media_type="text/javascript")


def content_security_policy(settings: Settings) -> str:
    """What pages of this server may load, and who may embed them."""
    ancestors = " ".join(("'self'", *(origin.rstrip("/") for origin in settings.allow_origin)))
    return "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' blob: data:",
            "media-src 'self' blob: mediastream:",
            "connect-src 'self' ws: wss:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            f"frame-ancestors {ancestors}",
        )
    )


class SecurityHeaders:
    """Puts the headers on that keep every answer what it is."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._policy = content_security_policy(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # Nothing here is worth sending in parts, and a malformed range would be answered in a shape of its own.
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}

        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Content-Security-Policy"] = self._policy
                headers["Permissions-Policy"] = "camera=(self), microphone=(self), display-capture=(self)"
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, sender)
