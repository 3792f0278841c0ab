"""JSON for programs: one value a line."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import msgspec

#: Of all documents; see docs/json.md.
SCHEMA_VERSION = 1


def plain(value: Any) -> Any:
    """Plain data of a struct; fields that have their default value are there, too."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return [plain(one) for one in value] if isinstance(value, list) else value


def print_json(value: Any) -> None:
    """Print one line, at once."""
    print_json_text(msgspec.json.encode(value, enc_hook=str).decode() + "\n")


def print_json_text(text: str) -> None:
    """Print what is JSON already."""
    stream = sys.stdout.programs if isinstance(sys.stdout, _ForPeople) else sys.stdout
    stream.write(text)
    stream.flush()


def print_result(command: str, *, dry_run: bool = False, **fields: Any) -> None:
    """Print what a command has done, or would do, if ``--json`` was given; see `has_result`."""
    if isinstance(sys.stdout, _ForPeople):
        head = {"schema_version": SCHEMA_VERSION, "command": command, "dry_run": dry_run}
        print_json({**head, **fields})


def print_json_error(kind: type[BaseException], text: str, status: int, trace: str = "") -> None:
    """Print an error, as it is in place of a command's other lines, or after them."""
    found = {"class": kind.__name__, "text": text, "exit_status": status, "traceback": trace}
    print_json({"schema_version": SCHEMA_VERSION, "error": found})


def has_result(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``: then `print_result` prints, and what is for people goes to stderr."""
    from adaptive_scheduler.commandline.input.arguments import AsJson

    @functools.wraps(command)
    def with_json(*args: Any, as_json: bool = False, **given: Any) -> Any:
        with _people_on_stderr() if as_json else contextlib.nullcontext():
            return command(*args, **given)

    own = list(inspect.signature(command, eval_str=True).parameters.values())
    option = inspect.Parameter(
        "as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=AsJson
    )
    signature = inspect.Signature([*own, option])
    with_json.__signature__ = signature  # type: ignore[attr-defined]
    with_json.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    del with_json.__wrapped__
    return with_json


class _ForPeople(io.TextIOBase):
    """Standard error in the place of standard output, which is kept for programs."""

    def __init__(self, programs: TextIO, people: TextIO) -> None:
        self.programs, self._people = programs, people

    def write(self, text: str) -> int:
        return self._people.write(text)

    def flush(self) -> None:
        self._people.flush()

    def isatty(self) -> bool:
        return self._people.isatty()

    def fileno(self) -> int:
        return self._people.fileno()


@contextlib.contextmanager
def _people_on_stderr() -> Iterator[None]:
    with contextlib.redirect_stdout(_ForPeople(sys.stdout, sys.stderr)):
        yield
