"""Sessions over HTTP: opening, reading, changing, ending; every refusal in the one shape."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest

from liveglass.engine.frame import Size
from liveglass.transport.client import connect
from liveglass.transport.codecs import jpeg_size


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert isinstance(error["retryable"], bool)
    assert error["message"]
    return error


async def test_opening_answers_201_with_the_body_of_the_protocol(site) -> None:
    answer = await site.client.post(
        "/v1/sessions", json={"prompt": "ink fox", "params": {"strength": 0.25, "seed": 7}, "fps": 30}
    )
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{body['id']}"
    assert answer.headers["etag"] == '"1"'
    assert body["id"].startswith("s_")
    assert body["control"]["version"] == 1
    assert body["control"]["prompts"] == [{"text": "ink fox", "weight": 1}]
    assert body["control"]["params"]["strength"] == 0.25
    assert body["control"]["params"]["seed"] == 7
    assert body["admission"] == {"state": "admitted", "position": 0}
    assert body["token"] != body["viewer_token"]
    host = site.address.removeprefix("http://")
    assert body["urls"]["socket"] == f"ws://{host}/v1/sessions/{body['id']}/socket"
    assert body["urls"]["overlay"] == f"{site.address}/overlay/{body['id']}?token={body['viewer_token']}"
    assert body["urls"]["studio"].startswith(f"{site.address}/#session={body['id']}&token={body['token']}")


async def test_no_body_at_all_opens_a_session_with_every_default(site) -> None:
    body = (await site.client.post("/v1/sessions")).json()
    assert body["control"]["params"]["strength"] == 0.6
    assert body["control"]["apply"] == "all"


async def test_what_this_build_does_not_have_is_501_and_missing_from_urls(site) -> None:
    opened = await site.open()
    for way in ("whip", "whep"):
        assert way not in opened["urls"]
        refused(await site.client.post(f"/v1/sessions/{opened['id']}/{way}", content="v=0"), 501, "not_available")
    refused(await site.client.post("/v1/whip", content="v=0"), 501, "not_available")
    refused(await site.client.patch(f"/v1/sessions/{opened['id']}/whip/x"), 501, "not_available")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed_message", None),
        (b"[]", 400, "malformed_message", None),
        (b'{"promt": "x"}', 422, "unknown_field", "promt"),
        (b'{"params": {"strength": 1.5}}', 422, "invalid_value", "params.strength"),
        (b'{"params": {"strength": true}}', 422, "invalid_value", "params.strength"),
        (b'{"params": {"steps": 63}}', 422, "invalid_value", "params.steps"),
        (b'{"fps": 23}', 422, "invalid_value", "fps"),
        (b'{"size": {"width": 63, "height": 64}}', 422, "invalid_value", "size.width"),
        (b'{"size": {"width": 65, "height": 64}}', 422, "invalid_value", "size"),
        (b'{"fallback": "camera"}', 422, "camera_not_visible", "fallback"),
        (b'{"model": "nana"}', 422, "model_not_found", "model"),
        (b'{"apply": "background"}', 501, "not_available", "apply"),
        (b'{"prompt": "%s"}' % (b"x" * 2001), 422, "prompt_too_long", "prompt"),
        (b'{"prompt": "%s"}' % (b"x" * 70_000), 413, "body_too_large", None),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_by_name(site, body, status, code, field) -> None:
    error = refused(await site.client.post("/v1/sessions", content=body), status, code)
    assert error.get("field") == field
    assert not error["retryable"]


async def test_an_unknown_field_is_told_the_nearest_known_one(site) -> None:
    error = refused(await site.client.post("/v1/sessions", json={"camera_visibel": "all"}), 422, "unknown_field")
    assert "camera_visible" in error["hint"]


async def test_a_body_without_a_length_is_cut_off_at_the_limit(site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 1024

    refused(await site.client.post("/v1/sessions", content=endless()), 413, "body_too_large")


async def test_another_content_type_is_not_read(site) -> None:
    refused(await site.client.post("/v1/sessions", data={"prompt": "x"}), 415, "unsupported_media_type")


async def test_reading_a_session_tells_state_control_and_stats_but_no_token(site, talk) -> None:
    opened = await site.open(prompt="x")
    answer = await site.client.get(f"/v1/sessions/{opened['id']}", headers=talk.bearer(opened["viewer_token"]))
    body = answer.json()
    assert answer.status_code == 200
    assert body["id"] == opened["id"]
    assert body["role"] == "viewer"
    assert body["control"] == opened["control"]
    assert {"out_fps", "generated_fps", "missed", "latency"} <= body["stats"].keys()
    assert opened["token"] not in answer.text
    assert opened["viewer_token"] not in answer.text


async def test_a_merge_patch_changes_what_it_names_and_answers_with_the_receipt(site, talk) -> None:
    opened = await site.open(prompt="x", params={"strength": 0.2, "seed": 3})
    answer = await site.client.patch(
        f"/v1/sessions/{opened['id']}",
        json={"prompt": "y", "params": {"strength": 0.9}},
        headers={**talk.bearer(opened["token"]), "content-type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200
    assert answer.headers["etag"] == '"2"'
    assert answer.json()["version"] == 2
    assert set(answer.json()) == {"version", "effective", "notes"}
    now = (await site.client.get(f"/v1/sessions/{opened['id']}", headers=talk.bearer(opened["token"]))).json()
    assert now["control"]["prompts"] == [{"text": "y", "weight": 1}]
    assert now["control"]["params"]["strength"] == 0.9
    assert now["control"]["params"]["seed"] == 3


async def test_null_takes_a_value_back_to_its_default(site, talk) -> None:
    opened = await site.open(prompt="x", params={"strength": 0.2, "blend_ms": 400, "similarity": 0.98})
    url, headers = f"/v1/sessions/{opened['id']}", talk.bearer(opened["token"])
    await site.client.patch(url, json={"prompt": None, "params": {"strength": None}}, headers=headers)
    control = (await site.client.get(url, headers=headers)).json()["control"]
    assert control["prompts"] == []
    assert control["params"]["strength"] == 0.6
    assert (control["params"]["blend_ms"], control["params"]["similarity"]) == (400, 0.98)
    await site.client.patch(url, json={"params": None}, headers=headers)
    params = (await site.client.get(url, headers=headers)).json()["control"]["params"]
    assert (params["blend_ms"], params["similarity"]) == (0, 0)


async def test_a_patch_tied_to_another_version_changes_nothing(site, talk) -> None:
    opened = await site.open(prompt="x")
    url, headers = f"/v1/sessions/{opened['id']}", talk.bearer(opened["token"])
    refused(
        await site.client.patch(url, json={"prompt": "y"}, headers={**headers, "If-Match": '"4"'}),
        412,
        "version_conflict",
    )
    assert (await site.client.get(url, headers=headers)).json()["control"]["version"] == 1
    for if_match in ('"1"', "2", "*"):
        answer = await site.client.patch(url, json={"prompt": if_match}, headers={**headers, "If-Match": if_match})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("patch", "code", "field"),
    [
        ({"strength": 0.4}, "unknown_field", "strength"),
        ({"version": 4}, "unknown_field", "version"),
        ({"params": {"strenght": 0.4}}, "unknown_field", "params.strenght"),
        ({"prompt": "a", "prompts": []}, "invalid_value", "prompts"),
        ({"prompts": [{"text": "a", "weight": 3}]}, "invalid_value", "prompts[0].weight"),
        ({"prompts": [{"text": "a"}] * 9}, "invalid_value", "prompts"),
    ],
)
async def test_a_patch_that_cannot_be_used_names_its_field(site, talk, patch, code, field) -> None:
    opened = await site.open()
    answer = await site.client.patch(f"/v1/sessions/{opened['id']}", json=patch, headers=talk.bearer(opened["token"]))
    assert refused(answer, 422, code)["field"] == field


async def test_a_session_that_was_ended_is_gone(site, talk) -> None:
    opened = await site.open()
    url, headers = f"/v1/sessions/{opened['id']}", talk.bearer(opened["token"])
    assert (await site.client.delete(url, headers=headers)).status_code == 204
    refused(await site.client.get(url, headers=headers), 404, "no_such_session")
    refused(await site.client.delete(url, headers=headers), 404, "no_such_session")


async def test_a_viewer_watches_and_changes_nothing(site, talk) -> None:
    opened = await site.open()
    url, headers = f"/v1/sessions/{opened['id']}", talk.bearer(opened["viewer_token"])
    refused(await site.client.patch(url, json={"prompt": "y"}, headers=headers), 403, "not_allowed")
    refused(await site.client.delete(url, headers=headers), 403, "not_allowed")
    assert (await site.client.get(url, headers=headers)).status_code == 200


async def test_without_a_good_token_nobody_learns_which_sessions_there_are(site, talk) -> None:
    opened, other = await site.open(), await site.open()
    for url in (f"/v1/sessions/{opened['id']}", "/v1/sessions/s_0000000000000000"):
        for headers in ({}, talk.bearer("x"), talk.bearer(other["token"]), {"Authorization": "Basic x"}):
            answer = await site.client.get(url, headers=headers)
            refused(answer, 401, "token_refused")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_in_the_address_works_too(site) -> None:
    opened = await site.open()
    answer = await site.client.get(f"/v1/sessions/{opened['id']}", params={"token": opened["viewer_token"]})
    assert answer.status_code == 200


async def test_the_snapshot_is_the_newest_frame_as_a_jpeg_that_nobody_caches(site, talk) -> None:
    opened = await site.open(source="sample", camera_visible="all", size={"width": 128, "height": 72})
    async with site.socket(opened) as socket:
        while not isinstance(await socket.recv(), bytes):
            pass
    answer = await site.client.get(
        f"/v1/sessions/{opened['id']}/snapshot.jpg", headers=talk.bearer(opened["viewer_token"])
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content[:2] == b"\xff\xd8"


async def test_a_preview_is_a_small_jpeg_and_changes_nothing(site, talk) -> None:
    opened = await site.open(source="sample", size={"width": 320, "height": 180}, prompt="ink")
    where = f"/v1/sessions/{opened['id']}"
    async with site.socket(opened) as socket:
        while not isinstance(await socket.recv(), bytes):
            pass
        wish = {"prompt": "fire", "params": {"strength": 0.9}}
        answer = await site.client.post(f"{where}/preview.jpg", json=wish, headers=talk.bearer(opened["token"]))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    assert jpeg_size(answer.content) == Size(160, 90)
    control = (await site.client.get(where, headers=talk.bearer(opened["token"]))).json()["control"]
    assert (control["version"], control["prompts"][0]["text"]) == (1, "ink")


@pytest.mark.parametrize(
    ("token", "body", "expected"),
    [
        ("viewer_token", {"prompt": "fire"}, (403, "not_allowed")),
        ("token", {"promt": "fire"}, (422, "unknown_field")),
        ("token", {"params": {"steps": 63}}, (422, "invalid_value")),
        ("token", {"prompt": "x" * 2001}, (422, "prompt_too_long")),
    ],
)
async def test_a_preview_that_nobody_may_or_can_make_is_refused(site, talk, token, body, expected) -> None:
    opened = await site.open(source="sample")
    where = f"/v1/sessions/{opened['id']}/preview.jpg"
    refused(await site.client.post(where, json=body, headers=talk.bearer(opened[token])), *expected)


async def test_a_preview_never_shows_a_camera_that_the_session_hides(site, talk) -> None:
    opened = await site.open()
    where = f"/v1/sessions/{opened['id']}"
    async with connect(site.address, session=opened["id"], token=opened["token"], publish=True) as live:
        answer = None
        while answer is None or answer.status_code == 200:  # from words alone, before the camera is there
            await live.publish(np.full((64, 64, 3), 90, np.uint8))
            answer = await site.client.post(f"{where}/preview.jpg", json={}, headers=talk.bearer(opened["token"]))
    refused(answer, 403, "camera_not_visible")


async def test_a_full_queue_is_503_and_says_when_to_come_back(start_site) -> None:
    site = await start_site(model="sleep:200", queue_limit=0)
    await site.open()
    answer = await site.client.post("/v1/sessions")
    error = refused(answer, 503, "at_capacity")
    assert error["retryable"]
    assert int(answer.headers["retry-after"]) > 0


async def test_every_unknown_path_and_method_is_told_in_the_same_shape(site) -> None:
    refused(await site.client.get("/v2/sessions"), 404, "no_such_route")
    refused(await site.client.get("/v1/sessions/"), 404, "no_such_route")
    refused(await site.client.get("/static/nothing.js"), 404, "no_such_route")
    refused(await site.client.get("/static/../settings.py"), 404, "no_such_route")
    answer = await site.client.post("/v1/sessions/x")
    refused(answer, 405, "method_not_allowed")
    assert {"GET", "PUT", "PATCH", "DELETE"} <= set(answer.headers["allow"].replace(" ", "").split(","))
    refused(await site.client.get("/v1/sessions/x/socket"), 426, "upgrade_required")
