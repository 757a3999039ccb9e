"""Named sessions: the same address, tokens and control state after a restart of the server."""

import json
from pathlib import Path

import httpx


async def put(site, name: str, body: dict[str, object] | None = None) -> httpx.Response:
    return await site.client.put(f"/v1/sessions/{name}", json=body or {})


async def test_a_name_is_the_sessions_id_and_the_second_put_returns_the_first_ones_tokens(site) -> None:
    first = await put(site, "stage", {"prompt": "ink"})
    second = await put(site, "stage", {"prompt": "neon", "fps": 60})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == "stage"
    assert second.json()["token"] == first.json()["token"]
    assert second.json()["viewer_token"] == first.json()["viewer_token"]
    assert second.json()["control"]["prompts"] == [{"text": "ink", "weight": 1}]


async def test_put_on_an_existing_name_ignores_even_a_body_that_is_wrong(site) -> None:
    await put(site, "stage")
    assert (await put(site, "stage", {"no such field": 1})).status_code == 200


async def test_names_that_do_not_fit_are_refused(site) -> None:
    for name in ("Stage", "-a", "a_b", "a" * 64, "é"):
        answer = await put(site, name)
        assert answer.status_code == 422
        assert answer.json()["error"]["code"] == "invalid_value"
    assert (await put(site, "a" * 63)).status_code == 201


async def test_a_restart_keeps_address_tokens_and_control(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage", {"prompt": "ink", "params": {"seed": 7}, "fps": 30})).json()
    headers = talk.bearer(opened["token"])
    await before.client.patch(
        "/v1/sessions/stage", json={"prompt": "neon", "params": {"strength": 0.9}}, headers=headers
    )
    await before.stop()

    after = await start_site()
    found = (await after.client.get("/v1/sessions/stage", headers=headers)).json()
    assert found["control"]["prompts"] == [{"text": "neon", "weight": 1}]
    assert found["control"]["params"]["strength"] == 0.9
    assert found["control"]["params"]["seed"] == 7
    assert found["options"]["fps"] == 30
    again = await put(after, "stage")
    assert again.status_code == 200
    assert again.json()["token"] == opened["token"]


async def test_what_was_changed_on_the_socket_is_kept_too(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage")).json()
    async with before.socket(opened, "?view=0") as socket:
        await socket.send(json.dumps({"type": "prompt.set", "id": "1", "text": "by socket"}))
        await talk.until(socket, "control.changed")
    await before.stop()
    after = await start_site()
    found = await after.client.get("/v1/sessions/stage", headers=talk.bearer(opened["token"]))
    assert found.json()["control"]["prompts"][0]["text"] == "by socket"


async def test_a_socket_reopens_a_named_session_after_a_restart(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage", {"prompt": "ink"})).json()
    await before.stop()
    after = await start_site()
    opened["urls"]["socket"] = f"{after.address.replace('http', 'ws')}/v1/sessions/stage/socket"
    async with after.socket(opened, "?view=0") as socket:
        hello = await talk.until(socket, "hello")
    assert hello["control"]["prompts"][0]["text"] == "ink"


async def test_panic_survives_a_restart(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage")).json()
    async with before.socket(opened, "?view=0") as socket:
        await socket.send(json.dumps({"type": "stream.panic", "id": "1"}))
        await talk.until(socket, "session.state", state="panic")
    await before.stop()
    after = await start_site()
    found = await after.client.get("/v1/sessions/stage", headers=talk.bearer(opened["token"]))
    assert found.json()["state"] == "panic"


async def test_delete_forgets_a_name_for_good_and_its_tokens_with_it(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage")).json()
    headers = talk.bearer(opened["token"])
    assert (await before.client.delete("/v1/sessions/stage", headers=headers)).status_code == 204
    assert (await before.client.get("/v1/sessions/stage", headers=headers)).status_code == 404
    await before.stop()
    after = await start_site()
    assert (await after.client.get("/v1/sessions/stage", headers=headers)).status_code == 404
    anew = await put(after, "stage")
    assert anew.status_code == 201
    assert (await after.client.get("/v1/sessions/stage", headers=headers)).status_code == 401


async def test_another_model_opens_the_session_with_its_own_steps(start_site, talk) -> None:
    before = await start_site(model="null")
    opened = (await put(before, "stage", {"prompt": "ink", "model": "null"})).json()
    await before.stop()
    after = await start_site(model="sleep:5")
    found = await after.client.get("/v1/sessions/stage", headers=talk.bearer(opened["token"]))
    assert found.status_code == 200
    assert found.json()["control"]["prompts"][0]["text"] == "ink"


async def test_a_named_session_is_not_ended_by_a_linger(start_site, talk) -> None:
    site = await start_site(linger_s=0.0)
    named, nameless = (await put(site, "stage")).json(), await site.open()
    async with site.socket(nameless, "?view=0") as socket:
        await talk.until(socket, "hello")
    while (
        await site.client.get(f"/v1/sessions/{nameless['id']}", headers=talk.bearer(nameless["token"]))
    ).status_code == 200:
        pass
    found = await site.client.get("/v1/sessions/stage", headers=talk.bearer(named["token"]))
    assert found.status_code == 200


async def test_a_session_that_a_client_closes_for_good_is_forgotten(start_site, talk) -> None:
    before = await start_site()
    opened = (await put(before, "stage")).json()
    async with before.socket(opened, "?view=0") as socket:
        await socket.send(json.dumps({"type": "session.close", "id": "1"}))
        await talk.closed_with(socket)
    await before.stop()
    after = await start_site()
    answer = await after.client.get("/v1/sessions/stage", headers=talk.bearer(opened["token"]))
    assert answer.status_code == 404


async def test_a_file_that_cannot_be_read_costs_its_own_session_only(start_site, talk, tmp_path: Path) -> None:
    before = await start_site()
    kept, lost = (await put(before, "kept")).json(), (await put(before, "lost")).json()
    await before.stop()
    (tmp_path / "state" / "sessions" / "lost.json").write_text("{")
    after = await start_site()
    assert (await after.client.get("/v1/sessions/kept", headers=talk.bearer(kept["token"]))).status_code == 200
    assert (await after.client.get("/v1/sessions/lost", headers=talk.bearer(lost["token"]))).status_code == 404
