"""Host and Origin as anybody may write them: decided, never broken, and never let in by a look-alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from liveglass.engine.errors import OriginRefused
from liveglass.web.guard import Guard, Site, parse_host, parse_origin
from liveglass.web.logs import mask
from liveglass.web.settings import Settings

PORT = 8787
OWN = {Site(name, PORT) for name in ("127.0.0.1", "localhost", "::1")}
GUARD = Guard(Settings(), PORT)

pieces = st.lists(
    st.sampled_from(
        ["127.0.0.1", "localhost", "[::1]", ":", "8787", "@", ".", "evil.example", "/", "#", "?", " ", "%", "x"]
    ),
    max_size=6,
).map("".join)


@given(st.one_of(st.text(max_size=60), pieces))
def test_a_host_is_let_in_only_if_it_is_one_of_ours(text: str) -> None:
    if GUARD.knows_host(text):
        assert parse_host(text, "http") in OWN
        assert text.lower().rstrip(".").replace(".:", ":") in {
            "127.0.0.1:8787", "localhost:8787", "[::1]:8787", "127.0.0.1:08787", "localhost:08787", "[::1]:08787",
        }  # fmt: skip


@given(st.one_of(st.text(max_size=60), pieces.map("http://{}".format), pieces.map("https://{}".format)))
def test_an_origin_is_ours_only_with_our_scheme_host_and_port(text: str) -> None:
    if GUARD.is_own_origin(text):
        scheme, site = parse_origin(text) or ("", None)
        assert scheme == "http"
        assert site in OWN
    assert not GUARD.is_allowed_origin(text)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "localhost:8787"), ("host", "localhost:8787")],
        [("host", "localhost:8787"), ("origin", "http://localhost:8787"), ("origin", "http://localhost:8787")],
        [("host", "localhost:8787"), ("origin", "")],
    ],
)
def test_missing_and_doubled_headers_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(OriginRefused):
        GUARD.check(Headers(raw=[(name.encode(), value.encode()) for name, value in headers]))


@given(st.text(st.characters(exclude_characters="&;#"), min_size=1), st.sampled_from(["token", "TOKEN", "Token"]))
def test_no_token_in_an_address_is_logged(secret: str, name: str) -> None:
    marked = f"sec{secret}ret"
    assert marked not in mask(f"{name}={marked}")
    assert marked not in mask(f"view=1&{name}={marked}&fit=cover")
    assert mask("view=1&fit=cover") == "view=1&fit=cover"
