"""`/openapi.json` and the event reference, made from the same typed schemas that the server reads and writes; pure."""

from types import GenericAlias
from typing import get_args

import msgspec

from liveglass.engine.models.lora_files import LoraWish
from liveglass.engine.options import SessionRequest
from liveglass.engine.record import OutputRecord, Replay
from liveglass.transport.messages import Command, ServerEvent
from liveglass.web.errors import ErrorReply
from liveglass.web.merge import ControlMerge
from liveglass.web.replies import Alive, LorasReply, Models, Ready, ResidentModel, SwapRequest
from liveglass.web.views import PatchReply, SessionBody, SessionView

_JSON = "application/json"
_REF = "#/components/schemas/{name}"
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_PEER: dict[str, object] = {"name": "peer", "in": "path", "required": True, "schema": {"type": "string"}}
_SESSION_TOKEN: list[dict[str, list[str]]] = [{"token": []}, {"tokenInQuery": []}]


class Operation(msgspec.Struct, frozen=True):
    """One method of one path, as far as its schemas do not say it.

    Attributes:
        answers: what it returns, by status.
        opens: whether it is opening (an operator token or a stream key) rather than using a session.
    """

    path: str
    method: str
    summary: str
    answers: dict[int, type | str]
    takes: type | GenericAlias | None = None
    media: tuple[str, ...] = (_JSON,)
    opens: bool = False
    public: bool = False
    parameters: tuple[dict[str, object], ...] = ()


def _query(name: str, schema: dict[str, object]) -> dict[str, object]:
    return {"name": name, "in": "query", "schema": schema}


_ONE = "/v1/sessions/{id}"
_NOT_YET = "Answers 501 not_available in this version."
OPERATIONS = (
    Operation(
        "/v1/sessions", "post", "Open a session.", {201: SessionBody, 503: ErrorReply}, SessionRequest, opens=True
    ),
    Operation(
        _ONE,
        "put",
        "Open a named session, or return it; an existing one ignores the body.",
        {200: SessionBody, 201: SessionBody, 503: ErrorReply},
        SessionRequest,
        opens=True,
    ),
    Operation(_ONE, "get", "State, control and stats.", {200: SessionView}),
    Operation(
        _ONE,
        "patch",
        "Change the control state with a JSON merge patch; null takes the default.",
        {200: PatchReply, 412: ErrorReply},
        ControlMerge,
        ("application/merge-patch+json", _JSON),
        parameters=({"name": "If-Match", "in": "header", "schema": {"type": "string"}},),
    ),
    Operation(_ONE, "delete", "End the session.", {204: ""}),
    Operation(f"{_ONE}/snapshot.jpg", "get", "The newest output frame.", {200: "image/jpeg", 503: ErrorReply}),
    Operation(
        f"{_ONE}/preview.jpg",
        "post",
        "A small picture of what a change would make, without making it; everything in it is generated.",
        {200: "image/jpeg", 503: ErrorReply},
        ControlMerge,
        ("application/merge-patch+json", _JSON),
    ),
    Operation(
        f"{_ONE}/provenance",
        "get",
        "Everything that the newest output frame was made of, without a pixel.",
        {200: OutputRecord, 404: ErrorReply},
    ),
    Operation(
        f"{_ONE}/replay",
        "post",
        "Make the newest generated frame again, alone, and compare: exact or close, with hashes and the difference.",
        {200: Replay, 404: ErrorReply, 409: ErrorReply, 503: ErrorReply},
    ),
    Operation(
        f"{_ONE}/socket",
        "get",
        "WebSocket: frames and events (x-events). Close codes: 4401, 4403, 4404, 4409, 1008, 1001.",
        {101: ""},
        parameters=(
            _query("publish", {"type": "integer", "enum": [0, 1], "default": 0}),
            _query("view", {"type": "integer", "enum": [0, 1], "default": 1}),
            _query("format", {"type": "string", "enum": ["jpeg", "raw"], "default": "jpeg"}),
        ),
    ),
    Operation(
        f"{_ONE}/peer",
        "post",
        "Two-way WebRTC: an SDP offer in, the answer with all candidates out; Location names the peer.",
        {201: "application/sdp", 400: ErrorReply, 422: ErrorReply, 503: ErrorReply},
        str,
        ("application/sdp",),
    ),
    Operation(
        f"{_ONE}/peer/{{peer}}",
        "patch",
        "Candidates that came after the offer (RFC 8840); an ICE restart is refused.",
        {204: "", 404: ErrorReply, 422: ErrorReply},
        str,
        ("application/trickle-ice-sdpfrag",),
        parameters=(_PEER,),
    ),
    Operation(
        f"{_ONE}/peer/{{peer}}",
        "delete",
        "End the peer; also when it is over already.",
        {200: "", 404: ErrorReply},
        parameters=(_PEER,),
    ),
    Operation(f"{_ONE}/whip", "post", f"WHIP ingest. {_NOT_YET}", {501: ErrorReply}),
    Operation(f"{_ONE}/whep", "post", f"WHEP playback. {_NOT_YET}", {501: ErrorReply}),
    Operation("/v1/whip", "post", f"WHIP ingest by stream key. {_NOT_YET}", {501: ErrorReply}),
    Operation("/v1/models", "get", "The models of this server.", {200: Models}, public=True),
    Operation("/v1/model", "get", "The resident model, and the newest swap.", {200: ResidentModel}, public=True),
    Operation(
        "/v1/model",
        "put",
        "Put another model under the running streams: it warms up beside the one that serves and takes over between "
        "two frames. The operator's; model.changed tells every session how it goes.",
        {200: ResidentModel, 202: ResidentModel, 422: ErrorReply, 501: ErrorReply, 503: ErrorReply},
        SwapRequest,
        opens=True,
    ),
    Operation(
        "/v1/model/loras",
        "put",
        "Put these low-rank weights, and no others, into the model between its frames; answered when pictures have "
        "them. The operator's.",
        {200: LorasReply, 422: ErrorReply, 501: ErrorReply, 503: ErrorReply},
        list[LoraWish],
        opens=True,
    ),
    Operation("/livez", "get", "503 only when the process is stuck.", {200: Alive, 503: Alive}, public=True),
    Operation("/readyz", "get", "200 only with a generation younger than 10 s.", {200: Ready, 503: Ready}, public=True),
    Operation("/metrics", "get", "Prometheus text.", {200: "text/plain"}, opens=True),
)


def describe() -> bytes:
    """The OpenAPI 3.1 document as JSON."""
    events = (*get_args(Command), *get_args(ServerEvent))
    schemas: list[type | GenericAlias] = [ErrorReply, *events]
    for operation in OPERATIONS:
        kinds = (operation.takes, *operation.answers.values())
        schemas += [kind for kind in kinds if isinstance(kind, type | GenericAlias)]
    unique = list(dict.fromkeys(schemas))
    refs, components = msgspec.json.schema_components(unique, schema_hook=_anything, ref_template=_REF)
    ref_of = dict(zip(unique, refs, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, ref_of)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "liveglass",
            "version": "1",
            "description": "Real-time generative video. Frames and events go over the WebSocket; see x-events.",
        },
        "paths": paths,
        "x-events": {
            "client": {_tag(kind): ref_of[kind] for kind in get_args(Command)},
            "server": {_tag(kind): ref_of[kind] for kind in get_args(ServerEvent)},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The session's token."},
                "tokenInQuery": {"type": "apiKey", "in": "query", "name": "token"},
                "opening": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An operator token or a stream key; not needed on a loopback server.",
                },
            },
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def event_reference() -> str:
    """Every event as Markdown: its name, what it means, its fields."""
    lines = []
    for title, union in (("Client to server", Command), ("Server to client", ServerEvent)):
        lines += [f"## {title}", "", "| event | meaning | fields |", "|---|---|---|"]
        for kind in get_args(union):
            fields = ", ".join(
                f"`{field.encode_name}{'' if field.required else '?'}`" for field in msgspec.structs.fields(kind)
            )
            meaning = (kind.__doc__ or "").partition("\n")[0]
            lines.append(f"| `{_tag(kind)}` | {meaning} | {fields} |")
        lines.append("")
    return "\n".join(lines)


def _operation(operation: Operation, ref_of: dict[type | GenericAlias, dict[str, object]]) -> dict[str, object]:
    answers: dict[str, object] = {}
    for status, kind in operation.answers.items():
        answer: dict[str, object] = {"description": operation.summary if status < 400 else "Refused."}
        if isinstance(kind, type):
            answer["content"] = {_JSON: {"schema": ref_of[kind]}}
        elif kind:
            answer["content"] = {kind: {}}
        answers[str(status)] = answer
    answers["default"] = {"description": "Refused.", "content": {_JSON: {"schema": ref_of[ErrorReply]}}}
    described: dict[str, object] = {
        "summary": operation.summary,
        "responses": answers,
        "parameters": [*([_ID] if "{id}" in operation.path else []), *operation.parameters],
        "security": [] if operation.public else [{}, {"opening": []}] if operation.opens else _SESSION_TOKEN,
    }
    if operation.takes is not None:
        described["requestBody"] = {
            "content": {media: {"schema": ref_of[operation.takes]} for media in operation.media}
        }
    return described


def _anything(kind: type) -> dict[str, object]:
    if kind is not object:
        raise TypeError(f"no schema is known for {kind}")
    return {"description": "Any JSON value."}


def _tag(kind: type) -> str:
    return str(kind.__struct_config__.tag)  # type: ignore[attr-defined] # every event is a tagged struct
