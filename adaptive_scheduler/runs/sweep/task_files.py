"""Files of a sweep's tasks: ``param.json`` and ``stat.json``, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from adaptive_scheduler.core.sweeps.tasks import SweepTask
from adaptive_scheduler.core.sweeps.templates import shown
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.runs.sweep.folders import SweepFolder


class TaskFiles:
    """Reads and writes them.

    They are not synced: what has ended is known from the run, too, and a command is skipped only if
    both say so. So a file that a power failure has damaged costs a command that is run again.

    Parameters
    ----------
    folder : SweepFolder
    when : str
        Of this sweep, ``{_datetime}``.
    """

    def __init__(self, folder: SweepFolder, when: str) -> None:
        self._folder = folder
        self._when = when
        #: What was written last, as long as the file is that one: another title may share a task.
        self._known: dict[str, tuple[files.FileIdentity, dict[str, Any]]] = {}

    def stat(self, task: str) -> dict[str, Any]:
        """Return how the commands of a task have ended; empty if nothing is known."""
        path = self._folder.stat(task)
        identity = files.identity(path)
        if identity is None:
            return {}
        known = self._known.get(task)
        if known is not None and known[0] == identity:
            return known[1]
        return {name: its for name, its in _read(path).items() if isinstance(its, dict)}

    def update_stat(self, task: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Say how some commands of a task have ended; those of others, and of other titles, stay."""
        if not changes:
            return
        new = {**self.stat(task), **changes}
        identity = _write(self._folder.stat(task), json.dumps(new))
        self._known[task] = identity, new

    def param(self, task: str) -> dict[str, Any]:
        """Return what a task was run with last; empty if nothing is known."""
        return _read(self._folder.param(task))

    def write_param(self, task: SweepTask, texts: Mapping[str, str]) -> None:
        """Write what a task is run with.

        Parameters
        ----------
        task : SweepTask
        texts : mapping
            The commands that are run now; those of earlier sweeps stay.
        """
        former = self.param(task.name).get("_commands")
        new = {name: shown(text) for name, text in texts.items()}
        commands = {**(former if isinstance(former, dict) else {}), **new}
        own = {
            "_commands": commands, "_datetime": self._when, "_name": task.name,
            "_output": self._folder.of(task.name),
        }  # fmt: skip
        _write(self._folder.param(task.name), _a_line_each({**task.parameters, **own}))


def _a_line_each(content: Mapping[str, Any]) -> str:
    """As JSON that people can read; ``indent=`` of `json.dumps` takes five times as long."""
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    return ",\n".join(lines).join(("{\n", "\n}\n"))


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  no `Path`: thousands are read
            found = json.loads(file.read())
    except (FileNotFoundError, ValueError):  # none, or damaged
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: str, text: str) -> files.FileIdentity:
    temporary = f"{path}.{os.getpid()}.tmp"
    with files.naming(path):
        try:
            fd = files.operations.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o664)
            try:
                files.write_all(fd, text.encode())
                identity = files.identity_of(files.operations.fstat(fd))
            finally:
                files.operations.close(fd)
            files.operations.rename(temporary, path)
        except BaseException:
            with suppress(OSError):
                files.operations.unlink(temporary)
            raise
    return identity
