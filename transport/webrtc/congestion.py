"""Which rendition a link can carry; pure, times are passed in.

Down at once where much of what is sent is asked for again; soon where many packets are lost, where the receiver's own
estimate (REMB) falls under what is sent, or where round trips grow long. Up by trying, first after 3 s, then each time
twice as long after a try that failed, up to 5 minutes; a minute on `main` clears the record. An estimate never tells
that a link would carry more than is sent, and on `low` it falls with what is sent and is slow to rise again, so a try
is the only way, and only what falls during it means anything.
"""

import math

import msgspec

from liveglass.transport.webrtc.encoding import Rendition

OVERUSE_S = 0.75
FIRST_TRY_S = 3.0
LONGEST_S = 300.0
FORGIVEN_S = 60.0
_FAR_UNDER = 0.4
_UNDER = 0.9
_SOME_LOSS, _MOST_LOSS = 0.05, 0.35
_MUCH, _MUCH_IN_A_TRY = 0.4, 0.2
_FALLEN = 0.85
_QUEUE_S = 0.25
_SETTLING_S = 1.0


class LinkReport(msgspec.Struct, frozen=True):
    """What is known of the way to one peer.

    Attributes:
        estimate_bps: what the receiver says the link carries (REMB); None before the first.
        loss: share of packets lost since the last report, 0 to 1.
        asked_again: share of the latest packets that the receiver asked for again, 0 to 1; 0 where too few were sent to
            say.
        sent_bps: what was sent over the last second.
        round_trip_s: None before the first report.
    """

    estimate_bps: int | None
    loss: float
    asked_again: float
    sent_bps: float
    round_trip_s: float | None


class RenditionChooser:
    """Decides for one viewer.

    Attributes:
        rendition: the present choice.
    """

    def __init__(self, now: float) -> None:
        self.rendition = Rendition.MAIN
        self._since = now
        self._is_try = False
        self._overused_since: float | None = None
        self._highest_bps = 0
        self._shortest_s = math.inf
        self._patience = self._next_patience = FIRST_TRY_S

    def report(self, now: float, link: LinkReport) -> Rendition:
        """What is known of the link at `now`; returns the rendition to send from here on."""
        if self.rendition is Rendition.LOW:
            if now - self._since >= self._patience:
                self._move(Rendition.MAIN, now)
                self._is_try = True
            return self.rendition
        if now - self._since >= FORGIVEN_S:
            self._next_patience = FIRST_TRY_S
        is_settled = now - self._since >= _SETTLING_S
        is_overused = self._is_overused(link)
        if link.asked_again >= (_MUCH_IN_A_TRY if self._is_try and not is_settled else _MUCH):
            self._give_up(now)
        elif not (is_settled and is_overused):
            self._overused_since = None
        elif self._overused_since is None:
            self._overused_since = now
        elif now - self._overused_since >= OVERUSE_S:
            self._give_up(now)
        return self.rendition

    def _is_overused(self, link: LinkReport) -> bool:
        estimate = link.estimate_bps or 0
        self._highest_bps = max(self._highest_bps, estimate)
        self._shortest_s = min(self._shortest_s, link.round_trip_s or math.inf)
        # It falls on a receiver whose cores are busy, too; a slow link loses packets besides, or carries far less.
        share = _UNDER if link.loss >= _SOME_LOSS else _FAR_UNDER
        has_fallen = 0 < estimate < min(share * link.sent_bps, _FALLEN * self._highest_bps)
        return has_fallen or link.loss >= _MOST_LOSS or (link.round_trip_s or 0.0) - self._shortest_s >= _QUEUE_S

    def _give_up(self, now: float) -> None:
        self._move(Rendition.LOW, now)
        self._patience = self._next_patience
        self._next_patience = min(LONGEST_S, 2 * self._next_patience)

    def _move(self, rendition: Rendition, now: float) -> None:
        self.rendition, self._since, self._overused_since = rendition, now, None
        self._is_try, self._highest_bps, self._shortest_s = False, 0, math.inf
