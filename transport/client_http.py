"""The few HTTP requests of the Python client, by the standard library in a thread; keeps no connection."""

import asyncio
import ipaddress
import ssl
from http import HTTPStatus
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

from liveglass.engine.errors import ErrorBody, InvalidValue, LiveglassError, Unavailable
from liveglass.engine.options import SessionRequest
from liveglass.engine.record import Replay
from liveglass.transport.client_errors import error_from

Format = Literal["jpeg", "raw"]

_TIMEOUT_S = 30.0


class Opened(msgspec.Struct, frozen=True):
    """What the client needs of a session that was opened."""

    id: str
    token: str
    viewer_token: str


class _Refusal(msgspec.Struct, frozen=True):
    error: ErrorBody


class Address:
    """Where a server is, and how to ask it."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidValue(f"{url!r} is no address.", hint="Write it like http://127.0.0.1:8787.", field="url")
        self.base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.tls = tls
        self.is_loopback = _is_loopback(parts.hostname)

    def socket(self, session: str, *, publish: bool, view: bool, fmt: Format) -> str:
        """The WebSocket address of `session`."""
        query = urlencode({"publish": int(publish), "view": int(view), "format": fmt})
        return f"ws{self.base.removeprefix('http')}/v1/sessions/{quote(session, safe='')}/socket?{query}"

    async def open(self, request: SessionRequest, *, name: str | None, credential: str | None) -> Opened:
        """Open a session, or return the one of that `name`.

        Raises:
            LiveglassError: as the server says.
            Unavailable: no server answers.
        """
        body = msgspec.json.encode(request)
        path = "/v1/sessions" if name is None else f"/v1/sessions/{quote(name, safe='')}"
        method = "POST" if name is None else "PUT"
        answer = await asyncio.to_thread(self._ask, method, path, body, credential)
        return msgspec.json.decode(answer, type=Opened)

    async def end(self, session: str, token: str) -> None:
        """End `session`.

        Raises:
            LiveglassError: as the server says.
            Unavailable: no server answers.
        """
        path = f"/v1/sessions/{quote(session, safe='')}"
        await asyncio.to_thread(self._ask, "DELETE", path, None, token)

    async def replay(self, session: str, token: str | None) -> Replay:
        """Have the newest generated frame of `session` made again.

        Raises:
            LiveglassError: as the server says.
            Unavailable: no server answers.
        """
        path = f"/v1/sessions/{quote(session, safe='')}/replay"
        answer = await asyncio.to_thread(self._ask, "POST", path, None, token)
        return msgspec.json.decode(answer, type=Replay)

    def _ask(self, method: str, path: str, body: bytes | None, credential: str | None) -> bytes:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if credential is not None:
            headers["Authorization"] = f"Bearer {credential}"
        request = Request(self.base + path, body, headers, method=method)  # noqa: S310 # the scheme is checked above
        try:
            with self._opener().open(request, timeout=_TIMEOUT_S) as response:
                return bytes(response.read())
        except HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (URLError, OSError) as error:
            raise Unavailable(
                f"No liveglass server answers at {self.base}: {error}.", hint="Start one with `liveglass serve`."
            ) from None

    def _opener(self) -> OpenerDirector:
        handlers: list[ProxyHandler | HTTPSHandler] = [HTTPSHandler(context=self.tls)]
        if self.is_loopback:
            handlers.append(ProxyHandler({}))
        return build_opener(*handlers)


def _refusal(error: HTTPError) -> LiveglassError:
    retry_after = error.headers.get("Retry-After") or ""
    try:
        said = msgspec.json.decode(error.read(), type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError):
        kind = Unavailable if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR else LiveglassError
        return kind(f"The server answered {error.code} {error.reason}.")
    return error_from(said.error, retry_after_s=int(retry_after) if retry_after.isdecimal() else 10)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
