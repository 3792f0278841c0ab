"""Which run is meant."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adaptive_scheduler.commandline.input.suggestions import close_names, did_you_mean
from adaptive_scheduler.core.paths import SWEEPS_NAME, RunFolder
from adaptive_scheduler.errors import InputError, RunError

#: How many folders deep a run is searched for that was not named.
DEPTH = 4


def find_run(typed: str | os.PathLike[str] | None, below: Path | None = None) -> RunFolder:
    """Find a run by a folder, a database or a ``.run`` folder; or the only one there is.

    Parameters
    ----------
    typed : path-like, optional
        What was typed. A folder without a run of its own that has exactly one below it
        stands for that one.
    below : Path, optional
        Where to search if nothing was typed; default: the current folder.

    Raises
    ------
    InputError
        Nothing was typed, and there is no run or more than one; or an empty text.
    RunError
        There is no run of this name.
    """
    if typed is None:
        return _only_one(below or _here())
    if not os.fspath(typed):
        raise InputError("The name of the run is empty: perhaps a variable is not set.")
    folder = RunFolder(typed)
    if _is_run(folder):
        return folder
    inside = runs_below(Path(typed)) if os.path.isdir(typed) else FoundRuns([])  # noqa: PTH112 raises nothing
    if len(inside.runs) == 1:
        _warn(inside)
        return inside.runs[0]
    raise RunError(_no_run(os.fspath(typed), folder, inside))


def split_run(words: Sequence[str], below: Path | None = None) -> tuple[RunFolder, list[str]]:
    """Find the run that the first word names, and return it with the other words.

    If that is no run, and there is only one below the current folder, all words are of that one.

    Raises
    ------
    InputError, RunError
        As `find_run`.
    """
    if words and (not words[0] or _names_run(words[0]) or not _could_be_item(words[0])):
        return find_run(words[0]), list(words[1:])
    try:
        return _only_one(below or _here()), list(words)
    except InputError:
        if not words or _is_number(words[0]):
            raise
    return find_run(words[0]), list(words[1:])  # says what is wrong with it


def _names_run(word: str) -> bool:
    return _is_run(RunFolder(word)) or (os.path.isdir(word) and bool(runs_below(Path(word)).runs))  # noqa: PTH112


def _could_be_item(word: str) -> bool:
    """Whether a word that is no run may be a learner or a task: a path that is there, or a name."""
    return not (word.endswith((".run", ".tinydb")) or (os.sep in word and os.path.isdir(word)))  # noqa: PTH112


def _is_number(word: str) -> bool:
    return word.replace("-", "").isdecimal()


def _no_run(typed: str, folder: RunFolder, inside: FoundRuns) -> str:
    """What to print when a name that was typed is no run."""
    if inside.runs:
        where = os.path.abspath(typed)  # noqa: PTH100  "." and a full stop would be ".."
        return f"There are {len(inside.runs)} runs below {where}. {_listed(inside)}"
    return (
        f"{typed} is no run: {folder.config} does not exist."
        f"{did_you_mean(typed, _runs_beside(typed))} Give the folder of a run (see `--folder` of "
        f"`adaptive-scheduler run`), its database or its .run folder.{inside.passed_over}"
    )


def _runs_beside(typed: str) -> list[str]:
    """Runs in the same folder whose names are like this one."""
    parent = os.path.dirname(typed.rstrip("/"))  # noqa: PTH120  texts that stay texts
    try:
        near = close_names(os.path.basename(typed.rstrip("/")), os.listdir(parent or "."))  # noqa: PTH119, PTH208
        beside = [os.path.join(parent, name) for name in near]  # noqa: PTH118
        return [path for path in beside if RunFolder(path).config.exists()]
    except OSError:
        return []


def _listed(found: FoundRuns) -> str:
    runs = "".join(f"\n  {run.home}" for run in found.runs)
    return f"Name one of them:{runs}{found.passed_over}"


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise InputError(
            f"The current folder cannot be used ({error.strerror}). Give the path of a run, or change folder."
        ) from error


def _is_run(folder: RunFolder) -> bool:
    """Whether there is a run; RunError if that is hidden from this user."""
    try:
        return folder.config.exists()
    except OSError as error:
        whose = owner(folder.folder if _exists(folder.folder) else folder.home)
        raise RunError(
            f"{folder.config} cannot be read ({error.strerror}){whose}. Runs are private: "
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
        _warn(found)
        return found.runs[0]
    if not found.runs:
        raise InputError(
            f"There is no run below {below}. Give the path of one, or start one: "
            f"adaptive-scheduler run LEARNERS_FILE.{found.passed_over}"
        )
    raise InputError(f"There are {len(found.runs)} runs below {below}. {_listed(found)}")


@dataclass
class FoundRuns:
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
        """A line about what was not searched; "" if everything was."""
        what = [
            f"{len(paths)} {kind} ({'first ' * (len(paths) > 1)}{paths[0]})"
            for paths, kind in (
                (self.foreign, "runs of other users"),
                (self.hidden, "folders that cannot be read"),
            )
            if paths
        ]
        return f"\nPassed over: {', '.join(what)}." if what else ""


def _warn(found: FoundRuns) -> None:
    """Print what was passed over to stderr, where it disturbs no program that reads the output."""
    if found.passed_over:
        sys.stderr.write(found.passed_over.lstrip("\n") + "\n")


def runs_below(folder: Path) -> FoundRuns:
    """All runs in a folder and in those inside it, in the order of their names."""
    found = FoundRuns([])

    def unreadable(error: OSError) -> None:
        found.hidden.append(Path(error.filename))

    for here, folders, _ in os.walk(folder, onerror=unreadable):
        depth = len(Path(here).relative_to(folder).parts)
        for name in folders:
            if name.endswith(".run"):
                _add(Path(here, name), found)
        folders[:] = sorted(
            name for name in folders
            if depth < DEPTH and _is_searched(name)
        )  # fmt: skip
    found.runs.sort(key=lambda run: run.database)
    return found


def _is_searched(name: str) -> bool:
    is_hidden = name.startswith(".") and name != SWEEPS_NAME
    return not is_hidden and not name.endswith(".run")


def _add(folder: Path, found: FoundRuns) -> None:
    try:
        if folder.stat().st_uid != os.getuid():
            found.foreign.append(folder)
        elif Path(folder, "run.json").exists():
            found.runs.append(RunFolder(folder))
    except OSError:
        found.hidden.append(folder)
