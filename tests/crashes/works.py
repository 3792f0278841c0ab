"""Pieces of work for each kind of file that must survive."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import adaptive
import tinydb

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import DataFileError, FileError, ManagerUnreachableError
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data.point_journal import PointJournal, read_journals
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.checkpoint import write_checkpoint
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.history_file import read_history
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.transport.addresses import Address, read_address, write_address
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.crashes.trial import Trial

Rows = dict[str, int]
Values = dict[float, float]


class CheckpointHere:
    """A checkpoint that runs in this process, through the same disk."""

    def __init__(self, folder: RunFolder, last: int, anew: bool) -> None:
        self._rc = 0
        try:
            write_checkpoint(folder, last, os.getppid(), anew)
        except FileError as error:
            self._rc = int(Path(error.path).is_relative_to(folder.home))

    def poll(self) -> int:
        return self._rc

    def wait(self) -> int:
        return self._rc


class DatabaseHere(Database):
    """Folds without another process."""

    start_checkpoint = staticmethod(CheckpointHere)  # type: ignore[assignment]


def rows_of(tables: database.Tables) -> Rows:
    return {key: row["n"] for key, row in tables[database.ITEMS].items()}


class OfTheDatabase:
    """Opening with a torn tail, commits of two rows each, checkpoints; the rows are 0 to 3."""

    name = "database"
    first: ClassVar[Rows] = {"0": 1, "1": 2, "2": 0, "3": 0}
    edits = False

    def prepare(self, folder: Path) -> None:
        run = RunFolder(folder / "x.tinydb")
        database.create(
            run.database, {database.ITEMS: {str(n): {"id": n, "n": 0} for n in range(4)}}
        )
        store = DatabaseHere(run)
        store.put(database.ITEMS, 0, {"id": 0, "n": 1})
        store.checkpoint()
        store.put(database.ITEMS, 1, {"id": 1, "n": 2})
        store.close()
        newest = max(run.journals.iterdir())
        newest.write_bytes(newest.read_bytes() + b'["_default","2",{"id":2,')

    def state(self, n: int) -> Rows:
        """All rows after commit `n`."""
        rows = dict(self.first)
        for m in range(1, n + 1):
            rows |= self.group(m)
        return rows

    @staticmethod
    def group(n: int) -> Rows:
        return {str(n % 4): 10 * n, str((n + 1) % 4): 10 * n + 1}

    def work(self, folder: Path, trial: Trial) -> None:
        run = RunFolder(folder / "x.tinydb")
        store = trial.step(lambda: DatabaseHere(run))
        if self.edits:
            self.edit(run)
        for n in range(1, 5):
            for key, value in self.group(n).items():
                store.put(database.ITEMS, key, {"id": int(key), "n": value})
            trial.step(store.commit)
            trial.say(n)
            if n in (2, 4):
                trial.step(partial(self.checkpoint, store, n))
        trial.step(store.close)
        trial.say(5)

    def checkpoint(self, store: Database, n: int) -> None:
        """As the manager's `Persistence` does; after one that failed, work goes on before the next."""
        for key, value in self.group(n).items():
            store.put(database.ITEMS, key, {"id": int(key), "n": value})
        store.commit()
        if store.keep_edited_file():
            for key, value in self.state(n).items():
                store.put(database.ITEMS, key, {"id": int(key), "n": value})
        store.checkpoint()

    def edit(self, run: RunFolder) -> None:
        raise NotImplementedError

    def check(self, folder: Path, said: list[Any]) -> None:
        run = RunFolder(folder / "x.tinydb")
        done = min(said[-1], 4) if said else 0
        allowed = [self.state(done)]
        if done < 4:
            one, other = self.group(done + 1).items()
            allowed += [allowed[0] | dict([one]), allowed[0] | dict([one, other])]
        read_history(run)  # of rows that say nothing: what counts is that it can be read
        seen = read_tables(run)
        assert rows_of(seen) in allowed, f"{rows_of(seen)} is none of {allowed}"
        for _ in range(2):  # what is found once is found again
            store = DatabaseHere(run)
            assert rows_of(store.tables) == rows_of(seen)
            store.close()
        if said and said[-1] == 5:
            self.check_end(run)

    def check_end(self, run: RunFolder) -> None:
        with tinydb.TinyDB(run.database) as db:
            assert {str(row["id"]): row["n"] for row in db} == self.state(4)


class OfAnEditedDatabase(OfTheDatabase):
    """The same, with a person who has changed the file meanwhile."""

    name = "edited database"
    edits = True

    def edit(self, run: RunFolder) -> None:
        tables = json.loads(run.database.read_text())
        for row in tables[database.ITEMS].values():
            row["n"] = 77
        run.database.write_text(json.dumps(tables))

    def check(self, folder: Path, said: list[Any]) -> None:
        if said and said[-1] == 5:
            super().check(folder, said)
            copies = [json.loads(path.read_text()) for path in folder.glob("*.edited*")]
            kept = [set(rows_of(tables).values()) for tables in copies]
            assert {77} in kept, "the person's file is kept"
        else:  # of rows that are in no journal nobody knows but that person
            rows = rows_of(read_tables(RunFolder(folder / "x.tinydb")))
            state = self.state(said[-1] if said else 0)
            following = self.group(said[-1] + 1 if said else 1)
            for key, value in rows.items():
                assert value in (state[key], following.get(key), 77)


class NoTime:
    """The budget of a last save that waits for nothing."""

    def allows(self, seconds: float) -> bool:
        return True

    def may_wait(self) -> bool:
        return False


def square(x: float) -> float:
    return x * x


def new_learner() -> adaptive.Learner1D:
    return adaptive.Learner1D(square, (-1, 1))


class OfADataFile:
    """Loading with journals of former owners, journal, save, and the former ones deleted."""

    name = "data file"
    before: ClassVar[Values] = {0.0: 0.0, 0.5: 0.25, -0.5: 0.25}
    journalled: ClassVar[Values] = {0.25: 0.0625, 0.125: 0.015625}
    late: ClassVar[Values] = {0.3: 0.09}
    mine: ClassVar[list[float]] = [0.75, -0.75, 0.6]

    def learner(self) -> Any:
        return new_learner()

    def fname(self, folder: Path) -> Any:
        return str(folder / "new" / "data.pickle")

    def prepare(self, folder: Path) -> None:
        data = LearnerStore(self.learner(), self.fname(folder), token=1)
        data.load()
        self.tell(data.learner, self.before)
        data.save()
        for token in (1, 2):
            journal = PointJournal(data.main, token)
            x, y = list(self.journalled.items())[token - 1]
            journal.keep([(self.compact(x), y)])
            journal.close()

    def tell(self, learner: Any, points: dict[float, float]) -> None:
        for x, y in points.items():
            learner.tell(x, y)

    def data(self, learner: Any) -> dict[float, float]:
        return dict(learner.data)

    def compact(self, x: float) -> Any:
        return x

    def work(self, folder: Path, trial: Trial) -> None:
        data = trial.step(partial(self.load, folder, 3))
        with trial.aside():
            self.add_late(data.main)
        for x in self.mine:
            self.tell(data.learner, {x: square(x)})
            data.record(self.compact(x), square(x))
            trial.step(data.flush)
            trial.say(x, is_synced=False)
        trial.step(data.save)
        trial.say("saved")
        trial.step(data.delete_former_journals)
        trial.say("deleted")
        trial.step(partial(self.finish, data))
        trial.say("ended")

    def finish(self, data: LearnerStore) -> None:
        """Save for the last time; a disk that does not take it is tried again by the trial."""
        is_saved = data.finish(NoTime()).is_saved
        if data.problem:
            raise DataFileError(data.main, data.problem)
        assert is_saved

    def add_late(self, main: str) -> None:
        """A former owner, who does not know yet that it is none, writes."""
        zombie = PointJournal(main, 2)
        zombie.keep([(self.compact(x), y) for x, y in self.late.items()])
        zombie.close()

    def load(self, folder: Path, token: int) -> LearnerStore:
        data = LearnerStore(self.learner(), self.fname(folder), token=token)
        report = data.load()
        assert not report.kept_aside, "nothing was damaged"
        return data

    def check(self, folder: Path, said: list[Any]) -> None:
        found = self.data(self.load(folder, 9).learner)
        needed = {**self.before, **self.journalled}
        needed |= {x: square(x) for x in said if not isinstance(x, str)}
        needed |= self.late if said else {}
        every = needed | self.late | {x: square(x) for x in self.mine}
        assert needed.items() <= found.items() <= every.items(), f"{found} lacks of {needed}"
        if said[-1:] == ["ended"]:
            left = [path.name for path in (folder / "new").iterdir()]
            assert not [name for name in left if name.endswith((".points", ".tmp"))], left


class OfTwoDataFiles(OfADataFile):
    """The same, for a BalancingLearner with a file for each child."""

    name = "two data files"

    def learner(self) -> Any:
        return adaptive.BalancingLearner([new_learner(), new_learner()])

    def fname(self, folder: Path) -> Any:
        return [str(folder / "new" / name) for name in ("a.pickle", "b.pickle")]

    def tell(self, learner: Any, points: dict[float, float]) -> None:
        for x, y in points.items():
            learner.tell((int(x > 0), x), y)

    def data(self, learner: Any) -> dict[float, float]:
        return {x: y for child in learner.learners for x, y in child.data.items()}

    def compact(self, x: float) -> Any:
        return (int(x > 0), x)


class OfAPointJournal:
    """Written with and without sync, closed, opened again."""

    name = "point journal"

    def prepare(self, folder: Path) -> None:
        pass

    def work(self, folder: Path, trial: Trial) -> None:
        journal = PointJournal(str(folder / "new" / "data.pickle"), 7)
        for n in range(6):
            journal.add(n, [n] * 10)
            journal.add(n + 100, [n] * 10)
            trial.step(partial(journal.flush, sync=n % 2 == 1))
            trial.say(n, is_synced=n % 2 == 1)
            if n == 3:
                trial.step(journal.close)
        trial.step(journal.close)

    def check(self, folder: Path, said: list[Any]) -> None:
        journals = list(read_journals(str(folder / "new" / "data.pickle")))
        assert len(journals) <= 1
        found = dict(journals[0].points) if journals else {}
        assert all(found[n] == [n] * 10 and found[n + 100] == [n] * 10 for n in said)
        begun = range(len(said) + 2)  # one that is said only when the next is synced, and it
        assert found.keys() <= {*begun, *(n + 100 for n in begun)}
        assert not [journal.damaged for journal in journals if journal.damaged]


class OfAnAddress:
    """``manager.json``, written by one manager after the other."""

    name = "manager.json"

    def address(self, n: int) -> Address:
        return Address([f"tcp://10.0.0.{n}:50000"] * 3, "k" * 40, "host", n, "i")

    def prepare(self, folder: Path) -> None:
        run = RunFolder(folder / "x.tinydb")
        files.private_folder(run.folder)
        write_address(run, self.address(0))

    def work(self, folder: Path, trial: Trial) -> None:
        run = RunFolder(folder / "x.tinydb")
        trial.step(lambda: files.private_folder(run.folder))
        for n in (1, 2):
            trial.step(partial(write_address, run, self.address(n)))
            trial.say(n)
        found = trial.step(partial(self.read, run))
        assert found.pid == 2
        trial.say(2)

    def read(self, run: RunFolder) -> Address:
        try:
            return read_address(run)
        except ManagerUnreachableError as error:  # "it may come back": who asks tries again
            where = str(run.manager) if str(run.manager) in str(error) else "nowhere"
            raise FileError(where, "is read again") from error

    def check(self, folder: Path, said: list[Any]) -> None:
        run = RunFolder(folder / "x.tinydb")
        done = said[-1] if said else 0
        assert read_address(run).pid in (done, min(done + 1, 2))
        assert run.manager.stat().st_mode & 0o777 == 0o600


class OfJobScripts:
    """Written before each submit."""

    name = "job scripts"

    def prepare(self, folder: Path) -> None:
        files.private_folder(RunFolder(folder / "x.tinydb").folder)

    def work(self, folder: Path, trial: Trial) -> None:
        run, logs = RunFolder(folder / "x.tinydb"), folder / "logs"
        trial.step(lambda: files.private_folder(run.scripts))
        shape = Resources()
        config = RunConfig("run", [shape], ["job"], str(logs))
        batch = BatchWorker(LocalScheduler(1), config, run, lambda _: None)
        for number in (1, 2):
            request = JobRequest("job", f"as:run:{number}", shape, str(logs))
            path = trial.step(partial(batch._write, request, number))
            trial.say([path.name, path.read_text()])
            trial.step(partial(batch._write, request, number))  # a submit that is sent again

    def check(self, folder: Path, said: list[Any]) -> None:
        scripts = RunFolder(folder / "x.tinydb").scripts
        found = {path.name: path for path in scripts.glob("*.sh")} if scripts.is_dir() else {}
        assert {name for name, _ in said} <= found.keys()
        for name, text in said:
            assert found[name].read_text() == text
        for path in found.values():
            assert path.read_text().endswith('exit "$status"\n'), "half a script"
            assert path.stat().st_mode & 0o777 == 0o700


ALL = (
    OfTheDatabase(), OfAnEditedDatabase(), OfADataFile(), OfTwoDataFiles(), OfAPointJournal(),
    OfAnAddress(), OfJobScripts(),
)  # fmt: skip
