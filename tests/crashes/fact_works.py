"""Work on facts and functions of tasks: what a row says has ended has its value."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage import database
from adaptive_scheduler.io.storage.facts import Facts
from adaptive_scheduler.io.storage.read_only import read_tables
from tests.crashes.trial import Trial
from tests.crashes.works import DatabaseHere


def value(n: int) -> bytes:
    return b"\0\xff%d" % n * (n + 1)


def key(n: int) -> str:
    return hashlib.blake2b(value(n), digest_size=16).hexdigest()


class OfFacts:
    """Opening with a torn fact, commits of a row with its fact and its function, checkpoints.

    These put files of facts together. A second reader does not know of that, as after a checkpoint
    whose end its manager has not seen.
    """

    name = "facts"

    def prepare(self, folder: Path) -> None:
        run = RunFolder(folder / "x.tinydb")
        database.create(run.database, {database.ITEMS: {"0": {"id": 0, "n": 0}}})
        store = DatabaseHere(run)
        store.put_fact("value", 0, value(0))
        store.put(database.ITEMS, 0, {"id": 0, "n": 0})
        store.checkpoint()
        store.put_fact("value", 1, value(1))
        store.put(database.ITEMS, 1, {"id": 1, "n": 1})
        store.close()
        newest = max(run.journals.iterdir())
        newest.write_bytes(newest.read_bytes() + b'["f:value","2","AAA')

    def work(self, folder: Path, trial: Trial) -> None:
        run = RunFolder(folder / "x.tinydb")
        store = trial.step(lambda: DatabaseHere(run))
        other = trial.step(lambda: Facts(run.facts))
        for n in range(2, 6):
            store.put_function(key(n), value(n))
            store.put_fact("value", n, value(n))
            store.put(database.ITEMS, n, {"id": n, "n": n})
            trial.step(store.commit)
            trial.say(n)
            if n in (3, 5):
                trial.step(partial(self.checkpoint, store))
                for k in (0, n):
                    assert trial.step(partial(store.fact, "value", k)) == value(k)
        assert trial.step(partial(other.get, "value", 0)) == value(0)
        other.close()
        trial.step(store.close)

    @staticmethod
    def checkpoint(store: DatabaseHere) -> None:
        store.checkpoint()

    def check(self, folder: Path, said: list[Any]) -> None:
        run = RunFolder(folder / "x.tinydb")
        seen = read_tables(run)[database.ITEMS]
        last = max(said, default=1)
        assert last <= len(seen) - 1 <= last + 1, seen
        for _ in range(2):  # what is found once is found again
            store = DatabaseHere(run)
            assert store.tables[database.ITEMS] == seen
            for row in seen.values():
                assert store.fact("value", row["n"]) == value(row["n"])
                assert row["n"] < 2 or store.has_function(key(row["n"]))
            assert store.fact("value", 9) is None
            store.close()
        for path in run.functions.iterdir() if run.functions.exists() else ():
            if not path.name.startswith("."):
                found = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
                assert found == path.name, (path, path.stat().st_size)
