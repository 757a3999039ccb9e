"""What `doctor` says about one thing: plain data, so that what follows from the facts is tested without the facts."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        do: what to do about it, where there is something.
    """

    what: str
    verdict: Literal["ok", "warning", "problem"]
    says: str
    do: str = ""
