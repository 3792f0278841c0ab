"""Folders of runs whose managers have ended, made without any process: what a report is made of."""

from __future__ import annotations

import os
from pathlib import Path

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Finished, Lost, Raised, Released
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Owner, Report
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import row_codec, run_config, tinydb_file
from adaptive_scheduler.io.storage.checkpoint import write_checkpoint
from adaptive_scheduler.io.storage.database import Database

#: When these runs begin.
BEGIN = 1_700_000_000.0
TRACEBACK = 'Traceback (most recent call last):\n  File "study.py", line 7\nValueError: no such </script> $x'


class PastRun:
    """A run of learners in jobs of 4 cores; its times are those that are given.

    Everything goes through the manager's own rules and its own journal.
    """

    def __init__(self, home: Path, names: list[str], *, cores: int = 4) -> None:
        self.folder = RunFolder(home)
        files.private_folder(self.folder.folder)
        items = [Item(n, name, Phase.QUEUED) for n, name in enumerate(names)]
        tinydb_file.create(self.folder.database, row_codec.new_tables(items, None))
        self.config = RunConfig("run1", [Resources(cores=cores)], ["as"], os.fspath(home / "logs"))
        run_config.write_config(self.folder, self.config)
        self.store = Database(self.folder, undecoded=True)
        self.state: RunState = row_codec.open_state(
            self.store.take_tables(), self.folder, self.config, 0.0, self.store
        )

    def commit(self, after: float) -> None:
        row_codec.note_changes(self.store, self.state, BEGIN + after)
        self.store.commit()

    def note(self, after: float) -> None:
        """Put what has changed into the buffer; the next commit writes it."""
        row_codec.note_changes(self.store, self.state, BEGIN + after)

    def checkpoint(self) -> None:
        """Write all lines so far into the database, as the manager's process does, but here."""
        self.store.commit()
        before = self.store._journal.segment
        self.store._journal.begin_next().close()
        write_checkpoint(self.folder, before, os.getppid(), discard_file=False)

    def submit(self, jobs: list[str], after: float) -> None:
        submit = self.state.jobs.begin_submit(0, len(jobs), "as", BEGIN + after, 0.0)
        self.state.jobs.end_submit(submit.number, jobs, 0.0)
        self.commit(after)

    def start(self, job: str, after: float) -> None:
        self.state.jobs.on_heartbeat(owner(job), -1, 0.0)
        self.state.jobs.on_hello(job, f"node{job}", BEGIN + after)
        self.commit(after)

    def claim(self, job: str, after: float, *, commit: bool = True) -> Item:
        item = self.state.items.claim(owner(job), 0, BEGIN + after)
        assert isinstance(item, Item)
        self.state.jobs.on_claim(job, 0.0)
        if commit:
            self.commit(after)
        return item

    def finish(self, item: Item, after: float, seconds: float, *, commit: bool = True) -> None:
        report = Report(npoints=10, new_points=10, seconds=seconds)
        self._apply(item, Finished(item.token, report), after, commit)

    def fail(self, item: Item, after: float, reason: str, *, commit: bool = True) -> None:
        self._apply(item, Raised(item.token, reason, TRACEBACK), after, commit)

    def crash(self, item: Item, after: float) -> None:
        self._apply(item, Lost("a process died", crash=True), after, True)

    def release(self, item: Item, after: float, seconds: float, reason: str = "deadline") -> None:
        report = Report(npoints=5, new_points=5, seconds=seconds)
        self._apply(item, Released(item.token, reason, report), after, True)

    def _apply(self, item: Item, event: object, after: float, commit: bool) -> None:
        done = self.state.items.apply(item.id, event, BEGIN + after)  # type: ignore[arg-type]
        assert isinstance(done, Item), done
        if commit:
            self.commit(after)

    def leave(self, job: str, after: float, cause: str = "goodbye") -> None:
        if cause == "goodbye":
            self.state.jobs.on_goodbye(job, "nothing is left to do", False)
            self.commit(after)
        self.state.jobs.mark_dead(job, cause)
        self.commit(after)

    def close(self) -> RunFolder:
        self.store.close()
        return self.folder


def owner(job: str) -> Owner:
    return Owner(job, 0, 0, f"client of {job}")


def large_run(home: Path, n: int, jobs: int = 50) -> RunFolder:
    """A run of `n` learners of which each hundredth failed, in jobs that take them in turn."""
    run = PastRun(home, [f"/scratch/study/data/offset={k}/scale={k % 7}.pickle" for k in range(n)])
    run.commit = run.note  # type: ignore[method-assign]  # a sync for each would take minutes
    names = [f"{1000 + k}" for k in range(jobs)]
    run.submit(names, 0.0)
    for place, name in enumerate(names):
        run.start(name, 10.0 + place)
    after = 100.0
    for k in range(n):
        after += 0.5
        item = run.claim(names[k % jobs], after, commit=False)
        run.note(after)
        if item.id % 100 == 99:
            run.state.items.budget = type(run.state.items.budget)(0, 0)
            run.fail(
                item,
                after + 20.0,
                f"your function raised ValueError at x={k}: no such {k % 40}",
                commit=False,
            )
        else:
            run.finish(item, after + 20.0 + k % 13, 19.0, commit=False)
        run.note(after)
        if k % 20_000 == 19_999:
            run.checkpoint()
    for place, name in enumerate(names):
        run.leave(name, after + 60.0 + place)
    run.checkpoint()
    return run.close()
