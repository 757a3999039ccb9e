"""What came lately, added up; pure, times are passed in."""

from collections import deque


class Recent:
    """The sum of what was noted within the last `span`, in whatever unit the times have."""

    def __init__(self, span: float) -> None:
        self._span = span
        self._entries: deque[tuple[float, int]] = deque()
        self._total = 0

    def __len__(self) -> int:
        """How many entries there are, as of the last `total`."""
        return len(self._entries)

    def add(self, now: float, amount: int) -> None:
        """`amount` more at `now`, which never goes back."""
        self._entries.append((now, amount))
        self._total += amount

    def total(self, now: float) -> int:
        """The sum as of `now`; what is older is forgotten."""
        while self._entries and self._entries[0][0] < now - self._span:
            self._total -= self._entries.popleft()[1]
        return self._total
