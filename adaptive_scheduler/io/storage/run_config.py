"""Reads and writes ``run.json``, the settings of a run."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.errors import FileError, PermissionsError, RunError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.process_lock import one_at_a_time


def read_config(folder: RunFolder) -> RunConfig:
    """Read ``run.json``.

    Raises
    ------
    RunError
        There is none, it cannot be read, or another version wrote it.
    PermissionsError
        Another user could have written it; jobs run the commands that it holds.
    """
    try:
        return msgspec.json.decode(files.read_private(folder.config), type=RunConfig)
    except PermissionsError:
        raise
    except FileError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise RunError(
                f"{folder.home} holds no run: {folder.config} is missing. Name the folder of a run."
            ) from error
        raise RunError(
            f"{folder.config} cannot be read: {error.reason}. Runs are private: only the user who "
            "started one can see it."
        ) from error
    except NOT_DECODED as error:
        raise RunError(f"{folder.config} cannot be read: {error}. Start the run again.") from error


def kind_of(folder: RunFolder) -> str | None:
    """Return the kind of the items of a run; None if there is none that can be read."""
    try:
        return read_config(folder).kind
    except RunError:
        return None  # what is wrong is told by what is done with the folder next


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Replace ``run.json``, readable by this user only; the run stays as old as it is. Raises FileError.

    What depends on what it holds is changed by `change_config`.
    """
    with one_at_a_time(folder.folder):
        _write(folder, config)


def change_config(folder: RunFolder, change: Callable[[RunConfig], RunConfig]) -> RunConfig:
    """Read ``run.json``, and write what `change` makes of it; of two processes none undoes what the other did.

    Raises
    ------
    RunError, PermissionsError
        As `read_config`.
    FileError
        It cannot be written.
    """
    read_config(folder)  # tells what is wrong with a folder that cannot be opened for the lock
    with one_at_a_time(folder.folder):
        before = read_config(folder)
        config = change(before)
        if config != before:
            _write(folder, config)
    return config


def _write(folder: RunFolder, config: RunConfig) -> None:
    if not config.started:
        config = msgspec.structs.replace(config, started=_started(folder, config.run))
    files.write_atomically(folder.config, msgspec.json.encode(config), mode=0o600)


def _started(folder: RunFolder, run: str) -> float:
    """When a run was started first: as its former ``run.json`` says, or now."""
    try:
        former = read_config(folder)
    except (RunError, PermissionsError):
        return time.time()
    if former.run != run:
        return time.time()
    return former.started or folder.config.stat().st_mtime
