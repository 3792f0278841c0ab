"""Every path of a sweep."""

from __future__ import annotations

import os
import re
from pathlib import Path

from adaptive_scheduler.core.paths import DATABASE_NAME, SWEEPS_NAME, RunFolder
from adaptive_scheduler.core.sweeps.values import digest

#: The run of a sweep without a title.
ALL = "all"
#: In the folder of each run: its lock, and the names of the tasks that it runs.
LOCK_NAME, TASKS_NAME = "sweep.lock", "tasks.json"


class SweepFolder:
    """Paths in the output folder of a sweep.

    Parameters
    ----------
    output : str
        As it was typed: commands are told so.
    title : str, optional
    has_folders : bool
        Whether each task has a folder.
    """

    def __init__(self, output: str, title: str | None = None, *, has_folders: bool = True) -> None:
        self.output, self.title, self.has_folders = output, title, has_folders
        self._home = os.path.abspath(os.path.expanduser(output))  # noqa: PTH100 keep symlinks
        self.home = Path(self._home)
        self.run_name = safe_name(ALL if title is None else title)
        self.run = RunFolder(self.runs / self.run_name / DATABASE_NAME)

    @property
    def runs(self) -> Path:
        """The runs of all titles."""
        return self.home / SWEEPS_NAME

    def all_runs(self) -> list[RunFolder]:
        """Runs of any title that are there."""
        found = [RunFolder(path) for path in sorted(self.runs.glob(f"*/{DATABASE_NAME}"))]
        return [one for one in found if one.config.exists()]

    @property
    def record(self) -> Path:
        """How the sweep was started last."""
        return self.run.home / "sweep.json"

    @property
    def lock(self) -> Path:
        """One sweep of a title at a time."""
        return self.run.home / LOCK_NAME

    def others(self) -> list[RunFolder]:
        """Runs of other titles, also those that are just made."""
        found = [path.parent for path in sorted(self.runs.glob(f"*/{LOCK_NAME}"))]
        return [RunFolder(one / DATABASE_NAME) for one in found if one.name != self.run_name]

    def of(self, task: str) -> str:
        """``{_output}`` of a task."""
        return os.path.join(self.output, task) if self.has_folders else self.output  # noqa: PTH118

    def path(self, task: str) -> Path:
        """Where its files are."""
        return self.home / task if self.has_folders else self.home

    def log(self, task: str, command: str, when: str) -> Path:
        """The output of a command that begins now: a file that is not there."""
        folder, end = (f"{self._home}/{task}", "") if self.has_folders else (self._home, f".{task}")
        start = f"{folder}/log.{command}.{when}"
        path, number = f"{start}{end}", 1
        while os.path.exists(path):  # noqa: PTH110  of a sweep in the same second; asked very often
            number += 1
            path = f"{start}-{number}{end}"
        return Path(path)

    def param(self, task: str) -> str:
        """The parameters of a task."""
        return self._file(task, "param")

    def stat(self, task: str) -> str:
        """How the commands of a task have ended."""
        return self._file(task, "stat")

    def _file(self, task: str, what: str) -> str:
        """A text: to make a `Path` takes as long as to write the file."""
        if self.has_folders:
            return f"{self._home}/{task}/{what}.json"
        return f"{self._home}/{what}.{task}.json"


def safe_name(title: str) -> str:
    """Return the name of a title's folder: the title itself, if it can be one."""
    name = re.sub(r"[^\w.+=@-]+", "-", title)[:100].lstrip(".").removesuffix(".run")
    return name if name == title else f"{name}-{digest(title, 3)}"
