"""What a server's refusals become in a Python program: the same typed errors; pure."""

from collections.abc import Iterator

from liveglass.engine.errors import (
    AtCapacity,
    ErrorBody,
    Flood,
    LiveglassError,
    NoSuchSession,
    NotAllowed,
    PublisherReplaced,
    TokenRefused,
)
from liveglass.engine.events import ErrorEvent

_CLOSE_CODES: tuple[tuple[int, type[LiveglassError], str], ...] = (
    (1008, Flood, "The server closed the connection: too much was sent, or what it sent was not read."),
    (4401, TokenRefused, "The server does not take this token for this session."),
    (4403, NotAllowed, "This token does not allow that."),
    (4404, NoSuchSession, "The server has no such session."),
    (4409, PublisherReplaced, "A newer publisher took over this session."),
)


class Superseded(LiveglassError):
    """A change that never reached the picture: a newer one took its place.

    Attributes:
        version: the version of the change.
        by: the newer version.
    """

    code = "superseded"
    default_hint = "Nothing is wrong: the newer change is on its way or on show."

    def __init__(self, version: int, by: int) -> None:
        super().__init__(f"Version {version} was never shown; version {by} took its place.")
        self.version = version
        self.by = by


class UnknownProblem(LiveglassError):
    """An error whose code this version does not know; the message names it."""

    code = "unknown_problem"


def error_from(body: ErrorBody, *, retry_after_s: int = 10) -> LiveglassError:
    """The typed error that `body` tells of."""
    kind = _kinds().get(body.code)
    if kind is AtCapacity:
        return AtCapacity(body.message, retry_after_s=retry_after_s)
    if kind is None or kind is Superseded:
        return UnknownProblem(f"{body.code}: {body.message}", hint=body.hint, field=body.field)
    return kind(body.message, hint=body.hint or None, field=body.field)


def error_of_event(event: ErrorEvent) -> LiveglassError:
    """The typed error that an `error` event tells of."""
    return error_from(
        ErrorBody(
            code=event.code,
            message=event.message,
            retryable=event.retryable,
            hint=event.hint,
            field=event.field,
        )
    )


def error_of_close(code: int | None, reason: str = "") -> LiveglassError | None:
    """Why the server closed, where connecting again would not help; None where it would.

    A `reason` that starts with the code of an error (`invalid_value: …`) says more than the number.
    """
    kind, message = next(((kind, said) for known, kind, said in _CLOSE_CODES if known == code), (None, ""))
    if kind is None:
        return None
    name, colon, said = reason.partition(": ")
    if colon and name in _kinds():
        return error_from(ErrorBody(code=name, message=said, retryable=False))
    return kind(message)


def _kinds() -> dict[str, type[LiveglassError]]:
    # A program's own errors may have no code of theirs: the nearest to the root is the one that is meant.
    return {known.code: known for known in reversed(list(_tree(LiveglassError)))}


def _tree(root: type[LiveglassError]) -> Iterator[type[LiveglassError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)
