"""Hosts, origins, operator tokens and stream keys: who may ask at all."""

from pathlib import Path

import httpx
import pytest

from liveglass.web.keys import KeyRing

OPERATOR = "operator-token-for-tests"


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


@pytest.fixture
async def public(start_site) -> object:
    """A server that is reachable from elsewhere, as far as its settings say."""
    return await start_site(host="0.0.0.0", operator_token=OPERATOR)


@pytest.mark.parametrize("path", ["/", "/v1/models", "/livez", "/client.js", "/nothing"])
async def test_an_unknown_host_is_refused_on_every_path(site, path) -> None:
    for host in ("evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "a@127.0.0.1", ""):
        answer = await site.client.get(path, headers={"Host": host})
        assert answer.status_code == 403
        assert code(answer) == "origin_refused"


async def test_the_loopback_names_are_known_with_the_right_port(site) -> None:
    port = site.address.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST"):
        assert (await site.client.get("/livez", headers={"Host": f"{name}:{port}"})).status_code == 200


async def test_a_foreign_origin_is_refused_and_gets_no_cors(site) -> None:
    for origin in ("http://evil.example", "null", "https://127.0.0.1:1", "file://", "http://localhost:1"):
        answer = await site.client.post("/v1/sessions", headers={"Origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


async def test_an_allowed_origin_may_read_location_link_and_etag(start_site) -> None:
    site = await start_site(allow_origin=("https://show.example",))
    answer = await site.client.post("/v1/sessions", headers={"Origin": "https://show.example"})
    assert answer.status_code == 201
    assert answer.headers["access-control-allow-origin"] == "https://show.example"
    assert {"Location", "Link", "ETag"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert "Origin" in answer.headers["vary"]
    assert "https://show.example" in answer.headers["content-security-policy"]


async def test_a_preflight_of_an_allowed_origin_is_answered_and_of_others_not(start_site) -> None:
    site = await start_site(allow_origin=("https://show.example",))
    wish = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization"}
    answer = await site.client.options("/v1/sessions/x", headers={"Origin": "https://show.example", **wish})
    assert answer.status_code == 204
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    refused = await site.client.options("/v1/sessions/x", headers={"Origin": "https://evil.example", **wish})
    assert refused.status_code == 403


async def test_an_error_answer_has_cors_too(start_site) -> None:
    site = await start_site(allow_origin=("https://show.example",))
    answer = await site.client.get("/v1/sessions/x", headers={"Origin": "https://show.example"})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "https://show.example"


async def test_the_public_url_is_a_known_host_and_is_in_the_addresses(start_site) -> None:
    site = await start_site(public_url="https://live.example", operator_token=OPERATOR)
    headers = {"Host": "live.example", "Origin": "https://live.example", "Authorization": f"Bearer {OPERATOR}"}
    opened = await site.client.post("/v1/sessions", headers=headers)
    assert opened.status_code == 201
    assert opened.json()["urls"]["socket"].startswith("wss://live.example/v1/")


async def test_behind_a_public_address_opening_needs_a_credential_even_on_loopback(start_site) -> None:
    site = await start_site(public_url="https://live.example")
    assert (await site.client.post("/v1/sessions")).status_code == 401


async def test_elsewhere_opening_needs_the_operator_or_a_stream_key(public, talk, tmp_path: Path) -> None:
    assert code(await public.client.post("/v1/sessions")) == "token_refused"
    assert code(await public.client.post("/v1/sessions", headers=talk.bearer("wrong"))) == "token_refused"
    assert (await public.client.post("/v1/sessions", headers=talk.bearer(OPERATOR))).status_code == 201
    ring = KeyRing(tmp_path / "state")
    key = ring.add("cam", "controller", None)
    viewer = ring.add("eyes", "viewer", None)
    assert (await public.client.post("/v1/sessions", headers=talk.bearer(key))).status_code == 201
    assert code(await public.client.post("/v1/sessions", headers=talk.bearer(viewer))) == "not_allowed"
    ring.revoke("cam")
    assert code(await public.client.post("/v1/sessions", headers=talk.bearer(key))) == "token_refused"


async def test_a_stream_key_reaches_its_own_session_and_no_other(public, talk, tmp_path: Path) -> None:
    key = KeyRing(tmp_path / "state").add("cam", "controller", None)
    await public.client.put("/v1/sessions/theirs", headers=talk.bearer(OPERATOR))
    assert code(await public.client.put("/v1/sessions/theirs", headers=talk.bearer(key))) == "not_allowed"
    assert code(await public.client.get("/v1/sessions/theirs", headers=talk.bearer(key))) == "token_refused"
    assert (await public.client.put("/v1/sessions/cam", headers=talk.bearer(key))).status_code == 201
    assert (await public.client.get("/v1/sessions/cam", headers=talk.bearer(key))).status_code == 200


async def test_metrics_are_open_on_loopback_and_the_operators_elsewhere(site, public, talk) -> None:
    assert b"liveglass_slots_total" in (await site.client.get("/metrics")).content
    assert code(await public.client.get("/metrics")) == "token_refused"
    answer = await public.client.get("/metrics", headers=talk.bearer(OPERATOR))
    assert answer.status_code == 200
    assert b"liveglass_event_loop_lag_seconds_count" in answer.content


async def test_on_a_wildcard_address_literal_addresses_are_known_and_names_are_not(public) -> None:
    port = public.address.rpartition(":")[2]
    assert (await public.client.get("/livez", headers={"Host": f"192.0.2.7:{port}"})).status_code == 200
    assert (await public.client.get("/livez", headers={"Host": f"evil.example:{port}"})).status_code == 403
    answer = await public.client.get("/livez", headers={"Host": f"192.0.2.7:{port}", "Origin": "http://192.0.2.7"})
    assert answer.status_code == 403


async def test_the_signing_secret_survives_a_restart_so_tokens_do(start_site, talk) -> None:
    before = await start_site()
    opened = (await before.client.put("/v1/sessions/stage")).json()
    await before.stop()
    after = await start_site()
    answer = await after.client.get("/v1/sessions/stage", headers=talk.bearer(opened["token"]))
    assert answer.status_code == 200
