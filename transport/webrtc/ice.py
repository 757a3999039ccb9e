"""How a peer finds its way here: what is configured, and what of it a browser is told.

Pure: no sockets, no clock, and no aiortc, so that the command line reads it quickly; `gatherer` does the work. Any
thread.
"""

import base64
import hashlib
import hmac
import ipaddress
import re
from typing import Literal

import msgspec

_URL = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?"
)
_DEFAULT_PORT = {"stun": 3478, "turn": 3478, "turns": 5349}
LOWEST_PORT = 1024


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A STUN or TURN server as RTCPeerConnection takes it (`RTCIceServer` of W3C WebRTC, section 4.2.4)."""

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""


class IceUrl(msgspec.Struct, frozen=True):
    """A STUN or TURN address in its parts (RFC 7064, RFC 7065).

    Attributes:
        host: a name or an address, IPv6 without its brackets.
        transport: how the server itself is reached; what it relays is always UDP.
    """

    scheme: Literal["stun", "turn", "turns"]
    host: str
    port: int
    transport: Literal["udp", "tcp"]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}:{host}:{self.port}" + ("" if self.scheme == "stun" else f"?transport={self.transport}")


class IceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How this server is reached by UDP.

    Attributes:
        bind: addresses to receive on; empty: those of every interface but loopback; `0.0.0.0` or `::` likewise, for one
            version of IP.
        ports: the UDP ports that peers take, both ends included; None: any free one.
        public_address: told to peers beside the private address, at the same port (1:1 NAT, a container).
        stun: `stun:host[:port]`, asked under which address the outside sees this server.
        turn: relays, as `turn:host[:port][?transport=udp|tcp]` or `turns:…`, the best first.
        turn_secret: the relay's shared secret; credentials are made from it for each session (`turn_credential`).
        turn_username: a fixed account there instead, with `turn_password`.
        turn_ttl_s: seconds for which such credentials open new allocations.
        policy: `relay` gathers relayed candidates only, so that no address of this machine is told.
    """

    bind: tuple[str, ...] = ()
    ports: tuple[int, int] | None = None
    public_address: str = ""
    stun: str = ""
    turn: tuple[str, ...] = ()
    turn_secret: str = ""
    turn_username: str = ""
    turn_password: str = ""
    turn_ttl_s: int = 3600
    policy: Literal["all", "relay"] = "all"

    def servers(self, *, wall_s: float, user: str) -> tuple[IceServer, ...]:
        """What a browser is given for its RTCPeerConnection; this server gathers with the same.

        Args:
            wall_s: seconds since the epoch; credentials made from the secret hold for `turn_ttl_s` from then on.
            user: whose credentials they are, as the relay's log shows it: the session's id.
        """
        found = [IceServer((self.stun,))] if self.stun else []
        if self.turn and self.turn_secret:
            username = f"{int(wall_s) + self.turn_ttl_s}:{user}"
            found.append(IceServer(self.turn, username, turn_credential(self.turn_secret, username)))
        elif self.turn:
            found.append(IceServer(self.turn, self.turn_username, self.turn_password))
        return tuple(found)


def turn_credential(secret: str, username: str) -> str:
    """The password that coturn's `use-auth-secret` expects of `username` (`expiry:user`).

    Source: draft-uberti-behave-turn-rest-00, section 2.2; SHA-1 is the draft's, and HMAC with it is not broken.
    """
    return base64.b64encode(hmac.digest(secret.encode(), username.encode(), hashlib.sha1)).decode()


def parse_url(text: str) -> IceUrl:
    """A STUN or TURN address in its parts, with the defaults of its scheme filled in.

    Raises:
        ValueError: not such an address, and why.
    """
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("write it as stun:host:port, turn:host:port?transport=udp or turns:host:port")
    scheme, transport = match["scheme"], match["transport"]
    if scheme == "stun" and transport:
        raise ValueError("a stun address has no transport")
    if scheme == "turns" and transport == "udp":
        raise ValueError("turns goes over TCP")
    port = int(match["port"] or _DEFAULT_PORT[scheme])
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is no port")
    host = match["host"].strip("[]")
    if ":" in host and not _is_address(host):
        raise ValueError(f"{host} is no address")
    if not all(1 <= len(label) <= 63 for label in host.split(".")):
        raise ValueError(f"{host} is no name")
    found = {"scheme": scheme, "host": host, "port": port, "transport": transport or _usual_transport(scheme)}
    return msgspec.convert(found, IceUrl)


def parse_ports(text: str) -> tuple[int, int] | None:
    """A range of ports, `50000-50100` or one alone, both ends included; None of an empty text.

    Raises:
        ValueError: not such a range, and why.
    """
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError("write it as 50000-50100")
    low, high = int(match[1]), int(match[2] or match[1])
    if low > high:
        raise ValueError(f"it runs backwards: {high}-{low} is meant, perhaps")
    if low < LOWEST_PORT or high > 65535:
        raise ValueError(f"ports lie between {LOWEST_PORT} and 65535")
    return low, high


def offered_addresses(bind_host: str) -> tuple[str, ...]:
    """Where peers are received when the HTTP server is bound to `bind_host` and nothing else is said.

    Loopback stays loopback: who keeps the pages to this machine keeps the pictures there too. A wildcard, or a name
    that only the system can resolve, means every interface (empty).
    """
    host = bind_host.strip("[]")
    if host == "localhost":
        return ("127.0.0.1",)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ()
    return () if address.is_unspecified else (str(address),)


def _usual_transport(scheme: str) -> str:
    return "tcp" if scheme == "turns" else "udp"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
