"""User code that ends its process, once for each flag file that it finds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.ledger import TimedLedger

#: In each place: whether the process dies there; else a SystemExit is raised.
PLACES = {"function": False, "worker": True, "goal": False, "client": True, "loading": False}


class Flags:
    """Files that make code in a job end its process; each works once.

    Parameters
    ----------
    folder : Path
        Of one run, on a disk that is never full.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def order(self, place: str) -> None:
        (self.folder / place).touch()

    def withdraw(self, place: str) -> bool:
        """Whether nobody had taken it."""
        try:
            (self.folder / place).unlink()
        except FileNotFoundError:
            return False
        return True

    def taken(self, place: str) -> tuple[str, int] | None:
        """The job and the process that have followed an order; None as long as none has."""
        path = self.folder / f"{place}.taken"
        if not path.exists():
            return None
        job, pid = path.read_text().split()
        path.unlink()
        return job, int(pid)

    def obey(self, *places: str) -> None:
        """End this process, if that was ordered in one of these places."""
        job = os.environ.get("ADAPTIVE_SCHEDULER_JOB")
        if job is None:
            return
        for place in places:
            try:
                (self.folder / place).unlink()
            except FileNotFoundError:
                continue
            new = self.folder / f"{place}.{os.getpid()}"
            new.write_text(f"{job} {os.getpid()}")
            new.rename(self.folder / f"{place}.taken")
            if PLACES[place]:
                os._exit(3)
            sys.exit(f"ordered in {place}")


class EndingLedger(TimedLedger):
    """A ledger that follows such orders where it is called, and where it is loaded."""

    def __init__(self, path: Path, function: Callable[[Any], Any], seconds: float, flags: Flags):
        super().__init__(path, function, seconds)
        self.flags = flags

    def __call__(self, x: Any) -> Any:
        self.flags.obey("function", "worker")
        return super().__call__(x)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.flags.obey("loading")
