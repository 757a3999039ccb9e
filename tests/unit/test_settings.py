"""Settings: which place wins, what is refused, what is shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.transport.webrtc.ice import IceSettings
from liveglass.web.errors import SettingsRefused
from liveglass.web.settings import Settings, is_loopback, resolve


def in_file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = in_file(tmp_path / "s.toml", 'port = 1\nmodel = "null"\nlinger_s = 5\nthreads = 3')
    found = resolve({"port": "3"}, {"LIVEGLASS_PORT": "2", "LIVEGLASS_MODEL": "sleep:1"}, file)
    assert (found.settings.port, found.settings.model, found.settings.linger_s) == (3, "sleep:1", 5.0)
    assert found.origins["port"] == "--port"
    assert found.origins["model"] == "LIVEGLASS_MODEL"
    assert found.origins["threads"] == f"file {file}"
    assert found.origins["host"] == "default"


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = in_file(tmp_path / "s.toml", "port = 4711")
    assert resolve({}, {"LIVEGLASS_CONFIG": file}).settings.port == 4711


def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused) as refused:
        resolve({}, {}, in_file(tmp_path / "s.toml", 'opperator_token = "x"'))
    assert "operator_token" in refused.value.hint


def test_an_unknown_variable_is_told_but_stops_nothing() -> None:
    found = resolve({}, {"LIVEGLASS_PROT": "1"})
    assert "LIVEGLASS_PROT" in found.notes[0]
    assert "port" in found.notes[0]


def test_an_empty_variable_is_none_at_all() -> None:
    assert resolve({}, {"LIVEGLASS_PORT": ""}).settings.port == 8787


@pytest.mark.parametrize(
    ("text", "word"),
    [("port = 70000", "port"), ('port = "1"', "port"), ("open = 1", "open"), ('tls = "on"', "tls"), ("[", "TOML")],
)
def test_a_value_that_does_not_fit_is_refused_with_its_name(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(SettingsRefused, match=word):
        resolve({}, {}, in_file(tmp_path / "s.toml", text))


def test_a_missing_file_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsRefused, match="no-such"):
        resolve({}, {}, str(tmp_path / "no-such.toml"))


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsRefused) as refused:
        resolve({}, {"LIVEGLASS_SECRET": "sh rt"})
    assert "sh rt" not in refused.value.message


def test_the_table_shows_every_setting_with_its_origin_and_masks_secrets() -> None:
    table = resolve({"port": "1"}, {"LIVEGLASS_OPERATOR_TOKEN": "a-long-secret"}).table()
    lines = {line.partition(" =")[0]: line for line in table.splitlines()}
    assert set(lines) == set(Settings.__struct_fields__)
    assert "a-long-secret" not in table
    assert lines["operator_token"].endswith("# LIVEGLASS_OPERATOR_TOKEN")
    assert lines["port"].endswith("# --port")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_binding_beyond_loopback_needs_a_secret_and_says_how_to_set_one(host: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        resolve({"host": host}, {})
    assert "LIVEGLASS_OPERATOR_TOKEN" in refused.value.hint
    for name in ("LIVEGLASS_OPERATOR_TOKEN", "LIVEGLASS_SECRET"):
        assert not resolve({"host": host}, {name: "long-enough"}).settings.is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.3.2.1"])
def test_loopback_needs_none(host: str) -> None:
    assert resolve({"host": host}, {}).settings.is_loopback


def test_a_public_address_makes_a_loopback_server_reachable_from_elsewhere() -> None:
    assert not resolve({"public_url": "https://live.example"}, {}).settings.is_loopback
    assert resolve({"public_url": "http://localhost:9000"}, {}).settings.is_loopback


@pytest.mark.parametrize(
    "origin", ["*", "example.org", "https://", "https://a/b", "https://a?b", "ftp://a", "https://u@a", "https://a:x"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SettingsRefused, match="no origin"):
        resolve({"allow_origin": [origin]}, {})
    with pytest.raises(SettingsRefused, match="no origin"):
        resolve({"public_url": origin}, {})


def test_a_list_in_the_environment_is_separated_by_commas() -> None:
    found = resolve({}, {"LIVEGLASS_ALLOW_ORIGIN": "https://a.example, https://b.example:8443"})
    assert found.settings.allow_origin == ("https://a.example", "https://b.example:8443")


def test_a_certificate_needs_its_key_and_no_other_certificate() -> None:
    with pytest.raises(SettingsRefused, match="key"):
        resolve({"tls_cert": "c.pem"}, {})
    with pytest.raises(SettingsRefused, match="self-signed"):
        resolve({"tls_cert": "c.pem", "tls_key": "k.pem", "tls": "self-signed"}, {})


RELAYED = {"ice_turn": ["turn:t.example"], "ice_turn_secret": "north-wind"}


def test_webrtc_is_received_where_the_pages_are_unless_it_is_said_otherwise() -> None:
    safe = {"operator_token": "long-enough"}
    assert resolve({}, {}).settings.ice.bind == ("127.0.0.1",)
    assert resolve({"host": "::1"}, {}).settings.ice.bind == ("::1",)
    assert resolve({"host": "0.0.0.0"} | safe, {}).settings.ice.bind == ()
    assert resolve({"host": "192.0.2.7"} | safe, {}).settings.ice.bind == ("192.0.2.7",)
    assert resolve({"ice_bind": ["192.0.2.8"]}, {}).settings.ice.bind == ("192.0.2.8",)


def test_every_setting_of_webrtc_arrives() -> None:
    given_ = {
        "LIVEGLASS_ICE_BIND": "0.0.0.0, fd00::7",
        "LIVEGLASS_ICE_PORTS": "50000-50100",
        "LIVEGLASS_ICE_PUBLIC_ADDRESS": "203.0.113.9",
        "LIVEGLASS_ICE_STUN": "stun:s.example",
        "LIVEGLASS_ICE_TURN": "turn:t.example,turns:t.example:443",
        "LIVEGLASS_ICE_TURN_SECRET": "north-wind",
        "LIVEGLASS_ICE_POLICY": "relay",
    }
    assert resolve({}, given_).settings.ice == IceSettings(
        bind=("0.0.0.0", "fd00::7"),
        ports=(50000, 50100),
        public_address="203.0.113.9",
        stun="stun:s.example",
        turn=("turn:t.example", "turns:t.example:443"),
        turn_secret="north-wind",
        policy="relay",
    )
    account = {"ice_turn": ["turn:t.example"], "ice_turn_username": "me", "ice_turn_password": "not-telling"}
    (server,) = resolve(account, {}).settings.ice.servers(wall_s=0, user="s")
    assert (server.username, server.credential) == ("me", "not-telling")


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ({"ice_bind": ["live.example"]}, "ice_bind"),
        ({"ice_bind": ["fe80::1%eth0"]}, "ice_bind"),
        ({"ice_ports": "50100-50000"}, "ice_ports"),
        ({"ice_ports": "80-90"}, "ice_ports"),
        ({"ice_ports": "many"}, "ice_ports"),
        ({"ice_public_address": "live.example", "ice_bind": ["0.0.0.0"]}, "ice_public_address"),
        ({"ice_public_address": "127.0.0.1", "ice_bind": ["0.0.0.0"]}, "ice_public_address"),
        ({"ice_public_address": "203.0.113.9"}, "ice_bind"),
        ({"ice_stun": "s.example"}, "ice_stun"),
        ({"ice_stun": "turn:s.example"}, "ice_stun"),
        (RELAYED | {"ice_turn": ["stun:t.example"]}, "ice_turn"),
        (RELAYED | {"ice_turn": ["turn:t.example?transport=sctp"]}, "ice_turn"),
        (RELAYED | {"ice_turn": ["turn:t.example"] * 9}, "ice_turn"),
        ({"ice_turn": ["turn:t.example"]}, "ice_turn_secret"),
        ({"ice_turn_secret": "north-wind"}, "ice_turn"),
        ({"ice_turn_username": "me"}, "ice_turn_password"),
        ({"ice_turn_password": "not-telling"}, "ice_turn_username"),
        (RELAYED | {"ice_turn_username": "me", "ice_turn_password": "not-telling"}, "ice_turn_secret"),
        (RELAYED | {"ice_turn_secret": "short"}, "ice_turn_secret"),
        ({"ice_policy": "relay"}, "ice_policy"),
        ({"ice_policy": "some"}, "ice_policy"),
    ],
)
def test_what_webrtc_cannot_use_is_refused_by_name_with_the_way_out(flags: dict[str, object], field: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        resolve(flags, {})
    assert refused.value.field == field
    assert refused.value.hint


def test_the_relays_secrets_are_masked() -> None:
    table = resolve(RELAYED, {}).table()
    assert "north-wind" not in table
    assert "turn:t.example" in table
    account = {"ice_turn": ["turn:t.example"], "ice_turn_username": "me", "ice_turn_password": "not-telling"}
    assert "not-telling" not in resolve(account, {}).table()


@given(st.text(max_size=40))
def test_no_text_at_all_breaks_the_question_whether_a_host_is_loopback(host: str) -> None:
    assert is_loopback(host) in {True, False}


@given(st.sampled_from(Settings.__struct_fields__), st.text(st.characters(exclude_characters="\0"), max_size=60))
def test_any_text_as_a_variable_is_taken_or_refused_by_name(name: str, text: str) -> None:
    try:
        resolve({}, {f"LIVEGLASS_{name.upper()}": text})
    except SettingsRefused as refused:
        assert refused.field in Settings.__struct_fields__  # noqa: PT017 - both ways out are right


def test_compiling_is_for_models_that_have_networks_to_compile() -> None:
    for model in ("sd-turbo", "packed:owner/name"):
        assert resolve({"compile": True, "model": model}, {}).settings.compile
    with pytest.raises(SettingsRefused) as refused:
        resolve({"compile": True, "model": "nano"}, {})
    assert (refused.value.field, "sd15-lcm" in refused.value.hint) == ("compile", True)


def test_a_spare_needs_a_process_of_its_own() -> None:
    with pytest.raises(SettingsRefused) as refused:
        resolve({"spare": True, "worker_mode": "thread"}, {})
    assert refused.value.field == "spare"
