"""A whole server, as `liveglass serve` starts it, in the test's own event loop on a free port."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

from liveglass.web.server import serve
from liveglass.web.settings import Settings


class Site:
    """A running server and a client of it."""

    def __init__(self, address: str, client: httpx.AsyncClient, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.address = address
        self.client = client
        self._stop = stop
        self._task = task

    async def open(self, token: str = "", **body: object) -> dict[str, Any]:
        """Open a session; its body."""
        answer = await self.client.post("/v1/sessions", json=body, headers=bearer(token) if token else None)
        assert answer.status_code == 201, answer.text
        opened: dict[str, Any] = answer.json()
        return opened

    def socket(self, session: dict[str, Any], query: str = "", **options: Any) -> open_socket:
        """A WebSocket to `session`, with its controller's token as subprotocol unless said."""
        url = f"{session['urls']['socket']}{query}"
        options.setdefault("subprotocols", [f"liveglass.token.{session['token']}"])
        return open_socket(url, compression=None, proxy=None, **options)

    async def stop(self) -> None:
        """Stop in order; returns when nothing is left."""
        self._stop.set()
        await self._task


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def until(socket: ClientConnection, type_: str, **fields: object) -> dict[str, Any]:
    """The next event of that type with those fields."""
    while True:
        message = await socket.recv()
        if isinstance(message, str):
            event: dict[str, Any] = json.loads(message)
            if event["type"] == type_ and fields.items() <= event.items():
                return event


async def closed_with(socket: ClientConnection) -> tuple[int, str, list[dict[str, Any]]]:
    """Read to the end: the code and the reason that the server closed with, and the events before."""
    events = []
    with suppress(ConnectionClosed):
        while True:
            message = await socket.recv()
            if isinstance(message, str):
                events.append(json.loads(message))
    return socket.close_code or 0, socket.close_reason or "", events


StartSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def start_site(tmp_path: Path) -> AsyncIterator[StartSite]:
    """Starts servers; all of them are stopped after the test."""
    async with AsyncExitStack() as stack:

        async def begin(**changes: Any) -> Site:
            usual = {
                "port": 0,
                "model": "null",
                "worker_mode": "thread",
                "fetch_models": False,
                "state_dir": str(tmp_path / "state"),
                "models_dir": str(tmp_path / "models"),
            }
            settings = Settings(**(usual | changes))
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            stop = asyncio.Event()
            task = asyncio.create_task(serve(settings, ready.set_result, stop))
            await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            address = ready.result()
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=address, trust_env=False, verify=False))
            site = Site(address, client, stop, task)
            stack.push_async_callback(site.stop)
            return site

        yield begin


@pytest.fixture
async def site(start_site: StartSite) -> Site:
    return await start_site()


@pytest.fixture
def talk() -> "Talk":
    """What tests say and read on a socket, and how a token is shown."""
    return Talk()


class Talk:
    until = staticmethod(until)
    closed_with = staticmethod(closed_with)
    bearer = staticmethod(bearer)
