"""Stream keys: a name, a role, an expiry; kept as hashes in the state folder.

A key is shown once, when it is made. The running server and the command line share the file: what is revoked there is
refused here at the next use. Blocking, but the file is small and read only when it has changed.
"""

import datetime as dt
import hashlib
import hmac
import re
import secrets
from pathlib import Path
from typing import Literal

import msgspec

from liveglass.engine.clock import wall
from liveglass.engine.errors import InvalidValue
from liveglass.engine.validation import did_you_mean
from liveglass.web.errors import SettingsRefused
from liveglass.web.files import read_if_there, write_private

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = "lgk_"


class StreamKey(msgspec.Struct, frozen=True):
    """One key, without the key itself.

    Attributes:
        digest: SHA-256 of the key, in hexadecimal (32 random bytes need no slow hash).
        created_at, expires_at: seconds since the epoch; None never expires.
    """

    name: str
    role: Literal["controller", "viewer"]
    digest: str
    created_at: int
    expires_at: int | None = None

    def is_over(self, now: float) -> bool:
        """Whether it has expired at `now`, seconds since the epoch."""
        return self.expires_at is not None and now >= self.expires_at


def check_name(name: str) -> str:
    """`name`, if it may name a session or a key.

    Raises:
        InvalidValue: it does not fit `[a-z0-9][a-z0-9-]{0,62}`.
    """
    if not NAME.fullmatch(name):
        raise InvalidValue(
            f"{name[:80]!r} is no name.", hint="Use 1 to 63 of a–z, 0–9 and -, not starting with -.", field="name"
        )
    return name


class KeyRing:
    """The keys of one state folder; any thread."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "keys.json"
        self._stamp: tuple[int, int] | None = None
        self._keys: tuple[StreamKey, ...] = ()

    def all(self) -> tuple[StreamKey, ...]:
        """Every key, expired ones too.

        Raises:
            SettingsRefused: the file is damaged; no key is guessed from it.
        """
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        stamp = (found.st_mtime_ns, found.st_ino)
        if stamp != self._stamp:
            raw = read_if_there(self._path) or b"[]"
            try:
                self._keys = msgspec.json.decode(raw, type=tuple[StreamKey, ...])
            except msgspec.DecodeError as error:
                raise SettingsRefused(
                    f"The stream keys in {self._path} cannot be read: {error}.", hint="Restore the file or remove it."
                ) from None
            self._stamp = stamp
        return self._keys

    def find(self, credential: str) -> StreamKey | None:
        """The key that `credential` is, unless it has expired."""
        if not credential.startswith(_PREFIX):
            return None
        digest = _digest(credential)
        now = wall()
        return next(
            (key for key in self.all() if hmac.compare_digest(key.digest, digest) and not key.is_over(now)), None
        )

    def add(self, name: str, role: Literal["controller", "viewer"], life_s: float | None) -> str:
        """Make a key and return it; it cannot be shown again.

        Args:
            life_s: seconds until it expires; None: never.

        Raises:
            InvalidValue: the name does not fit or is taken.
        """
        check_name(name)
        keys = self.all()
        if any(key.name == name for key in keys):
            raise InvalidValue(
                f"There is a stream key {name!r} already.", hint=f"Revoke it first: liveglass keys revoke {name}."
            )
        key = _PREFIX + secrets.token_urlsafe(32)
        now = int(wall())
        expires_at = None if life_s is None else now + int(life_s)
        self._write((*keys, StreamKey(name, role, _digest(key), now, expires_at)))
        return key

    def revoke(self, name: str) -> None:
        """Forget a key.

        Raises:
            InvalidValue: there is none of that name.
        """
        keys = self.all()
        left = tuple(key for key in keys if key.name != name)
        if len(left) == len(keys):
            names = [key.name for key in keys]
            hint = did_you_mean(name, names) if names else "There are no stream keys."
            raise InvalidValue(f"There is no stream key {name!r}.", hint=hint)
        self._write(left)

    def _write(self, keys: tuple[StreamKey, ...]) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(keys), indent=2))


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def table(keys: tuple[StreamKey, ...]) -> str:
    """The keys as people read them, one a line."""
    if not keys:
        return "There are no stream keys. `liveglass keys add NAME` makes one."
    now = wall()
    lines = [f"{'name':<24} {'role':<11} {'made':<17} expires"]
    for key in keys:
        end = "never" if key.expires_at is None else _day(key.expires_at)
        lines.append(
            f"{key.name:<24} {key.role:<11} {_day(key.created_at):<17} {end}{' (over)' if key.is_over(now) else ''}"
        )
    return "\n".join(lines)


def _day(at: int) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M")
