"""Loads and saves many learners at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.progress import track

from adaptive_scheduler.errors import USER_RAISES, DataFileError, InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.runs import load_data

Fname = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def load_parallel(
    learners: Sequence[Any],
    fnames: Sequence[Fname],
    *,
    with_progress_bar: bool = True,
    max_workers: int | None = None,
) -> None:
    """Load the data of learners, and the points in their journals since then.

    Parameters
    ----------
    learners : sequence
    fnames : sequence of path-like, or of lists of them
        A learner without data is left unchanged.
    with_progress_bar : bool
    max_workers : int, optional
        Files that are read at a time.

    Raises
    ------
    DataFileError
        Some data cannot be loaded; those of the other learners are.
    """
    names = _names(learners, fnames)
    threads = load_data.THREADS if max_workers is None else max_workers
    load_data.load_learners(learners, names, with_progress_bar, threads)


def save_parallel(
    learners: Sequence[Any], fnames: Sequence[Fname], *, with_progress_bar: bool = True
) -> None:
    """Save the data of learners, each file whole or not at all.

    Parameters
    ----------
    learners : sequence
    fnames : sequence of path-like, or of lists of them
        Their folders are made.
    with_progress_bar : bool

    Raises
    ------
    DataFileError
        Some data cannot be pickled, or a file cannot be written; those of the other learners are.
    """
    from adaptive_scheduler.io.learner_data import adaptive_load

    pairs = [
        file
        for learner, fname in zip(learners, _names(learners, fnames), strict=True)
        for file in adaptive_load.files_of(learner, fname)
    ]
    for folder in {Path(name).parent for _, name in pairs}:
        with files.naming(folder, DataFileError):
            files.make_folder(folder)
    with ThreadPoolExecutor(load_data.THREADS, "save") as threads:
        results: Iterable[DataFileError | None] = threads.map(_save, *zip(*pairs, strict=True))
        if with_progress_bar:
            results = track(results, "saving learners", total=len(pairs), transient=True)
        faults = [one for one in results if one is not None]
    if faults:
        more = f" ({len(faults) - 1} more could not be saved)" if len(faults) > 1 else ""
        raise DataFileError(faults[0].path, faults[0].reason + more) from faults[0].__cause__


def _save(learner: Any, name: str) -> DataFileError | None:
    """Save one learner; return the error, if any."""
    from adaptive_scheduler.io.learner_data import adaptive_load, adaptive_private

    try:
        if adaptive_load.saves_itself(learner):
            with files.naming(name, DataFileError):
                learner.save(name)  # a class of the user's that writes its own format
        else:
            content = adaptive_private.compress(adaptive_private.dump_data(learner))
            files.write_atomically(name, content, kind=DataFileError)
    except DataFileError as error:
        return error
    except USER_RAISES as error:  # a value that cannot be pickled, or the learner's own save
        fault = DataFileError(name, f"cannot be saved ({type(error).__name__}: {error}).")
        fault.__cause__ = error
        return fault
    return None


def _names(learners: Sequence[Any], fnames: Sequence[Fname]) -> list[str | list[str]]:
    if len(learners) != len(fnames):
        raise InputError(
            f"There are {len(learners)} learners, but {len(fnames)} fnames: give one fname for "
            "each learner, in the same order."
        )
    return [
        os.fspath(fname)
        if isinstance(fname, (str, os.PathLike))
        else [os.fspath(name) for name in fname]
        for fname in fnames
    ]
