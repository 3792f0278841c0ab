"""The process that folds a database's journal into its TinyDB file."""

from __future__ import annotations

import os
import sys

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io import database


def fold(folder: RunFolder, last: int, parent: int, anew: bool) -> None:
    """Fold all segments up to `last` into the TinyDB file, then remove them.

    Gives up if the manager, process `parent`, has died: the next one may fold already.
    """
    storage = database.AtomicStorage(folder.database)
    tables = {} if anew else storage.read() or {}
    known = int(tables.get(database.META, {}).get("1", {}).get("segment", 0))
    old = [number for number in database.segments(folder) if number <= last]
    for number in old:
        if number > known:
            database.replay(folder.journals / f"{number:08d}.jsonl", tables)
    tables[database.META] = {"1": database.meta(last)}
    if os.getppid() != parent:
        return
    storage.write(tables)
    for number in old:
        (folder.journals / f"{number:08d}.jsonl").unlink()


if __name__ == "__main__":
    fold(RunFolder(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "anew")
