"""Which run folder belongs to a url: how a script that knows only the url finds its run."""

from __future__ import annotations

import os
from pathlib import Path

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io import files


def publish(url: str, folder: RunFolder) -> None:
    """Note that the manager of `folder` listens at `url`.

    Raises
    ------
    FileError, PermissionsError
        The note cannot be written, or its folder is open to others.
    """
    path = _note(url)
    files.private_folder(path.parent)
    files.write_atomically(path, os.fsencode(folder), mode=0o600)


def find(url: str) -> RunFolder | None:
    """The run folder whose manager listened at `url` last; None if this user knows of none.

    Raises
    ------
    PermissionsError
        The note could have been written by somebody else.
    """
    path = _note(url)
    if not path.exists():
        return None
    return RunFolder(os.fsdecode(files.read_private(path)))


def state_folder() -> Path:
    """Where this user's programs keep what belongs to no run alone (XDG Base Directory)."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "adaptive_scheduler"


def _note(url: str) -> Path:
    name = url.removeprefix("tcp://").replace(":", "_").replace("/", "_")
    return state_folder() / name
