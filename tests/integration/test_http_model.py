"""The resident model over HTTP: who may put another one in its place, and how everybody hears of it."""

import asyncio
import json
import struct

import pytest

from liveglass.transport.header import WireKind
from liveglass.web.keys import KeyRing

PATIENCE_S = 30.0


async def test_the_resident_model_is_told_and_another_one_takes_its_place_under_a_stream(site, talk) -> None:
    before = (await site.client.get("/v1/model")).json()
    assert (before["model"], before["state"], before["swap"]) == ("null", "ready", None)
    session = await site.open()
    async with site.socket(session) as socket, asyncio.timeout(PATIENCE_S):
        await talk.until(socket, "hello")
        answer = await site.client.put("/v1/model", json={"model": "sleep:5"})
        assert answer.status_code == 202
        assert answer.headers["location"] == "/v1/model"
        assert answer.json()["swap"]["state"] == "warming"
        assert (await talk.until(socket, "model.changed"))["model"] == "sleep:5"
        async with site.socket(session) as late:
            await talk.until(late, "hello")
            assert (await talk.until(late, "model.changed"))["state"] == "warming", "who comes in between hears of it"
        assert "cause" not in await talk.until(socket, "model.changed", state="ready")
    after = (await site.client.get("/v1/model")).json()
    assert (after["model"], after["swap"]) == ("sleep:5", {"model": "sleep:5", "state": "ready"})
    listed = (await site.client.get("/v1/models")).json()
    assert (listed["default"], listed["models"][0]["resident"]) == ("sleep:5", True)
    assert (await site.client.put("/v1/model", json={"model": "sleep:5"})).status_code == 200
    assert (await site.client.post("/v1/sessions", json={"model": "sleep:5"})).status_code == 201
    assert (await site.client.get("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "nono"}, 422, "model_not_found"),
        ({"model": "sd-turbo"}, 501, "not_available"),
        ({}, 422, "invalid_value"),
        ({"model": "null", "mood": "good"}, 422, "unknown_field"),
    ],
)
async def test_what_cannot_be_swapped_to_is_refused_by_name(site, body, status, code) -> None:
    answer = await site.client.put("/v1/model", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await site.client.get("/v1/model")).json()["swap"] is None


async def test_elsewhere_the_model_is_the_operators(start_site, talk, tmp_path) -> None:
    site = await start_site(host="0.0.0.0", operator_token="operators-own")
    asked = {"model": "sleep:5"}
    assert (await site.client.put("/v1/model", json=asked)).status_code == 401
    wrong = await site.client.put("/v1/model", json=asked, headers=talk.bearer("wrong"))
    assert wrong.status_code == 401
    key = KeyRing(tmp_path / "state").add("cam", "controller", None)
    assert (await site.client.put("/v1/model", json=asked, headers=talk.bearer(key))).status_code == 403
    allowed = await site.client.put("/v1/model", json=asked, headers=talk.bearer("operators-own"))
    assert allowed.status_code == 202


async def test_a_model_that_takes_no_low_rank_weights_says_so_and_a_list_is_a_list(site) -> None:
    answer = await site.client.put("/v1/model/loras", json=[{"name": "my-style", "weight": 0.8}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "not_available")
    assert "null takes no low-rank weights" in answer.json()["error"]["message"]
    for body, code in (
        ({"name": "my-style"}, "malformed_message"),
        ([{"name": "my-style", "weight": 3}], "invalid_value"),
        ([{"weight": 0.5}], "invalid_value"),
    ):
        refused = await site.client.put("/v1/model/loras", json=body)
        assert refused.json()["error"]["code"] == code, refused.text
    assert (await site.client.get("/v1/model")).json()["loras"] == []


async def test_a_viewer_of_a_real_server_sees_the_built_in_model_take_over_and_no_slate(start_site, talk) -> None:
    site = await start_site(model="sleep:20", worker_mode="process", threads=1)
    session = await site.open(source="sample", size={"width": 128, "height": 72}, params={"steps": 1})
    kinds: list[int] = []
    after: list[int] | None = None
    async with site.socket(session) as socket, asyncio.timeout(100):
        while after is None or after.count(WireKind.GENERATED) < 5:
            message = await socket.recv()
            if isinstance(message, str):
                event = json.loads(message)
                if event["type"] == "model.changed" and event["state"] != "warming":
                    after = []
                continue
            kind, seq = struct.unpack_from(">xBxxI", message)
            await socket.send(json.dumps({"type": "frame.ack", "seq": seq}))
            if kind == WireKind.GENERATED and not kinds:
                assert (await site.client.put("/v1/model", json={"model": "nano"})).status_code == 202
            if kinds or kind == WireKind.GENERATED:
                kinds.append(kind)
            if after is not None:
                after.append(kind)
    assert WireKind.STANDBY not in kinds
    seen = (await site.client.get(f"/v1/sessions/{session['id']}", headers=talk.bearer(session["token"]))).json()
    assert (seen["model"], seen["control"]["version"]) == ("nano", 1)
    metrics = (await site.client.get("/metrics")).text
    assert "liveglass_worker_restarts_total{" not in metrics
