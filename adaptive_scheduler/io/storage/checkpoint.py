"""Writes the journal into the TinyDB file (a checkpoint), in a process of its own."""

from __future__ import annotations

import os
import sys

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import DatabaseError, FileError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage import fact_files, history_file, journal, tinydb_file
from adaptive_scheduler.io.system import child_process


def write_checkpoint(folder: RunFolder, last: int, parent: int, discard_file: bool) -> None:
    """Write all segments of the journal up to `last` into the TinyDB file, then delete them.

    Writes nothing if the manager, process `parent`, has died, or if another process has its lock: the
    next manager may be writing a checkpoint already, or the folder is that of another run by now. That
    also shows by the last segment, which is gone then: the manager of that run may be still to come.

    Parameters
    ----------
    folder : RunFolder
    last : int
        Number of the last segment to include.
    parent : int
        Process id of the manager.
    discard_file : bool
        The segments hold every row, so the content of the file is not needed.
    """
    file = tinydb_file.AtomicStorage(folder.database)
    tables = {} if discard_file else file.read(undecoded=True) or {}
    history = history_file.open_history(folder, tables)
    known = tinydb_file.last_segment(tables)
    old = [number for number in journal.segments(folder) if number <= last]
    for number in old:
        if number > known:
            lines: list[bytes] = []
            path = journal.segment_path(folder, number)
            journal.replay(path, tables, lines.append, undecoded=True)
            fact_files.copy(folder.facts, number, lines)
    tables[tinydb_file.META] = {"1": tinydb_file.meta(last)}
    now = holder(folder.lock)
    is_of_another = now is not None and now.pid != parent
    if os.getppid() != parent or is_of_another or last not in journal.segments(folder):
        return
    try:
        history_file.extend(folder, history, old)
    except FileError as error:
        print(f"adaptive_scheduler: the history is not kept for now: {error}", file=sys.stderr)
    file.write(tables)
    _remove(folder, old)
    try:
        fact_files.merge(folder.facts)
    except DatabaseError as error:
        print(f"adaptive_scheduler: facts are not put together for now: {error}", file=sys.stderr)


def _remove(folder: RunFolder, numbers: list[int]) -> None:
    """Delete segments that the file includes; the next checkpoint tries again where that fails."""
    for number in numbers:
        path = journal.segment_path(folder, number)
        try:
            files.operations.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            print(f"adaptive_scheduler: {path} stays for now: {error.strerror}", file=sys.stderr)


if __name__ == "__main__":
    os.nice(10)  # on one core the manager's answers go first
    # however long it has stood still: the next manager may have written a newer file by then
    child_process.end_with_parent()
    write_checkpoint(
        RunFolder(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "discard-file"
    )
