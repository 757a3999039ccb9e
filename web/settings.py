"""Every setting, its type, its value and where that came from; pure but for reading one file.

Flags win over `LIVEGLASS_*`, which win over a TOML file, which wins over the defaults. Never guesses: an unknown key or
a value of the wrong type ends the start with its name, its origin and the nearest known word.
"""

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
import platformdirs
from msgspec import Meta

from liveglass.engine.models import registry
from liveglass.engine.models.diffusion.presets import PRESETS
from liveglass.engine.validation import did_you_mean
from liveglass.transport.webrtc.ice import IceSettings, offered_addresses, parse_ports
from liveglass.web.errors import SettingsRefused
from liveglass.web.ice_checks import check_ice

PREFIX = "LIVEGLASS_"
SECRETS = frozenset({"secret", "operator_token", "ice_turn_secret", "ice_turn_password"})
LISTS = frozenset({"allow_origin", "ice_bind", "ice_turn"})
_MAKE_ONE = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
_HOW_TO_BE_SAFE = (
    "Set LIVEGLASS_OPERATOR_TOKEN to a long random text (for one: python -c "
    "'import secrets; print(secrets.token_urlsafe(32))'), or stay on --host 127.0.0.1."
)


def _state_dir() -> str:
    return platformdirs.user_state_dir("liveglass", appauthor=False)


def _models_dir() -> str:
    return str(Path(platformdirs.user_cache_dir("liveglass", appauthor=False)) / "models")


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server runs with.

    Attributes:
        open: show the studio in the browser once the server is ready.
        tls: `self-signed` makes a certificate; else `tls_cert` and `tls_key` name files (PEM).
        public_url: the address that clients see, where it is not the one bound (a proxy, a port mapping).
        secret: signs the session tokens; without one a random one is kept in `state_dir`.
        operator_token: opens sessions and reads metrics from anywhere.
        allow_origin: sites that may embed this server and call it, as `https://host[:port]`.
        models_dir: where what is fetched is kept.
        fetch_models: fetch the person mask when it is first needed; else `liveglass models get person-mask` does.
        linger_s: seconds that a session outlives its last connection.
        threads: CPU threads of the model; 0 lets it choose.
        compile: run a model's networks through torch.compile: a start of minutes, faster frames.
        spare: keep a second worker loaded and warm, to take over at once; doubles the model's memory.
        ice_bind: addresses on which WebRTC peers are received; without any it follows `host`.
        ice_ports: the UDP ports they take, as `50000-50100`; without, any free one.
        ice_public_address: told to them beside the private address (1:1 NAT, a container).
        ice_stun: `stun:host:port`, asked for the address that the outside sees.
        ice_turn: relays for peers that nothing else reaches, as `turn:host:port?transport=udp`, the best first.
        ice_turn_secret: the relay's shared secret; or `ice_turn_username` and `ice_turn_password`, a fixed account.
        ice_policy: `relay` tells peers no address of this machine.
        step_delay_ms: a test setting: makes each denoise step of any model slower.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8787
    model: str = "nano"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    open: bool = True
    tls: Literal["off", "self-signed"] = "off"
    tls_cert: str = ""
    tls_key: str = ""
    public_url: str = ""
    secret: str = ""
    operator_token: str = ""
    allow_origin: tuple[str, ...] = ()
    state_dir: str = msgspec.field(default_factory=_state_dir)
    models_dir: str = msgspec.field(default_factory=_models_dir)
    fetch_models: bool = True
    ice_bind: tuple[str, ...] = ()
    ice_ports: str = ""
    ice_public_address: str = ""
    ice_stun: str = ""
    ice_turn: tuple[str, ...] = ()
    ice_turn_secret: str = ""
    ice_turn_username: str = ""
    ice_turn_password: str = ""
    ice_policy: Literal["all", "relay"] = "all"
    linger_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    queue_limit: Annotated[int, Meta(ge=0, le=1000)] = 16
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    compile: bool = False
    spare: bool = False
    worker_mode: Literal["process", "thread"] = "process"
    step_delay_ms: Annotated[float, Meta(ge=0, le=60_000)] = 0.0
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach it: bound to loopback and not behind a public address."""
        return is_loopback(self.host) and (not self.public_url or is_loopback(urlsplit(self.public_url).hostname or ""))

    @property
    def is_tls(self) -> bool:
        """Whether the server itself speaks TLS."""
        return self.tls == "self-signed" or bool(self.tls_cert)

    @property
    def operator_credential(self) -> str:
        """What an operator presents: the operator token, else the secret (who has it could sign anything anyway)."""
        return self.operator_token or self.secret

    @property
    def ice(self) -> IceSettings:
        """How WebRTC peers reach this server."""
        return IceSettings(
            bind=self.ice_bind or offered_addresses(self.host),
            ports=parse_ports(self.ice_ports),
            public_address=self.ice_public_address,
            stun=self.ice_stun,
            turn=self.ice_turn,
            turn_secret=self.ice_turn_secret,
            turn_username=self.ice_turn_username,
            turn_password=self.ice_turn_password,
            policy=self.ice_policy,
        )


class Resolved(msgspec.Struct, frozen=True):
    """Settings, and for each by name the place that decided it."""

    settings: Settings
    origins: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """The result and the origin of each value, one a line, secrets masked."""
        rows = []
        for name in Settings.__struct_fields__:
            value = getattr(self.settings, name)
            shown = "********" if name in SECRETS and value else msgspec.json.encode(value).decode()
            rows.append((f"{name} = {shown}", self.origins[name]))
        width = min(72, max(len(left) for left, _ in rows))
        return "\n".join(f"{left:<{width}}  # {origin}" for left, origin in rows)


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address) means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def resolve(flags: Mapping[str, object], environ: Mapping[str, str], config: str | None = None) -> Resolved:
    """Put the settings together.

    Args:
        flags: what the command line gave, by setting; nothing for what it left out.
        environ: the process's environment.
        config: a TOML file named on the command line; else `LIVEGLASS_CONFIG` may name one.

    Raises:
        SettingsRefused: an unknown key, a value that does not fit, or a combination that is not safe.
    """
    known = Settings.__struct_fields__
    values: dict[str, object] = {}
    origins = dict.fromkeys(known, "default")
    notes = []
    file = config or environ.get(f"{PREFIX}CONFIG") or ""
    if file:
        for name, value in _read_file(Path(file)).items():
            values[name], origins[name] = value, f"file {file}"
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not environ[variable]:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in known:
            values[name], origins[name] = _from_text(name, environ[variable]), variable
        elif name != "config":
            notes.append(f"{variable} is no setting. {did_you_mean(name, known)}")
    for name, value in flags.items():
        values[name], origins[name] = value, _flag(name, value)
    settings = _typed(values, origins)
    _check(settings)
    return Resolved(settings, MappingProxyType(origins), tuple(notes))


def _flag(name: str, value: object) -> str:
    flag = name.replace("_", "-")
    return f"--no-{flag}" if value is False else f"--{flag}"


def _from_text(name: str, text: str) -> object:
    if name in LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _read_file(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsRefused(
            f"The settings file {path} cannot be read: {error.strerror}.", hint="Name another with --config."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"The settings file {path} is not TOML: {error}.", hint="Correct it.") from None
    for name in values:
        if name not in Settings.__struct_fields__:
            raise SettingsRefused(
                f"{path}: there is no setting {name!r}.",
                hint=did_you_mean(name, Settings.__struct_fields__),
                field=name,
            )
    return values


def _typed(values: Mapping[str, object], origins: Mapping[str, str]) -> Settings:
    typed: dict[str, object] = {}
    for field in msgspec.structs.fields(Settings):
        if field.name not in values:
            continue
        value, origin = values[field.name], origins[field.name]
        try:
            typed[field.name] = msgspec.convert(value, field.type, strict=origin.startswith("file "))
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            shown = "" if field.name in SECRETS else f" {value!r}"
            raise SettingsRefused(
                f"{field.name} from {origin}{shown} cannot be used: {error}.",
                hint="Correct it; `liveglass serve --help` lists the settings.",
                field=field.name,
            ) from None
    return msgspec.convert(typed, Settings)


def _check(settings: Settings) -> None:
    if not settings.host or any(c in settings.host for c in "/ "):
        raise SettingsRefused(f"host {settings.host!r} is no address.", hint="Use an address or a name.", field="host")
    for origin in settings.allow_origin:
        _check_origin(origin, "allow_origin")
    if settings.public_url:
        _check_origin(settings.public_url, "public_url")
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise SettingsRefused(
            "A certificate needs its key.", hint="Give both --tls-cert and --tls-key.", field="tls_cert"
        )
    if settings.tls == "self-signed" and settings.tls_cert:
        raise SettingsRefused(
            "Both a certificate and --tls self-signed were given.", hint="Choose one of them.", field="tls"
        )
    _check_worker(settings)
    if not is_loopback(settings.host) and not settings.operator_credential:
        raise SettingsRefused(
            f"Binding to {settings.host} without a secret would let anybody who can reach it in.",
            hint=_HOW_TO_BE_SAFE,
            field="operator_token",
        )
    for name in SECRETS:
        text = getattr(settings, name)
        if text and not (text.isascii() and text.isprintable() and " " not in text and len(text) >= 8):
            raise SettingsRefused(
                f"{name} needs 8 or more printable ASCII characters without spaces.", hint=_MAKE_ONE, field=name
            )
    check_ice(settings)


def _check_worker(settings: Settings) -> None:
    if settings.compile and not registry.is_compilable(settings.model):
        raise SettingsRefused(
            f"{settings.model} has no networks that are compiled.",
            hint=f"Leave out --compile, or choose one of {', '.join(PRESETS)} or packed:OWNER/NAME.",
            field="compile",
        )
    if settings.spare and settings.worker_mode == "thread":
        raise SettingsRefused(
            "A spare worker outlives a process; threads die together.",
            hint="Leave out --spare or --worker-mode thread.",
            field="spare",
        )


def _check_origin(text: str, field: str) -> None:
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        good = False
    if not good or text.count("/") > 2 + text.endswith("/") or "@" in text or "?" in text or "#" in text:
        raise SettingsRefused(
            f"{field} {text!r} is no origin.", hint="Write it as https://host or https://host:port.", field=field
        )
