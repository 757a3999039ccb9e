"""Whatever is sent, the answer is a typed one and never a 500."""

import asyncio
import threading
from collections.abc import Iterator

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liveglass.engine.control import ControlPatch
from liveglass.engine.errors import LiveglassError
from liveglass.engine.models import registry
from liveglass.web.errors import ErrorReply
from liveglass.web.merge import ParamsMerge, read_merge
from liveglass.web.server import serve
from liveglass.web.settings import Settings

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["prompt", "prompts", "negative", "params", "apply", "strength", "steps", "seed", "version", "size", "fps",
     "source", "camera_visible", "fallback", "fit", "model", "text", "weight", "guidance", "edge", "depth", "policy",
     "blend_ms", "similarity"]
)  # fmt: skip
params = st.dictionaries(st.sampled_from(ParamsMerge.__struct_fields__), json_values, max_size=3)
bodies = st.dictionaries(names, json_values | params, max_size=4)
calm = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Loop(threading.Thread):
    """A server in a thread, so that hypothesis, which is synchronous, can ask it."""

    def __init__(self, chosen: Settings) -> None:
        super().__init__(name="server")
        self._chosen = chosen
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self.address = ""

    def run(self) -> None:
        self._loop.run_until_complete(serve(self._chosen, self._is_ready, self._over))
        self._loop.close()

    def _is_ready(self, address: str) -> None:
        self.address = address
        self._ready.set()

    def begin(self) -> None:
        self.start()
        assert self._ready.wait(60)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    state = str(tmp_path_factory.mktemp("state"))
    server = Loop(Settings(port=0, model="null", worker_mode="thread", state_dir=state, linger_s=0.0, queue_limit=1000))
    server.begin()
    with httpx.Client(base_url=server.address, trust_env=False) as found:
        yield found
    server.end()


@pytest.fixture(scope="module")
def session(client: httpx.Client) -> tuple[str, dict[str, str]]:
    opened = client.put("/v1/sessions/target").json()
    return "/v1/sessions/target", {"Authorization": f"Bearer {opened['token']}"}


def is_typed(answer: httpx.Response) -> None:
    assert answer.status_code < 500 or answer.status_code in {501, 503}, answer.text
    if answer.status_code >= 400:
        reply = msgspec.json.decode(answer.content, type=ErrorReply)
        assert reply.error.code
        assert reply.error.message


@calm
@given(bodies)
def test_any_json_object_opens_a_session_or_is_refused_by_name(client: httpx.Client, body: dict[str, object]) -> None:
    is_typed(client.post("/v1/sessions", content=msgspec.json.encode(body)))


@calm
@given(st.binary(max_size=200))
def test_any_bytes_as_a_body_get_a_typed_answer(client: httpx.Client, body: bytes) -> None:
    is_typed(client.post("/v1/sessions", content=body))


@calm
@given(bodies)
def test_any_json_object_patches_or_is_refused_by_name(
    client: httpx.Client, session: tuple[str, dict[str, str]], body: dict[str, object]
) -> None:
    url, headers = session
    is_typed(client.patch(url, content=msgspec.json.encode(body), headers=headers))


@calm
@given(
    st.sampled_from(["GET", "PATCH", "DELETE", "PUT", "POST", "OPTIONS", "HEAD"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30),
    st.dictionaries(
        st.sampled_from(["authorization", "if-match", "content-type", "origin", "range", "accept", "cookie"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip),
        max_size=4,
    ),
)
def test_any_path_and_headers_get_a_typed_answer(
    client: httpx.Client, method: str, tail: str, headers: dict[str, str]
) -> None:
    for prefix in ("/", "/v1/sessions/", "/static/", "/overlay/"):
        url = httpx.URL(client.base_url).copy_with(raw_path=(prefix + tail).encode())
        answer = client.request(method, url, headers=headers)
        if method != "HEAD":
            is_typed(answer)


@given(bodies)
def test_a_merge_patch_is_a_change_or_a_typed_refusal(body: dict[str, object]) -> None:
    try:
        change = read_merge(body, registry.spec("null"))
    except LiveglassError as refused:
        assert refused.code in {"unknown_field", "invalid_value"}  # noqa: PT017 - both ways out are right
    else:
        assert isinstance(change, ControlPatch)
