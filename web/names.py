"""Named sessions: their wishes outlive the server, and so do their addresses and tokens.

Every change of a named session's control is written to its own file, in one step and off the event loop; after a
restart the session is opened again by whoever comes first with its token. Never keeps pictures. Event loop; files on a
thread.
"""

import asyncio
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec import UNSET

from liveglass.engine.control import ControlState
from liveglass.engine.engine import Engine
from liveglass.engine.errors import NoSuchSession, NotAllowed
from liveglass.engine.events import ControlChanged, SessionEvent, SessionState
from liveglass.engine.options import SessionRequest, fitted
from liveglass.engine.stream.session import Session
from liveglass.web.auth import Opener, Pass, new_pass, renewed
from liveglass.web.files import read_if_there, write_private
from liveglass.web.keys import NAME

Held = Literal["", "paused", "panic"]
_FLOWING = frozenset({"ready", "live", "degraded", "standby"})

log = structlog.get_logger()


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a named session.

    Attributes:
        held: whether it was paused or in panic; a restart must not put a picture on air that somebody took off.
        owner: the stream key that opened it; None for an operator or this very machine.
    """

    request: SessionRequest
    control: ControlState
    grant: Pass
    held: Held = ""
    owner: str | None = None


class Names:
    """The named sessions of one state folder, and the way to every session by its id.

    Only one server at a time uses a state folder for its names.
    """

    def __init__(self, engine: Engine, state_dir: Path) -> None:
        self._engine = engine
        self._folder = state_dir / "sessions"
        self._entries: dict[str, Remembered] = {}
        self._dirty: set[str] = set()
        self._woken = asyncio.Event()
        self._writing = asyncio.Lock()
        self._closing = False

    # --- finding ------------------------------------------------------------------------------------------------

    def get(self, session_id: str) -> Session:
        """The session of that id; a named one of an earlier server is opened again.

        Raises:
            NoSuchSession: there is none.
            AtCapacity: a named one, and there is no room to open it again now.
        """
        session = self._engine.sessions.get(session_id)
        if session is not None:
            return session
        entry = self._entries.get(session_id)
        if entry is None or self._closing:
            raise NoSuchSession("There is no session of this id, or it has ended.")
        return self._reopen(session_id, entry)

    def nonce(self, session_id: str) -> str | None:
        """Which opening of the name is meant; None for what is no named session."""
        entry = self._entries.get(session_id)
        return None if entry is None else entry.grant.nonce

    # --- opening and ending ---------------------------------------------------------------------------------------

    def open(self, name: str, request: SessionRequest, opener: Opener) -> tuple[Session, Pass, bool]:
        """Open the session `name`, or return the one there is, whatever `request` says.

        Returns:
            The session, what its tokens are made from, and whether it was opened now.

        Raises:
            NotAllowed: it belongs to another stream key.
        """
        entry = self._entries.get(name)
        if entry is not None:
            if opener.key is not None and opener.key not in {name, entry.owner}:
                raise NotAllowed(
                    f"The session {name!r} belongs to somebody else.", hint="Use its own token, or another name."
                )
            session = self.get(name)
            grant = renewed(entry.grant)
            if grant is not entry.grant:
                self._keep(name, msgspec.structs.replace(entry, grant=grant))
            return session, grant, False
        session = self._engine.open(request, session_id=name, name=name)
        grant = new_pass(name, named=True)
        self._keep(name, Remembered(request=request, control=session.control, grant=grant, owner=opener.key))
        self._follow(session)
        return session, grant, True

    def note(self, session: Session) -> None:
        """`session` was changed: keep its control state, if it has a name."""
        entry = self._entries.get(session.id)
        if entry is not None and entry.control != session.control:
            self._keep(session.id, msgspec.structs.replace(entry, control=session.control))

    def forget(self, session_id: str) -> None:
        """The session of that name has ended for good."""
        if self._entries.pop(session_id, None) is not None:
            self._touch(session_id)

    def _reopen(self, name: str, entry: Remembered) -> Session:
        request = msgspec.structs.replace(entry.request, model=UNSET)
        control = fitted(entry.control, self._engine.spec)
        session = self._engine.open(request, session_id=name, name=name, control=control)
        self._follow(session)
        if entry.held == "panic":
            session.panic()
        elif entry.held == "paused":
            session.pause()
        log.info("named session opened again", session=name, version=control.version)
        return session

    def _follow(self, session: Session) -> None:
        def on_event(event: SessionEvent) -> None:
            if isinstance(event, ControlChanged):
                self.note(session)
            elif isinstance(event, SessionState):
                self._note_state(session, event)

        session.listen(on_event)

    def _note_state(self, session: Session, event: SessionState) -> None:
        entry = self._entries.get(session.id)
        if entry is None or self._engine.sessions.get(session.id) not in {session, None}:
            return
        if event.state == "closed":
            if not self._closing:
                self.forget(session.id)
            return
        held: Held | None = None
        if event.state == "panic" or event.state == "paused":  # noqa: PLR1714 - narrows the type
            held = event.state
        elif event.state in _FLOWING:
            held = ""
        if held is not None and held != entry.held:
            self._keep(session.id, msgspec.structs.replace(entry, held=held))

    # --- keeping ------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read what an earlier server kept. Blocking; before `run`."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.json")):
            if not NAME.fullmatch(path.stem):
                continue
            try:
                self._entries[path.stem] = msgspec.json.decode(read_if_there(path) or b"", type=Remembered)
            except (msgspec.DecodeError, OSError) as error:
                log.warning("named session unreadable, left as it is", session=path.stem, error=str(error))

    async def run(self) -> None:
        """Write what changes, until cancelled; call `flush` afterwards."""
        while True:
            await self._woken.wait()
            await self.flush()

    async def flush(self) -> None:
        """Return when everything that changed before is on the disk."""
        async with self._writing:
            self._woken.clear()
            while self._dirty:
                name = self._dirty.pop()
                entry = self._entries.get(name)
                try:
                    await asyncio.to_thread(_store, self._folder / f"{name}.json", entry)
                except OSError as error:
                    log.warning("named session cannot be kept", session=name, error=str(error))

    def closing(self) -> None:
        """The server shuts down: sessions that end from now on are kept, and none is opened again."""
        self._closing = True

    def _keep(self, name: str, entry: Remembered) -> None:
        self._entries[name] = entry
        self._touch(name)

    def _touch(self, name: str) -> None:
        self._dirty.add(name)
        self._woken.set()


def _store(path: Path, entry: Remembered | None) -> None:
    if entry is None:
        path.unlink(missing_ok=True)
    else:
        write_private(path, msgspec.json.encode(entry))
