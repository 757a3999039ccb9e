"""What an offer needs, what is made of it, and what each refusal says."""

import pytest
from aiortc.sdp import SessionDescription
from offers import OFFERS, answer, joined, lines_of

from liveglass.engine.errors import IceRestartRefused, MalformedSdp, UnusableOffer
from liveglass.transport.webrtc.candidates import usable_candidates
from liveglass.transport.webrtc.formats import is_baseline
from liveglass.transport.webrtc.offer import read_offer
from liveglass.transport.webrtc.sdp import MAX_LINES, MAX_SDP_BYTES
from liveglass.transport.webrtc.trickle import read_trickle

CHROMIUM = OFFERS["chromium"]
OBS = OFFERS["obs-form"]
FIREFOX = OFFERS["firefox-form"]
PWD = "p" * 22


def without(raw: bytes, *starts: str) -> bytes:
    return joined([line for line in lines_of(raw) if not line.startswith(starts)])


def replaced(raw: bytes, old: str, new: str) -> bytes:
    assert old.encode() in raw
    return raw.replace(old.encode(), new.encode())


def attributes(sdp: str, start: str) -> list[str]:
    return [line for line in lines_of(sdp.encode()) if line.startswith(start)]


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("name", OFFERS)
async def test_the_offer_of_a_real_peer_is_answered_line_by_line(name: str, prepared: bool) -> None:
    offer = read_offer(OFFERS[name])
    answered = SessionDescription.parse(await answer(offer.sdp, prepared=prepared))
    asked = SessionDescription.parse(OFFERS[name].decode())
    assert [(line.kind, line.rtp.muxId) for line in answered.media] == [
        (line.kind, line.rtp.muxId) for line in asked.media
    ]
    offered = {codec.payloadType for line in asked.media for codec in line.rtp.codecs}
    assert {codec.payloadType for line in answered.media for codec in line.rtp.codecs} <= offered


@pytest.mark.parametrize(
    ("name", "direction", "codecs", "has_data"),
    [
        ("aiortc", "sendrecv", ("VP8", "H264"), True),
        ("chromium", "sendrecv", ("VP8", "H264"), True),
        ("chromium-audio", "sendrecv", ("VP8", "H264"), True),
        ("chromium-viewer", "recvonly", ("VP8", "H264"), True),
        ("firefox-form", "sendrecv", ("VP8", "H264"), True),
        ("obs-form", "sendonly", ("H264",), False),
    ],
)
def test_the_offer_says_what_it_wants(name: str, direction: str, codecs: tuple[str, ...], has_data: bool) -> None:
    offer = read_offer(OFFERS[name])
    assert (offer.video_direction, offer.codecs, offer.has_data) == (direction, codecs, has_data)


async def test_audio_is_answered_as_inactive() -> None:
    answered = SessionDescription.parse(await answer(read_offer(OBS).sdp, prepared=True))
    assert [(line.kind, line.direction) for line in answered.media] == [("audio", "inactive"), ("video", "recvonly")]


def test_every_line_gets_the_transport_of_the_first_one_in_the_bundle() -> None:
    raw = replaced(CHROMIUM, "a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0")
    before, after = raw.split(b"m=application")
    other = replaced(after, "a=ice-ufrag:", "a=ice-ufrag:other")
    offer = read_offer(before + b"m=application" + other)
    assert offer.ice_ufrag.startswith("other")
    assert set(attributes(offer.sdp, "a=ice-ufrag")) == {f"a=ice-ufrag:{offer.ice_ufrag}"}
    assert set(attributes(offer.sdp, "a=ice-pwd")) == {f"a=ice-pwd:{offer.ice_pwd}"}
    assert attributes(offer.sdp, "a=group") == ["a=group:BUNDLE 0 1"], "The video line leads."


def test_a_bundle_only_line_may_leave_out_its_transport() -> None:
    head, data = FIREFOX.split(b"m=application")
    bare = head + b"m=application" + without(b"v=0\r\nm=application" + data, "a=ice", "a=setup")[18:]
    assert read_offer(bare) == read_offer(FIREFOX)


def test_credentials_of_the_whole_session_are_those_of_each_line() -> None:
    offer = read_offer(OBS)
    assert (offer.ice_ufrag, offer.ice_pwd) == ("Jvr5", "Gj1kJnbAGAVgYTYGGPcOd+")
    assert len(attributes(offer.sdp, "a=fingerprint:sha-256 7F:3A:")) == 2


def test_a_line_feed_alone_ends_a_line_too() -> None:
    assert read_offer(CHROMIUM.replace(b"\r\n", b"\n")) == read_offer(CHROMIUM)


def test_an_offer_without_a_direction_goes_both_ways() -> None:
    assert read_offer(without(CHROMIUM, "a=sendrecv")).video_direction == "sendrecv"


def test_the_end_of_candidates_is_not_told_since_hidden_ones_may_still_come() -> None:
    assert "a=end-of-candidates" in OFFERS["aiortc"].decode()
    assert not attributes(read_offer(OFFERS["aiortc"]).sdp, "a=end-of-candidates")
    assert not attributes(read_offer(FIREFOX).sdp, "a=candidate"), "A .local name is not looked up."


def test_the_picture_and_its_retransmission_are_named_in_this_order() -> None:
    assert attributes(read_offer(FIREFOX).sdp, "a=ssrc") == [
        "a=ssrc-group:FID 2740153684 318864209",
        "a=ssrc:2740153684 cname:-",
        "a=ssrc:318864209 cname:-",
    ]
    assert attributes(read_offer(OBS).sdp, "a=ssrc") == ["a=ssrc:1580432868 cname:-"]


def test_a_format_outside_of_the_dynamic_payload_types_is_left_out() -> None:
    low = replaced(without(OBS, "a=rtcp-fb", "a=fmtp:96"), "SAVPF 96", "SAVPF 36 37 97")
    low = replaced(low, "a=rtpmap:96 H264/90000", "a=rtpmap:36 VP8/90000\r\na=rtpmap:37 rtx/90000\r\na=fmtp:37 apt=97")
    low = replaced(low, "a=fmtp:37", "a=rtpmap:97 VP8/90000\r\na=fmtp:37")
    low = replaced(low, "SAVPF 111", "SAVPF 35 0")
    low = replaced(low, "a=rtpmap:111", "a=rtpmap:35")
    assert attributes(read_offer(low).sdp, "a=rtpmap:") == ["a=rtpmap:0 PCMU/8000", "a=rtpmap:97 VP8/90000"]


def test_the_lite_end_of_ice_is_taken() -> None:
    assert attributes(read_offer(b"v=0\r\na=ice-lite" + CHROMIUM[3:]).sdp, "a=ice-lite") == ["a=ice-lite"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "Line 1 "),
        (b"v=0", "v=0"),
        (b"v=0\r\n", "o="),
        (b"\xff", "UTF-8"),
        (b"v=0\r\ns=a\0b\r\n", "NUL"),
        (b"hello", "Line 1 "),
        (b'{"type": "offer", "sdp": "v=0"}', "Line 1 "),
        (CHROMIUM[3:], "Line 1 "),
        (without(CHROMIUM, "v="), "v=0"),
        (without(CHROMIUM, "o="), "o="),
        (without(CHROMIUM, "s="), "s="),
        (without(CHROMIUM, "t="), "t="),
        (without(CHROMIUM, "a=mid:1"), "a=mid"),
        (replaced(CHROMIUM, "a=mid:1", "a=mid:0"), "mids"),
        (replaced(CHROMIUM, "BUNDLE 0 1", "BUNDLE 0 7"), "mids"),
        (without(CHROMIUM, "a=ice-ufrag"), "a=ice-ufrag"),
        (replaced(OBS, "a=ice-ufrag:Jvr5", "a=ice-ufrag:Jvr"), "a=ice-ufrag"),
        (replaced(OBS, "a=ice-pwd:Gj", "a=ice-pwd:G j"), "a=ice-pwd"),
        (without(CHROMIUM, "a=fingerprint"), "a=fingerprint"),
        (replaced(OBS, "BF:19", "BF"), "32 bytes"),
        (without(CHROMIUM, "a=setup"), "a=setup"),
        (replaced(CHROMIUM, "a=setup:actpass", "a=setup:both"), "a=setup"),
        (replaced(OBS, "SAVPF 96", "SAVPF 96 96"), "payload types"),
        (replaced(OBS, "SAVPF 96", "SAVPF 128"), "payload types"),
        (replaced(OBS, "a=rtpmap:96 H264/90000", "a=rtpmap:96 H264"), "a=rtpmap"),
        (replaced(OBS, "a=rtpmap:96", "a=rtpmap:111 x/1\r\na=rtpmap:111"), "two a=rtpmap"),
        (replaced(OBS, "a=fmtp:96 ", "a=fmtp:x "), "a=fmtp"),
        (replaced(OBS, "a=ssrc:1580432868 ", "a=ssrc:4294967296 "), "a=ssrc"),
        (replaced(FIREFOX, "FID 2740153684", "FID 318864209"), "FID"),
        (replaced(OBS, "a=rtcp-mux", "a=rtcp-mux\r\na=recvonly"), "direction"),
        (without(CHROMIUM, "a=sctp-port"), "a=sctp-port"),
        (replaced(CHROMIUM, "sctp-port:5000", "sctp-port:70000"), "a=sctp-port"),
        (CHROMIUM + b"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 7, "media lines"),
        (CHROMIUM + b"a=x\r\n" * MAX_LINES, "lines"),
        (CHROMIUM + b"a=" + b"x" * 4_100 + b"\r\n", "characters"),
        (CHROMIUM.ljust(MAX_SDP_BYTES + 1, b"x"), "bytes"),
    ],
)
def test_a_malformed_description_is_refused_with_what_is_wrong(raw: bytes, message: str) -> None:
    with pytest.raises(MalformedSdp) as refused:
        read_offer(raw)
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("raw", "message", "hint"),
    [
        (joined(["v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"]), "0 video lines", "exactly one"),
        (CHROMIUM + CHROMIUM[CHROMIUM.index(b"m=video") : CHROMIUM.index(b"m=app")].replace(b"mid:0", b"mid:9"),
         "2 video lines", "exactly one"),
        (replaced(CHROMIUM, "a=sendrecv", "a=inactive"), "inactive", "sendrecv"),
        (without(CHROMIUM, "a=group"), "0 BUNDLE groups", "max-bundle"),
        (replaced(CHROMIUM, "BUNDLE 0 1", "BUNDLE 0"), "leaves a line out", "max-bundle"),
        (replaced(CHROMIUM, "a=setup:actpass", "a=setup:passive"), "passive", "actpass"),
        (without(CHROMIUM, "a=rtcp-mux"), "rtcp-mux", "rtcp-mux"),
        (replaced(CHROMIUM, "fingerprint:sha-256", "fingerprint:sha-1"), "strong", "sha-256"),
        (replaced(OBS, "H264/90000", "VP9/90000"), "no codec in common", "H.264"),
        (replaced(OBS, "42e01f", "640c1f"), "no codec in common", "baseline"),
        (replaced(OBS, "packetization-mode=1", "packetization-mode=0"), "no codec in common", "packetization-mode 1"),
        (replaced(OBS, "opus/48000/2", "telephone-event/8000"), "no codec in common", "Opus"),
        (replaced(CHROMIUM, "max-message-size:262144", "max-message-size:100"), "100 bytes", "16384"),
        (OBS.replace(b"m=audio 9", b"m=audio 0"), "port 0", "stopped"),
        (OBS.replace(b"UDP/TLS/RTP/SAVPF", b"RTP/AVP"), "protocol", "SAVPF"),
        (replaced(CHROMIUM, "webrtc-datachannel", "chat"), "data channels", ""),
        (OBS.replace(b"m=audio", b"m=text"), "kind", ""),
    ],
)  # fmt: skip
def test_an_offer_that_cannot_be_answered_is_refused_with_what_to_offer(raw: bytes, message: str, hint: str) -> None:
    with pytest.raises(UnusableOffer) as refused:
        read_offer(raw)
    assert message in refused.value.message
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("profile", "is_one"),
    [("42e01f", True), ("42001f", True), ("42c02a", True), ("4d801f", True), ("4d001f", False), ("64001f", False),
     ("42e0ff", False), ("42e01", False), ("42e01f0", False), ("42e01g", False), ("", False)],
)  # fmt: skip
def test_baseline_is_told_from_the_other_profiles(profile: str, is_one: bool) -> None:
    assert is_baseline(profile) is is_one


@pytest.mark.parametrize(
    "value",
    [
        "1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "1 2 udp 1 192.0.2.1 9 typ host",
        "1 1 udp 1 3e1f.local 9 typ host",
        "1 1 udp 1 localhost 9 typ host",
        "1 1 udp 1 224.0.0.251 5353 typ host",
        "1 1 udp 1 255.255.255.255 9 typ host",
        "1 1 udp 1 0.0.0.0 9 typ host",
        "1 1 udp 1 0.1.2.3 9 typ host",
        "1 1 udp 1 :: 9 typ host",
        "1 1 udp 1 ff02::1 9 typ host",
        "1 1 udp 1 fe80::1 9 typ host",
        "1 1 udp 1 fe80::1%eth0 9 typ host",
        "1 1 udp 1 ::ffff:224.0.0.251 9 typ host",
        "1 1 udp 1 192.0.2.1 0 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp 0 192.0.2.1 9 typ host",
        "1 1 udp 2147483648 192.0.2.1 9 typ host",
        "1 1 udp 1 192.0.2.1 9 typ any",
        "1 1 udp 1 192.0.2.1 9",
        "",
    ],
)
def test_a_candidate_that_means_no_single_machine_is_left_out(value: str) -> None:
    sound = "2 1 UDP 7 198.51.100.4 4000 typ srflx raddr 0.0.0.0 rport 0 generation 0"
    assert [candidate.line() for candidate in usable_candidates([value, sound, sound])] == [
        "a=candidate:2 1 udp 7 198.51.100.4 4000 typ srflx"
    ]


def fragment(*lines: str) -> bytes:
    return joined(["a=ice-ufrag:abcd", f"a=ice-pwd:{PWD}", *lines])


VIDEO = ("m=video 9 UDP/TLS/RTP/SAVPF 96", "a=mid:0")
CANDIDATE = "a=candidate:1 1 udp 2122 192.0.2.1 4000 typ host"


def test_trickled_candidates_name_their_line() -> None:
    trickle = read_trickle(fragment(*VIDEO, CANDIDATE, "m=x", "a=mid:data", CANDIDATE), ufrag="abcd", pwd=PWD)
    assert [(candidate.mid, candidate.host) for candidate in trickle.candidates] == [
        ("0", "192.0.2.1"),
        ("data", "192.0.2.1"),
    ]
    assert not trickle.is_end


def test_the_end_of_candidates_is_told_for_a_line_or_for_all() -> None:
    assert read_trickle(fragment(*VIDEO, "a=end-of-candidates"), ufrag="abcd").is_end
    assert read_trickle(fragment("a=end-of-candidates"), ufrag="abcd").is_end


def test_an_unusable_trickled_candidate_is_left_out() -> None:
    hidden = "a=candidate:1 1 udp 2122 3e1f.local 4000 typ host"
    assert read_trickle(fragment(*VIDEO, hidden), ufrag="abcd").candidates == ()


@pytest.mark.parametrize("lines", [(CANDIDATE,), (VIDEO[0], CANDIDATE), ("a=mid:0", CANDIDATE), ("x",)])
def test_a_candidate_without_a_line_is_malformed(lines: tuple[str, ...]) -> None:
    with pytest.raises(MalformedSdp):
        read_trickle(fragment(*lines), ufrag="abcd")


@pytest.mark.parametrize(
    ("ufrag", "pwd"),
    [("efgh", None), ("abcd", "q" * 22), ("efgh", "q" * 22)],
)
def test_another_user_name_or_password_is_a_restart_and_refused(ufrag: str, pwd: str | None) -> None:
    with pytest.raises(IceRestartRefused):
        read_trickle(fragment(*VIDEO, CANDIDATE), ufrag=ufrag, pwd=pwd)
    with pytest.raises(IceRestartRefused):
        read_trickle(joined([*VIDEO, "a=ice-ufrag:abcd", f"a=ice-pwd:{PWD}", CANDIDATE]), ufrag=ufrag, pwd=pwd)
