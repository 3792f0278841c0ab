"""Pickles of learners beside their data files, for scripts that pass learners on by themselves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.by_value import dumps_by_value, loads

Fname = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def fname_to_learner_fname(fname: Fname) -> Path:
    """Return the name of the pickle of a learner, which is beside its data file.

    Parameters
    ----------
    fname : path-like, or list of path-like
        Of the learner's data; of a list the first one counts.
    """
    if isinstance(fname, (str, os.PathLike)):
        path = Path(fname)
        return path.with_name(f".learner.{path.name}")
    if not isinstance(fname, (list, tuple)) or not fname:
        raise InputError(f"fname={fname!r} must be a path, or a list of paths.")
    path = Path(fname[0])
    return path.with_name(f".{len(fname):08}_learners.{path.name}")


def cloudpickle_learners(
    learners: Sequence[Any],
    fnames: Sequence[Fname],
    *,
    initializers: Sequence[Callable[[], Any] | None] | None = None,
    with_progress_bar: bool = False,
    empty_copies: bool = True,
) -> tuple[int, float]:
    """Pickle learners to files beside their data, each with its initializer.

    A `RunManager` needs none of these files: it keeps its learners in its folder.

    Parameters
    ----------
    learners, fnames : sequence
        Of equal length.
    initializers : sequence, optional
        A function or None for each.
    with_progress_bar : bool
        Ignored: ten thousand take seconds.
    empty_copies : bool
        Without their data, which are in `fnames`.

    Returns
    -------
    (int, float)
        Bytes that were written, and seconds that it took.
    """
    del with_progress_bar
    begin, size = time.monotonic(), 0
    functions = initializers if initializers is not None else [None] * len(learners)
    if not len(learners) == len(fnames) == len(functions):
        raise InputError(
            f"{len(learners)} learners, {len(fnames)} fnames and {len(functions)} initializers: give as many of each."
        )
    for learner, fname, function in zip(learners, fnames, functions, strict=True):
        path = fname_to_learner_fname(fname)
        files.make_folder(path.parent)
        # in one pickle: what both refer to stays one object
        data = dumps_by_value((learner.new() if empty_copies else learner, function))
        files.write_durably(path, data, mode=0o600)
        size += len(data)
    return size, time.monotonic() - begin


def fname_to_learner(fname: Fname, *, return_initializer: bool = False) -> Any:
    """Return the learner that `cloudpickle_learners` has pickled, without its data.

    Parameters
    ----------
    fname : path-like, or list of path-like
        Of its data.
    return_initializer : bool
        Return ``(learner, initializer)``.

    Raises
    ------
    InputError
        There is no such pickle.
    PermissionsError
        It belongs to another user, or others may change it.
    """
    path = fname_to_learner_fname(fname)
    if not path.exists():
        raise InputError(
            f"{path} is not there: cloudpickle_learners(learners, fnames) writes it. The learners of a run are in "
            "its folder: run_manager.learners, or RunManager.attach(folder).learners."
        )
    learner, initializer = loads(files.read_private(path))
    return (learner, initializer) if return_initializer else learner
