"""Names of data files: checks them, makes them absolute, and compares them."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Sequence
from typing import Any

from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.directory_cache import DirectoryCache

Fname = str | list[str]
#: Resolved paths of one learner's data files; equal for equal files.
Key = tuple[str, ...]


def absolute_fnames(fnames: Any, learners: Sequence[Any]) -> list[Fname]:
    """Check all fnames and make them absolute.

    Parameters
    ----------
    fnames : sequence
        Of str, path, or (for a BalancingLearner) list of these; one per learner.
    learners : sequence

    Raises
    ------
    InputError
        Names the fname, what is wrong with it and what to do.
    """
    if isinstance(fnames, (str, os.PathLike)) or not hasattr(fnames, "__len__"):
        raise InputError(
            f"fnames must be a list with one name for each learner, not {fnames!r} "
            f"({type(fnames).__name__})."
        )
    if len(fnames) != len(learners):
        raise InputError(
            f"There are {len(learners)} learners, but {len(fnames)} fnames: give one fname for "
            "each learner, in the same order."
        )
    presence = DirectoryCache()
    absolute = [
        _of_learner(fname, learner, f"fnames[{place}]", presence)
        for place, (fname, learner) in enumerate(zip(fnames, learners, strict=True))
    ]
    refuse_collisions(absolute)
    return absolute


def _of_learner(fname: Any, learner: Any, where: str, presence: DirectoryCache) -> Fname:
    if not isinstance(fname, (list, tuple)):
        return _absolute(fname, where, presence)
    children = getattr(learner, "__dict__", {}).get("learners")  # a DataSaver shows those within it
    if children is None:
        inside = getattr(learner, "learners", None) is not None
        raise InputError(
            f"{where} is a list, but its learner is a {type(learner).__name__}: only a "
            "BalancingLearner has one file for each of its learners. Give one name"
            + (", or a BalancingLearner whose learners are DataSavers." if inside else ".")
        )
    if len(fname) != len(children):
        raise InputError(
            f"{where} has {len(fname)} names, but its BalancingLearner has {len(children)} "
            "learners: give one name for each, or one name for all."
        )
    return [_absolute(name, f"{where}[{place}]", presence) for place, name in enumerate(fname)]


def _absolute(fname: Any, where: str, presence: DirectoryCache) -> str:
    if not isinstance(fname, (str, os.PathLike)):
        raise InputError(
            f"{where}={fname!r} is of type {type(fname).__name__}. Give a str or a path "
            "(or a list of them for a BalancingLearner)."
        )
    text = os.fspath(fname)
    if not isinstance(text, str) or not text or text.endswith("/") or "\0" in text:
        raise InputError(f"{where}={fname!r} cannot be the name of a file.")
    path = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100 a text that stays a text
    last = os.path.basename(path)  # noqa: PTH119
    if len(os.fsencode(last)) > files.MAX_NAME:
        raise InputError(
            f"{where}: its last part, {last[:40]}…, has {len(os.fsencode(last))} bytes. File "
            f"names have at most {files.MAX_NAME}: shorten it (adaptive would save nothing)."
        )
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}={fname!r} is not UTF-8 text ({error}): rename it.") from error
    if presence.may_exist(path) and os.path.isdir(path):  # noqa: PTH112
        raise InputError(f"{where}={fname!r} is a folder. Give the name of a file in it.")
    return path


def refuse_collisions(fnames: Sequence[Fname]) -> None:
    """Refuse a file that two learners share, also under two different names."""
    seen: dict[str, str] = {}
    for place, fname in enumerate(fnames):
        for inner, name in enumerate([fname] if isinstance(fname, str) else fname):
            where = f"fnames[{place}]" + ("" if isinstance(fname, str) else f"[{inner}]")
            one = _place_of(name)
            if one in seen:
                raise InputError(
                    f"{seen[one]} and {where} are the same file, {one}: two learners would "
                    "overwrite each other's data. Give each its own fname."
                )
            seen[one] = where
    for one, where in seen.items():
        folder = os.path.dirname(one)  # noqa: PTH120
        if folder in seen:
            raise InputError(
                f"{seen[folder]} is the file {folder}, but {where} uses it as a folder. "
                "Rename one of them."
            )


def key(fname: Fname) -> Key:
    """Return a value that is equal for two fnames exactly if they are the same files."""
    names = [fname] if isinstance(fname, str) else fname
    return tuple(_place_of(os.path.abspath(name)) for name in names)  # noqa: PTH100


def _place_of(path: str) -> str:
    """Return an absolute path with the links in its folder resolved."""
    folder, name = os.path.split(path)
    return os.path.join(_real(folder), name)  # noqa: PTH118


@functools.lru_cache(maxsize=10_000)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def refuse_unwritable(fnames: Sequence[Fname]) -> None:
    """Refuse folders in which data cannot be saved.

    Raises
    ------
    InputError
        Names the first such folder.
    """
    names = [name for fname in fnames for name in ([fname] if isinstance(fname, str) else fname)]
    tried: set[int] = set()
    for folder in dict.fromkeys(map(os.path.dirname, names)):
        refuse_unwritable_folder(folder, "fnames", tried)


def refuse_unwritable_folder(folder: str, argument: str, tried: set[int] | None = None) -> None:
    """Refuse a folder that cannot be created or written to.

    Parameters
    ----------
    folder, argument : str
    tried : set of int, optional
        Devices on which writing was tried already, which are not tried again.
    """
    existing = folder
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)  # noqa: PTH120
    if not os.path.isdir(existing):  # noqa: PTH112
        raise InputError(
            f"{argument}: {folder} cannot be a folder, because {existing} is not one. "
            f"Choose another one, or rename {existing}."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(
            f"{argument}: nothing can be written into {existing}. Choose another folder, or "
            f"mend it with: chmod u+rwx '{existing}'"
        )
    try:
        _try_to_write(existing, set() if tried is None else tried)
    except OSError as error:
        raise InputError(
            f"{argument}: nothing can be written into {existing}: {error.strerror}. Choose another "
            "folder, or make room."
        ) from error


def _try_to_write(folder: str, tried: set[int]) -> None:
    """Write a file, once for each file system: it may be full or read-only whatever its modes."""
    device = os.stat(folder).st_dev  # noqa: PTH116
    if device not in tried:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 4096)
        tried.add(device)
