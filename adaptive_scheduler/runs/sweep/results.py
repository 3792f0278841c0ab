"""Results of a sweep: a row for each task, with its parameters and what its logs say."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adaptive_scheduler.core.sweeps.values import as_text
from adaptive_scheduler.errors import FileError, InputError

#: A log's name: command, date and time, which of that second, task.
_LOG = re.compile(r"log\.(.+?)\.(\d{8}\.\d{6})(?:-(\d+))?(?:\.(.*))?", re.DOTALL)
#: Of ``param.json``: what is no parameter.
_OWN = ("_commands", "_datetime", "_name", "_output")


class ResultTable(msgspec.Struct, frozen=True):
    """Results before they are shown.

    Attributes
    ----------
    columns : list of str
    rows : dict of str to dict
        Task to its values; those that it does not have are left out.
    """

    columns: list[str]
    rows: dict[str, dict[str, Any]]


class _Log(NamedTuple):
    """A log by what its name says: the last one is the newest."""

    when: str
    number: int
    path: Path


class _Task(msgspec.Struct, frozen=True):
    """One task: its parameters, and the newest log of each of its commands, in their order."""

    name: str
    parameters: dict[str, Any]
    logs: list[_Log]

    @property
    def newest(self) -> list[Path]:
        """The newest log first; of one sweep, that of its last command."""
        order = sorted(enumerate(self.logs), key=lambda log: (*log[1][:2], log[0]), reverse=True)
        return [log.path for _, log in order]


def result_table(
    output: str | os.PathLike[str], metrics: Mapping[str, str], *, all_columns: bool = False
) -> ResultTable:
    """Read the results of all tasks in an output folder.

    Parameters
    ----------
    output : path-like
    metrics : mapping of str to str
        Name to a regular expression; see `adaptive_scheduler.sweeps.results`.
    all_columns : bool
        Whether also parameters are shown that are the same for all tasks.

    Raises
    ------
    InputError
        There are no tasks, or an expression is none, or is found nowhere.
    """
    patterns = {name: _pattern(name, text) for name, text in metrics.items()}
    tasks = _tasks(Path(output))
    rows = {one.name: dict(one.parameters) for one in tasks}
    shown = _columns(list(rows.values()), all_columns=all_columns)
    if taken := patterns.keys() & dict.fromkeys(name for row in rows.values() for name in row):
        raise InputError(f"--metric {min(taken)}: a parameter has this name. Choose another one.")
    read = 0
    for one in tasks:
        logs = one.newest
        read += len(logs)
        rows[one.name] |= _metrics(logs, patterns)
    for name in patterns:
        if not any(name in row for row in rows.values()):
            raise InputError(
                f"--metric {name}: {metrics[name]} is found in none of the {read} newest logs in "
                f"{output}."
            )
    return ResultTable([*shown, *patterns], rows)


def _pattern(name: str, text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode(), re.MULTILINE)
    except re.error as error:
        raise InputError(f"--metric {name}: {text} is no regular expression: {error}.") from error


def _tasks(output: Path) -> list[_Task]:
    if not output.is_dir():
        raise InputError(f"{output} is no folder. Give the output folder of a sweep.")
    found = [_task(path, _logs_in(path.parent), "") for path in sorted(output.glob("*/param.json"))]
    logs = _logs_in(output)  # of tasks without folders
    found += [
        _task(path, logs, path.name[len("param.") : -len(".json")])
        for path in sorted(output.glob("param.*.json"))
    ]
    if not found:
        raise InputError(f"{output}: there is no task of a sweep. Give the output folder of one.")
    return found


def _task(path: Path, logs: Mapping[tuple[str, str], _Log], end: str) -> _Task:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise FileError(path, f"{error}; run the sweep once more, or remove the file") from error
    parameters = {name: value for name, value in content.items() if name not in _OWN}
    commands = content.get("_commands", {})
    mine = [logs[command, end] for command in commands if (command, end) in logs]
    return _Task(str(content.get("_name", path.parent.name)), parameters, mine)


def _logs_in(folder: Path) -> dict[tuple[str, str], _Log]:
    """The newest logs by command and, where tasks have no folders, by task."""
    found: dict[tuple[str, str], _Log] = {}
    for name in os.listdir(folder):  # noqa: PTH208  there may be very many
        if match := _LOG.fullmatch(name):
            command, when, number, task = match.groups()
            log = _Log(when, int(number or 1), folder / name)
            found[command, task or ""] = max(log, found.get((command, task or ""), log))
    return found


def _columns(rows: Sequence[Mapping[str, Any]], *, all_columns: bool) -> list[str]:
    """The parameters that differ; all of them if there is nothing that they could differ from."""
    names = dict.fromkeys(name for row in rows for name in row)
    if all_columns or len(rows) < 2:
        return list(names)
    return [
        name for name in names
        if len({as_text(row[name]) if name in row else "" for row in rows}) > 1
    ]  # fmt: skip


def _metrics(logs: Iterable[Path], patterns: Mapping[str, re.Pattern[bytes]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in logs:
        wanted = {name: one for name, one in patterns.items() if name not in found}
        if not wanted or not path.stat().st_size:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for name, pattern in wanted.items():
                last = None
                for match in pattern.finditer(text):
                    last = match[1] if pattern.groups else match[0]
                if last is not None:
                    found[name] = _value(last.decode(errors="replace"))
    return found


def _value(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
