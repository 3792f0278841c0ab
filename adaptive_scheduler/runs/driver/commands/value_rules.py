"""How the value of a command is found: in a file, in its output, in its exit status."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.errors import InputError, TaskError


class CommandOutput(msgspec.Struct, frozen=True):
    """What a command has left.

    Attributes
    ----------
    log : Path
        Its output.
    code : int
        Its exit status.
    folder : Path, optional
        Its own folder.
    reads : callable
        Returns the content of a file where the run is: of a run on another host both paths are there.
    """

    log: Path
    code: int
    folder: Path | None = None
    reads: Callable[[Path], bytes] = Path.read_bytes

    def read(self, name: str = "") -> str:
        """Return the text of a file in its folder, or of one by its whole path; without a name, its output."""
        path = self.log
        if name and (self.folder is not None or Path(name).is_absolute()):
            path = (self.folder or Path()) / name
        try:
            return as_text(self.reads(path), errors="replace")
        except OSError as error:
            if isinstance(error, FileNotFoundError) and path == self.log:
                return ""  # it has printed nothing
            raise TaskError(f"{path} cannot be read: {error.strerror}.") from error


def as_text(data: bytes, errors: str = "strict") -> str:
    """Return the text of a file, as `Path.read_text` does."""
    return io.TextIOWrapper(io.BytesIO(data), errors=errors).read()


class ValueRule:
    """A rule of this package; any callable that takes a `CommandOutput` is one as well.

    Attributes
    ----------
    needs_folder : bool
        Whether it reads a file of the task.
    takes_failures : bool
        Whether a command that fails has a value, too.
    needs_log : bool
        Whether it reads the output.
    """

    needs_folder = True
    takes_failures = False
    needs_log = False

    def __call__(self, result: CommandOutput) -> Any:
        """Return the value."""
        raise NotImplementedError


class float_file(ValueRule):  # noqa: N801  used like a function
    """A number that is all that a file holds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, result: CommandOutput) -> float:
        """Return the number."""
        text = result.read(self.name)
        try:
            return float(text)
        except ValueError:
            raise TaskError(f"{self.name} holds no number: {text[:80]!r}.") from None


class json_value(ValueRule):  # noqa: N801  used like a function
    """A file of JSON, or the part of it that `key` names (``"fit.loss"``)."""

    def __init__(self, name: str, key: str = "") -> None:
        self.name, self.key = name, key

    def __call__(self, result: CommandOutput) -> Any:
        """Return the value."""
        try:
            value = json.loads(result.read(self.name))
            for part in filter(None, self.key.split(".")):
                value = value[int(part) if isinstance(value, list) else part]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            where = f"{self.name}, {self.key!r}" if self.key else self.name
            raise TaskError(f"{where}: there is no such JSON value ({error}).") from error
        return value


class regex_value(ValueRule):  # noqa: N801  used like a function
    """The last match of a pattern in the output, or in a file; its first group, as a number if it is one."""

    def __init__(self, pattern: str, name: str = "") -> None:
        try:
            self.pattern = re.compile(pattern, re.MULTILINE)
        except re.error as error:
            raise InputError(f"regex_value({pattern!r}): {error}.") from error
        self.name = name
        self.needs_folder = bool(name)
        self.needs_log = not name

    def __call__(self, result: CommandOutput) -> Any:
        """Return the value."""
        matches = list(self.pattern.finditer(result.read(self.name)))
        if not matches:
            where = self.name or "the output"
            raise TaskError(f"{where} has nothing that matches {self.pattern.pattern!r}.")
        found = matches[-1]
        text = found[1] if self.pattern.groups else found[0]
        try:
            return float(text)
        except ValueError:
            return text


class ExitCode(ValueRule):
    """The exit status, also of a command that fails: ``value=exit_code``."""

    needs_folder = False
    takes_failures = True

    def __call__(self, result: CommandOutput | None = None) -> Any:
        """Return the status; without an output the rule itself, so that ``exit_code()`` is the same."""
        return self if result is None else result.code


exit_code = ExitCode()
