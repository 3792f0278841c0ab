"""The process that writes the database's journal into its TinyDB file."""

from __future__ import annotations

import os
import sys

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import files, journal
from adaptive_scheduler.io.storage import tinydb_file as storage


def write_checkpoint(folder: RunFolder, last: int, parent: int, anew: bool) -> None:
    """Fold all segments up to `last` into the TinyDB file, then remove them.

    Gives up if the manager, process `parent`, has died: the next one may fold already.
    """
    file = storage.AtomicStorage(folder.database)
    tables = {} if anew else file.read() or {}
    known = storage.last_segment(tables)
    old = [number for number in journal.segments(folder) if number <= last]
    for number in old:
        if number > known:
            journal.replay(journal.segment_path(folder, number), tables)
    tables[storage.META] = {"1": storage.meta(last)}
    if os.getppid() != parent:
        return
    file.write(tables)
    _remove(folder, old)


def _remove(folder: RunFolder, numbers: list[int]) -> None:
    """Delete segments that the file holds; one that stays does no harm, and the next fold tries."""
    for number in numbers:
        path = journal.segment_path(folder, number)
        try:
            files.operations.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            print(f"adaptive_scheduler: {path} stays for now: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    os.nice(10)  # the manager's answers go first, also where both have one core
    write_checkpoint(
        RunFolder(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "anew"
    )
