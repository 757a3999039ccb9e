"""The part of `doctor` about networks: what follows for clients from where WebRTC peers can be received. Pure.

Never says that a client will get through: that depends on its network too. Says what certainly stops it.
"""

import ipaddress
from typing import TYPE_CHECKING

from liveglass.web.findings import Finding
from liveglass.web.settings import Settings

if TYPE_CHECKING:
    from liveglass.transport.webrtc.probe import Answer, IceFacts

_FALLBACK = "Clients that no UDP reaches use the WebSocket."
_ELSEWHERE = (
    "For clients elsewhere: forward a range of UDP ports to this machine and give --ice-public-address and "
    "--ice-ports, or name a relay with --ice-turn (docs/network.md)."
)

_INSIDE = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("fc00::/7", "fe80::/10", "::1/128"),
    )
)


def reach_findings(settings: Settings, facts: "IceFacts") -> tuple[Finding, ...]:
    """What follows from the facts, in the order in which a packet would meet it."""
    asked = [_stun(settings, answer, facts) for answer in facts.stun]
    relays = [_turn(answer) for answer in facts.turn]
    return (_udp(settings, facts), *asked, *(relays or [_no_turn(settings)]))


def _udp(settings: Settings, facts: "IceFacts") -> Finding:
    if settings.ice_policy == "relay":
        return Finding("UDP", "ok", "Not bound: ice_policy is relay, so peers come through the relay only.")
    good = [bound.address for bound in facts.bound if not bound.fault]
    bad = [f"{bound.address} cannot be bound ({bound.fault})" for bound in facts.bound if bound.fault]
    if any(bound.full for bound in facts.bound):
        said = f"Every port of ice_ports {settings.ice_ports} is in use on "
        said += f"{', '.join(bound.address for bound in facts.bound if bound.full)}."
        return Finding("UDP", "warning" if good else "problem", said, "Widen ice_ports, in the firewall too.")
    if bad:
        do = "--ice-bind takes addresses of this machine; without it, all of them are used."
        return Finding("UDP", "warning" if good else "problem", f"{'; '.join(bad)}.", do)
    return _offered(settings, good)


def _offered(settings: Settings, addresses: list[str]) -> Finding:
    ports = f"UDP ports {settings.ice_ports}" if settings.ice_ports else "any free UDP port"
    said = f"Peers are received on {', '.join(addresses)}, {ports}."
    public = settings.ice_public_address
    if all(ipaddress.ip_address(address).is_loopback for address in addresses):
        if settings.is_loopback:
            return Finding("UDP", "ok", said)
        do = "Give --ice-bind 0.0.0.0, and --ice-public-address if the machine is behind NAT."
        return Finding("UDP", "warning", f"{said} But the pages are reached from elsewhere. {_FALLBACK}", do)
    if public:
        said = f"{said} They are told {public} too."
        if not settings.ice_ports:
            return Finding("UDP", "warning", said, "Give --ice-ports: a port mapping needs to know which to forward.")
        return Finding("UDP", "ok", said)
    if all(_is_private(address) for address in addresses) and not settings.ice_turn:
        return Finding("UDP", "ok", f"{said} Clients in the same network reach it.", _ELSEWHERE)
    return Finding("UDP", "ok", said)


def _stun(settings: Settings, answer: "Answer", facts: "IceFacts") -> Finding:
    if answer.fault:
        do = "Check ice_stun and that UDP may leave, or drop it: each connection waits two seconds for it."
        return Finding("STUN", "problem", f"{answer.url}: {answer.fault}.", do)
    seen, public = answer.address, settings.ice_public_address
    said = f"{answer.url} sees this machine as {seen}."
    if public and public != seen:
        return Finding("STUN", "warning", f"{said} ice_public_address says {public}.", "Correct the one that is wrong.")
    if public or seen in {bound.address for bound in facts.bound}:
        return Finding("STUN", "ok", said)
    if settings.ice_turn:
        return Finding("STUN", "ok", f"{said} It is behind NAT; peers that this stops have the relay.")
    return Finding("STUN", "warning", f"{said} It is behind NAT, and clients elsewhere may not get in.", _ELSEWHERE)


def _turn(answer: "Answer") -> Finding:
    if answer.refused:
        do = (
            "ice_turn_secret must be the relay's static-auth-secret, and both clocks right; or check the fixed account."
        )
        return Finding("TURN", "problem", f"{answer.url} refuses the credentials: {answer.fault}.", do)
    if answer.fault:
        do = "Check its address, that it runs, and that the firewall lets this machine reach it."
        return Finding("TURN", "problem", f"{answer.url}: {answer.fault}.", do)
    said = f"{answer.url} relays at {answer.address}."
    if _is_private(answer.address):
        do = "For clients elsewhere, give coturn its public address (external-ip)."
        return Finding("TURN", "warning", f"{said} That is a private address.", do)
    return Finding("TURN", "ok", said)


def _no_turn(settings: Settings) -> Finding:
    if settings.is_loopback:
        return Finding("TURN", "ok", "Not needed on one machine.")
    return Finding("TURN", "ok", f"None. {_FALLBACK}")


def _is_private(address: str) -> bool:
    """Whether an address means something inside one network only (RFC 1918, 6598, 3927, 4193, 4291)."""
    found = ipaddress.ip_address(address)
    return any(found in network for network in _INSIDE if network.version == found.version)
