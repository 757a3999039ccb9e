"""Request bodies, checked before they are read and bounded while they are; runs on the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from liveglass.engine.errors import MalformedMessage
from liveglass.engine.validation import json_object, json_value
from liveglass.web.errors import BodyTooLarge, BodyTooSlow, UnsupportedType

MAX_JSON = 64 * 1024
_PATIENCE_S = 10.0
_COURTESY_S = 1.0
_COURTESY_BYTES = 2**20
_JSON = frozenset({"application/json", "application/merge-patch+json", ""})


async def read_json(request: Request) -> dict[str, object]:
    """The request's body as one JSON object; no body at all is an empty object.

    Raises:
        UnsupportedType: the content type is not JSON.
        BodyTooLarge: over 64 KiB, told by its length where it has one.
        BodyTooSlow: it took over 10 s to arrive.
        MalformedMessage: not one JSON object.
    """
    raw = await _json_body(request)
    return json_object(raw, MAX_JSON) if raw.strip() else {}


async def read_list(request: Request) -> list[object]:
    """The request's body as one JSON array; see `read_json`.

    Raises:
        MalformedMessage: not one JSON array.
    """
    value = json_value(await _json_body(request), MAX_JSON)
    if not isinstance(value, list):
        raise MalformedMessage("This is JSON, but not an array.", hint="Send one JSON array; an empty one is [].")
    return value


async def _json_body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _JSON:
        raise UnsupportedType(f"{kind[:80]!r} is not read here.")
    return await read_body(request, MAX_JSON)


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body, at most `limit` bytes.

    Raises:
        BodyTooLarge: over `limit`; what is left is not read.
        BodyTooSlow: it took over 10 s to arrive.
    """
    declared = request.headers.get("content-length", "")
    is_too_large = declared.isdigit() and int(declared[:20]) > limit
    stream = request.stream()
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not is_too_large and (chunk := await anext(stream, None)) is not None:
                body += chunk
                is_too_large = len(body) > limit
    except TimeoutError:
        raise BodyTooSlow(f"The body did not arrive within {_PATIENCE_S:.0f} s.") from None
    except ClientDisconnect:
        raise BodyTooSlow("The client left before its body was whole.") from None
    if is_too_large:
        if "expect" not in request.headers:
            await _let_go_by(stream)
        raise BodyTooLarge(f"The body is over {limit:,} bytes.", hint=f"Send at most {limit // 1024} KiB.")
    return bytes(body)


async def _let_go_by(stream: AsyncIterator[bytes]) -> None:
    """Throw some of what is still coming away: a client that is cut off while it sends never reads the answer."""
    seen = 0
    with suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_COURTESY_S):
            async for chunk in stream:
                seen += len(chunk)
                if seen > _COURTESY_BYTES:
                    return
