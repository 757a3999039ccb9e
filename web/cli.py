"""The command `liveglass`: reads its arguments, does one thing, and says in one line what went wrong. Main thread.

A mistake of the user ends with a line, a hint and status 2, never with a traceback.
"""

import argparse
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from liveglass.engine.errors import LiveglassError
from liveglass.engine.validation import did_you_mean
from liveglass.web import keys
from liveglass.web.settings import Resolved, Settings, resolve

COMMANDS = ("serve", "models", "keys", "doctor", "chaos", "bench", "train")
_HAVE_THEIR_OWN = {"chaos", "bench", "train"}
"""Their own arguments are theirs to read."""

_SECONDS_A_DAY = 86_400


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        print(f"liveglass: there is no command {arguments[0]!r}.", file=sys.stderr)
        print(did_you_mean(arguments[0], COMMANDS), file=sys.stderr)
        return 2
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in {"-h", "--help", "--version"}):
        arguments.insert(0, "serve")
    if arguments[0] in _HAVE_THEIR_OWN:
        chosen = argparse.Namespace(command=arguments[0], rest=arguments[1:])
    else:
        chosen = _parser().parse_args(arguments)
    try:
        return _do(chosen)
    except LiveglassError as error:
        print(f"liveglass: {error.message}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough (`liveglass models | head`); Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _do(chosen: argparse.Namespace) -> int:
    if chosen.command in _HAVE_THEIR_OWN:
        return {"chaos": _chaos, "bench": _bench, "train": _train}[chosen.command](chosen.rest)
    return {"serve": _serve, "models": _models, "keys": _keys, "doctor": _doctor}[chosen.command](chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liveglass",
        description="A real-time generative video engine. Alone, it starts the server and opens the studio.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = commands.add_parser("serve", help="the server (the default command)", allow_abbrev=False)
    _add_settings(serve)
    serve.add_argument("--print-config", action="store_true", help="show every setting and where it came from")
    models = commands.add_parser("models", help="the models known here", allow_abbrev=False)
    models.add_argument("action", nargs="?", choices=["list", "get"], default="list")
    models.add_argument("name", nargs="?")
    models.add_argument("--yes", action="store_true", help="agree to the model's licence without being asked")
    _add_some(models, ("models_dir",))
    ring = commands.add_parser("keys", help="stream keys: a name, a role, an expiry", allow_abbrev=False)
    ring.add_argument("action", choices=["add", "list", "revoke"])
    ring.add_argument("name", nargs="?")
    ring.add_argument("--role", choices=["controller", "viewer"], default="controller")
    ring.add_argument("--expires-days", type=_days, metavar="N", help="days until it expires (default: never)")
    _add_some(ring, ("state_dir",))
    doctor = commands.add_parser(
        "doctor", help="checks GPU, ports, codecs, TLS, UDP and TURN, and says what to do", allow_abbrev=False
    )
    _add_settings(doctor)
    commands.add_parser("chaos", help="breaks a server on purpose and says what its viewers saw (liveglass[chaos])")
    commands.add_parser("bench", help="the benchmarks (they need a clone)")
    commands.add_parser("train", help="the built-in model's trainer (pip install liveglass[train])")
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    flags = {
        "host": "address to bind (default 127.0.0.1)",
        "port": "port to bind (default 8787; 0 takes a free one)",
        "model": "nano (default); null and sleep:MS[:JITTER] are for measuring",
        "device": "auto (default), cuda, mps or cpu",
        "tls": "self-signed: make a certificate for this machine",
        "tls_cert": "certificate file (PEM)",
        "tls_key": "its key file (PEM)",
        "public_url": "the address that clients see, behind a proxy or a port mapping",
        "secret": "signs the tokens (better in LIVEGLASS_SECRET: flags show in the list of processes)",
        "operator_token": "opens sessions from anywhere (better in LIVEGLASS_OPERATOR_TOKEN)",
        "state_dir": "where keys, the secret and named sessions are kept",
        "models_dir": "where what is fetched is kept",
        "linger_s": "seconds that a session outlives its last connection (default 30)",
        "queue_limit": "sessions that may wait for a place (default 16)",
        "threads": "CPU threads of the model (default 0: it chooses)",
        "worker_mode": "process (default) or thread",
        "step_delay_ms": "a test setting: makes each step of any model slower",
        "log_format": "auto (default), console or json",
        "log_level": "debug, info (default), warning or error",
    }
    _add_some(parser, tuple(flags), flags)
    parser.add_argument(
        "--allow-origin", action="append", metavar="URL", help="a site that may embed and call this server; repeatable"
    )
    _add_ice(parser)
    parser.add_argument(
        "--spare", action="store_true", default=None, help="keep a second worker warm, to take over at once"
    )
    parser.add_argument(
        "--compile", action="store_true", default=None, help="run the model's networks through torch.compile"
    )
    for name, text in (("open", "open no browser"), ("fetch_models", "fetch nothing, not even on its first use")):
        flag = name.replace("_", "-")
        parser.add_argument(f"--no-{flag}", dest=name, action="store_false", default=None, help=text)
        parser.add_argument(f"--{flag}", dest=name, action="store_true", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--config", metavar="FILE", help="a TOML file with settings")


def _add_ice(parser: argparse.ArgumentParser) -> None:
    webrtc = parser.add_argument_group("WebRTC", "how peers reach this server by UDP; see docs/network.md")
    for name, metavar, text in (
        ("ice-bind", "ADDRESS", "address to receive peers on (default: as --host); repeatable"),
        ("ice-turn", "URL", "relay, as turn:host:port?transport=udp or turns:host:port; repeatable, the best first"),
    ):
        webrtc.add_argument(f"--{name}", action="append", metavar=metavar, help=text)
    helps = {
        "ice_ports": "UDP ports that peers take, as 50000-50100 (default: any free one)",
        "ice_public_address": "address that the outside sees, behind 1:1 NAT or in a container",
        "ice_stun": "stun:host:port, asked for that address",
        "ice_turn_secret": "the relay's shared secret (better in LIVEGLASS_ICE_TURN_SECRET)",
        "ice_turn_username": "a fixed account at the relay, instead of a secret",
        "ice_turn_password": "its password (better in LIVEGLASS_ICE_TURN_PASSWORD)",
        "ice_policy": "all (default), or relay: tell peers no address of this machine",
    }
    _add_some(webrtc, tuple(helps), helps)


def _add_some(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    names: tuple[str, ...],
    helps: dict[str, str] | None = None,
) -> None:
    for name in names:
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, metavar=name.split("_")[-1].upper(), help=(helps or {}).get(name)
        )


def _resolved(chosen: argparse.Namespace) -> Resolved:
    given = {name: value for name, value in vars(chosen).items() if name in Settings.__struct_fields__}
    flags = {name: value for name, value in given.items() if value is not None}
    return resolve(flags, os.environ, vars(chosen).get("config"))


def _serve(chosen: argparse.Namespace) -> int:
    resolved = _resolved(chosen)
    if chosen.print_config:
        print(resolved.table())
        return 0
    from liveglass.web import logs, server  # noqa: PLC0415 - `--help` should not wait for them

    settings = resolved.settings
    logs.set_up(settings)
    for note in resolved.notes:
        print(f"liveglass: {note}", file=sys.stderr)

    def on_ready(address: str) -> None:
        print(f"liveglass ready at {address}", flush=True)
        if settings.open:
            # Some browsers do not return before they are closed; the event loop cannot wait for that.
            threading.Thread(target=webbrowser.open, args=(f"{address}/",), daemon=True, name="browser").start()

    server.run(settings, on_ready)
    return 0


def _models(chosen: argparse.Namespace) -> int:
    from liveglass.web import catalogue  # noqa: PLC0415 - `--help` should not wait for it

    if chosen.action == "get":
        if chosen.name is None:
            raise catalogue.no_name()
        agrees = _agrees if not chosen.yes else lambda _: True
        catalogue.fetch(chosen.name, Path(_resolved(chosen).settings.models_dir), print, agrees)
    else:
        print(catalogue.table(Path(_resolved(chosen).settings.models_dir)))
    return 0


def _agrees(question: str) -> bool:
    """Somebody's answer; no where nobody can be asked."""
    return sys.stdin.isatty() and input(question).strip().lower() in {"y", "yes"}


def _keys(chosen: argparse.Namespace) -> int:
    ring = keys.KeyRing(Path(_resolved(chosen).settings.state_dir))
    if chosen.action == "list":
        print(keys.table(ring.all()))
        return 0
    name = keys.check_name(chosen.name or "")
    if chosen.action == "revoke":
        ring.revoke(name)
        print(f"The stream key {name!r} is refused from now on.")
        return 0
    life_s = None if chosen.expires_days is None else chosen.expires_days * _SECONDS_A_DAY
    key = ring.add(name, chosen.role, life_s)
    print(key)
    print("Keep it: it cannot be shown again. It goes into Authorization: Bearer.", file=sys.stderr)
    return 0


def _doctor(chosen: argparse.Namespace) -> int:
    from liveglass.web.doctor import report  # noqa: PLC0415 - `--help` should not wait for it

    return report(_resolved(chosen).settings)


def _chaos(rest: list[str]) -> int:
    from liveglass.web import catalogue  # noqa: PLC0415 - `--help` should not wait for it

    return catalogue.chaos(rest)


def _bench(rest: list[str]) -> int:
    from liveglass.web import catalogue  # noqa: PLC0415 - `--help` should not wait for it

    name, options = (rest[0], rest[1:]) if rest and not rest[0].startswith("-") else ("live", rest)
    script = str(catalogue.benchmark(name))
    # In the place of this process, so that a signal reaches the benchmark itself.
    os.execv(sys.executable, [sys.executable, script, *options])  # noqa: S606 - a script of ours


def _train(rest: list[str]) -> int:
    from liveglass.web import catalogue  # noqa: PLC0415 - `--help` should not wait for it

    return catalogue.train(rest)


def _days(text: str) -> float:
    days = float(text)
    if not 0 < days < 36_500:
        raise argparse.ArgumentTypeError("give days between 0 and 36,500")
    return days


def _version() -> str:
    return f"liveglass {version('liveglass')}"
