"""Pages, health, models and the server's description of itself."""

import msgspec
import pytest


@pytest.mark.parametrize("path", ["/", "/overlay/s_x", "/overlay/s_x?token=t&fit=contain"])
async def test_a_page_comes_with_a_policy_that_lets_nothing_foreign_in(site, path) -> None:
    answer = await site.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "worker-src 'self' blob:" in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_the_client_script_and_what_it_imports_are_there(site) -> None:
    client = await site.client.get("/client.js")
    assert client.headers["content-type"].startswith("text/javascript")
    assert "./live/element.js" in client.text
    assert (await site.client.get("/live/element.js")).headers["content-type"].startswith("text/javascript")
    assert (await site.client.get("/static/studio.js")).status_code == 200


async def test_models_tell_what_each_can_and_what_it_measured_here(site) -> None:
    body = (await site.client.get("/v1/models")).json()
    assert body["default"] == "null"
    resident = body["models"][0]
    assert resident["name"] == "null"
    assert resident["measured"]["p95_ms"] >= resident["measured"]["p50_ms"] >= 0
    other = next(model for model in body["models"] if model["name"] == "nano")
    assert other["measured"] is None
    assert other["looks"]


async def test_alive_and_ready_are_two_questions(site) -> None:
    alive, ready = await site.client.get("/livez"), await site.client.get("/readyz")
    assert (alive.status_code, alive.json()["alive"]) == (200, True)
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    assert ready.json()["age_s"] < 10


async def test_the_description_covers_every_route_and_refers_to_nothing_that_is_missing(site) -> None:
    answer = await site.client.get("/openapi.json")
    document = answer.json()
    assert document["openapi"] == "3.1.0"
    for path in ("/v1/sessions", "/v1/sessions/{id}", "/v1/sessions/{id}/snapshot.jpg", "/v1/models", "/readyz"):
        assert path in document["paths"]
    for path, method in (("provenance", "get"), ("replay", "post")):
        assert method in document["paths"][f"/v1/sessions/{{id}}/{path}"]
    assert {"put", "get", "patch", "delete"} <= document["paths"]["/v1/sessions/{id}"].keys()
    assert {"prompt.set", "params.set", "frame.ack"} <= document["x-events"]["client"].keys()
    assert {"hello", "session.state", "control.applied"} <= document["x-events"]["server"].keys()
    refs = {found.partition('"')[0].rpartition("/")[2] for found in answer.text.split("#/components/schemas/")[1:]}
    assert refs
    assert refs <= document["components"]["schemas"].keys()


async def test_what_opening_answers_fits_its_published_schema(site) -> None:
    from liveglass.web.views import SessionBody

    answer = await site.client.post("/v1/sessions")
    assert msgspec.json.decode(answer.content, type=SessionBody).id.startswith("s_")
