"""Files of a sweep's tasks: ``param.json`` and ``stat.json``, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
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

    def stat(self, task: str) -> dict[str, Any]:
        """Return how the commands of a task have ended; empty if nothing is known."""
        found = _read(self._folder.stat(task))
        return {name: its for name, its in found.items() if isinstance(its, dict)}

    def update_stat(self, task: str, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Say how some commands of a task have ended; those of others, and of other titles, stay."""
        if changes:
            _write(self._folder.stat(task), {**self.stat(task), **changes})

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
        _write(self._folder.param(task.name), {**task.parameters, **own})


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # none, or damaged
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = files.temporary_name(path)
    with files.naming(path):
        try:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
            temporary.rename(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
