"""What the settings of WebRTC's way here must be, alone and together. Pure: nothing is bound or asked (`doctor` does).

Never corrects a value: each refusal names the setting and says how it is written.
"""

import ipaddress
from typing import TYPE_CHECKING

from liveglass.transport.webrtc.ice import offered_addresses, parse_ports, parse_url
from liveglass.web.errors import SettingsRefused

if TYPE_CHECKING:
    from liveglass.web.settings import Settings

_MOST_RELAYS = 8


def check_ice(settings: "Settings") -> None:
    """See that peers can be received as these settings say.

    Raises:
        SettingsRefused: they cannot, with the setting at fault.
    """
    for address in settings.ice_bind:
        _address(address, "ice_bind")
    _ports(settings.ice_ports)
    if settings.ice_public_address:
        _public_address(settings)
    if settings.ice_stun:
        _url(settings.ice_stun, "ice_stun", ("stun",))
    for url in settings.ice_turn:
        _url(url, "ice_turn", ("turn", "turns"))
    if len(settings.ice_turn) > _MOST_RELAYS:
        raise SettingsRefused(
            f"ice_turn names {len(settings.ice_turn)} relays.", hint=f"{_MOST_RELAYS} are enough.", field="ice_turn"
        )
    _credentials(settings)
    if settings.ice_policy == "relay" and not settings.ice_turn:
        raise SettingsRefused(
            "ice_policy relay without a relay would reach nobody.",
            hint="Name one with --ice-turn turn:host:port, and its secret.",
            field="ice_policy",
        )


def _credentials(settings: "Settings") -> None:
    fixed = bool(settings.ice_turn_username), bool(settings.ice_turn_password)
    if any(fixed) and not all(fixed):
        raise SettingsRefused(
            "A fixed account at the relay needs its name and its password.",
            hint="Give both ice_turn_username and ice_turn_password.",
            field="ice_turn_password" if fixed[0] else "ice_turn_username",
        )
    if settings.ice_turn_secret and any(fixed):
        raise SettingsRefused(
            "Both a secret and a fixed account were given for the relay.",
            hint="Keep ice_turn_secret where the relay shares it (coturn: use-auth-secret), else the account.",
            field="ice_turn_secret",
        )
    known = settings.ice_turn_secret or any(fixed)
    if settings.ice_turn and not known:
        raise SettingsRefused(
            "ice_turn needs credentials: browsers use no relay without.",
            hint="Set LIVEGLASS_ICE_TURN_SECRET to the relay's shared secret (coturn: static-auth-secret).",
            field="ice_turn_secret",
        )
    if known and not settings.ice_turn:
        raise SettingsRefused(
            "There are credentials for a relay, but no relay.",
            hint="Name it with --ice-turn turn:host:port.",
            field="ice_turn",
        )


def _public_address(settings: "Settings") -> None:
    public = _address(settings.ice_public_address, "ice_public_address")
    if public.is_unspecified or public.is_loopback or public.is_multicast:
        raise SettingsRefused(
            f"ice_public_address {settings.ice_public_address!r} leads nobody here.",
            hint="Give the address that clients reach this machine under.",
            field="ice_public_address",
        )
    bind = settings.ice_bind or offered_addresses(settings.host)
    if bind and all(ipaddress.ip_address(address).is_loopback for address in bind):
        raise SettingsRefused(
            "ice_public_address tells peers to come from outside, but they are received on loopback only.",
            hint="Name the address that it maps to with --ice-bind (0.0.0.0: every interface).",
            field="ice_bind",
        )


def _address(text: str, field: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        if "%" not in text:
            return ipaddress.ip_address(text)
    except ValueError:
        pass
    raise SettingsRefused(
        f"{field} {text!r} is no address.", hint="Write it in figures, as 192.0.2.7 or 2001:db8::7.", field=field
    ) from None


def _ports(text: str) -> None:
    try:
        parse_ports(text)
    except ValueError as fault:
        raise SettingsRefused(
            f"ice_ports {text!r} is no range of ports: {fault}.", hint="For example 50000-50100.", field="ice_ports"
        ) from None


def _url(text: str, field: str, schemes: tuple[str, ...]) -> None:
    try:
        if parse_url(text).scheme in schemes:
            return
        fault = f"it does not start with {' or '.join(f'{scheme}:' for scheme in schemes)}"
    except ValueError as error:
        fault = str(error)
    example = "stun:stun.example.org:3478" if field == "ice_stun" else "turn:turn.example.org:3478?transport=udp"
    raise SettingsRefused(
        f"{field} {text!r} cannot be used: {fault}.", hint=f"For example {example}.", field=field
    ) from None
