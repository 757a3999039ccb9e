"""`liveglass doctor`: what follows from what was found."""

import socket

import pytest

from liveglass.transport.webrtc.probe import Answer, Bound, IceFacts
from liveglass.web import cli
from liveglass.web.doctor import TorchFacts, gpu_finding
from liveglass.web.findings import Finding
from liveglass.web.reach import reach_findings
from liveglass.web.settings import resolve

CPU_BUILD = TorchFacts(version="2.13.0+cpu", built_for="", cuda=False, mps=False, device="")
CUDA_BUILD = TorchFacts(version="2.13.0", built_for="13.0", cuda=False, mps=False, device="")
WORKING = TorchFacts(version="2.13.0", built_for="13.0", cuda=True, mps=False, device="H100")


def test_a_gpu_with_a_cpu_build_of_torch_is_told_with_the_way_out() -> None:
    found = gpu_finding("RTX 4090", CPU_BUILD)
    assert found.verdict == "warning"
    assert "RTX 4090 is there" in found.says
    assert "CPU build" in found.says
    assert "pip" in found.do


def test_a_gpu_that_torch_cannot_reach_points_at_the_driver() -> None:
    found = gpu_finding("RTX 4090", CUDA_BUILD)
    assert found.verdict == "warning"
    assert "driver" in found.do


def test_no_gpu_is_no_problem_and_neither_is_a_working_one() -> None:
    assert gpu_finding("", CPU_BUILD).verdict == "ok"
    assert gpu_finding("H100", WORKING).verdict == "ok"


def test_a_torch_that_does_not_start_is_a_problem_with_its_reason() -> None:
    found = gpu_finding("", None, "libcudart.so.13: cannot open")
    assert found.verdict == "problem"
    assert "libcudart" in found.says


def reached(facts: IceFacts, **flags: object) -> dict[str, Finding]:
    """What is found on a server for everybody, by the name of what was looked at."""
    settings = resolve({"host": "0.0.0.0", "operator_token": "long-enough", **flags}, {}).settings
    return {finding.what: finding for finding in reach_findings(settings, facts)}


LAN = (Bound("192.168.1.7"),)
ASKED = "stun:s.example:3478"
RELAY = "turn:t.example:3478?transport=udp"
TURN = {"ice_turn": ["turn:t.example"], "ice_turn_secret": "north-wind"}


def test_a_private_address_alone_is_right_for_a_lan_and_says_what_else_takes() -> None:
    found = reached(IceFacts(bound=LAN))["UDP"]
    assert found.verdict == "ok"
    assert "192.168.1.7" in found.says
    for word in ("--ice-public-address", "--ice-ports", "--ice-turn"):
        assert word in found.do


def test_nat_that_stun_sees_is_a_warning_until_an_address_or_a_relay_is_given() -> None:
    facts = IceFacts(bound=LAN, stun=(Answer(ASKED, address="203.0.113.9"),))
    ask = {"ice_stun": "stun:s.example"}
    found = reached(facts, **ask)["STUN"]
    assert (found.verdict, "behind NAT" in found.says, "--ice-turn" in found.do) == ("warning", True, True)
    given = {"ice_public_address": "203.0.113.9", "ice_ports": "50000-50100"}
    assert {one.verdict for one in reached(facts, **ask, **given).values()} == {"ok"}
    relayed = IceFacts(bound=LAN, stun=facts.stun, turn=(Answer(RELAY, address="203.0.113.50"),))
    assert {one.verdict for one in reached(relayed, **ask, **TURN).values()} == {"ok"}


def test_a_public_address_that_stun_contradicts_is_a_warning_with_both() -> None:
    facts = IceFacts(bound=LAN, stun=(Answer(ASKED, address="203.0.113.9"),))
    found = reached(facts, ice_public_address="203.0.113.8", ice_ports="50000-50100")["STUN"]
    assert found.verdict == "warning"
    assert "203.0.113.9" in found.says
    assert "203.0.113.8" in found.says


def test_a_public_address_without_a_range_of_ports_cannot_be_forwarded() -> None:
    found = reached(IceFacts(bound=LAN), ice_public_address="203.0.113.9")["UDP"]
    assert (found.verdict, "--ice-ports" in found.do) == ("warning", True)


def test_addresses_and_ports_that_cannot_be_bound_are_told_apart() -> None:
    full = (Bound("192.168.1.7", fault="Address already in use", full=True),)
    found = reached(IceFacts(bound=full), ice_ports="50000-50001")["UDP"]
    assert (found.verdict, "50000-50001" in found.says, "ice_ports" in found.do) == ("problem", True, True)
    foreign = Bound("203.0.113.77", fault="Cannot assign requested address")
    found = reached(IceFacts(bound=(foreign,)))["UDP"]
    assert (found.verdict, "203.0.113.77" in found.says, "--ice-bind" in found.do) == ("problem", True, True)
    assert reached(IceFacts(bound=(*LAN, foreign)))["UDP"].verdict == "warning"


def test_pages_behind_a_proxy_with_peers_on_loopback_are_a_warning() -> None:
    settings = resolve({"public_url": "https://live.example", "operator_token": "long-enough"}, {}).settings
    found = reach_findings(settings, IceFacts(bound=(Bound("127.0.0.1"),)))[0]
    assert (found.verdict, "--ice-bind" in found.do) == ("warning", True)


def test_a_relay_that_refuses_is_silent_or_private_is_each_told_with_its_own_way_out() -> None:
    refusing = Answer(RELAY, fault="STUN transaction failed (401 - Unauthorized)", refused=True)
    found = reached(IceFacts(turn=(refusing,)), **TURN)["TURN"]
    assert (found.verdict, "static-auth-secret" in found.do) == ("problem", True)
    found = reached(IceFacts(turn=(Answer(RELAY, fault="no answer"),)), **TURN)["TURN"]
    assert (found.verdict, "firewall" in found.do) == ("problem", True)
    found = reached(IceFacts(turn=(Answer(RELAY, address="10.0.0.5"),)), **TURN)["TURN"]
    assert (found.verdict, "external-ip" in found.do) == ("warning", True)


def test_relay_only_tells_that_no_address_is_bound() -> None:
    facts = IceFacts(turn=(Answer(RELAY, address="203.0.113.50"),))
    found = reached(facts, **TURN, ice_policy="relay")
    assert (found["UDP"].verdict, "relay" in found["UDP"].says) == ("ok", True)


def test_the_report_really_binds_and_asks(
    capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEGLASS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("LIVEGLASS_ICE_TURN_SECRET", "north-wind")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.create_server(("127.0.0.1", 0)) as closed:
        taken.bind(("127.0.0.1", 0))
        port, dead = taken.getsockname()[1], closed.getsockname()[1]
        closed.close()
        turn = f"turn:127.0.0.1:{dead}?transport=tcp"
        assert cli.main(["doctor", "--port", "0", "--ice-ports", str(port), "--ice-turn", turn]) == 1
    shown = capsys.readouterr().out
    assert f"Every port of ice_ports {port} is in use on 127.0.0.1" in shown
    assert f"PROBLEM  TURN     {turn}" in shown
    assert "north-wind" not in shown


def test_the_whole_report_covers_every_part(
    capsys: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEGLASS_STATE_DIR", str(tmp_path))
    assert cli.main(["doctor", "--port", "0"]) == 0
    shown = capsys.readouterr().out
    for part in ("GPU", "port", "state", "codecs", "TLS", "UDP", "TURN"):
        assert part in shown
    assert "H.264 and VP8, both ways" in shown
    assert "127.0.0.1, any free UDP port" in shown
