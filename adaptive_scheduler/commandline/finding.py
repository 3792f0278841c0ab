"""Which run a person means."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import InputError, RunError

#: So many folders deep one looks for a run that was not named.
DEPTH = 4


def find_run(named: str | os.PathLike[str] | None, below: Path | None = None) -> RunFolder:
    """Find a run by a folder, a database or a ``.run`` folder; or the only one there is.

    Parameters
    ----------
    named : path-like, optional
        What the person typed. A folder without a run of its own that has exactly
        one below it stands for that one.
    below : Path, optional
        Where to look if nothing was typed; default: the current folder.

    Raises
    ------
    InputError
        Nothing was typed, and there is no run or more than one.
    RunError
        There is no run where the person says.
    """
    if named is None:
        return _only_one(below or _here())
    folder = RunFolder(named)
    if _is_run(folder):
        return folder
    inside = runs_below(Path(named)) if os.path.isdir(named) else Search([])  # noqa: PTH112 raises nothing
    if len(inside.runs) == 1:
        _tell(inside)
        return inside.runs[0]
    listed = "".join(f"\n  {run.database}" for run in inside.runs)
    raise RunError(
        f"{os.fspath(named)} is no run: {folder.config} does not exist. Name the folder that was "
        "given as folder=, a database, or its .run folder."
        f"{' Runs below it:' * bool(inside.runs)}{listed}{inside.passed_over}"
    )


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise InputError(
            f"The current folder cannot be used ({error.strerror}). Name a run, or go elsewhere."
        ) from error


def _is_run(folder: RunFolder) -> bool:
    """Whether there is a run; RunError if that is hidden from this user."""
    try:
        return folder.config.exists()
    except OSError as error:
        whose = owner(folder.folder if _exists(folder.folder) else folder.home)
        raise RunError(
            f"{folder.config} cannot be looked at ({error.strerror}){whose}. Runs are private: "
            "only the user who started one can see it."
        ) from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def owner(path: Path) -> str:
    """Whose a file is, for an error; "" if it is this user's, or nobody can tell."""
    try:
        uid = path.stat().st_uid
        if uid == os.getuid():
            return ""
        return f": it belongs to user {pwd.getpwuid(uid).pw_name}"
    except (OSError, KeyError):
        return ""


def _only_one(below: Path) -> RunFolder:
    found = runs_below(below)
    if len(found.runs) == 1:
        _tell(found)
        return found.runs[0]
    if not found.runs:
        raise InputError(
            f"There is no run below {below}. Name one: adaptive-scheduler status FOLDER."
            f"{found.passed_over}"
        )
    listed = "".join(f"\n  {run.database}" for run in found.runs)
    raise InputError(
        f"There are {len(found.runs)} runs below {below}. Name one of them:{listed}{found.passed_over}"
    )


@dataclass
class Search:
    """What was found below a folder.

    Attributes
    ----------
    runs : list of RunFolder
        Of this user.
    foreign : list of Path
        ``.run`` folders of other users.
    hidden : list of Path
        Folders that cannot be read.
    """

    runs: list[RunFolder]
    foreign: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)

    @property
    def passed_over(self) -> str:
        """A line that tells what was not looked at; "" if that is nothing."""
        what = [
            f"{len(paths)} {kind} ({'first ' * (len(paths) > 1)}{paths[0]})"
            for paths, kind in (
                (self.foreign, "runs of other users"),
                (self.hidden, "folders that cannot be read"),
            )
            if paths
        ]
        return f"\nPassed over: {', '.join(what)}." if what else ""


def _tell(found: Search) -> None:
    """Say what was passed over where it disturbs no program that reads the output."""
    if found.passed_over:
        sys.stderr.write(found.passed_over.lstrip("\n") + "\n")


def runs_below(folder: Path) -> Search:
    """All runs in a folder and in those inside it, in the order of their names."""
    found = Search([])

    def unreadable(error: OSError) -> None:
        found.hidden.append(Path(error.filename))

    for here, folders, _ in os.walk(folder, onerror=unreadable):
        depth = len(Path(here).relative_to(folder).parts)
        for name in folders:
            if name.endswith(".run"):
                _look(Path(here, name), found)
        folders[:] = sorted(
            name for name in folders
            if depth < DEPTH and not name.startswith(".") and not name.endswith(".run")
        )  # fmt: skip
    found.runs.sort(key=lambda run: run.database)
    return found


def _look(folder: Path, found: Search) -> None:
    try:
        if folder.stat().st_uid != os.getuid():
            found.foreign.append(folder)
        elif Path(folder, "run.json").exists():
            found.runs.append(RunFolder(folder))
    except OSError:
        found.hidden.append(folder)


def find_learner(named: str, fnames: list[str | list[str]]) -> int:
    """Find the row of a learner by its number, its fname or the end of its fname.

    Raises
    ------
    InputError
        There is none of this name, or more than one.
    """
    if named.isdecimal():
        if int(named) < len(fnames):
            return int(named)
        raise InputError(f"There is no learner {named}: they are 0 to {len(fnames) - 1}.")
    texts = [[name] if isinstance(name, str) else name for name in fnames]
    for matches in (_is_equal, _is_end):
        rows = [row for row, names in enumerate(texts) if any(matches(n, named) for n in names)]
        if len(rows) == 1:
            return rows[0]
        if rows:
            raise InputError(
                f"{named!r} may be learner {', '.join(map(str, rows[:10]))}: give a number."
            )
    raise InputError(
        f"There is no learner {named!r}. Give its number (0 to {len(fnames) - 1}) or its fname."
    )


def _is_equal(fname: str, named: str) -> bool:
    return fname in (named, os.path.abspath(named))  # noqa: PTH100  texts that stay texts


def _is_end(fname: str, named: str) -> bool:
    return fname.endswith("/" + named.removeprefix("./"))
