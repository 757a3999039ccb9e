"""Which rendition a link can carry; pure, times are passed in.

Down at once where the receiver's own estimate (REMB) stays under what is sent, or where most packets are lost; up by
trying, first after 3 s, then each time twice as long after a try that failed, up to 5 minutes. A minute on `main`
clears the record. A rate estimate can never tell that a link would carry more than is sent, so a try is the only way.
"""

from liveglass.transport.webrtc.encoding import Rendition

OVERUSE_S = 0.75
FIRST_TRY_S = 3.0
LONGEST_S = 300.0
FORGIVEN_S = 60.0
_FAR_UNDER = 0.4
_UNDER = 0.9
_SOME_LOSS, _MOST_LOSS = 0.05, 0.35
_SETTLING_S = 1.0


class RenditionChooser:
    """Decides for one viewer.

    Attributes:
        rendition: the present choice.
    """

    def __init__(self, now: float) -> None:
        self.rendition = Rendition.MAIN
        self._since = now
        self._overused_since: float | None = None
        self._patience = self._next_patience = FIRST_TRY_S

    def report(self, now: float, *, estimate_bps: int | None, sent_bps: float, loss: float) -> Rendition:
        """What is known of the link at `now`; returns the rendition to send from here on."""
        if self.rendition is Rendition.LOW:
            if now - self._since >= self._patience:
                self._move(Rendition.MAIN, now)
            return self.rendition
        if now - self._since >= FORGIVEN_S:
            self._next_patience = FIRST_TRY_S
        # An estimate under what is sent means little by itself: it starts there, and falls on a receiver whose cores
        # are busy as it does on a slow link. A slow link loses packets, too, or carries far less.
        share = _UNDER if loss >= _SOME_LOSS else _FAR_UNDER
        is_over = loss >= _MOST_LOSS or (estimate_bps is not None and estimate_bps < share * sent_bps)
        if not is_over or now - self._since < _SETTLING_S:
            self._overused_since = None
        elif self._overused_since is None:
            self._overused_since = now
        elif now - self._overused_since >= OVERUSE_S:
            self._move(Rendition.LOW, now)
            self._patience = self._next_patience
            self._next_patience = min(LONGEST_S, 2 * self._next_patience)
        return self.rendition

    def _move(self, rendition: Rendition, now: float) -> None:
        self.rendition, self._since, self._overused_since = rendition, now, None
