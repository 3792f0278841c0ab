"""Chooses a run's folder where the user named none, and removes it if the start is refused."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from adaptive_scheduler.core.paths import DATABASE_NAME, RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.runs.start import fnames


def folder_of(wanted: RunFolder, names: Sequence[fnames.Fname]) -> RunFolder:
    """Return the folder for the run of these data files: the wanted one, or one beside it.

    Parameters
    ----------
    wanted : RunFolder
        The default.
    names : sequence
        The run's fnames, absolute.

    Returns
    -------
    RunFolder
        Of the wanted folder, and those beside it with ``-2``, ``-3``, ... behind the name: the one
        that holds a run of any of these files, because that is the same run, started before; else
        the first that is free.
    """
    mine = {place for name in names for place in fnames.key(name)}
    there = _runs_beside(wanted.home)
    for home in there:
        if _shares(RunFolder(home / DATABASE_NAME), mine):
            return RunFolder(home / DATABASE_NAME)
    beside = (wanted.home.with_name(f"{wanted.home.name}-{n}") for n in itertools.count(2))
    free = next(home for home in (wanted.home, *itertools.islice(beside, len(there) + 1))
                if home not in there)  # fmt: skip
    return RunFolder(free / DATABASE_NAME)


def moved(wanted: RunFolder, found: RunFolder) -> str:
    """Return the message that a run is not in its default folder."""
    return (
        f"{wanted.home} holds a run of other learners: this one is in {found.home}. To choose "
        "the folder yourself, give folder=... (on the command line --folder)."
    )


@contextmanager
def removed_if_refused(folder: RunFolder) -> Iterator[None]:
    """Remove the run's folders if they were made in this block, which raised, and are empty."""
    chain = (folder.scripts, folder.ends, folder.folder, folder.home, *folder.home.parents)
    new = [path for path in chain if not os.path.lexists(path)]
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):  # it is not empty, or was not made
                path.rmdir()
        raise


@contextmanager
def emptied_if_refused(folder: RunFolder) -> Iterator[None]:
    """Remove what a start wrote if it raises before there is a database; hold the lock meanwhile."""
    try:
        yield
    except BaseException:
        if not folder.database.exists():
            for path in folder.folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                elif path != folder.lock:
                    path.unlink(missing_ok=True)
        raise


def _runs_beside(home: Path) -> list[Path]:
    pattern = re.compile(re.escape(home.name) + r"(-[0-9]+)?")
    try:
        names = [path for path in home.parent.iterdir() if pattern.fullmatch(path.name)]
    except OSError:
        return []  # `start` raises the error
    return sorted(path for path in names if _holds_a_run(path))


def _holds_a_run(home: Path) -> bool:
    try:
        return (home / DATABASE_NAME).exists()
    except OSError:
        return True  # another user's, and private


def _shares(folder: RunFolder, mine: set[str]) -> bool:
    try:
        if folder.database.stat().st_uid != os.getuid():
            return False
    except OSError:
        return False  # another user's
    try:
        rows = row_codec.read_items(read_tables(folder), folder)
    except AdaptiveSchedulerError:
        return True  # damaged: not avoided silently, `start` raises the error
    return not all(mine.isdisjoint(fnames.key(row.fname)) for row in rows)
