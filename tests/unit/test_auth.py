"""Tokens, the operator's token and stream keys."""

import stat
from pathlib import Path

import jwt
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from liveglass.engine.clock import wall
from liveglass.engine.errors import InvalidValue, NotAllowed, TokenRefused
from liveglass.web.auth import (
    TOKEN_LIFE_S,
    Claim,
    Desk,
    Opener,
    Pass,
    Tokens,
    load_secret,
    need_controller,
    new_pass,
    presented,
    renewed,
)
from liveglass.web.errors import SettingsRefused
from liveglass.web.files import create_private, write_private
from liveglass.web.keys import KeyRing
from liveglass.web.settings import Settings

TOKENS = Tokens(b"a secret")


def grant(session: str = "s_1", nonce: str = "") -> Pass:
    return Pass(session, int(wall()), nonce)


def desk(tmp_path: Path, **settings: object) -> Desk:
    chosen = msgspec.convert({"state_dir": str(tmp_path), **settings}, Settings)
    return Desk(chosen, TOKENS, KeyRing(tmp_path))


def test_a_token_says_its_session_role_and_opening() -> None:
    assert TOKENS.read(TOKENS.sign(grant("stage", "n1"), "viewer")) == Claim("stage", "viewer", "n1")


def test_the_same_pass_makes_the_same_token_so_that_put_can_return_it() -> None:
    one = grant()
    assert TOKENS.sign(one, "controller") == TOKENS.sign(one, "controller")
    assert TOKENS.sign(one, "controller") != TOKENS.sign(one, "viewer")


def test_a_token_of_another_secret_is_refused() -> None:
    with pytest.raises(TokenRefused):
        Tokens(b"another").read(TOKENS.sign(grant(), "controller"))


def test_a_token_that_is_over_is_refused() -> None:
    with pytest.raises(TokenRefused, match="over"):
        TOKENS.read(TOKENS.sign(Pass("s_1", int(wall()) - TOKEN_LIFE_S - 1), "controller"))


def test_an_unsigned_token_is_refused() -> None:
    claims = {"sub": "s_1", "role": "controller", "exp": int(wall()) + 60, "n": ""}
    with pytest.raises(TokenRefused):
        TOKENS.read(jwt.encode(claims, None, algorithm="none"))


@given(st.text(max_size=200))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(TokenRefused):
        TOKENS.read(text)


@given(st.integers(0, 2**16), st.characters())
def test_a_token_with_one_character_changed_is_refused(at: int, character: str) -> None:
    token = TOKENS.sign(Pass("s_1", 2_000_000_000), "controller")
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    try:
        claim = TOKENS.read(changed)
    except TokenRefused:
        return
    # The last character of base64 has bits that mean nothing; what is read must be what was signed.
    assert claim == Claim("s_1", "controller")


def test_a_pass_is_renewed_when_half_its_life_is_over() -> None:
    young, old = grant(), Pass("stage", int(wall()) - TOKEN_LIFE_S // 2 - 1, "n")
    assert renewed(young) is young
    assert renewed(old).issued_at > old.issued_at
    assert renewed(old).nonce == "n"


def test_a_name_opened_anew_has_another_nonce() -> None:
    assert new_pass("stage", named=True).nonce != new_pass("stage", named=True).nonce
    assert new_pass("s_1", named=False).nonce == ""


def test_a_credential_comes_as_bearer_then_subprotocol_then_address() -> None:
    everywhere = Headers({"authorization": "Bearer a", "sec-websocket-protocol": "x, liveglass.token.b"})
    assert presented(everywhere, b"token=c") == "a"
    assert presented(Headers({"sec-websocket-protocol": "x, liveglass.token.b"}), b"token=c") == "b"
    assert presented(Headers({}), b"view=1&token=c") == "c"
    assert presented(Headers({}), b"") is None
    assert presented(Headers({"authorization": "Basic a"}), b"token=c") == ""


@given(st.dictionaries(st.sampled_from(["authorization", "sec-websocket-protocol"]), st.text()), st.binary())
def test_no_header_and_no_query_breaks_the_search_for_a_credential(headers: dict[str, str], query: bytes) -> None:
    raw = [(name.encode(), value.encode("utf-8", "replace")) for name, value in headers.items()]
    found = presented(Headers(raw=raw), query)
    assert found is None or isinstance(found, str)


def test_on_loopback_everybody_opens_and_elsewhere_only_who_is_known(tmp_path: Path) -> None:
    assert desk(tmp_path).may_open(None) == Opener()
    there = desk(tmp_path, host="0.0.0.0", operator_token="operator-token")
    with pytest.raises(TokenRefused, match="operator token or a stream key"):
        there.may_open(None)
    assert there.may_open("operator-token") == Opener()
    assert there.may_open(KeyRing(tmp_path).add("cam", "controller", None)) == Opener("cam")
    with pytest.raises(NotAllowed):
        there.may_open(KeyRing(tmp_path).add("eyes", "viewer", None))


def test_the_secret_stands_in_where_there_is_no_operator_token(tmp_path: Path) -> None:
    assert desk(tmp_path, host="0.0.0.0", secret="long-secret").is_operator("long-secret")
    both = desk(tmp_path, host="0.0.0.0", secret="long-secret", operator_token="operator-token")
    assert not both.is_operator("long-secret")


def test_without_an_operator_token_nobody_is_the_operator(tmp_path: Path) -> None:
    assert not desk(tmp_path).is_operator("")
    assert not desk(tmp_path).is_operator(None)


def test_a_session_token_opens_no_other_session(tmp_path: Path) -> None:
    token = TOKENS.sign(grant("s_1"), "controller")
    assert desk(tmp_path).claim("s_1", token).role == "controller"
    with pytest.raises(TokenRefused):
        desk(tmp_path).claim("s_2", token)
    with pytest.raises(TokenRefused):
        desk(tmp_path).claim("s_1", None)


def test_a_viewer_is_no_controller() -> None:
    need_controller(Claim("s_1", "controller"))
    with pytest.raises(NotAllowed):
        need_controller(Claim("s_1", "viewer"))


def test_a_key_is_kept_as_a_hash_and_found_again_by_another_process(tmp_path: Path) -> None:
    key = KeyRing(tmp_path).add("cam", "controller", None)
    assert key not in (tmp_path / "keys.json").read_text()
    found = KeyRing(tmp_path).find(key)
    assert found is not None
    assert (found.name, found.role) == ("cam", "controller")
    assert KeyRing(tmp_path).find(key + "x") is None


def test_what_one_process_revokes_the_other_refuses(tmp_path: Path) -> None:
    server, command = KeyRing(tmp_path), KeyRing(tmp_path)
    key = command.add("cam", "controller", None)
    assert server.find(key) is not None
    command.revoke("cam")
    assert server.find(key) is None


def test_a_key_that_is_over_is_not_found(tmp_path: Path) -> None:
    assert KeyRing(tmp_path).find(KeyRing(tmp_path).add("cam", "controller", 0)) is None


def test_a_name_is_taken_once_and_has_to_fit(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    ring.add("cam", "controller", None)
    with pytest.raises(InvalidValue, match="already"):
        ring.add("cam", "viewer", None)
    with pytest.raises(InvalidValue):
        ring.add("Cam!", "viewer", None)
    with pytest.raises(InvalidValue) as refused:
        ring.revoke("can")
    assert "cam" in refused.value.hint


def test_damaged_keys_let_nobody_in(tmp_path: Path) -> None:
    key = KeyRing(tmp_path).add("cam", "controller", None)
    (tmp_path / "keys.json").write_text("{")
    with pytest.raises(SettingsRefused):
        KeyRing(tmp_path).find(key)


def test_the_secret_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    settings = msgspec.convert({"state_dir": str(tmp_path / "deep" / "state")}, Settings)
    first = load_secret(settings)
    path = tmp_path / "deep" / "state" / "secret"
    assert load_secret(settings) == first
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_private_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert create_private(path, b"three") == b"two"
    assert list(tmp_path.iterdir()) == [path]
