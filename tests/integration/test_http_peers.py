"""WebRTC peers of a whole server, as another WebRTC stack meets them."""

import asyncio

import numpy as np
import pytest
from peer import SDP, FlatCamera, Peer

RED, BLUE = (200, 40, 40), (40, 40, 200)
TRICKLE = "application/trickle-ice-sdpfrag"


def is_near(colour, tolerance=6):
    """Whether a picture's middle is that colour."""
    return lambda frame: np.abs(frame[frame.shape[0] // 2, frame.shape[1] // 2].astype(int) - colour).max() <= tolerance


def headers(session, kind=SDP, token="token"):
    return {"Content-Type": kind, "Authorization": f"Bearer {session[token]}"}


def refused(reply, status, code):
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text


async def until_gone(site, peers=0):
    """The server has let go of all peers but so many."""
    while f"liveglass_peers {float(peers)}" not in (await site.client.get("/metrics")).text:
        await asyncio.sleep(0.05)


async def test_a_camera_goes_in_and_the_picture_comes_out_with_events_beside_it(site) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as peer:
        hello = await peer.until("hello")
        assert peer.events[0] is hello
        assert hello["session"] == session["id"]
        assert hello["role"] == "controller"
        clock = await peer.until("stream.clock")
        assert clock["ticks_per_slot"] == 3750
        await peer.until_frame(is_near(RED))
        meta = await peer.until_meta(kind="generated")
        assert meta["camera"], "the model `null` passes it through"
        assert meta["src_rtp"] is not None
        assert meta["src_rtp"] == meta["base_rtp"]
        assert meta["age_ms"] == 0
        assert meta["pts"] == meta["slot"] * 3750
        peer.send(type="params.set", id="p-1", strength=0.25)
        accepted = await peer.until("control.accepted", id="p-1")
        applied = await peer.until("control.applied", version=accepted["version"])
        assert applied["slot"] > 0
        peer.send(type="promt.set", id="p-2")
        assert "prompt.set" in (await peer.until("error", id="p-2"))["hint"]
        answer = peer.answer
        assert "a=candidate" in answer
        assert "127.0.0.1" in answer
        assert "H264" in answer
        reply = await site.client.delete(peer.location, headers=headers(session))
        assert reply.status_code == 200
        await until_gone(site)
        again = await site.client.delete(peer.location, headers=headers(session))
        assert again.status_code == 200


async def test_the_clock_event_joins_presented_time_stamps_with_slots(site) -> None:
    session = await site.open(camera_visible="all")
    peer = Peer()
    stamps: list[int] = []
    try:
        await peer.connect(site, session)
        receiver = peer.connection.getReceivers()[0]
        handle = receiver._handle_rtp_packet

        async def note(packet, arrival_time_ms):
            stamps.append(packet.timestamp)
            await handle(packet, arrival_time_ms)

        receiver._handle_rtp_packet = note
        clock = await peer.until("stream.clock")
        joined: set[int] = set()
        while len(joined) < 12:
            await peer.until_frame(lambda frame: True)
            slots = {
                (clock["slot0"] + ((stamp - clock["rtp_origin"]) % 2**32) // clock["ticks_per_slot"])
                for stamp in stamps
            }
            joined = slots & {meta["slot"] for meta in peer.metas}
        assert all((stamp - clock["rtp_origin"]) % clock["ticks_per_slot"] == 0 for stamp in stamps)
    finally:
        await peer.close()


@pytest.mark.parametrize("codec", ["H264", "VP8"])
async def test_both_codecs_carry_colours_both_ways(site, codec) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(BLUE), only=codec) as peer:
        await peer.until_frame(is_near(BLUE))
        assert codec in peer.answer
        text = (await site.client.get("/metrics")).text
        assert f'liveglass_frames_encoded_total{{format="{codec.lower()}-main"}}' in text


async def test_a_camera_of_any_and_changing_size_is_fitted(site) -> None:
    session = await site.open(camera_visible="all", fit="contain")
    camera = FlatCamera(RED, size=(320, 240))
    async with Peer.connected(site, session, camera=camera) as peer:

        def has_bars(frame):
            return is_near(RED)(frame) and frame[180, 4].max() < 24

        await peer.until_frame(has_bars)
        camera.size = (960, 540)
        await peer.until_frame(lambda frame: is_near(RED)(frame) and is_near(RED)(frame[:, :16]))


async def test_a_viewer_only_watches_and_two_viewers_share_one_encode(site) -> None:
    session = await site.open(camera_visible="all")
    async with (
        Peer.connected(site, session, camera=FlatCamera(RED)) as publisher,
        Peer.connected(site, session, token=session["viewer_token"], camera=FlatCamera(BLUE)) as viewer,
    ):
        assert (await viewer.until("hello"))["role"] == "viewer"
        assert "a=sendonly" in viewer.answer
        await viewer.until_frame(is_near(RED))
        viewer.send(type="stream.panic", id="p")
        assert (await viewer.until("error", id="p"))["code"] == "not_allowed"
        await publisher.until_frame(is_near(RED))
        slots = [meta["slot"] for meta in publisher.metas]
        text = (await site.client.get("/metrics")).text
        encoded = next(line for line in text.splitlines() if 'encoded_total{format="h264-main"}' in line)
        assert float(encoded.split()[-1]) <= slots[-1] + 30
        assert not any(is_near(BLUE)(frame) for frame in publisher.frames)


async def test_a_newer_publisher_takes_over_and_the_older_goes_on_watching(site) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as older:
        await older.until_frame(is_near(RED))
        async with Peer.connected(site, session, camera=FlatCamera(BLUE)):
            await older.until("error", code="publisher_replaced")
            await older.until_frame(is_near(BLUE))


async def test_panic_reaches_a_peer_and_a_late_joiner(site) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as peer:
        await peer.until_frame(is_near(RED))
        peer.send(type="stream.panic", id="p")
        await peer.until("control.accepted", id="p")
        await peer.until_meta(kind="standby")
        await peer.until_frame(lambda frame: not is_near(RED, 30)(frame))
        async with Peer.connected(site, session, token=session["viewer_token"]) as late:
            frame = await late.until_frame(lambda frame: True)
            assert not is_near(RED, 30)(frame)


async def test_camera_pixels_never_leave_a_session_that_hides_them(site) -> None:
    session = await site.open()
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as peer:
        await peer.until("session.state", state="standby")
        for _ in range(8):
            frame = await peer.until_frame(lambda frame: True)
            assert not is_near(RED, 30)(frame)
        assert {(meta["kind"], meta["camera"]) for meta in peer.metas} == {("standby", False)}


async def test_a_peer_that_vanishes_is_let_go_and_the_session_ends_by_itself(start_site) -> None:
    site = await start_site(linger_s=0.0)
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as peer:
        await peer.until_frame(is_near(RED))
        await peer.vanish()
        async with asyncio.timeout(12):
            await until_gone(site)
            while (await site.client.get(f"/v1/sessions/{session['id']}", headers=headers(session))).status_code != 404:
                await asyncio.sleep(0.1)


async def test_the_end_of_a_session_is_told_and_ends_its_peers(site) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session) as peer:
        await peer.until("hello")
        await site.client.delete(f"/v1/sessions/{session['id']}", headers=headers(session))
        await peer.until("session.state", state="closed")
        await until_gone(site)
        goodbye = await site.client.delete(peer.location, headers=headers(session))
        assert goodbye.status_code == 200


async def test_what_cannot_be_answered_is_refused_with_a_typed_error(site) -> None:
    session = await site.open()
    url = f"/v1/sessions/{session['id']}/peer"
    post = site.client.post
    refused(await post(url, content="v=0"), 401, "token_refused")
    refused(await post(url, content="{}", headers=headers(session, "application/json")), 415, "unsupported_media_type")
    refused(await post(url, content="hello", headers=headers(session)), 400, "malformed_sdp")
    refused(await post(url, content=b"v" * 70_000, headers=headers(session)), 413, "body_too_large")
    peer = Peer()
    offer = await peer.offer()
    no_video = offer.replace("H264", "H999").replace("VP8", "VP0")
    refused(await post(url, content=no_video, headers=headers(session)), 422, "unusable_offer")
    refused(await site.client.delete(f"{url}/nobody", headers=headers(session)), 404, "no_such_peer")
    refused(
        await site.client.patch(f"{url}/nobody", content="a=mid:0", headers=headers(session, TRICKLE)),
        404,
        "no_such_peer",
    )
    await peer.close()
    assert "liveglass_peers 0.0" in (await site.client.get("/metrics")).text


async def test_candidates_may_come_later_and_an_ice_restart_is_refused(site) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session) as peer:
        await peer.until("hello")
        lines = peer.connection.localDescription.sdp.splitlines()
        ufrag = next(line for line in lines if line.startswith("a=ice-ufrag"))
        pwd = next(line for line in lines if line.startswith("a=ice-pwd"))
        media = "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:0\r\n"
        later = f"{ufrag}\r\n{pwd}\r\n{media}a=candidate:1 1 udp 2130706431 127.0.0.1 40000 typ host\r\n"
        patch = site.client.patch
        reply = await patch(peer.location, content=later, headers=headers(session, TRICKLE))
        assert reply.status_code == 204, reply.text
        restart = f"a=ice-ufrag:anew\r\n{pwd}\r\n{media}"
        refused(
            await patch(peer.location, content=restart, headers=headers(session, TRICKLE)), 422, "ice_restart_refused"
        )


async def test_a_socket_and_a_peer_see_the_same_stream(site, talk) -> None:
    session = await site.open(camera_visible="all")
    async with Peer.connected(site, session, camera=FlatCamera(RED)) as peer, site.socket(session) as socket:
        await peer.until_frame(is_near(RED))
        peer.send(type="prompt.set", id="x", text="neon")
        changed = await talk.until(socket, "control.changed")
        assert changed["by"].startswith("peer:")


async def test_peers_come_and_go_and_leave_nothing(site) -> None:
    session = await site.open(camera_visible="all")
    for round_ in range(6):
        peers = [Peer() for _ in range(3)]
        await asyncio.gather(*(peer.connect(site, session, camera=FlatCamera(RED)) for peer in peers))
        await asyncio.gather(*(peer.until("hello") for peer in peers))
        if round_ % 2:
            await peers[0].vanish()
        await asyncio.gather(*(peer.close() for peer in peers))
    async with asyncio.timeout(12):
        await until_gone(site)
    assert "liveglass_viewers 0.0" in (await site.client.get("/metrics")).text
