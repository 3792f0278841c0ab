"""Which run folder belongs to a url: how a script that knows only the url finds its run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import FileError
from adaptive_scheduler.io.storage import files

#: ``HOST_PORT``: a note. Beside it lie folders, with other names.
_NAME = re.compile(r".+_[0-9]{1,5}")


def publish(url: str, folder: RunFolder) -> None:
    """Note that the manager of `folder` listens at `url`.

    Raises
    ------
    FileError, PermissionsError
        The note cannot be written, or its folder is open to others.
    """
    path = _entry(url)
    files.private_folder(path.parent)
    files.write_atomically(path, os.fsencode(folder), mode=0o600)


def withdraw(folder: RunFolder) -> None:
    """Remove all notes of a run that is over, on whatever ports its managers listened."""
    for path, noted in _entries():
        if noted == os.fspath(folder):
            path.unlink(missing_ok=True)


def remove_stale(addresses: Sequence[str]) -> None:
    """Remove the notes of managers of this host whose run folder is gone.

    Parameters
    ----------
    addresses : sequence of str
        Of this host: folders of other hosts may not be visible from here.
    """
    for path, noted in _entries():
        host = path.name.rpartition("_")[0]
        if host in addresses and not os.path.lexists(noted):
            path.unlink(missing_ok=True)


def _entries() -> Iterator[tuple[Path, str]]:
    """Each note, and the run folder that it names; what is not ours is passed over."""
    folder = state_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _NAME.fullmatch(path.name):
            with suppress(FileError):  # gone meanwhile, or somebody else's
                yield path, os.fsdecode(files.read_private(path))


def find(url: str) -> RunFolder | None:
    """The run folder whose manager listened at `url` last; None if this user knows of none.

    Raises
    ------
    PermissionsError
        The note could have been written by somebody else.
    """
    path = _entry(url)
    if not path.exists():
        return None
    return RunFolder(os.fsdecode(files.read_private(path)))


def state_folder() -> Path:
    """Where this user's programs keep what belongs to no run alone (XDG Base Directory)."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "adaptive_scheduler"


def _entry(url: str) -> Path:
    name = url.removeprefix("tcp://").replace(":", "_").replace("/", "_")
    return state_folder() / name
