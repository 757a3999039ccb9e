"""Peers that nothing but a relay connects, through a real coturn, with credentials made for each session."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from ice import meet
from relay import Relay, relay

from liveglass.engine.clock import wall
from liveglass.engine.errors import Unavailable
from liveglass.transport.webrtc.gatherer import Gatherer
from liveglass.transport.webrtc.ice import IceSettings
from liveglass.transport.webrtc.probe import probe_ice


@pytest.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Relay]:
    async with relay(tmp_path) as running:
        yield running


def settings_for(turn: Relay, *transports: str, **changes: Any) -> IceSettings:
    urls = tuple(map(turn.url, transports or ("udp",)))
    return IceSettings(**{"bind": ("127.0.0.1",), "turn": urls, "turn_secret": turn.secret, **changes})


@asynccontextmanager
async def gathered(settings: IceSettings, user: str = "s_test") -> AsyncIterator[Gatherer]:
    gatherer = Gatherer(settings, settings.servers(wall_s=wall(), user=user))
    try:
        await gatherer.gather()
        yield gatherer
    finally:
        await gatherer._connection.close()


def kinds(gatherer: Gatherer) -> list[str]:
    return [candidate.type for candidate in gatherer.getLocalCandidates()]


async def test_relay_only_offers_an_allocation_and_no_address_of_this_machine(turn: Relay) -> None:
    async with gathered(settings_for(turn, policy="relay")) as gatherer:
        assert kinds(gatherer) == ["relay"]
        assert gatherer.getLocalCandidates()[0].relatedAddress == "0.0.0.0"
    assert ":s_test>" in await turn.says("ALLOCATE processed, success")


async def test_an_allocation_is_given_back_at_the_end(turn: Relay) -> None:
    async with gathered(settings_for(turn)) as gatherer:
        assert kinds(gatherer) == ["host", "relay"]
    await turn.says("refreshed", "lifetime=0")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_two_peers_meet_through_the_relay_alone(turn: Relay, transport: str) -> None:
    settings = settings_for(turn, transport, policy="relay")
    async with gathered(settings, "s_left") as left, gathered(settings, "s_right") as right:
        await meet(left, right, b"through the relay")


async def test_a_wrong_secret_is_refused_by_name_when_nothing_else_is_allowed(turn: Relay) -> None:
    with pytest.raises(Unavailable, match="401") as refused:
        async with gathered(settings_for(turn, turn_secret="not-the-secret", policy="relay")):
            pass
    assert str(turn.port) in refused.value.message
    assert "not-the-secret" not in refused.value.message + refused.value.hint
    async with gathered(settings_for(turn, turn_secret="not-the-secret")) as gatherer:
        assert kinds(gatherer) == ["host"]
        assert "401" in gatherer.faults[0]


async def test_the_second_relay_is_used_when_the_first_is_dead(turn: Relay) -> None:
    dead = "turn:127.0.0.1:9?transport=tcp"
    settings = IceSettings(bind=("127.0.0.1",), turn=(dead, turn.url("udp")), turn_secret=turn.secret)
    async with gathered(settings) as gatherer:
        assert kinds(gatherer) == ["host", "relay"]
        assert [fault for fault in gatherer.faults if fault.startswith(dead)]


async def test_a_relay_that_died_does_not_hold_up_the_end(turn: Relay) -> None:
    before = asyncio.all_tasks()
    async with gathered(settings_for(turn)) as gatherer:
        assert kinds(gatherer) == ["host", "relay"]
        assert len(asyncio.all_tasks()) > len(before)  # the allocation is kept alive
        await turn.kill()
    assert asyncio.all_tasks() <= before


async def test_the_doctor_tries_the_relay_and_its_credentials(turn: Relay) -> None:
    for secret, refused in ((turn.secret, False), ("not-the-secret", True)):
        settings = settings_for(turn, "udp", "tcp", turn_secret=secret, stun=f"stun:127.0.0.1:{turn.port}")
        facts = await probe_ice(settings, settings.servers(wall_s=wall(), user="doctor"))
        assert [answer.address for answer in facts.stun] == ["127.0.0.1"]
        assert [answer.refused for answer in facts.turn] == [refused, refused]
        assert [answer.address for answer in facts.turn] == [""] * 2 if refused else ["127.0.0.1"] * 2


# --- a whole session --------------------------------------------------------------------------------------------------


class Viewer:
    """A client that may use relays only, as a browser behind a strict firewall."""

    def __init__(self, ice_servers: list[dict[str, Any]]) -> None:
        servers = [RTCIceServer(**server) for server in ice_servers]
        self.connection = RTCPeerConnection(
            RTCConfiguration(iceServers=servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        )
        self.hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.picture: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.connection.addTransceiver("video", direction="recvonly")
        events = self.connection.createDataChannel("events")
        self.connection.createDataChannel("meta", ordered=False, maxRetransmits=0)
        events.on("message", self._on_event)
        self.connection.on("track", lambda track: asyncio.ensure_future(self._look(track)))

    def _on_event(self, message: str) -> None:
        if not self.hello.done():
            self.hello.set_result(json.loads(message))

    async def _look(self, track: Any) -> None:
        self.picture.set_result(await track.recv())


@pytest.mark.parametrize("policy", ["all", "relay"])
async def test_a_session_is_seen_through_the_relay_alone(turn: Relay, start_site: Any, policy: str) -> None:
    site = await start_site(ice_turn=(turn.url("udp"),), ice_turn_secret=turn.secret, ice_policy=policy)
    session = await site.open(source="none", size={"width": 128, "height": 64})
    viewer = Viewer(session["ice_servers"])
    try:
        await viewer.connection.setLocalDescription(await viewer.connection.createOffer())
        offer = viewer.connection.localDescription.sdp
        assert "typ host" not in offer
        answer = await site.client.post(
            session["urls"]["peer"],
            content=offer,
            headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {session['viewer_token']}"},
        )
        assert answer.status_code == 201, answer.text
        assert ("typ host" in answer.text, "typ relay" in answer.text) == (policy == "all", True)
        await viewer.connection.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        hello, picture = await asyncio.gather(viewer.hello, viewer.picture)
        assert hello["type"] == "hello"
        assert (picture.width, picture.height) == (128, 64)
        assert f":{session['id']}>" in await turn.says("ALLOCATE processed, success")
    finally:
        await viewer.connection.close()


async def test_a_server_whose_relay_refuses_it_says_so_before_answering(turn: Relay, start_site: Any) -> None:
    site = await start_site(ice_turn=(turn.url("udp"),), ice_turn_secret="not-the-secret", ice_policy="relay")
    session = await site.open(source="none")
    client = RTCPeerConnection()
    try:
        client.addTransceiver("video", direction="recvonly")
        await client.setLocalDescription(await client.createOffer())
        answer = await site.client.post(
            session["urls"]["peer"],
            content=client.localDescription.sdp,
            headers={"Content-Type": "application/sdp", "Authorization": f"Bearer {session['token']}"},
        )
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "unavailable"
        assert "401" in answer.json()["error"]["message"]
    finally:
        await client.close()
