"""The routes about the server itself: models, health, metrics and its own description. Event loop."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liveglass.engine.errors import ModelNotReady, ServerClosing
from liveglass.web.auth import presented
from liveglass.web.errors import headers_of, status_of
from liveglass.web.health import stuck_because
from liveglass.web.house import House
from liveglass.web.openapi import describe
from liveglass.web.replies import Alive, Models, Ready
from liveglass.web.sessions import json_response

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class StatusRoutes:
    """`/v1/models`, `/livez`, `/readyz`, `/metrics`, `/openapi.json`."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._openapi = describe()

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/livez", self.livez, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
        ]

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        engine = self._house.engine
        return json_response(Models(engine.spec.name, tuple(engine.models())))

    async def livez(self, request: Request) -> Response:
        """`GET /livez`: 503 only when the process is stuck."""
        loop_s, output_s = self._house.watch.silent_s(), self._house.engine.output_silent_s()
        cause = stuck_because(loop_s, output_s)
        error = ServerClosing(f"The server is stuck: {cause}.", hint="Restart it.") if cause else None
        body = Alive(
            alive=error is None,
            loop_silent_s=round(loop_s, 3),
            output_silent_s=round(output_s, 3),
            error=error.body() if error else None,
        )
        return json_response(body, status=503 if cause else 200)

    async def readyz(self, request: Request) -> Response:
        """`GET /readyz`: 200 only with a real generation younger than 10 s."""
        found = await self._house.engine.readiness()
        if found.ready:
            return json_response(Ready(ready=True, generated_ms=found.generated_ms, age_s=found.age_s))
        error = ModelNotReady(found.reason)
        body = Ready(ready=False, reason=found.reason, error=error.body())
        return json_response(body, status=status_of(error), headers=headers_of(error))

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`: Prometheus text, for the operator."""
        self._house.desk.may_read_metrics(presented(request.headers, request.scope["query_string"]))
        return Response(self._house.engine.metrics.text(), media_type=_TEXT, headers={"Cache-Control": "no-store"})

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        return Response(self._openapi, media_type="application/json")
