"""What a peer proves itself with: ICE user name and password, and the fingerprint of its certificate; pure.

A line's own values go before the session's (RFC 8839, RFC 8122). Never keeps a fingerprint of a hash that is too weak
to prove anything. Any thread may call it.
"""

import re

import msgspec

from liveglass.engine.errors import MalformedSdp, UnusableOffer
from liveglass.transport.webrtc.sdp import Section

DIGEST_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
MAX_FINGERPRINTS = 8

USABLE_SETUPS = frozenset({"actpass", "active"})
_OTHER_SETUPS = frozenset({"passive", "holdconn"})

_FINGERPRINT = re.compile("([A-Za-z0-9-]{1,16}) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,127})")


class Credentials(msgspec.Struct, frozen=True):
    """How one transport is secured.

    Attributes:
        fingerprints: algorithm and digest, such as `sha-256 4B:C9:…`.
        setup: `actpass` or `active`.
    """

    ufrag: str
    pwd: str
    fingerprints: tuple[str, ...]
    setup: str

    def lines(self) -> list[str]:
        """The credentials as lines of SDP."""
        return [
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.pwd}",
            *(f"a=fingerprint:{fingerprint}" for fingerprint in self.fingerprints),
            f"a=setup:{self.setup}",
        ]


def read_credentials(session: Section, section: Section) -> Credentials:
    """The credentials of one media line.

    Raises:
        MalformedSdp: one of them is missing, or not of its form.
        UnusableOffer: they are sound, and no connection can be made with them.
    """
    (own_ufrag, own_pwd), (ufrag, pwd) = section.ice(), session.ice()
    ufrag, pwd = own_ufrag or ufrag, own_pwd or pwd
    if ufrag is None or pwd is None:
        raise MalformedSdp(f"{section.name} has no a=ice-ufrag and a=ice-pwd.")
    return Credentials(ufrag, pwd, _fingerprints(session, section), _setup(session, section))


def _fingerprints(session: Section, section: Section) -> tuple[str, ...]:
    values = section.all("fingerprint") or session.all("fingerprint")
    if not 1 <= len(values) <= MAX_FINGERPRINTS:
        raise MalformedSdp(f"{section.name} needs an a=fingerprint, and has {len(values)}.")
    kept: list[str] = []
    for value in values:
        match = _FINGERPRINT.fullmatch(value)
        if match is None:
            raise MalformedSdp(f"{section.name}: an a=fingerprint is not of its form.")
        algorithm, digest = match[1].lower(), match[2].upper()
        length = DIGEST_BYTES.get(algorithm)
        if length is None:
            continue
        if len(digest) != 3 * length - 1:
            raise MalformedSdp(f"{section.name}: a fingerprint of {algorithm} has {length} bytes.")
        kept.append(f"{algorithm} {digest}")
    if not kept:
        raise UnusableOffer(f"{section.name} has no fingerprint of a strong hash.", hint="Offer one of sha-256.")
    return tuple(kept)


def _setup(session: Section, section: Section) -> str:
    setup = section.one("setup") or session.one("setup")
    if setup in _OTHER_SETUPS:
        raise UnusableOffer(f"{section.name}: a=setup:{setup} is not for an offer.", hint="Offer a=setup:actpass.")
    if setup is None or setup not in USABLE_SETUPS:
        raise MalformedSdp(f"{section.name} has no a=setup, or one that nobody knows.")
    return setup
