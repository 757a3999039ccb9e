"""Candidates that a peer sends after its offer (RFC 8840, `application/trickle-ice-sdpfrag`); pure.

Tells new addresses from an ICE restart, which is refused. Never adds anything anywhere. Any thread may call it.
"""

import msgspec

from liveglass.engine.errors import IceRestartRefused, MalformedSdp
from liveglass.transport.webrtc.candidates import MAX_CANDIDATES, Candidate, usable_candidates
from liveglass.transport.webrtc.sdp import Section, read_sections


class Trickle(msgspec.Struct, frozen=True):
    """What one fragment adds.

    Attributes:
        candidates: the usable ones, at most 32.
        is_end: the peer says that no more will come.
    """

    candidates: tuple[Candidate, ...]
    is_end: bool


def read_trickle(raw: bytes, *, ufrag: str, pwd: str | None = None) -> Trickle:
    """The usable candidates of a fragment.

    Args:
        ufrag: the offer's ICE user name fragment.
        pwd: the offer's ICE password; None leaves it unchecked.

    Raises:
        MalformedSdp: not a fragment, or candidates that belong to no media line.
        IceRestartRefused: it names another user name or password than the offer.
    """
    session, media = read_sections(raw)
    found: list[Candidate] = []
    for section in (session, *media):
        _refuse_restart(section, ufrag, pwd)
        values = section.all("candidate")
        mid = section.mid()
        if values and (section is session or mid is None):
            raise MalformedSdp(
                f"{section.name}: a candidate has to follow the m= line and the a=mid that it belongs to.",
                hint="Send a=ice-ufrag and a=ice-pwd, then an m= line with its a=mid and its a=candidate lines.",
            )
        found += usable_candidates(values, mid=mid or "")
    is_end = any(section.has("end-of-candidates") for section in (session, *media))
    return Trickle(candidates=tuple(found[:MAX_CANDIDATES]), is_end=is_end)


def _refuse_restart(section: Section, ufrag: str, pwd: str | None) -> None:
    own_ufrag, own_pwd = section.ice()
    if own_ufrag not in {None, ufrag} or (pwd is not None and own_pwd not in {None, pwd}):
        raise IceRestartRefused("An ICE restart is not possible here: the user name or password is a new one.")
