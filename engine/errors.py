"""Every error that a user can meet, as one tree; pure.

    LiveglassError
    ├── InvalidInput          what was sent cannot be used; final
    │   ├── MalformedMessage  not JSON, or not an object
    │   ├── UnknownEvent · UnknownField · InvalidValue · PromptTooLong
    │   ├── MalformedFrame · MalformedPicture · PictureTooLarge
    │   └── MalformedSdp · UnusableOffer · IceRestartRefused
    ├── TokenRefused          no token, or one that is wrong or over
    ├── NotAllowed            a good token for less than this · OriginRefused · CameraNotVisible
    ├── NoSuchSession         · NoSuchPeer
    ├── NoSuchFrame           nothing was generated yet
    ├── NotReplayable         the newest frame is known, and cannot be made again
    ├── NotAvailable          this build or this model does not have it · WeightsRefused
    ├── PublisherReplaced     a newer publisher took over
    ├── Flood                 more messages than anybody sends on purpose
    ├── Unavailable           not now; trying again helps
    │   └── AtCapacity · ModelNotReady · GenerationTimeout · WorkerLost · SwapUnderWay · ServerClosing
    └── ModelFailed           the model broke a frame · BrokenFrame · OutOfMemory · SwapFailed

The same `code` goes over HTTP, WebSocket and data channel. Never one generic message for what can be retried and what
cannot.
"""

from typing import ClassVar

import msgspec


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an error looks like on the wire, inside `{"error": …}` or an `error` event."""

    code: str
    message: str
    retryable: bool
    hint: str = ""
    field: str | None = None


class LiveglassError(Exception):
    """The root. `code` is stable; `message` is for people; `hint` says what to do.

    Attributes:
        code: stable, snake_case; what programs compare.
        retryable: whether the same call can succeed later.
        field: the input field at fault, in dotted form, where there is one.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    default_hint: ClassVar[str] = "Try again; if it stays, report it with the server's log."

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.field = field

    def body(self) -> ErrorBody:
        """The error as the wire carries it."""
        return ErrorBody(
            code=self.code, message=self.message, retryable=self.retryable, hint=self.hint, field=self.field
        )


class InvalidInput(LiveglassError):
    """What was sent cannot be used as it is."""

    code = "invalid_input"
    default_hint = "Correct the value and send it again."


class MalformedMessage(InvalidInput):
    """Not JSON, or not the shape of any message."""

    code = "malformed_message"
    default_hint = "Send one JSON object."


class UnknownEvent(InvalidInput):
    """A message whose `type` nobody knows."""

    code = "unknown_event"


class UnknownField(InvalidInput):
    """A field that nobody reads."""

    code = "unknown_field"


class InvalidValue(InvalidInput):
    """A value of the wrong type or out of its range; nothing is ever clamped."""

    code = "invalid_value"


class PromptTooLong(InvalidInput):
    """A prompt over its limit."""

    code = "prompt_too_long"
    default_hint = "Shorten the prompt to 2,000 characters."


class MalformedFrame(InvalidInput):
    """A binary message whose 24-byte header is wrong."""

    code = "malformed_frame"
    default_hint = "Every binary message starts with the 24-byte header of the protocol."


class MalformedPicture(InvalidInput):
    """A payload that is not a picture of the codec that its header names."""

    code = "malformed_picture"
    default_hint = "Send a baseline or progressive JPEG."


class PictureTooLarge(InvalidInput):
    """A picture over 1920×1080 or 4 MiB, told from its header before anything is decoded."""

    code = "picture_too_large"
    default_hint = "Send pictures of at most 1920×1080 and 4 MiB."


class MalformedSdp(InvalidInput):
    """Not a session description (RFC 8866), or one that is too long or too odd to be a browser's."""

    code = "malformed_sdp"
    default_hint = "Send the SDP of RTCPeerConnection.createOffer(), at most 64 KiB, as application/sdp."


class UnusableOffer(InvalidInput):
    """A sound session description that this server cannot answer."""

    code = "unusable_offer"
    default_hint = "Offer one video line (sendrecv, H.264 or VP8), and data channels if you want events."


class IceRestartRefused(InvalidInput):
    """A new ICE user name or password for a running peer."""

    code = "ice_restart_refused"
    default_hint = "Recover with a new POST; it replaces this peer."


class TokenRefused(LiveglassError):
    """No token, or one that is wrong, expired or for another session."""

    code = "token_refused"
    default_hint = "Use the token that opening the session returned."


class NotAllowed(LiveglassError):
    """A good token that does not reach this far."""

    code = "not_allowed"
    default_hint = "Use the session's control token, not its viewer token."


class OriginRefused(NotAllowed):
    """A foreign `Origin` or an unknown `Host`."""

    code = "origin_refused"
    default_hint = "Start the server with --allow-origin for this page's address."


class CameraNotVisible(NotAllowed):
    """A camera picture asked for in a session that hides its camera."""

    code = "camera_not_visible"
    default_hint = "Open the session with camera_visible: all."


class NoSuchSession(LiveglassError):
    """No session of that id, or it has ended."""

    code = "no_such_session"
    default_hint = "Open a new one with POST /v1/sessions."


class NoSuchPeer(NoSuchSession):
    """No peer connection of that id in this session."""

    code = "no_such_peer"
    default_hint = "Open a new one with a POST of an offer."


class NoSuchFrame(LiveglassError):
    """A question about the newest frame of a session that has none."""

    code = "no_such_frame"
    default_hint = "Ask again once the session has generated a picture."


class NotReplayable(LiveglassError):
    """What the newest frame was made of is not all there any more."""

    code = "not_replayable"
    default_hint = "Ask again: a newer frame may be one that can be made again."


class NotAvailable(LiveglassError):
    """This build or this model does not have it."""

    code = "not_available"
    default_hint = "See the release notes for what this version has."


class WeightsRefused(NotAvailable):
    """A checkpoint that is damaged, of another shape, too large for this machine, or a pickle."""

    code = "weights_refused"
    default_hint = "Fetch the model again."


class PublisherReplaced(LiveglassError):
    """A newer publisher took over; the newest wins."""

    code = "publisher_replaced"
    default_hint = "Only one program publishes at a time; publish again to take over."


class Flood(LiveglassError):
    """More messages than anybody sends on purpose."""

    code = "flood"
    default_hint = "Stay under 120 frames and 500 messages a second."


class Unavailable(LiveglassError):
    """Not now; the same call can succeed later."""

    code = "unavailable"
    retryable = True
    default_hint = "Try again in a moment."


class AtCapacity(Unavailable):
    """The measured capacity is given away and the queue is full."""

    code = "at_capacity"
    default_hint = "Wait for a session to end, or start a server on another machine."

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelNotReady(Unavailable):
    """The model is still loading or warming up."""

    code = "model_not_ready"


class GenerationTimeout(Unavailable):
    """A frame took longer than its rule allows; the worker is replaced."""

    code = "generation_timeout"


class WorkerLost(Unavailable):
    """The process that holds the model ended; another is on its way."""

    code = "worker_lost"


class SwapUnderWay(Unavailable):
    """Another model, or other low-rank weights, are on their way already."""

    code = "swap_under_way"
    default_hint = "GET /v1/model tells how far it is; try again when it is over."


class ServerClosing(Unavailable):
    """The server is shutting down."""

    code = "server_closing"
    default_hint = "Connect again when the server is back."


class ModelFailed(LiveglassError):
    """The model could not make a frame of this session."""

    code = "model_failed"
    retryable = True


class BrokenFrame(ModelFailed):
    """The model returned NaN, one flat colour, or a wrong size."""

    code = "broken_frame"


class OutOfMemory(ModelFailed):
    """The device has no memory left for this session."""

    code = "out_of_memory"
    default_hint = "Choose a smaller size or fewer steps."


class SwapFailed(ModelFailed):
    """What was to take over did not come up; what served before goes on."""

    code = "swap_failed"
    retryable = False
    default_hint = "Correct what it says, then ask again; the stream was not touched."


class ModelNotFound(InvalidInput):
    """No model of that name."""

    code = "model_not_found"
    default_hint = "See GET /v1/models or `liveglass models`."


def as_model_failure(error: Exception) -> LiveglassError:
    """What came out of a model, as an error of ours; torch's own class is not known here without torch."""
    if isinstance(error, LiveglassError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return OutOfMemory("The model has no memory left for this session.")
    return ModelFailed(f"The model failed: {type(error).__name__}.")
