"""JSON against its schema, with errors that name the field and the nearest known word; pure."""

import difflib
import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from liveglass.engine.errors import InvalidValue, MalformedMessage, UnknownField

T = TypeVar("T")

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


def nearest(word: str, known: Iterable[str], count: int = 1) -> list[str]:
    """Up to `count` of the `known` words that look most like `word`; possibly none."""
    return difflib.get_close_matches(word[:100], list(known), n=count, cutoff=0.5)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or all of them where none is near."""
    names = sorted(known)
    near = nearest(word, names)
    return f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join(names)}."


def json_object(raw: bytes | str, limit: int = 65_536) -> dict[str, object]:
    """Parse one JSON object.

    Raises:
        MalformedMessage: not JSON, not an object, or over `limit` bytes.
    """
    value = json_value(raw, limit)
    if not isinstance(value, dict):
        raise MalformedMessage("This is JSON, but not an object.")
    return value


def json_value(raw: bytes | str, limit: int = 65_536) -> object:
    """Parse JSON, whatever it says.

    Raises:
        MalformedMessage: not JSON, or over `limit` bytes.
    """
    if len(raw) > limit:
        raise MalformedMessage(f"The message has {len(raw):,} bytes; the limit is {limit:,}.")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"This is not JSON: {error}.") from None


def convert(value: object, schema: type[T]) -> T:
    """Check plain JSON data against `schema` and return it typed.

    Raises:
        UnknownField: a field that the schema does not have.
        InvalidValue: a wrong type, a value out of range, or a missing field.
    """
    try:
        return msgspec.convert(value, schema, strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        text = str(error)
        at = _PATH.search(text)
        path = at["path"] if at else None
        said = _PATH.sub("", text)
        unknown = _UNKNOWN.search(said)
        if unknown:
            name = unknown["name"]
            field = f"{path}.{name}" if path else name
            known = _fields(schema) if not path else []
            hint = did_you_mean(name, known) if known else "Leave it out."
            raise UnknownField(f"There is no field {name!r} here.", hint=hint, field=field) from None
        raise InvalidValue(f"{said}.", field=path) from None


def _fields(schema: object) -> list[str]:
    if isinstance(schema, type) and issubclass(schema, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(schema)]
    return []
