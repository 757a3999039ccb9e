"""Which hosts and origins may talk to this server; the decisions are pure, the middleware asks them first.

A page of another site, or a name that was made to point at this machine, must not reach a server that trusts its own
machine: every request is checked, loopback too, before anything else looks at it. Event loop.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from liveglass.engine.errors import OriginRefused
from liveglass.web.errors import error_response
from liveglass.web.settings import Settings

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised here, bound nowhere
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXPOSED = "Location, Link, ETag, Retry-After"
_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"


class Site(msgspec.Struct, frozen=True):
    """One end of an origin: a host (lower case, no brackets) and a port."""

    host: str
    port: int


def parse_host(text: str, scheme: str) -> Site | None:
    """The site that a `Host` header names; None where it names none."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text or "@" in text or any(c.isspace() for c in text):
        return None
    return Site(host.rstrip("."), _DEFAULT_PORTS[scheme] if port is None else port)


def parse_origin(text: str) -> tuple[str, Site] | None:
    """Scheme and site of an `Origin`; None for `null` and what is none."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return None
    site = parse_host(rest.removesuffix("/"), scheme)
    return None if site is None else (scheme, site)


class Guard:
    """Knows this server's own names and the sites that it lets in.

    Args:
        port: the port really bound (the setting may say 0).
    """

    def __init__(self, settings: Settings, port: int) -> None:
        self._port = port
        self._scheme = "https" if settings.is_tls else "http"
        self._any_address = settings.host in _WILDCARDS
        names = set(_LOOPBACK_NAMES)
        if self._any_address:
            names.add(socket.gethostname().lower())
        else:
            names.add(settings.host.strip("[]").lower())
        self._own = {(self._scheme, Site(name, port)) for name in names}
        public = parse_origin(settings.public_url)
        if public is not None:
            self._own.add(public)
        self._hosts = {site for _, site in self._own}
        if public is not None:
            self._hosts.add(Site(public[1].host, _DEFAULT_PORTS[self._scheme]))
        self._allowed = {parsed for origin in settings.allow_origin if (parsed := parse_origin(origin))}

    def knows_host(self, header: str | None) -> bool:
        """Whether `Host` is one of this server's own names.

        On a wildcard address any literal address with the right port is one: names can be made to point here, literal
        addresses cannot.
        """
        site = None if header is None else parse_host(header, self._scheme)
        return site is not None and (site in self._hosts or self._is_own_address(site))

    def is_own_origin(self, origin: str) -> bool:
        """Whether `Origin` is this server itself."""
        parsed = parse_origin(origin)
        return parsed is not None and (
            parsed in self._own or (parsed[0] == self._scheme and self._is_own_address(parsed[1]))
        )

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether `Origin` is another site that was let in by name."""
        return parse_origin(origin) in self._allowed

    def check(self, headers: Headers) -> None:
        """Refuse a request that came by a foreign name or from a foreign page.

        Raises:
            OriginRefused: with the header at fault.
        """
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self.knows_host(hosts[0]):
            raise OriginRefused(
                f"This server is not known as {_shown(hosts)}.",
                hint="Start the server with --public-url for this address.",
                field="Host",
            )
        if len(origins) > 1 or (
            origins and not self.is_own_origin(origins[0]) and not self.is_allowed_origin(origins[0])
        ):
            raise OriginRefused(f"Pages of {_shown(origins)} may not use this server.", field="Origin")

    def _is_own_address(self, site: Site) -> bool:
        if not self._any_address or site.port != self._port:
            return False
        try:
            ipaddress.ip_address(site.host)
        except ValueError:
            return False
        return True


def _shown(values: list[str]) -> str:
    return repr(", ".join(values)[:200]) if values else "nothing (no header)"


class GuardMiddleware:
    """Refuses foreign requests, answers preflights, and lets allowed sites read the answers."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or handshake."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._guard.check(headers)
        except OriginRefused as refused:
            await refuse(refused, scope, receive, send)
            return
        origin = headers.get("origin")
        if scope["type"] == "websocket" or origin is None or not self._guard.is_allowed_origin(origin):
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_cors(send, origin))


async def refuse(error: OriginRefused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with `error`: 403, for a WebSocket before its handshake."""
    response = error_response(error)
    if scope["type"] == "websocket":
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008, "reason": error.message[:120]})
            return
    await response(scope, receive, send)


def _preflight(origin: str, headers: Headers) -> Response:
    answer = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, If-None-Match",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
    if headers.get("access-control-request-private-network") == "true":
        answer["Access-Control-Allow-Private-Network"] = "true"
    return Response(status_code=204, headers=answer)


def _with_cors(send: Send, origin: str) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return sender
