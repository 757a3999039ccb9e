"""The command as people run it: what it prints, how it ends, what it leaves behind."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from liveglass.web import cli
from liveglass.web.keys import KeyRing

COMMAND = Path(sys.executable).with_name("liveglass")
READY = re.compile(r"liveglass ready at (http://127\.0\.0\.1:\d+)\n")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("LIVEGLASS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LIVEGLASS_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[tuple[Process, str]]:
    """`liveglass` with these arguments, once it is ready, and its address."""
    process = await asyncio.create_subprocess_exec(COMMAND, *arguments, stdout=PIPE, stderr=PIPE)
    assert process.stdout
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        found = READY.fullmatch(line)
        assert found, line
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


async def test_the_ready_line_is_true_and_the_only_one_on_standard_output() -> None:
    async with running("serve", "--model", "null", "--port", "0", "--no-open") as (process, address):
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{address}/readyz")).status_code == 200
        process.send_signal(signal.SIGTERM)
        rest, logs = await process.communicate()
    assert rest == b""
    assert b"Traceback" not in logs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_within_5_s_and_no_process_is_left(number: signal.Signals) -> None:
    async with running("--model", "null", "--port", "0", "--no-open") as (process, address):
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(f"{address}/v1/sessions", json={"source": "sample"})
        process.send_signal(number)
        await asyncio.wait_for(process.wait(), 5)
        assert process.returncode == 0
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 5)
    assert not alive


async def test_a_killed_server_leaves_no_worker_behind() -> None:
    async with running("--model", "null", "--port", "0", "--no-open") as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        await process.wait()
        gone, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
    assert gone
    assert not alive


async def test_a_setting_that_delays_each_step_reaches_the_worker() -> None:
    arguments = ("--model", "null", "--port", "0", "--no-open", "--step-delay-ms", "50", "--worker-mode", "thread")
    async with running(*arguments) as (_, address), httpx.AsyncClient(trust_env=False) as client:
        resident = (await client.get(f"{address}/v1/models")).json()["models"][0]
        assert resident["measured"]["p50_ms"] >= 50


async def test_no_secret_no_token_and_no_prompt_is_logged() -> None:
    arguments = ("--model", "null", "--port", "0", "--no-open", "--log-format", "json", "--log-level", "debug")
    async with running(*arguments) as (process, address):
        async with httpx.AsyncClient(trust_env=False) as client:
            opened = (await client.post(f"{address}/v1/sessions", json={"prompt": "a private wish"})).json()
            url = f"{address}/v1/sessions/{opened['id']}?token={opened['token']}"
            assert (await client.get(url)).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, raw = await process.communicate()
    logs = raw.decode()
    assert opened["token"] not in logs
    assert opened["viewer_token"] not in logs
    assert "a private wish" not in logs
    lines = [json.loads(line) for line in logs.splitlines()]
    line = next(line for line in lines if line.get("method") == "GET")
    assert line["address"] == f"/v1/sessions/{opened['id']}?token=***"
    assert line["status"] == 200
    assert line["duration_ms"] > 0


def test_print_config_shows_values_origins_and_no_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEGLASS_OPERATOR_TOKEN", "very-secret-text")
    assert run("serve", "--port", "9999", "--allow-origin", "https://a.example", "--print-config") == 0
    shown = capsys.readouterr().out
    assert re.search(r"^port = 9999 +# --port$", shown, re.MULTILINE)
    assert re.search(r"^operator_token = \*+ +# LIVEGLASS_OPERATOR_TOKEN$", shown, re.MULTILINE)
    assert re.search(r'^allow_origin = \["https://a.example"\] +# --allow-origin$', shown, re.MULTILINE)
    assert "very-secret-text" not in shown


def test_serve_is_the_default_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--print-config", "--no-open") == 0
    assert re.search(r"^open = false +# --no-open$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--host", "0.0.0.0"], ["without a secret", "LIVEGLASS_OPERATOR_TOKEN"]),
        (["serve", "--model", "nanna"], ["no model 'nanna'", "nano"]),
        (["serve", "--port", "many"], ["port", "--port"]),
        (["serve", "--config", "/no/such/file.toml"], ["/no/such/file.toml"]),
        (["serve", "--tls-cert", "/no/cert.pem", "--tls-key", "/no/key.pem"], ["certificate"]),
        (["serve", "--host", "no.such.host.invalid", "--operator-token", "long-enough"], ["no.such.host.invalid"]),
        (["serv"], ["no command 'serv'", "serve"]),
        (["models", "get"], ["Which model", "nano"]),
        (["models", "get", "nan"], ["no model 'nan'", "nano"]),
        (["keys", "add"], ["no name"]),
        (["keys", "revoke", "cam"], ["no stream key 'cam'"]),
        (["bench", "no-such"], ["no benchmark 'no-such'"]),
    ],
)
def test_a_mistake_is_one_line_and_a_hint_with_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    if arguments[0] == "serve" and "--port" not in arguments:
        arguments = [*arguments, "--port", "0"]
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    for word in words:
        assert word in shown.err
    assert len(shown.err.strip().splitlines()) <= 2
    assert "Traceback" not in shown.err


def test_a_port_in_use_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run("serve", "--model", "null", "--port", str(taken.getsockname()[1]), "--no-open") == 2
    shown = capsys.readouterr().err
    assert "in use" in shown
    assert "--port" in shown


def test_a_state_folder_that_cannot_be_made_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--model", "null", "--port", "0", "--state-dir", "/dev/null/state", "--no-open") == 2
    assert "--state-dir" in capsys.readouterr().err


def test_a_key_is_shown_once_then_listed_by_name_and_revoked(
    capsys: pytest.CaptureFixture[str], own_state: Path
) -> None:
    assert run("keys", "add", "cam", "--role", "viewer", "--expires-days", "2") == 0
    key = capsys.readouterr().out.strip()
    found = KeyRing(own_state).find(key)
    assert found is not None
    assert found.role == "viewer"
    assert run("keys", "list") == 0
    shown = capsys.readouterr().out
    assert "cam" in shown
    assert "viewer" in shown
    assert key not in shown
    assert run("keys", "revoke", "cam") == 0
    assert KeyRing(own_state).find(key) is None


def test_models_are_listed_with_licence_and_whether_they_are_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("nano"))
    assert re.match(r"nano +(yes|no) +\S+", line)


async def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    shell = f"{COMMAND} models | head -n 1"
    process = await asyncio.create_subprocess_shell(shell, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert out.startswith(b"name")
    assert err == b""
