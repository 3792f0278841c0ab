"""Remembers the run folder of each url, for scripts that know only the url."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder, state_folder
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.disk import files

#: File name of an entry, ``HOST_PORT``; folders beside it have other names.
_NAME = re.compile(r".+_[0-9]{1,5}")


def publish(url: str, folder: RunFolder) -> None:
    """Store that the manager of `folder` listens at `url`.

    Raises
    ------
    FileError, PermissionsError
        The entry cannot be written, or its folder is open to others.
    """
    path = _entry(url)
    files.private_folder(path.parent)
    files.write_atomically(path, os.fsencode(folder), mode=0o600)


def withdraw(folder: RunFolder) -> None:
    """Delete all entries of a finished run."""
    for path, known in _entries():
        if known == os.fspath(folder):
            path.unlink(missing_ok=True)


def remove_stale(addresses: Sequence[str]) -> None:
    """Delete the entries of managers of this host whose run folder is gone.

    Parameters
    ----------
    addresses : sequence of str
        Those of this host; run folders of other hosts may not be visible from here.
    """
    for path, known in _entries():
        host = path.name.rpartition("_")[0]
        if host in addresses and not os.path.lexists(known):
            path.unlink(missing_ok=True)


def _entries() -> Iterator[tuple[Path, str]]:
    """Each entry and its run folder; files of other users are skipped."""
    folder = state_folder(os.environ)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _NAME.fullmatch(path.name):
            with suppress(FileError):  # deleted meanwhile, or of another user
                yield path, os.fsdecode(files.read_private(path))


def find(url: str) -> RunFolder | None:
    """The run folder whose manager listened at `url` last; None if there is no entry.

    Raises
    ------
    PermissionsError
        Another user could have written the entry.
    """
    path = _entry(url)
    if not path.exists():
        return None
    return RunFolder(os.fsdecode(files.read_private(path)))


def _entry(url: str) -> Path:
    name = url.removeprefix("tcp://").replace(":", "_").replace("/", "_")
    return state_folder(os.environ) / name
