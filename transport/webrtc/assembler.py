"""From RTP packets in any order to whole pictures in order, and what to ask of the sender meanwhile; pure.

A picture is whole when every packet up to the one with the marker bit is there (RFC 6184, RFC 7741), so it leaves
at once and never waits for the next one. A missing packet is asked for again each round trip (RFC 4585, NACK); after
100 ms without it the gap is given up and a keyframe is asked for (PLI). Time is passed in; nothing waits here. Belongs
to the event loop.
"""

import msgspec

from liveglass.transport.webrtc.color_space import ColorSpace

CAPACITY = 2048
"""Packets that may wait: a keyframe of 2 MB. A power of two, and far below half the sequence space."""
GIVE_UP_S = 0.1
LEAST_NACK_S = 0.02
LONGEST_NACK_S = 0.25
KEYFRAME_ASKED_EVERY_S = 0.25
MOST_NACKED = 256

_MASK = 0xFFFF


class Fragment(msgspec.Struct, frozen=True):
    """One packet's share of a picture.

    Attributes:
        data: its payload without the RTP payload descriptor; empty for padding.
        starts_keyframe: whether a picture that needs no other one begins with it.
        color_space: of the picture, where the packet says it.
    """

    sequence: int
    timestamp: int
    is_last: bool
    data: bytes
    starts_keyframe: bool
    color_space: ColorSpace | None = None


class EncodedPicture(msgspec.Struct, frozen=True):
    """A whole picture as it came.

    Attributes:
        timestamp: its raw RTP time stamp, 90 kHz, modulo 2³².
        arrived_at: when its last missing packet came, seconds on the server's clock.
        color_space: its YUV's, and that of the pictures after it, where its packets say it.
    """

    data: bytes
    timestamp: int
    arrived_at: float
    color_space: ColorSpace | None = None


class Wishes(msgspec.Struct, frozen=True):
    """What to ask the sender for: packets by sequence number, and perhaps a keyframe."""

    missing: tuple[int, ...] = ()
    keyframe: bool = False


class PictureAssembler:
    """Puts the packets of one stream together.

    Attributes:
        skipped: gaps that were given up.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._waiting: dict[int, Fragment] = {}
        self._next = -1  # the sequence number that the next picture starts with
        self._newest = -1
        self._gap_since: float | None = None
        self._asked_at: dict[int, float] = {}
        self._needs_keyframe = True
        self._keyframe_asked_at = -1.0

    def add(self, fragment: Fragment, now: float) -> list[EncodedPicture]:
        """Take a packet; returns the pictures that are whole now, in order."""
        sequence = fragment.sequence
        if self._next < 0:
            self._next = self._newest = sequence
        ahead = (sequence - self._next) & _MASK
        if ahead >= CAPACITY:
            if (self._next - sequence) & _MASK <= CAPACITY:
                return []  # late: its picture is gone or given up
            self._start_over(sequence)
        if (sequence - self._newest) & _MASK < 0x8000:
            self._newest = sequence
        self._asked_at.pop(sequence, None)
        self._waiting[sequence] = fragment
        return self._whole_pictures(now)

    def wishes(self, now: float, round_trip_s: float) -> Wishes:
        """What to ask for at `now`; calling it often is fine, it asks at most once a round trip."""
        if self._gap_since is not None and now - self._gap_since >= max(GIVE_UP_S, 2 * round_trip_s):
            self._give_up()
        missing = self._missing(now, round_trip_s) if self._gap_since is not None else ()
        return Wishes(missing, self._keyframe_is_due(now))

    def keyframe_needed(self) -> None:
        """The decoder lost its way: show nothing until the next keyframe."""
        self._needs_keyframe = True

    @property
    def is_waiting(self) -> bool:
        """Whether anything is missing, so that `wishes` should be asked again soon."""
        return self._gap_since is not None or (self._needs_keyframe and self._next >= 0)

    def _whole_pictures(self, now: float) -> list[EncodedPicture]:
        pictures: list[EncodedPicture] = []
        while (end := self._end_of_next()) is not None:
            fragments = [self._waiting.pop((self._next + i) & _MASK) for i in range(((end - self._next) & _MASK) + 1)]
            self._next = (end + 1) & _MASK
            self._gap_since = None
            if self._needs_keyframe and not fragments[0].starts_keyframe:
                continue
            self._needs_keyframe = False
            data = b"".join(fragment.data for fragment in fragments)
            if data:
                color_space = next((one.color_space for one in reversed(fragments) if one.color_space), None)
                pictures.append(EncodedPicture(data, fragments[0].timestamp, now, color_space))
        if self._is_gap() and self._gap_since is None:
            self._gap_since = now
        return pictures

    def _end_of_next(self) -> int | None:
        """The last packet of the picture that starts at `_next`, if all of it is here."""
        first = self._waiting.get(self._next)
        if first is None:
            return None
        sequence, fragment = self._next, first
        while not (fragment.is_last or not first.data):  # padding stands alone
            following = self._waiting.get((sequence + 1) & _MASK)
            if following is None:
                return None
            if following.timestamp != first.timestamp:
                return sequence  # a sender that sets no marker: the next picture ends this one
            sequence, fragment = (sequence + 1) & _MASK, following
        return sequence

    def _is_gap(self) -> bool:
        """Whether something before the newest packet is missing."""
        return len(self._waiting) < ((self._newest - self._next) & _MASK) + 1 and bool(self._waiting)

    def _missing(self, now: float, round_trip_s: float) -> tuple[int, ...]:
        patience = min(LONGEST_NACK_S, max(LEAST_NACK_S, round_trip_s))
        span = min(CAPACITY, (self._newest - self._next) & _MASK)
        missing = []
        for i in range(span):
            sequence = (self._next + i) & _MASK
            if sequence not in self._waiting and now - self._asked_at.get(sequence, -1.0) >= patience:
                self._asked_at[sequence] = now
                missing.append(sequence)
                if len(missing) == MOST_NACKED:
                    break
        return tuple(missing)

    def _give_up(self) -> None:
        """Leave the gap behind: on to the next picture whose first packet is here, keyframes before all others."""
        self.skipped += 1
        self._needs_keyframe = True
        self._gap_since = None
        self._asked_at.clear()
        span = (self._newest - self._next) & _MASK
        later = [(self._next + i) & _MASK for i in range(1, span + 1)]
        keyframe = next((s for s in later if s in self._waiting and self._waiting[s].starts_keyframe), None)
        resume = keyframe if keyframe is not None else (self._newest + 1) & _MASK
        self._waiting = {s: f for s, f in self._waiting.items() if (s - resume) & _MASK < CAPACITY}
        self._next = resume

    def _start_over(self, sequence: int) -> None:
        """A jump that no loss explains: the sender began anew."""
        self.skipped += 1
        self._waiting.clear()
        self._asked_at.clear()
        self._next = self._newest = sequence
        self._gap_since = None
        self._needs_keyframe = True

    def _keyframe_is_due(self, now: float) -> bool:
        if not self._needs_keyframe or self._next < 0 or now - self._keyframe_asked_at < KEYFRAME_ASKED_EVERY_S:
            return False
        if self._waiting and self._gap_since is None and self._waiting.get(self._next, _NONE).starts_keyframe:
            return False  # one is arriving
        self._keyframe_asked_at = now
        return True


_NONE = Fragment(0, 0, is_last=False, data=b"", starts_keyframe=False)


def starts_keyframe(codec: str, payload: bytes) -> bool:
    """Whether a picture that needs no other begins with this RTP payload.

    H.264: a sequence parameter set or an IDR slice, alone, in a STAP-A or at the start of an FU-A (RFC 6184, 5.6 to
    5.8). VP8: the first partition's frame tag says so (RFC 7741, 4.3; RFC 6386, 9.1).
    """
    if codec == "H264":
        return _h264_starts_keyframe(payload)
    return _vp8_starts_keyframe(payload)


_IDR, _SPS, _STAP_A, _FU_A = 5, 7, 24, 28


def _h264_starts_keyframe(payload: bytes) -> bool:
    if not payload:
        return False
    kind = payload[0] & 0x1F
    if kind == _STAP_A and len(payload) > 3:
        kind = payload[3] & 0x1F
    elif kind == _FU_A and len(payload) > 1:
        if not payload[1] & 0x80:
            return False
        kind = payload[1] & 0x1F
    return kind in {_IDR, _SPS}


def _vp8_starts_keyframe(payload: bytes) -> bool:
    if not payload or not payload[0] & 0x10 or payload[0] & 0x07:
        return False  # not the start of the first partition
    at = 1
    if payload[0] & 0x80 and len(payload) > 1:
        extensions = payload[1]
        at = 2
        if extensions & 0x80 and len(payload) > 2:
            at += 2 if payload[2] & 0x80 else 1
        at += bool(extensions & 0x40)
        at += bool(extensions & 0x30)
    return len(payload) > at and not payload[at] & 0x01
