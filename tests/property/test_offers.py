"""Offers in hostile hands: refused by name, or answered by aiortc without a word of complaint."""

import ipaddress
from collections.abc import Callable

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st
from offers import LINES, NUMBERS, OFFERS, WORDS, answer, hostile_bodies, joined, lines_of, with_number, with_word

from liveglass.engine.clock import now
from liveglass.engine.errors import IceRestartRefused, MalformedSdp, UnusableOffer
from liveglass.transport.webrtc.candidates import MAX_CANDIDATES, usable_candidates
from liveglass.transport.webrtc.offer import Offer, read_offer
from liveglass.transport.webrtc.sdp import MAX_LINE_CHARS, MAX_SDP_BYTES
from liveglass.transport.webrtc.trickle import read_trickle

any_line = st.one_of(
    st.sampled_from(LINES),
    st.text(max_size=40),
    st.text(max_size=40).map("a=".__add__),
    st.builds("a={}:{}".format, st.sampled_from(["fmtp", "ssrc", "extmap", "mid", "group"]), st.text(max_size=40)),
    st.integers(MAX_LINE_CHARS - 9, MAX_LINE_CHARS + 9).map(lambda length: "a=x-long:" + "x" * length),
)


@st.composite
def damaged_offers(draw: st.DrawFn) -> bytes:
    """A real offer with a few lines deleted, doubled, swapped, cut, changed or put in."""
    lines = lines_of(draw(st.sampled_from(list(OFFERS.values()))))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["delete", "double", "swap", "cut", "number", "word", "insert", "exchange"])):
            case "delete" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "cut":
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case "number":
                lines[at] = with_number(lines[at], draw(st.integers(0, 9)), draw(st.sampled_from(NUMBERS)))
            case "word":
                value = draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=20)))
                lines[at] = with_word(lines[at], draw(st.integers(0, 9)), value)
            case "insert":
                lines.insert(at, draw(any_line))
            case "exchange":
                lines[at] = draw(st.sampled_from(lines_of(draw(st.sampled_from(list(OFFERS.values()))))))
    return "\r\n".join(lines).encode(errors="surrogatepass")


def read_or_refuse(raw: bytes) -> Offer | None:
    try:
        return read_offer(raw)
    except (MalformedSdp, UnusableOffer):
        return None


@settings(max_examples=300)
@given(raw=damaged_offers(), prepared=st.booleans())
async def test_a_damaged_offer_is_refused_by_name_or_answered(raw: bytes, prepared: bool) -> None:
    offer = read_or_refuse(raw)
    if offer is not None:
        answered = SessionDescription.parse(await answer(offer.sdp, prepared=prepared))
        asked = SessionDescription.parse(offer.sdp)
        assert [(line.kind, line.rtp.muxId) for line in answered.media] == [
            (line.kind, line.rtp.muxId) for line in asked.media
        ]


@given(damaged_offers())
def test_what_is_handed_on_is_read_as_the_same_offer_again(raw: bytes) -> None:
    offer = read_or_refuse(raw)
    if offer is not None:
        assert offer.sdp.isascii()
        assert read_offer(offer.sdp.encode()) == offer


@given(st.one_of(st.binary(max_size=400), st.binary(max_size=400).map(b"v=0\r\n".__add__)))
def test_no_bytes_at_all_raise_anything_else(raw: bytes) -> None:
    read_or_refuse(raw)


@given(
    raw=st.sampled_from(list(OFFERS.values())),
    name=st.from_regex("x-[a-z]{1,10}", fullmatch=True),
    value=st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\n"), max_size=100),
    data=st.data(),
)
def test_a_line_that_nobody_knows_changes_nothing(raw: bytes, name: str, value: str, data: st.DataObject) -> None:
    lines = lines_of(raw)
    lines.insert(data.draw(st.integers(1, len(lines))), f"a={name}:{value}")
    assert read_offer(joined(lines)) == read_offer(raw)


@given(
    hosts=st.lists(st.one_of(st.ip_addresses().map(str), st.sampled_from(["x.local", "evil.example", ""]), st.text())),
    port=st.integers(-1, 70_000),
    priority=st.integers(-1, 2**33),
    protocol=st.sampled_from(["udp", "UDP", "tcp"]),
)
def test_only_one_machine_is_ever_written_to_by_number(
    hosts: list[str], port: int, priority: int, protocol: str
) -> None:
    values = [f"f 1 {protocol} {priority} {host} {port} typ host" for host in hosts]
    kept = usable_candidates(values)
    assert len(kept) <= MAX_CANDIDATES
    for candidate in kept:
        address = ipaddress.ip_address(candidate.host)
        assert not address.is_multicast
        assert not address.is_unspecified
        assert address != ipaddress.IPv4Address("255.255.255.255")
        assert (candidate.protocol, candidate.component, candidate.port) == ("udp", 1, port)
        assert 1 <= candidate.port <= 65_535
        assert 1 <= candidate.priority < 2**31


@given(st.lists(any_line, max_size=20))
def test_a_fragment_is_refused_by_name_or_holds_usable_candidates(lines: list[str]) -> None:
    raw = "\r\n".join(["a=ice-ufrag:abcd", "m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:0", *lines])
    try:
        trickle = read_trickle(raw.encode(errors="surrogatepass"), ufrag="abcd")
    except (MalformedSdp, IceRestartRefused):
        return
    assert len(trickle.candidates) <= MAX_CANDIDATES
    assert all(candidate.mid for candidate in trickle.candidates)


@settings(max_examples=50)
@given(st.sampled_from(["candidate", "ssrc", "fmtp", "group", "rtcp-fb", "extmap", "mid"]), st.text(min_size=1))
def test_too_long_is_refused_whatever_it_holds(attribute: str, filler: str) -> None:
    line = f"a={attribute}:" + filler * 30
    body = OFFERS["chromium"] + (line + "\r\n").encode(errors="surrogatepass") * (MAX_SDP_BYTES // len(line) + 1)
    with pytest.raises(MalformedSdp):
        read_offer(body)


async def test_a_thousand_hostile_bodies_are_refused_by_name_or_answered(
    record_property: Callable[[str, object], None],
) -> None:
    slowest_s, accepted = 0.0, 0
    for index, body in enumerate(hostile_bodies(1_000, seed=4)):
        begun = now()
        offer = read_or_refuse(body)
        if offer is not None:
            SessionDescription.parse(offer.sdp)
        slowest_s = max(slowest_s, now() - begun)
        if offer is not None:
            accepted += 1
            await answer(offer.sdp, prepared=index % 2 == 0)
    record_property("slowest_ms", round(slowest_s * 1_000, 2))
    record_property("accepted", accepted)
    assert 100 < accepted < 900, "The bodies have to reach both ends."
