"""The application: every route and every layer around them, in order. Starts nothing and binds nothing. Event loop."""

import http

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from liveglass.engine.errors import LiveglassError
from liveglass.web.errors import Internal, MethodNotAllowed, NoSuchRoute, error_response
from liveglass.web.guard import GuardMiddleware
from liveglass.web.house import House
from liveglass.web.logs import RequestLog
from liveglass.web.model import ModelRoutes
from liveglass.web.pages import PageRoutes, SecurityHeaders
from liveglass.web.peers import PeerRoutes
from liveglass.web.sessions import SessionRoutes
from liveglass.web.socket import SocketRoutes
from liveglass.web.status import StatusRoutes


def create_app(house: House) -> Starlette:
    """The application of one server: log, then who may ask at all, then the routes."""

    def on_error(_request: Request, error: Exception) -> Response:
        """Every refusal of ours, in the one shape."""
        if not isinstance(error, LiveglassError):
            raise error
        house.engine.metrics.errors.labels(error.code).inc()
        return error_response(error)

    def on_http_error(request: Request, error: Exception) -> Response:
        """What the framework refuses, in the same shape."""
        if not isinstance(error, HTTPException):
            raise error
        refusal = _translated(error, request)
        house.engine.metrics.errors.labels(refusal.code).inc()
        response = error_response(refusal)
        response.headers.update(error.headers or {})
        return response

    app = Starlette(
        routes=[
            *SocketRoutes(house).routes(),
            *PeerRoutes(house).routes(),
            *SessionRoutes(house).routes(),
            *ModelRoutes(house).routes(),
            *StatusRoutes(house).routes(),
            *PageRoutes().routes(),
        ],
        middleware=[
            Middleware(RequestLog, clock=house.clock, metrics=house.engine.metrics),
            Middleware(SecurityHeaders, settings=house.settings),
            Middleware(GuardMiddleware, guard=house.guard),
        ],
        exception_handlers={LiveglassError: on_error, HTTPException: on_http_error},
    )
    app.router.redirect_slashes = False
    return app


def _translated(error: HTTPException, request: Request) -> LiveglassError:
    if error.status_code == http.HTTPStatus.NOT_FOUND:
        return NoSuchRoute(f"Nothing lives at {request.url.path[:200]}.")
    if error.status_code == http.HTTPStatus.METHOD_NOT_ALLOWED:
        return MethodNotAllowed(f"{request.method} is not answered at {request.url.path[:200]}.")
    return Internal(str(error.detail))
