"""Errors that only HTTP knows, and the status of every error; pure.

The shape is always `{"error": {"code", "message", "retryable", "hint", "field"?}}`: see `liveglass.engine.errors` for
the rest of the tree. The status follows from the class, so that a new error cannot forget to have one.
"""

import msgspec
from starlette.responses import Response

from liveglass.engine.errors import (
    AtCapacity,
    CameraNotVisible,
    ErrorBody,
    Flood,
    InvalidInput,
    LiveglassError,
    MalformedMessage,
    MalformedSdp,
    ModelFailed,
    NoSuchFrame,
    NoSuchSession,
    NotAllowed,
    NotAvailable,
    NotReplayable,
    PictureTooLarge,
    PublisherReplaced,
    SwapFailed,
    TokenRefused,
    Unavailable,
)


class BodyTooLarge(InvalidInput):
    """A request body over its limit, told from its length before it is read."""

    code = "body_too_large"
    default_hint = "Send at most 64 KiB of JSON."


class BodyTooSlow(InvalidInput):
    """A request body that did not arrive in time."""

    code = "body_too_slow"
    retryable = True
    default_hint = "Send the whole body within 10 seconds."


class UnsupportedType(InvalidInput):
    """A content type that this route does not read."""

    code = "unsupported_media_type"
    default_hint = "Send application/json."


class NoSuchRoute(InvalidInput):
    """Nothing lives at this path."""

    code = "no_such_route"
    default_hint = "See /openapi.json for every route."


class MethodNotAllowed(InvalidInput):
    """The path is right, the method is not."""

    code = "method_not_allowed"
    default_hint = "See /openapi.json for every route and its methods."


class UpgradeRequired(InvalidInput):
    """A plain request to the address of a WebSocket."""

    code = "upgrade_required"
    default_hint = "Connect with a WebSocket client."


class VersionConflict(InvalidInput):
    """`If-Match` named another version than the one in force."""

    code = "version_conflict"
    default_hint = "Read the session again and repeat the change on its newest version."


class SettingsRefused(InvalidInput):
    """A setting that cannot be used; the command line ends with it."""

    code = "settings_refused"


class Internal(LiveglassError):
    """A fault of the server itself; the log has the rest."""

    code = "internal"
    retryable = True


_STATUS: tuple[tuple[type[LiveglassError], int], ...] = (
    (MalformedMessage, 400),
    (MalformedSdp, 400),
    (BodyTooLarge, 413),
    (PictureTooLarge, 413),
    (BodyTooSlow, 408),
    (UnsupportedType, 415),
    (NoSuchRoute, 404),
    (MethodNotAllowed, 405),
    (UpgradeRequired, 426),
    (VersionConflict, 412),
    (InvalidInput, 422),
    (TokenRefused, 401),
    (NotAllowed, 403),
    (NoSuchSession, 404),
    (NoSuchFrame, 404),
    (NotReplayable, 409),
    (NotAvailable, 501),
    (PublisherReplaced, 409),
    (Flood, 429),
    (Unavailable, 503),
    (SwapFailed, 409),
    (ModelFailed, 500),
    (LiveglassError, 500),
)


class ErrorReply(msgspec.Struct, frozen=True):
    """The body of every refused request."""

    error: ErrorBody


def status_of(error: LiveglassError) -> int:
    """The HTTP status of `error`: the first class of the table that it is one of."""
    if isinstance(error, CameraNotVisible) and error.field is not None:
        return 422
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def headers_of(error: LiveglassError) -> dict[str, str]:
    """What goes along in the header: when to come back, how to prove who one is, whether the rest is read."""
    headers = {"Cache-Control": "no-store"}
    if isinstance(error, AtCapacity):
        headers["Retry-After"] = str(error.retry_after_s)
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = "1"
    elif isinstance(error, TokenRefused):
        headers["WWW-Authenticate"] = 'Bearer realm="liveglass"'
    elif isinstance(error, UpgradeRequired):
        headers["Upgrade"] = "websocket"
    elif isinstance(error, (BodyTooLarge, BodyTooSlow)):
        headers["Connection"] = "close"
    return headers


def error_response(error: LiveglassError) -> Response:
    """`error` as a whole HTTP response."""
    return Response(
        msgspec.json.encode(ErrorReply(error.body())),
        status_code=status_of(error),
        headers=headers_of(error),
        media_type="application/json",
    )
