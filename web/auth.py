"""Who may do what: signed session tokens, the operator's token, stream keys.

A session token says one session, one role and an expiry, and is worth nothing for another session or for one of the
same name that was opened anew. Comparisons take the same time whatever is wrong. Never logs what it was given. Event
loop; only `load_secret` blocks.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Literal

import jwt
import msgspec
from starlette.datastructures import Headers, QueryParams

from liveglass.engine.clock import wall
from liveglass.engine.errors import NotAllowed, TokenRefused
from liveglass.web.files import create_private
from liveglass.web.keys import KeyRing, StreamKey
from liveglass.web.settings import Settings

Role = Literal["controller", "viewer"]
SUBPROTOCOL = "liveglass.token."
TOKEN_LIFE_S = 365 * 86_400
_ALGORITHM = "HS256"


class Claim(msgspec.Struct, frozen=True):
    """What a good token says.

    Attributes:
        nonce: which opening of that name it belongs to; empty for sessions without a name.
    """

    session: str
    role: Role
    nonce: str = ""


class Pass(msgspec.Struct, frozen=True):
    """What a session's tokens are made from; the same pass makes the same tokens.

    Attributes:
        issued_at: seconds since the epoch.
    """

    session: str
    issued_at: int
    nonce: str = ""


class Tokens:
    """Signs and reads session tokens; any thread."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"liveglass session tokens\0" + secret).digest()

    def sign(self, grant: Pass, role: Role) -> str:
        """The token of `role` for `grant`'s session."""
        claims = {
            "sub": grant.session,
            "role": role,
            "iat": grant.issued_at,
            "exp": grant.issued_at + TOKEN_LIFE_S,
            "n": grant.nonce,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def read(self, token: str) -> Claim:
        """What `token` says.

        Raises:
            TokenRefused: not signed here, over, or not one of ours.
        """
        try:
            claims = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options={"require": ["exp", "sub"]})
        except jwt.ExpiredSignatureError:
            raise TokenRefused("This token is over.") from None
        except (jwt.InvalidTokenError, ValueError):
            raise TokenRefused("This token was not made by this server.") from None
        said = {"session": claims["sub"], "role": claims.get("role"), "nonce": claims.get("n")}
        try:
            return msgspec.convert(said, Claim)
        except msgspec.ValidationError:
            raise TokenRefused("This token was not made by this server.") from None


def load_secret(settings: Settings) -> bytes:
    """The signing secret: from the settings, else kept in the state folder, made there at the first start. Blocking."""
    if settings.secret:
        return settings.secret.encode()
    return create_private(Path(settings.state_dir) / "secret", secrets.token_hex(32).encode())


def presented(headers: Headers, query: bytes) -> str | None:
    """The credential that came along: Bearer, else the WebSocket subprotocol, else `?token=`; None without any."""
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    for offered in subprotocols(headers):
        if offered.startswith(SUBPROTOCOL):
            return offered.removeprefix(SUBPROTOCOL)
    return QueryParams(query.decode("latin-1")).get("token")


def subprotocols(headers: Headers) -> list[str]:
    """The WebSocket subprotocols that a client offers, in its order."""
    return [
        part.strip() for line in headers.getlist("sec-websocket-protocol") for part in line.split(",") if part.strip()
    ]


class Opener(msgspec.Struct, frozen=True):
    """Who opens a session: the stream key's name, or None for an operator or this very machine."""

    key: str | None = None


class Desk:
    """Checks credentials against the settings of one server.

    Args:
        keys: the stream keys; they may change while the server runs.
    """

    def __init__(self, settings: Settings, tokens: Tokens, keys: KeyRing) -> None:
        self._settings = settings
        self.tokens = tokens
        self._keys = keys

    def is_operator(self, credential: str | None) -> bool:
        """Whether it is the operator's token."""
        wanted = self._settings.operator_credential
        return bool(wanted) and credential is not None and same(credential, wanted)

    def may_open(self, credential: str | None) -> Opener:
        """Who opens a session with `credential`; on a loopback server nobody needs one.

        Raises:
            TokenRefused: none, or one that is wrong or over.
            NotAllowed: a stream key that only watches.
        """
        if self.is_operator(credential):
            return Opener()
        key = self._keys.find(credential) if credential else None
        if key is not None:
            return self._opener(key)
        if self._settings.is_loopback:
            return Opener()
        hint = "Send an operator token or a stream key as Authorization: Bearer; `liveglass keys add NAME` makes one."
        raise TokenRefused("Opening a session here needs an operator token or a stream key.", hint=hint)

    def may_read_metrics(self, credential: str | None) -> None:
        """Let the operator in, and on a loopback server anybody.

        Raises:
            TokenRefused: elsewhere, without the operator's token.
        """
        if not self._settings.is_loopback and not self.is_operator(credential):
            raise TokenRefused(
                "Metrics need the operator's token here.",
                hint="Send it as Authorization: Bearer; LIVEGLASS_OPERATOR_TOKEN sets it.",
            )

    def may_swap(self, credential: str | None) -> None:
        """Let the operator in, and on a loopback server anybody: the model makes everybody's pictures.

        Raises:
            TokenRefused: elsewhere, without a credential, or with a wrong one.
            NotAllowed: a stream key, which reaches one session.
        """
        if self._settings.is_loopback or self.is_operator(credential):
            return
        if credential and self._keys.find(credential) is not None:
            raise NotAllowed(
                "A stream key does not reach the model.", hint="Send the operator's token as Authorization: Bearer."
            )
        raise TokenRefused(
            "The model is the operator's to change.",
            hint="Send the operator's token as Authorization: Bearer; LIVEGLASS_OPERATOR_TOKEN sets it.",
        )

    def claim(self, session_id: str, credential: str | None) -> Claim:
        """What `credential` says about `session_id`; whether that session exists is not looked at.

        Raises:
            TokenRefused: none, a wrong one, or one for another session.
        """
        if not credential:
            raise TokenRefused("This needs the session's token.")
        if self.is_operator(credential):
            return Claim(session_id, "controller", OPERATOR_NONCE)
        key = self._keys.find(credential)
        if key is not None:
            if key.name != session_id:
                raise TokenRefused("This stream key belongs to another session.")
            return Claim(session_id, key.role, OPERATOR_NONCE)
        claim = self.tokens.read(credential)
        if claim.session != session_id:
            raise TokenRefused("This token belongs to another session.")
        return claim

    def _opener(self, key: StreamKey) -> Opener:
        if key.role != "controller":
            raise NotAllowed(
                f"The stream key {key.name!r} only watches.", hint="Add one with --role controller to open sessions."
            )
        return Opener(key.name)


OPERATOR_NONCE = "*"
"""Fits every opening of a name: the operator and stream keys are not bound to one."""


def need_controller(claim: Claim) -> None:
    """Refuse a viewer.

    Raises:
        NotAllowed: the token only watches.
    """
    if claim.role != "controller":
        raise NotAllowed("This token only watches.")


def new_pass(session_id: str, *, named: bool) -> Pass:
    """The pass of a session that opens now."""
    return Pass(session_id, int(wall()), secrets.token_urlsafe(9) if named else "")


def renewed(grant: Pass) -> Pass:
    """The same pass, or a younger one when half its life is over."""
    return (
        grant if wall() - grant.issued_at < TOKEN_LIFE_S / 2 else msgspec.structs.replace(grant, issued_at=int(wall()))
    )


def same(a: str, b: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))
