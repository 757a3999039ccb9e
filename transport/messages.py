"""Every command of a client and every event of a server, as typed schemas; pure.

One union for each direction. What the engine itself says is already in the wire's form (`engine/events.py`); here
are the commands, and the events that only a connection sends. Touches no session, no socket and no clock.
"""

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from liveglass.engine.control import (
    MAX_PROMPT_CHARS,
    MAX_PROMPTS,
    BlendMs,
    ControlPatch,
    Guidance,
    Hold,
    Policy,
    Prompt,
    Seed,
    Similarity,
    Steps,
    Strength,
)
from liveglass.engine.errors import InvalidValue, UnknownEvent
from liveglass.engine.events import (
    ControlAccepted,
    ControlApplied,
    ControlChanged,
    ControlSettled,
    ControlSuperseded,
    ControlView,
    ErrorEvent,
    ModelChanged,
    QualityChanged,
    SessionState,
    StateName,
    Stats,
)
from liveglass.engine.frame import Apply, FrameKind, Size
from liveglass.engine.validation import convert, did_you_mean, json_object

PROTOCOL = 1
MAX_MESSAGE_BYTES = 65_536

Role = Literal["controller", "viewer"]
CommandId = Annotated[str, Meta(min_length=1, max_length=128)]
CueName = Annotated[str, Meta(min_length=1, max_length=128)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
IntervalMs = Annotated[int, Meta(ge=250, le=60_000)]


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What `prompt.set` and `prompt.stage` say; what is unset stays as it is."""

    text: str | UnsetType = UNSET
    prompts: tuple[Prompt, ...] | UnsetType = UNSET
    negative: str | UnsetType = UNSET
    blend_ms: BlendMs | UnsetType = UNSET

    def patch(self) -> ControlPatch:
        """The change of control that these words ask for.

        Raises:
            InvalidValue: both `text` and `prompts`, or no words at all.
        """
        if self.text is not UNSET and self.prompts is not UNSET:
            raise InvalidValue("Both text and prompts were given.", hint="Send one of them.", field="prompts")
        if self.text is UNSET and self.prompts is UNSET and self.negative is UNSET:
            raise InvalidValue("No words were given.", hint="Send text or prompts.", field="text")
        return ControlPatch(prompt=self.text, prompts=self.prompts, negative=self.negative, blend_ms=self.blend_ms)


class PromptSet(_Words, frozen=True, tag_field="type", tag="prompt.set"):
    """Show these words from now on."""

    id: CommandId
    at: Literal["now"] = "now"


class PromptStage(_Words, frozen=True, tag_field="type", tag="prompt.stage"):
    """Keep these words under the name `cue`, to be taken later."""

    id: CommandId
    cue: CueName
    at: Literal["now"] = "now"


class _Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A command that is answered by `control.accepted` or `error` with its `id`."""

    id: CommandId
    at: Literal["now"] = "now"


class PromptTake(_Command, frozen=True, tag_field="type", tag="prompt.take"):
    """Show the words of a staged cue from now on."""

    cue: CueName


class ParamsSet(_Command, frozen=True, tag_field="type", tag="params.set"):
    """Change some of the numbers; what is unset stays as it is."""

    strength: Strength | UnsetType = UNSET
    steps: Steps | UnsetType = UNSET
    seed: Seed | UnsetType = UNSET
    guidance: Guidance | UnsetType = UNSET
    edge: Hold | UnsetType = UNSET
    depth: Hold | UnsetType = UNSET
    apply: Apply | UnsetType = UNSET
    policy: Policy | UnsetType = UNSET
    blend_ms: BlendMs | UnsetType = UNSET
    similarity: Similarity | UnsetType = UNSET

    def patch(self) -> ControlPatch:
        """The change of control that these numbers ask for.

        Raises:
            InvalidValue: not one number is set.
        """
        patch = ControlPatch(
            strength=self.strength,
            steps=self.steps,
            seed=self.seed,
            guidance=self.guidance,
            edge=self.edge,
            depth=self.depth,
            apply=self.apply,
            policy=self.policy,
            blend_ms=self.blend_ms,
            similarity=self.similarity,
        )
        if patch == ControlPatch():
            raise InvalidValue("Nothing to set was given.", hint="Send strength, steps, seed or another parameter.")
        return patch


class HistoryUndo(_Command, frozen=True, tag_field="type", tag="history.undo"):
    """Back to the wishes before the last change."""


class HistoryRedo(_Command, frozen=True, tag_field="type", tag="history.redo"):
    """Again what was undone last."""


class StreamPause(_Command, frozen=True, tag_field="type", tag="stream.pause"):
    """Hold the picture."""


class StreamResume(_Command, frozen=True, tag_field="type", tag="stream.resume"):
    """End a pause or a panic."""


class StreamPanic(_Command, frozen=True, tag_field="type", tag="stream.panic"):
    """Show the safe picture at once, everywhere."""


class SessionClose(_Command, frozen=True, tag_field="type", tag="session.close"):
    """End the session for everybody."""


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A message with no receipt: it changes nothing for anybody else."""

    at: Literal["now"] = "now"


class FrameAck(_Report, frozen=True, tag_field="type", tag="frame.ack"):
    """Decoded, this frame and all before it."""

    seq: U32


class StatsSubscribe(_Report, frozen=True, tag_field="type", tag="stats.subscribe"):
    """Send `stats` now and then every `interval_ms` (250 to 60,000)."""

    interval_ms: IntervalMs = 1000


class Ping(_Report, frozen=True, tag_field="type", tag="ping"):
    """Answered at once by `pong` with the same `t`."""

    t: int | float


ControlCommand = (
    PromptSet
    | PromptStage
    | PromptTake
    | ParamsSet
    | HistoryUndo
    | HistoryRedo
    | StreamPause
    | StreamResume
    | StreamPanic
    | SessionClose
)
Command = ControlCommand | FrameAck | StatsSubscribe | Ping


class Limits(msgspec.Struct, frozen=True):
    """What this server takes, so that a client need not find out by being refused."""

    prompts: int = MAX_PROMPTS
    prompt_chars: int = MAX_PROMPT_CHARS
    message_bytes: int = MAX_MESSAGE_BYTES
    picture_width: int = 1920
    picture_height: int = 1080
    picture_bytes: int = 4 * 2**20
    credit: int = 3
    frames_per_s: int = 120
    messages_per_s: int = 500


class PictureSize(msgspec.Struct, frozen=True):
    """A size as clients read it."""

    width: int
    height: int

    @classmethod
    def of(cls, size: Size) -> "PictureSize":
        """The wire's form of `size`."""
        return cls(size.width, size.height)


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """First on every connection, also after a reconnect.

    Attributes:
        server_time: milliseconds since the epoch on the server's clock.
        slot: the output slot that is current.
        applies: what `apply` may be in this session, on this server.
    """

    protocol: int = PROTOCOL
    session: str
    role: Role
    state: StateName
    control: ControlView
    server_time: float
    fps: int
    slot: int
    size: PictureSize
    limits: Limits = Limits()
    applies: tuple[Apply, ...] = ("all",)


class PublishAck(msgspec.Struct, frozen=True, tag_field="type", tag="publish.ack"):
    """Every picture up to `seq` is dealt with; keep at most `credit` unacknowledged."""

    seq: int
    credit: int


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to `ping`; `server_time` in milliseconds since the epoch."""

    t: int | float
    server_time: float


class FrameMeta(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="frame.meta"):
    """What the socket's header says, for WebRTC: on the data channel `meta`, unordered and not repeated.

    Attributes:
        camera: whether camera pixels are in it.
    """

    slot: int
    kind: FrameKind
    version: int
    progress: float
    src_rtp: int | None
    base_rtp: int | None
    generated_ms: float | None
    age_ms: float | None
    pts: int
    camera: bool = False


class StreamClock(msgspec.Struct, frozen=True, tag_field="type", tag="stream.clock"):
    """WebRTC only: slot = slot0 + (presented rtp − rtp_origin) / ticks_per_slot, modulo 2³²."""

    rtp_origin: int
    slot0: int
    ticks_per_slot: int


ServerEvent = (
    Hello
    | SessionState
    | ControlAccepted
    | ControlApplied
    | ControlSettled
    | ControlSuperseded
    | ControlChanged
    | FrameMeta
    | StreamClock
    | QualityChanged
    | ModelChanged
    | Stats
    | ErrorEvent
    | PublishAck
    | Pong
)


def _tag(schema: type) -> str:
    return str(msgspec.inspect.type_info(schema).tag)  # type: ignore[attr-defined] # every command is a tagged struct


COMMANDS: dict[str, type[Command]] = {_tag(schema): schema for schema in get_args(Command)}
"""Every command by its name on the wire; never written to."""


def command_id(message: dict[str, object]) -> str | None:
    """The `id` of a message, so that an error about it can say which one it answers."""
    value = message.get("id")
    return value[:128] if isinstance(value, str) else None


def parse_message(raw: str | bytes) -> dict[str, object]:
    """The first half of reading a command: one JSON object of a bearable size.

    Raises:
        MalformedMessage: not JSON, not an object, or too long.
    """
    return json_object(raw, MAX_MESSAGE_BYTES)


def read_command(message: dict[str, object]) -> Command:
    """The second half: a typed command.

    Raises:
        UnknownEvent: nobody knows its `type`; the hint names the nearest known one.
        UnknownField: a field that this command does not have.
        InvalidValue: a wrong type, a value out of range, or a missing field.
    """
    name = message.get("type")
    if not isinstance(name, str):
        raise InvalidValue("A message needs a type.", hint=f"One of {', '.join(COMMANDS)}.", field="type")
    schema = COMMANDS.get(name)
    if schema is None:
        raise UnknownEvent(
            f"There is no message of type {name[:100]!r}.", hint=did_you_mean(name, COMMANDS), field="type"
        )
    return convert(message, schema)


def parse_command(raw: str | bytes) -> Command:
    """Read one command of a client.

    Raises:
        MalformedMessage: not JSON, not an object, or too long.
        UnknownEvent: nobody knows its `type`; the hint names the nearest known one.
        UnknownField: a field that this command does not have.
        InvalidValue: a wrong type, a value out of range, or a missing field.
    """
    return read_command(parse_message(raw))


def encode(message: ServerEvent | Command) -> str:
    """The JSON text of an event or a command."""
    return msgspec.json.encode(message).decode()


def parse_event(raw: str | bytes) -> ServerEvent | None:
    """Read one event of a server; None for one that this version does not know or cannot read."""
    try:
        event: ServerEvent = msgspec.json.decode(raw, type=ServerEvent)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return event
