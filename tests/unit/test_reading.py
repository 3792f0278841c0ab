"""Runs are read from disk at a glance: one, or all below a folder; the same as row by row."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from adaptive_scheduler.core.rows.row import Item, Phase, TaskItem
from adaptive_scheduler.core.wire.snapshot import item_views
from adaptive_scheduler.errors import DatabaseError, ManagerUnreachableError, RunError
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.storage import row_codec
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.io.storage.glance import glance
from adaptive_scheduler.io.storage.read_only import read_tables
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.io.transport.addresses import Address, read_address, write_address
from adaptive_scheduler.runs.reading.on_disk import snapshot_on_disk
from adaptive_scheduler.runs.reading.summaries import summaries
from tests.made_runs import learners, make_run, with_manager_on

#: Seconds that `status` and `list` may take on a machine with nothing else to do.
EXPECTED = 0.3


def command(*words: str, folder: Path, columns: int = 80) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler", *words], cwd=folder, text=True, check=False,
        env={**os.environ, "COLUMNS": str(columns)}, stdout=subprocess.PIPE, timeout=120,
    )  # fmt: skip
    return done.stdout


def test_what_is_seen_at_a_glance_is_what_the_rows_say(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study", learners(60))
    store = Database(folder)  # changes that are in the journal alone
    changed = msgspec.structs.replace(learners(60)[7], phase=Phase.FAILED, npoints=1000)
    store.put(row_codec.database.ITEMS, 7, changed)
    store.commit()
    store.close()
    rows = row_codec.read_items(read_tables(folder), folder)
    found = glance(folder, "learner")
    assert sum(found.phases.values()) == 60
    assert found.phases == {
        phase.value: n for phase in Phase if (n := sum(row.phase is phase for row in rows))
    }
    assert found.points == sum(row.npoints for row in rows)
    for which in ("active", "all", "none"):
        assert snapshot_on_disk(folder, which).items == item_views(rows, {}, which)  # type: ignore[arg-type]


def test_tasks_of_a_submit_that_was_written_in_part_are_not_counted(tmp_path: Path) -> None:
    rows: list[Item] = [TaskItem(n, "", Phase.FAILED, name=f"t{n}", ended=10 - n) for n in range(6)]
    folder = make_run(tmp_path / "run", rows, "task", {"batches": {"a": {"items": [0, 1, 2, 3]}}})
    found = snapshot_on_disk(folder)
    assert found.phases == {"failed": 4}
    assert [view.id for view in found.items] == [0, 1, 2, 3], "the last end first"
    assert len(row_codec.read_items(read_tables(folder), folder)) == 4


def test_a_row_that_is_no_item_is_named_with_its_file(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", learners(1))
    folder.database.write_text('{"_default": {"0": {"id": "x"}}}')
    with pytest.raises(DatabaseError, match="no item of this version"):
        glance(folder, "learner")


@pytest.mark.parametrize("row", ['"1": {"id": 0', '"0": {"id": 0, "priority": "high"'])
def test_a_row_that_somebody_has_edited_badly_is_named_with_its_file(
    tmp_path: Path, row: str
) -> None:
    folder = make_run(tmp_path / "run", learners(1))
    edited = f'{{"_default": {{{row}, "fname": "a", "phase": "failed"}}}}}}'
    folder.database.write_text(edited)
    with pytest.raises(DatabaseError, match="no item of this version"):
        snapshot_on_disk(folder, "active")


def test_all_runs_below_a_folder_are_listed_with_their_hosts(tmp_path: Path) -> None:
    make_run(tmp_path / "a study", learners(60))
    with_manager_on(make_run(tmp_path / "deep" / "$er" / "study", learners(6)), "login2.elsewhere")
    done = [Item(0, "/x", Phase.DONE)]
    make_run(tmp_path / "done", done)
    make_run(tmp_path / "broken", done).database.write_text("{")
    found = json.loads(command("list", "--json", folder=tmp_path))
    assert found["folder"] == str(tmp_path)
    by_name = {Path(run["folder"]).relative_to(tmp_path).as_posix(): run for run in found["runs"]}
    assert {name: run["state"] for name, run in by_name.items()} == {
        "a study": "manager dead", "deep/$er/study": "running", "done": "finished", "broken": "unreadable",
    }  # fmt: skip
    assert by_name["deep/$er/study"]["host"] == "login2.elsewhere"
    assert by_name["a study"]["phases"]["failed"] == 10
    assert "is not a TinyDB file" in by_name["broken"]["problem"]
    assert summaries([]) == []


def test_a_run_is_as_old_as_its_first_start(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study", learners(6))
    (first,) = summaries([folder])
    assert time.time() - 60 < first.started <= time.time()
    config = msgspec.structs.replace(read_config(folder), started=0.0, save_interval=17.0)
    write_config(folder, config)  # as a second start, a retry and a change of max_jobs do
    os.utime(folder.config, (first.started + 1000, first.started + 1000))
    assert summaries([folder])[0].started == first.started
    write_config(folder, msgspec.structs.replace(config, run="other"))
    assert summaries([folder])[0].started > first.started, "another run in its place"


def test_a_run_of_an_older_version_is_as_old_as_its_file(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study", learners(6))
    older = msgspec.json.decode(folder.config.read_bytes())
    del older["started"]
    folder.config.write_bytes(msgspec.json.encode(older))
    os.utime(folder.config, (1e9, 1e9))
    assert summaries([folder])[0].started == 1e9
    write_config(folder, read_config(folder))
    assert summaries([folder])[0].started == 1e9


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_list_has_one_line_for_each_run_in_any_width(tmp_path: Path, width: int) -> None:
    for n in range(3):
        make_run(tmp_path / f"{'a_long_name_' * 6}{n}", learners(12))
    lines = command("list", folder=tmp_path, columns=width).splitlines()
    assert len(lines) == 4
    assert max(map(cell_len, lines)) <= width
    assert sorted(re.findall(r"^a_long\S*(\d) ", "\n".join(lines), re.MULTILINE)) == ["0", "1", "2"]
    assert all("2/12 learners" in line for line in lines[1:])


def test_where_there_is_no_run_that_is_said(tmp_path: Path) -> None:
    assert "There is no run below" in command("list", folder=tmp_path)
    assert json.loads(command("list", "--json", folder=tmp_path))["runs"] == []


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_status_of_a_real_run_fits(tmp_path: Path, width: int) -> None:
    make_run(tmp_path / ("deep_folder_" * 6), learners(24))
    lines = command("status", "--all", folder=tmp_path, columns=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    rows = [line for line in lines if re.match(r" ?\d+ +\S*…?\S*pickle", line)]
    assert len(rows) == 24
    assert sum("failed" in row and "your" in row for row in rows) == 4


@pytest.mark.parametrize("name", ["status", "list"])
def test_100_000_learners_are_shown_at_once(tmp_path: Path, name: str) -> None:
    make_run(tmp_path / "study", learners(100_000))
    spent = []  # of a loaded machine only the processor's time counts, and that of its best moment
    for _ in range(3):
        before = os.times()
        text = command(name, folder=tmp_path)
        after = os.times()
        assert "16,667/100,000" in text
        spent.append(sum(after[2:4]) - sum(before[2:4]))
        if min(spent) < 5 * EXPECTED:
            return
    pytest.fail(f"{spent} s")


SLOW = {"pydantic", "adaptive", "numpy", "zmq", "textual"}


def loaded_by(folder: Path, *words: str) -> set[str]:
    """The modules that a command has loaded when it ends."""
    code = (
        f"import sys; sys.argv = ['adaptive-scheduler', *{words!r}]\n"
        "from adaptive_scheduler.cli import app\n"
        "try:\n    app(standalone_mode=False)\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(done.stdout.partition("LOADED")[2].split())


def test_status_loads_only_what_it_needs(tmp_path: Path) -> None:
    make_run(tmp_path / "study", learners(6))
    loaded = loaded_by(tmp_path, "status", "study")
    assert "adaptive_scheduler.commandline.status" in loaded
    assert (SLOW | {"adaptive_scheduler.commandline.run"}) & loaded == set()


def test_help_loads_nothing_that_is_slow(tmp_path: Path) -> None:
    """How long it takes tells of the machine; what it loads does not."""
    loaded = loaded_by(tmp_path, "run", "--help")
    assert "adaptive_scheduler.commandline.run" in loaded
    assert SLOW & loaded == set()


# ------------------------------------------------------------------- bytes that are no text


def no_text(path: Path, behind: bytes) -> None:
    """Change the byte behind some others into one that no UTF-8 has, as a bad disk may."""
    data = path.read_bytes()
    at = data.index(behind) + len(behind)
    path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])


def test_settings_with_a_byte_that_is_no_text_are_an_error_of_the_run(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study", learners(6))
    no_text(folder.config, b'"job_names":["')
    with pytest.raises(RunError, match=r"run\.json cannot be read: 'utf-8'"):
        read_config(folder)


def test_a_database_with_a_byte_that_is_no_text_is_an_error_of_the_database(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path / "study", learners(6))
    no_text(folder.database, b'"fname":"')
    with pytest.raises(DatabaseError, match="is not a TinyDB file"):
        read_tables(folder)
    with pytest.raises(DatabaseError, match="holds a row that is no item"):
        row_codec.read_items(read_tables(folder, undecoded=True), folder)
    with pytest.raises(DatabaseError, match="holds a row that is no item"):
        glance(folder, "learner").names()


def test_a_lock_and_an_address_with_a_byte_that_is_no_text_are_nobodys(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study", learners(6))
    with_manager_on(folder, "elsewhere")
    no_text(folder.lock, b'"secret":"')
    found = holder(folder.lock)
    assert found is not None
    assert found.pid == -1
    write_address(folder, Address([], "key", "elsewhere", 7, "instance"))
    no_text(folder.manager, b'"host":"')
    with pytest.raises(ManagerUnreachableError, match="cannot be read: 'utf-8'"):
        read_address(folder)
