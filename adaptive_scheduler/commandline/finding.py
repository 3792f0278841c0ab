"""Which run a person means."""

from __future__ import annotations

import os
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
        return _only_one(below or Path.cwd())
    folder = RunFolder(named)
    if folder.config.exists():
        return folder
    inside = runs_below(Path(named)) if Path(named).is_dir() else []
    if len(inside) == 1:
        return inside[0]
    listed = "".join(f"\n  {run.database}" for run in inside)
    raise RunError(
        f"{os.fspath(named)} is no run: {folder.config} does not exist. Name the folder that was "
        f"given as folder=, a database, or its .run folder.{' Runs below it:' * bool(inside)}{listed}"
    )


def _only_one(below: Path) -> RunFolder:
    runs = runs_below(below)
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise InputError(
            f"There is no run below {below}. Name one: adaptive-scheduler status FOLDER."
        )
    listed = "".join(f"\n  {run.database}" for run in runs)
    raise InputError(f"There are {len(runs)} runs below {below}. Name one of them:{listed}")


def runs_below(folder: Path) -> list[RunFolder]:
    """All runs in a folder and in those inside it, in the order of their names."""
    runs: list[RunFolder] = []
    for here, folders, _ in os.walk(folder):
        depth = len(Path(here).relative_to(folder).parts)
        runs += [
            RunFolder(Path(here, name))
            for name in folders
            if name.endswith(".run") and Path(here, name, "run.json").exists()
        ]
        folders[:] = sorted(
            name for name in folders
            if depth < DEPTH and not name.startswith(".") and not name.endswith(".run")
        )  # fmt: skip
    return sorted(runs, key=lambda run: run.database)


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
