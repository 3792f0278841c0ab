"""How an executor ends: when it is shut, when it is freed, after a Ctrl-C, and at Python's end."""

from __future__ import annotations

import os
import shlex
import sys
import threading

from adaptive_scheduler.runs.driver.pools import HEAD_GRACE, LocalHead
from adaptive_scheduler.runs.driver.task_book import TaskBook

#: Seconds for a head to end if there is no manager that it could tell.
FAULT_GRACE = 3.0


class Closing:
    """What is to be done at the end of an executor.

    Parameters
    ----------
    book : TaskBook
    closes_run : bool
        Its end is that of the run, too, when all tasks have ended.
    waits : bool
        It ends when all of its tasks have ended.
    stops : bool
        It ends the manager, too, if nothing is left that could run a task.

    Attributes
    ----------
    is_shut : bool
        It takes no more tasks.
    is_closed : bool
        It has ended: nothing comes back any more.
    waits : bool
        As given; False after `Executor.attach`.
    heads : list of LocalHead
        That end with it.
    """

    def __init__(self, book: TaskBook, *, closes_run: bool, waits: bool, stops: bool) -> None:
        self.is_shut = False
        self.heads: list[LocalHead] = []
        self._book, self._closes_run = book, closes_run
        self.waits, self._stops = waits, stops
        self._lock = threading.Lock()
        self.is_closed = False
        _open_ones.add(self)

    def begin(self) -> None:
        """Take no more tasks, and end when all have ended, beside what else is done here."""
        self.is_shut = True
        if self not in _open_ones:  # in a fork of its process, for example
            return
        threading.Thread(target=self.finish, name="executor's end", daemon=True).start()

    def finish(self) -> None:
        """Wait until all tasks have ended, then end; after a Ctrl-C do not wait."""
        self.is_shut = True
        try:
            if self.waits:
                self._book.wait()
        except KeyboardInterrupt:
            self.leave()
            raise
        self._close(closes_run=self._closes_run and self._book.fault is None)

    def leave(self) -> None:
        """End without waiting: tasks stay in the run."""
        self.is_shut = True
        if self.waits and self._book.has_work:
            print(_how_to_go_on(self._book.site.name))
        self._close(closes_run=False)

    def _close(self, *, closes_run: bool) -> None:
        with self._lock:
            if self.is_closed:
                return
            self.is_closed = True
            self._book.close(closes_run=closes_run)
            for head in self.heads:
                head.end(HEAD_GRACE if self._book.fault is None else FAULT_GRACE)
            is_over = self.waits and closes_run  # then the manager ends by itself
            if self._stops and not is_over and self._book.keeper.lives():
                self._book.keeper.stop_if_alone({head.name for head in self.heads})
            self._book.site.close()
        _open_ones.discard(self)


def _how_to_go_on(home: str) -> str:
    return (
        f"Tasks are left in {home}. To go on with them: run this program again if each task has a key, "
        f"so that those that have ended are not run again; else Executor.attach({home!r}). "
        f"Those that failed are tried again by: adaptive-scheduler retry {shlex.quote(home)}"
    )


#: A fork of this process has no threads that could end one, and the original goes on with it.
_open_ones: set[Closing] = set()
os.register_at_fork(after_in_child=_open_ones.clear)


def _finish_all() -> None:
    """At Python's end: as its own executors, wait for what was submitted; but not if a Ctrl-C ended it."""
    for closing in list(_open_ones):
        closing.is_shut = True
    for closing in list(_open_ones):
        if _has_ended_by_ctrl_c():
            closing.leave()
        else:
            closing.finish()


def _has_ended_by_ctrl_c() -> bool:
    is_typed = hasattr(sys, "ps1")  # there the last exception may be of an hour ago
    return not is_typed and isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)


# as concurrent.futures does: before threads are joined, and long before `atexit`
threading._register_atexit(_finish_all)  # type: ignore[attr-defined]  # noqa: SLF001
