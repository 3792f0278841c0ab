"""What it costs to look at one task of very many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import TASK, Phase, TaskItem
from adaptive_scheduler.core.tasks.command_spec import CommandSpec, CommandStep
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import glance, row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.tinydb_file import AtomicStorage
from adaptive_scheduler.runs.task_run import TaskRun
from tests.made_runs import make_run

N = 200
SPEC = CommandSpec([CommandStep("energy", argv=["./energy"])], "/tmp", "/tmp/no log")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    rows = [TaskItem(n, "", Phase.QUEUED if n % 2 else Phase.DONE, name=f"n={n}") for n in range(N)]
    tables: Any = {
        row_codec.RESOURCES: {"0": msgspec.to_builtins(TaskResources())},
        row_codec.BATCHES: {"0": {"items": [0, N - 1]}},
    }
    run = make_run(tmp_path / "run", rows, TASK, tables)
    files.private_folder(run.journals)
    store = Database(run)
    for n in range(N):
        store.put_fact("spec", n, msgspec.msgpack.encode(SPEC))
    store.commit()
    store.close()
    return run


@pytest.mark.parametrize("task", [0, 7, N - 1])
def test_the_database_is_read_once_and_no_row_but_its_own_is_made(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, task: int
) -> None:
    """Of 100,000 tasks a row of each was made, and the file read twice: 0.4 to 2 s of CPU."""
    reads, made = [], []
    read, decoded = AtomicStorage.read, glance.Glance.__getitem__
    monkeypatch.setattr(
        AtomicStorage, "read", lambda *a, **kw: (reads.append(1), read(*a, **kw))[1]
    )
    monkeypatch.setattr(
        glance.Glance, "__getitem__", lambda self, n: (made.append(n), decoded(self, n))[1]
    )
    monkeypatch.setattr(row_codec, "read_items", None)
    found = TaskRun(folder).details(task, 10)
    assert (found["task"], found["name"]) == (task, f"n={task}")
    assert found["what"] == "./energy"
    assert len(reads) == 1
    assert set(made) == {task}
