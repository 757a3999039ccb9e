"""The routes of WebRTC peers: an offer in, an answer out, candidates and the goodbye after it. Event loop."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from liveglass.engine.errors import NoSuchSession
from liveglass.transport.webrtc.ice import IceServer
from liveglass.transport.webrtc.sdp import MAX_SDP_BYTES
from liveglass.web.bodies import read_body
from liveglass.web.errors import UnsupportedType
from liveglass.web.house import House

SDP = "application/sdp"
TRICKLE = "application/trickle-ice-sdpfrag"


class PeerRoutes:
    """`/v1/sessions/{id}/peer` and the resource that it makes."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[BaseRoute]:
        """The two routes."""
        return [
            Route("/v1/sessions/{id}/peer", self.open, methods=["POST"]),
            Route("/v1/sessions/{id}/peer/{peer}", self.one, methods=["PATCH", "DELETE"]),
        ]

    async def open(self, request: Request) -> Response:
        """`POST …/peer`: an offer; a viewer's token gets an answer that only sends."""
        self._house.enter(request)
        _need_type(request, SDP)
        offer = await read_body(request, MAX_SDP_BYTES)
        session, claim = self._house.enter(request)  # it may have ended while the offer came in
        peer, answer = await self._house.peers.open(session, claim.role, offer)
        response = Response(answer, status_code=201, media_type=SDP)
        response.headers["Location"] = f"/v1/sessions/{quote(session.id, safe='')}/peer/{peer.id}"
        for server in self._house.peers.servers(session.id):
            for url in server.urls:
                response.headers.append("Link", _link(url, server))
        return response

    async def one(self, request: Request) -> Response:
        """`PATCH` takes candidates, `DELETE` ends the peer, also after its session."""
        peer = str(request.path_params["peer"])
        try:
            session, _ = self._house.enter(request)
        except NoSuchSession:
            if request.method == "DELETE" and self._house.peers.is_over(str(request.path_params["id"]), peer):
                return Response(status_code=200)
            raise
        if request.method == "PATCH":
            _need_type(request, TRICKLE)
            fragment = await read_body(request, MAX_SDP_BYTES)
            await self._house.peers.trickle(session.id, peer, fragment)
            return Response(status_code=204)
        self._house.peers.end(session.id, peer)
        return Response(status_code=200)


def _need_type(request: Request, wanted: str) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted:
        raise UnsupportedType(f"{kind[:80]!r} is not read here.", hint=f"Send {wanted}.")


def _link(url: str, server: IceServer) -> str:
    """An ICE server as a `Link` header (RFC 9725, section 4.6)."""
    link = f'<{url}>; rel="ice-server"'
    if server.username:
        link += f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
    return link
