"""The addresses that a peer offers (RFC 8839, 5.1), and which of them this server will send to; pure.

Keeps numeric unicast addresses of UDP and nothing else: no name is looked up for a stranger, and a browser that hides
its address behind an mDNS name is found by its own checks (peer-reflexive). Any thread may call it.
"""

import ipaddress
import re
from collections.abc import Sequence

import msgspec

from liveglass.transport.webrtc.sdp import number

MAX_CANDIDATES = 32
MAX_LOOKED_AT = 128
MAX_PRIORITY = 2**31 - 1
MAX_PORT = 65_535

_CANDIDATE = re.compile(
    r"([A-Za-z0-9+/]{1,32}) 1 [Uu][Dd][Pp] ([0-9]{1,10}) ([0-9A-Fa-f:.]{2,45}) ([0-9]{1,5})"
    r" typ (host|srflx|prflx|relay)(?: .*)?"
)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a peer, as its description names it.

    Attributes:
        mid: the media line that it belongs to; empty inside an offer, where all lines share one transport.
        host: a numeric IPv4 or IPv6 address.
        type: host, srflx, prflx or relay.
    """

    mid: str = ""
    foundation: str
    component: int = 1
    protocol: str = "udp"
    priority: int
    host: str
    port: int
    type: str

    def line(self) -> str:
        """The candidate as a line of SDP."""
        address = f"{self.component} {self.protocol} {self.priority} {self.host} {self.port}"
        return f"a=candidate:{self.foundation} {address} typ {self.type}"


def usable_candidates(values: Sequence[str], *, mid: str = "") -> tuple[Candidate, ...]:
    """The usable ones among the values of `a=candidate`, at most 32, each address once; the rest is left out."""
    kept: dict[tuple[str, int], Candidate] = {}
    for value in values[:MAX_LOOKED_AT]:
        candidate = _read(value, mid)
        if candidate is not None:
            kept.setdefault((candidate.host, candidate.port), candidate)
        if len(kept) == MAX_CANDIDATES:
            break
    return tuple(kept.values())


def _read(value: str, mid: str) -> Candidate | None:
    match = _CANDIDATE.fullmatch(value)
    if match is None:
        return None
    foundation, priority_text, host_text, port_text, kind = match.groups()
    priority = number(priority_text, least=1, most=MAX_PRIORITY)
    port = number(port_text, least=1, most=MAX_PORT)
    host = _unicast(host_text)
    if priority is None or port is None or host is None:
        return None
    return Candidate(mid=mid, foundation=foundation, priority=priority, host=host, port=port, type=kind)


def _unicast(text: str) -> str | None:
    """The address in its usual spelling, None unless one machine can be meant by it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_multicast or address.is_unspecified:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        this_network = int(address) >> 24 == 0
        # 240.0.0.0/4, with the broadcast address at its end.
        return None if this_network or address.is_reserved else str(address)
    # A link-local address says nothing without its zone; a mapped one is an IPv4 address that hides.
    return None if address.is_link_local or address.ipv4_mapped is not None else str(address)
