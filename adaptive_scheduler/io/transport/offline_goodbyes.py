"""Goodbyes of clients that could not reach a manager, stored as files for the next one."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.texts import NOT_DECODED
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.errors import FileError, ManagerUnreachableError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.transport.addresses import read_address


class OfflineGoodbye(msgspec.Struct, frozen=True):
    """A stored goodbye of a client.

    Attributes
    ----------
    owner : Owner
        The client that left.
    reason : str
    broken : bool
        It could not work on its node at all.
    manager : str
        Instance of the manager that did not answer; "" if there was no manager.
    gave_up : bool
        It left because the manager did not answer for too long, not because its job ended.
    """

    owner: Owner
    reason: str
    broken: bool = False
    manager: str = ""
    gave_up: bool = False


def write_goodbye(
    folder: RunFolder, owner: Owner, reason: str, broken: bool, gave_up: bool
) -> None:
    """Store a goodbye for the next manager.

    Raises
    ------
    FileError
        It cannot be written; the next manager learns only from the queue that the job ended.
    """
    goodbye = OfflineGoodbye(owner, reason, broken, _current_manager(folder), gave_up)
    with files.naming(folder.offline_goodbyes):
        folder.offline_goodbyes.mkdir(mode=0o700, exist_ok=True)
    path = folder.offline_goodbyes / owner.job.replace(os.sep, "_")
    files.write_atomically(path, msgspec.json.encode(goodbye), mode=0o600)


def read_goodbyes(folder: RunFolder) -> list[tuple[Path, OfflineGoodbye]]:
    """All stored goodbyes, each with its file; other files are skipped."""
    if not folder.offline_goodbyes.is_dir():
        return []
    found = ((path, _read(path)) for path in sorted(files.finished_files(folder.offline_goodbyes)))
    return [(path, goodbye) for path, goodbye in found if goodbye is not None]


def _read(path: Path) -> OfflineGoodbye | None:
    try:
        return msgspec.json.decode(files.read_private(path), type=OfflineGoodbye)
    except (FileError, *NOT_DECODED):  # another's, or removed meanwhile
        return None


def is_manager_given_up(folder: RunFolder) -> bool:
    """Whether a client has given up waiting for the current manager of this run."""
    manager = _current_manager(folder)
    return any(one.gave_up and one.manager == manager for _, one in read_goodbyes(folder))


def _current_manager(folder: RunFolder) -> str:
    try:
        return read_address(folder).instance
    except ManagerUnreachableError:
        return ""
