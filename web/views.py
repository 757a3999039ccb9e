"""What HTTP says about a session, as typed schemas; pure."""

from urllib.parse import quote

import msgspec

from liveglass.engine.events import ControlView, Stats
from liveglass.engine.stream.session import Session
from liveglass.transport.messages import PictureSize
from liveglass.transport.webrtc.ice import IceServer
from liveglass.web.auth import Pass, Tokens


class Urls(msgspec.Struct, frozen=True):
    """Where to go on from here; what this build does not have is missing."""

    peer: str
    socket: str
    snapshot: str
    studio: str
    overlay: str


class Admitted(msgspec.Struct, frozen=True):
    """Whether the session runs now, or its place in the queue."""

    state: str
    position: int


class SessionBody(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer to opening a session.

    Attributes:
        cause: why it is neither ready nor live; missing where it is.
        token: controls and publishes.
        viewer_token: only watches.
        ice_servers: for the client's RTCPeerConnection; credentials in it are short-lived.
    """

    id: str
    state: str
    cause: str = ""
    control: ControlView
    token: str
    viewer_token: str
    urls: Urls
    ice_servers: tuple[IceServer, ...]
    admission: Admitted


class OptionsView(msgspec.Struct, frozen=True):
    """What stays the same for a session's whole life."""

    source: str
    camera_visible: str
    fallback: str
    size: PictureSize
    fit: str
    fps: int


class SessionView(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state of a session, for who holds one of its tokens."""

    id: str
    name: str | None = None
    role: str
    state: str
    cause: str = ""
    stage: str | None = None
    model: str
    control: ControlView
    options: OptionsView
    connections: int
    slot: int
    stats: Stats
    urls: Urls
    ice_servers: tuple[IceServer, ...]
    admission: Admitted


class PatchReply(msgspec.Struct, frozen=True):
    """The answer to a change of the control state."""

    version: int
    effective: dict[str, object]
    notes: tuple[str, ...]


def urls_of(session: Session, base: str, *, token: str = "", viewer_token: str = "") -> Urls:
    """The addresses of `session`; the pages' carry their tokens where these are given."""
    here = quote(session.id, safe="")
    fragment = f"session={here}"
    if token:
        fragment += f"&token={token}"
    if viewer_token and token:
        fragment += f"&viewer={viewer_token}"
    overlay = f"{base}/overlay/{here}"
    return Urls(
        peer=f"{base}/v1/sessions/{here}/peer",
        socket=f"ws{base.removeprefix('http')}/v1/sessions/{here}/socket",
        snapshot=f"{base}/v1/sessions/{here}/snapshot.jpg",
        studio=f"{base}/#{fragment}",
        overlay=f"{overlay}?token={viewer_token}" if viewer_token else overlay,
    )


def opened(
    session: Session, grant: Pass, tokens: Tokens, base: str, *, ice_servers: tuple[IceServer, ...]
) -> SessionBody:
    """The body of `201`, and of `200` for a named session that was there."""
    token, viewer_token = tokens.sign(grant, "controller"), tokens.sign(grant, "viewer")
    return SessionBody(
        id=session.id,
        state=session.state.state,
        cause=session.state.cause,
        control=session.control_view(),
        token=token,
        viewer_token=viewer_token,
        urls=urls_of(session, base, token=token, viewer_token=viewer_token),
        ice_servers=ice_servers,
        admission=_admission(session),
    )


def viewed(session: Session, role: str, base: str, *, ice_servers: tuple[IceServer, ...]) -> SessionView:
    """The body of `GET /v1/sessions/{id}`; it carries no token."""
    options, state = session.options, session.state
    return SessionView(
        id=session.id,
        name=session.name,
        role=role,
        state=state.state,
        cause=state.cause,
        stage=state.stage,
        model=session.spec.name,
        control=session.control_view(),
        options=OptionsView(
            options.source,
            options.camera_visible,
            options.fallback,
            PictureSize.of(options.size),
            options.fit,
            options.fps,
        ),
        connections=session.audience.attached,
        slot=session.current_slot,
        stats=session.stats(),
        urls=urls_of(session, base),
        ice_servers=ice_servers,
        admission=_admission(session),
    )


def _admission(session: Session) -> Admitted:
    admission = session.admission
    return Admitted(admission.state, admission.position)
