"""The routes of sessions: open, read, change, end, the newest picture and its making. Event loop; JPEGs on a thread."""

import asyncio
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import CameraNotVisible, ModelNotReady, NotAvailable
from liveglass.engine.frame import OutputFrame
from liveglass.engine.options import SessionRequest
from liveglass.engine.stream.session import Session
from liveglass.engine.validation import convert
from liveglass.transport.codecs import encode_jpeg
from liveglass.web.auth import Pass, need_controller, new_pass, presented
from liveglass.web.bodies import read_json
from liveglass.web.errors import UpgradeRequired, VersionConflict
from liveglass.web.house import House
from liveglass.web.keys import check_name
from liveglass.web.merge import read_merge
from liveglass.web.views import PatchReply, opened, viewed

_COMING = ("whip", "whep")
_ANY = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class SessionRoutes:
    """Everything under `/v1/sessions` but the socket."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[BaseRoute]:
        """The routes, most special first."""
        one = "/v1/sessions/{id}"
        return [
            Route("/v1/sessions", self.open, methods=["POST"]),
            Route(one, self.one, methods=["GET", "PUT", "PATCH", "DELETE"]),
            Route(f"{one}/snapshot.jpg", self.snapshot, methods=["GET"]),
            Route(f"{one}/preview.jpg", self.preview, methods=["POST"]),
            Route(f"{one}/provenance", self.provenance, methods=["GET"]),
            Route(f"{one}/replay", self.replay, methods=["POST"]),
            Route(f"{one}/socket", self.socket_over_http, methods=_ANY),
            Route("/v1/whip", self.not_yet, methods=_ANY),
            Route("/v1/whip/{rest:path}", self.not_yet, methods=_ANY),
            *(Route(f"{one}/{way}", self.not_yet, methods=_ANY) for way in _COMING),
            *(Route(f"{one}/{way}/{{rest:path}}", self.not_yet, methods=_ANY) for way in _COMING),
        ]

    async def open(self, request: Request) -> Response:
        """`POST /v1/sessions`."""
        self._house.desk.may_open(_credential(request))
        wanted = convert(await read_json(request), SessionRequest)
        session = self._house.engine.open(wanted)
        return self._opened(request, session, new_pass(session.id, named=False), 201)

    async def one(self, request: Request) -> Response:
        """`/v1/sessions/{id}`, by its method; one route, so that a wrong method is told all the right ones."""
        match request.method:
            case "PUT":
                return await self.put(request)
            case "PATCH":
                return await self.patch(request)
            case "DELETE":
                return await self.end(request)
            case _:
                return await self.read(request)

    async def put(self, request: Request) -> Response:
        """`PUT /v1/sessions/{name}`."""
        opener = self._house.desk.may_open(_credential(request))
        name = check_name(str(request.path_params["id"]))
        body = {} if self._house.names.nonce(name) is not None else await read_json(request)
        session, grant, is_new = self._house.names.open(name, convert(body, SessionRequest), opener)
        await self._house.names.flush()
        return self._opened(request, session, grant, 201 if is_new else 200)

    async def read(self, request: Request) -> Response:
        """`GET /v1/sessions/{id}`."""
        session, claim = self._house.enter(request)
        view = viewed(
            session, claim.role, self._house.base_url(request), ice_servers=self._house.peers.servers(session.id)
        )
        return json_response(view, headers={"ETag": _etag(session.control.version)})

    async def patch(self, request: Request) -> Response:
        """`PATCH /v1/sessions/{id}`: a merge patch of the control state."""
        session, change = await self._change(request)
        _check_version(request.headers.get("if-match"), session.control.version)
        receipt = session.patch(change, by="http")
        self._house.names.note(session)
        await self._house.names.flush()
        reply = PatchReply(receipt.version, receipt.effective, receipt.notes)
        return json_response(reply, headers={"ETag": _etag(receipt.version)})

    async def _change(self, request: Request) -> tuple[Session, ControlPatch]:
        """The session that a controller wants changed, and the merge patch of its control state."""
        _, claim = self._house.enter(request)
        need_controller(claim)
        body = await read_json(request)
        session, _ = self._house.enter(request)  # it may have ended while the body came in
        return session, read_merge(body, session.spec)

    async def end(self, request: Request) -> Response:
        """`DELETE /v1/sessions/{id}`."""
        session, claim = self._house.enter(request)
        need_controller(claim)
        self._house.names.forget(session.id)
        self._house.engine.end(session.id, "It was ended by a client.")
        await self._house.names.flush()
        return Response(status_code=204)

    async def snapshot(self, request: Request) -> Response:
        """`GET /v1/sessions/{id}/snapshot.jpg`."""
        session, _ = self._house.enter(request)
        output = visible(session.snapshot(), session)
        picture = await asyncio.to_thread(encode_jpeg, output.pixels)
        headers = {
            "Cache-Control": "no-store",
            "Liveglass-Kind": output.kind.value,
            "Liveglass-Slot": str(output.slot),
            "Liveglass-Version": str(output.version),
        }
        return Response(picture, media_type="image/jpeg", headers=headers)

    async def preview(self, request: Request) -> Response:
        """`POST /v1/sessions/{id}/preview.jpg`: what a merge patch would make, without making it."""
        session, change = await self._change(request)
        pixels = await self._house.engine.previews.make(session, change)
        picture = await asyncio.to_thread(encode_jpeg, pixels)
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def provenance(self, request: Request) -> Response:
        """`GET /v1/sessions/{id}/provenance`: what the newest output frame was made of."""
        session, claim = self._house.enter(request)
        record = await self._house.engine.replays.output(session)
        return json_response(record.without_machine() if claim.role == "viewer" else record)

    async def replay(self, request: Request) -> Response:
        """`POST /v1/sessions/{id}/replay`: the newest generated frame once more, and whether it is the same."""
        session, claim = self._house.enter(request)
        need_controller(claim)  # it takes a frame's time from everybody
        return json_response(await self._house.engine.replays.newest(session))

    async def socket_over_http(self, request: Request) -> Response:
        """A plain request to the WebSocket's address."""
        raise UpgradeRequired("This address speaks WebSocket.")

    async def not_yet(self, request: Request) -> Response:
        """WHIP and WHEP."""
        raise NotAvailable(
            "WHIP and WHEP are not in this version.", hint="Use urls.peer or the WebSocket of urls.socket."
        )

    def _opened(self, request: Request, session: Session, grant: Pass, status: int) -> Response:
        body = opened(
            session,
            grant,
            self._house.desk.tokens,
            self._house.base_url(request),
            ice_servers=self._house.peers.servers(session.id),
        )
        headers = {
            "Location": f"/v1/sessions/{quote(session.id, safe='')}",
            "ETag": _etag(session.control.version),
        }
        return json_response(body, status=status, headers=headers)


def visible(output: OutputFrame | None, session: Session) -> OutputFrame:
    """`output`, if there is one and nobody's camera is given away by it.

    Raises:
        ModelNotReady: nothing was put out yet.
        CameraNotVisible: camera pixels, in a session that hides its camera.
    """
    if output is None:
        raise ModelNotReady("There is no picture yet.", hint="Try again in a moment.")
    if not session.options.may_show(output):
        raise CameraNotVisible("The newest picture holds camera pixels, and this session hides its camera.")
    return output


def json_response(body: msgspec.Struct, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`body` as JSON that nobody caches."""
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _credential(request: Request) -> str | None:
    return presented(request.headers, request.scope["query_string"])


def _etag(version: int) -> str:
    return f'"{version}"'


def _check_version(if_match: str | None, version: int) -> None:
    if if_match is None or if_match.strip() == "*":
        return
    wanted = {part.strip().removeprefix("W/").strip('"') for part in if_match.split(",")}
    if str(version) not in wanted:
        raise VersionConflict(f"The control state has version {version} by now, not {if_match[:40]}.", field="If-Match")
