"""The routes of the resident model: which one it is, and putting another one under the running streams. Event loop."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liveglass.engine.models.lora_files import LoraWish
from liveglass.engine.record import LoraRecord
from liveglass.engine.validation import convert
from liveglass.web.auth import presented
from liveglass.web.bodies import read_json, read_list
from liveglass.web.house import House
from liveglass.web.replies import LorasReply, ResidentModel, SwapRequest, SwapView
from liveglass.web.sessions import json_response


class ModelRoutes:
    """`/v1/model` and `/v1/model/loras`."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/v1/model", self.one, methods=["GET", "PUT"]),
            Route("/v1/model/loras", self.loras, methods=["PUT"]),
        ]

    async def one(self, request: Request) -> Response:
        """`/v1/model`, by its method."""
        return await self.put(request) if request.method == "PUT" else json_response(self._resident())

    async def put(self, request: Request) -> Response:
        """`PUT /v1/model`: `202` once it has begun to load, `model.changed` and `GET` tell the rest; `200` if it is."""
        self._house.desk.may_swap(presented(request.headers, request.scope["query_string"]))
        wanted = convert(await read_json(request), SwapRequest)
        has_begun = await self._house.engine.swaps.begin(wanted.model)
        return json_response(self._resident(), status=202 if has_begun else 200, headers={"Location": "/v1/model"})

    async def loras(self, request: Request) -> Response:
        """`PUT /v1/model/loras`: answered when pictures have them."""
        self._house.desk.may_swap(presented(request.headers, request.scope["query_string"]))
        wishes = convert(await read_list(request), tuple[LoraWish, ...])
        answer = await self._house.engine.swaps.set_loras(wishes)
        return json_response(LorasReply(tuple(map(LoraRecord.of, answer.loras)), round(answer.seconds, 3)))

    def _resident(self) -> ResidentModel:
        engine = self._house.engine
        newest = engine.swaps.newest
        swap = None if newest is None else SwapView.of(newest)
        loras = tuple(map(LoraRecord.of, engine.loras))
        return ResidentModel(engine.spec.name, engine.spec.title, engine.worker.state, swap, loras)
