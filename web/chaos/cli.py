"""`liveglass chaos`: which faults, on which model, and how it is told; status 1 where one is not outlived."""

import argparse
import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from liveglass.engine.errors import InvalidValue
from liveglass.engine.validation import did_you_mean
from liveglass.web.chaos.faults import ANY_MODEL, ON_COMMAND, Fault
from liveglass.web.chaos.run import Result, run, table

_ALL = {**ANY_MODEL, **ON_COMMAND}
_EXPLAINED = """
missed: slots that the server handed over late or not at all, of both sessions. gap: longest time without a frame.
no new: longest time without a newly generated picture. well again: from the fault's end to the next one.
camera: frames that held camera pixels, of a camera that is hidden: there must be none."""


def main(arguments: Sequence[str]) -> int:
    """Run it.

    Raises:
        InvalidValue: there is no such fault.
        Unavailable: the server did not get ready.
    """
    parser = argparse.ArgumentParser(
        prog="liveglass chaos", description="Break a server of its own on purpose; say what two viewers saw of that."
    )
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"all by default: {', '.join(_ALL)}")
    parser.add_argument("--model", default="nano", help="for the faults that any model can have (default nano)")
    parser.add_argument("--times", type=int, default=1, help="how often each (default 1)")
    parser.add_argument("--json", metavar="FILE", help="write the results there, too")
    parser.add_argument("--spare", action="store_true", help="with a spare worker that takes over")
    chosen = parser.parse_args(arguments)
    if chosen.times < 1:
        raise InvalidValue("Nothing would be broken.", hint="Give --times 1 or more.", field="times")
    for name in chosen.faults:
        if name not in _ALL:
            raise InvalidValue(f"There is no fault {name!r}.", hint=did_you_mean(name, tuple(_ALL)), field="fault")
    results: list[Result] = []
    for model, faults in ((chosen.model, ANY_MODEL), ("faulty:40", ON_COMMAND)):
        wanted: Mapping[str, Fault] = {name: faults[name] for name in faults if name in (chosen.faults or _ALL)}
        if wanted:
            results += run(model, wanted, times=chosen.times, spare=chosen.spare, told=_told)
    print(table(results), _EXPLAINED, sep="\n")
    if chosen.json:
        today = dt.datetime.now(tz=dt.UTC).date().isoformat()
        kept = {"date": today, "model": chosen.model, "spare": chosen.spare, "results": results}
        Path(chosen.json).write_bytes(msgspec.json.format(msgspec.json.encode(kept)))
    is_well = all(one.recovered_s is not None and not one.victim.camera + one.other.camera for one in results)
    return 0 if is_well else 1


def _told(one: Result) -> None:
    well = "did not recover" if one.recovered_s is None else f"well again after {one.recovered_s:.1f} s"
    print(f"{one.fault}: {well}", file=sys.stderr)
