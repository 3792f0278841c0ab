"""A client that stops itself at one step of a save: ``zombie_client.py SAVE STEP NOTES FNAME``.

Each call to the operating system for the data, the journals and their folder is a step, counted
from the first one of the SAVE (see `BEGIN`); it is noted in NOTES, and at STEP (a number, or the
call and its file) this process sends itself SIGSTOP, before the call. Whoever continues it finds it there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from adaptive_scheduler.client.main import main
from adaptive_scheduler.io.disk import files

#: Calls whose first argument is an open file.
OF_OPEN_FILES = ("read", "seek", "write", "fsync", "truncate", "fchmod", "fstat", "close")
OF_NAMES = ("stat", "rename", "unlink", "open", "names")
#: Where the counting begins: any call for a new data file, or the sync at the end of a run.
BEGIN = {"periodic": ("", "new data"), "last": ("fsync", "own journal")}


class Zombie(files.Operations):
    """Stops at one step."""

    def __init__(self, save: str, stop_at: str, notes: Path, fname: Path) -> None:
        self._begin = BEGIN[save]
        self._stop_at = stop_at
        self._notes = notes
        self._fname = fname
        self._open: dict[int, str] = {}
        self._journal = ""
        self._count = 0

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in OF_OPEN_FILES + OF_NAMES:
            return call

        def counted(first: Any, *rest: Any) -> Any:
            what = self._open.get(first) if name in OF_OPEN_FILES else self._what(first, rest)
            if what is not None:
                self.step(name, what)
            answer = call(first, *rest)
            if name == "open" and what is not None:
                self._open[answer] = what
            elif name == "close":
                self._open.pop(first, None)
            return answer

        return counted

    def _what(self, path: Any, rest: tuple[Any, ...]) -> str | None:
        path = Path(path)
        if path == self._fname.parent:
            return "folder"
        if path.parent != self._fname.parent:
            return None
        if path == self._fname:
            return "data"
        if path.suffix == ".tmp":
            return "new data"
        if rest and isinstance(rest[0], int) and rest[0] & os.O_APPEND:
            self._journal = path.name
        return "own journal" if path.name == self._journal else "former journal"

    def step(self, name: str, what: str) -> None:
        """Note a step; stop at the one that was chosen."""
        if not self._count and (name not in (self._begin[0] or name) or what != self._begin[1]):
            return
        self._count += 1
        with self._notes.open("a") as file:
            file.write(f"{self._count} {name} {what}\n")
        if self._stop_at in (str(self._count), f"{name} {what}"):
            self._stop_at = ""
            # by the thread itself: sent to the process it may be another that notices it first
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


if __name__ == "__main__":
    files.operations = Zombie(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    sys.exit(main())
