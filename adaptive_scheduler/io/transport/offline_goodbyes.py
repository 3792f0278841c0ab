"""Goodbyes of clients that no manager was there to hear, kept as files for the next manager."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.errors import FileError, ManagerUnreachableError
from adaptive_scheduler.io.storage import files
from adaptive_scheduler.io.transport.addresses import read_address


class OfflineGoodbye(msgspec.Struct, frozen=True):
    """A goodbye, in a file of the run folder.

    Attributes
    ----------
    owner : Owner
        Who left.
    reason : str
    broken : bool
        It could not work on its node at all.
    manager : str
        Instance of the manager that did not answer; "" if there was none.
    gave_up : bool
        It left because that manager was away for too long, not because its job ended.
    """

    owner: Owner
    reason: str
    broken: bool = False
    manager: str = ""
    gave_up: bool = False


def write_goodbye(
    folder: RunFolder, owner: Owner, reason: str, broken: bool, gave_up: bool
) -> None:
    """Leave a last word for the next manager.

    Raises
    ------
    FileError
        It cannot be written; the next manager will have to judge by the queue alone.
    """
    word = OfflineGoodbye(owner, reason, broken, _present_manager(folder), gave_up)
    with files.naming(folder.offline_goodbyes):
        folder.offline_goodbyes.mkdir(mode=0o700, exist_ok=True)
    path = folder.offline_goodbyes / owner.job.replace(os.sep, "_")
    files.write_atomically(path, msgspec.json.encode(word), mode=0o600)


def read_goodbyes(folder: RunFolder) -> list[tuple[Path, OfflineGoodbye]]:
    """All last words, each with its file; what is no last word is passed over."""
    if not folder.offline_goodbyes.is_dir():
        return []
    found = ((path, _read(path)) for path in sorted(folder.offline_goodbyes.iterdir()))
    return [(path, word) for path, word in found if word is not None]


def _read(path: Path) -> OfflineGoodbye | None:
    try:
        return msgspec.json.decode(files.read_private(path), type=OfflineGoodbye)
    except (FileError, msgspec.MsgspecError):  # a temporary name, or removed meanwhile
        return None


def is_manager_given_up(folder: RunFolder) -> bool:
    """Whether a job of this run has waited for the present manager in vain, as long as it may."""
    manager = _present_manager(folder)
    return any(word.gave_up and word.manager == manager for _, word in read_goodbyes(folder))


def _present_manager(folder: RunFolder) -> str:
    try:
        return read_address(folder).instance
    except ManagerUnreachableError:
        return ""
