"""What texts on the command line mean, and what its exit codes tell."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from adaptive_scheduler.commandline import exits, history
from adaptive_scheduler.commandline.finding import find_learner, find_run, runs_below
from adaptive_scheduler.commandline.loading import goal_of, load_learners_file
from adaptive_scheduler.commandline.options import make_scheduler
from adaptive_scheduler.commandline.showing import whole
from adaptive_scheduler.commandline.values import (
    parse_goal_text,
    parse_pairs,
    seconds,
)
from adaptive_scheduler.core.findings import CheckResult, merge
from adaptive_scheduler.core.goals import parse_goal, unparse_goal
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import InputError, RunError, UserCodeError
from adaptive_scheduler.io.system.read_logs import tail

# ----------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "goal"),
    [("200", 200), ("0.01", 0.01), ("1e-3", 1e-3), ("10m", timedelta(minutes=10)),
     ("1h30m", timedelta(minutes=90)), ("2026-12-01T08:00", datetime(2026, 12, 1, 8)),
     ("goal", "goal"), ("my.module:enough", "my.module:enough")],
)  # fmt: skip
def test_goals(text: str, goal: object) -> None:
    assert parse_goal_text(text) == goal
    assert type(parse_goal_text(text)) is type(goal)


@pytest.mark.parametrize("text", ["", "two hundred", "10 parsecs", "a-b", "lambda: 1"])
def test_goals_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="not understood"):
        parse_goal_text(text)


@pytest.mark.parametrize("goal", [200, 0.25, timedelta(minutes=3), None])
def test_a_goal_comes_back_from_its_plain_form(goal: object) -> None:
    assert unparse_goal(parse_goal(goal)) == goal


def test_durations_and_pairs() -> None:
    assert seconds("90", "--timeout") == seconds("90s", "--timeout") == 90.0
    with pytest.raises(InputError, match="--timeout"):
        seconds("soon", "--timeout")
    assert parse_pairs(["A=b=c"], "--env") == {"A": "b=c"}
    with pytest.raises(InputError, match="KEY=VALUE"):
        parse_pairs(["A"], "--env")


def test_options_make_a_scheduler() -> None:
    scheduler = make_scheduler(
        {"scheduler": "slurm", "cores": 4, "walltime": "2h", "extra_scheduler": ["--account=x"],
         "extra_env_vars": ["A=1 2"], "queue": "debug", "gpus": None, "exclusive": False}
    )  # fmt: skip
    (resources,), _ = scheduler.shapes(1)
    assert (resources.cores, resources.walltime, resources.partition) == (4, 7200, "debug")
    assert resources.extra_env_vars == (("A", "1 2"),)
    with pytest.raises(InputError, match="max-cores"):
        make_scheduler({"scheduler": "slurm", "cores": 1, "max_cores": 3})


# ---------------------------------------------------------------- finding a run


def make_run(home: Path) -> None:
    (home / "db.tinydb.run").mkdir(parents=True)
    (home / "db.tinydb.run" / "run.json").write_text("{}")


def test_the_only_run_below_is_meant(tmp_path: Path) -> None:
    make_run(tmp_path / "a b" / "one")
    found = find_run(None, tmp_path)
    assert found.home == tmp_path / "a b" / "one"
    for named in (found.home, found.database, found.folder, tmp_path / "a b"):
        assert find_run(named).folder == found.folder


def test_several_runs_are_listed(tmp_path: Path) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two")
    with pytest.raises(InputError, match=r"(?s)2 runs.*one.*two"):
        find_run(None, tmp_path)
    assert len(runs_below(tmp_path).runs) == 2


def test_no_run_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run below"):
        find_run(None, tmp_path)
    with pytest.raises(RunError, match="is no run"):
        find_run(tmp_path / "nothing")


def test_learners_by_number_name_or_end() -> None:
    fnames: list[str | list[str]] = ["/d/x=1", "/d/x=11", ["/d/y/0", "/d/y/1"]]
    assert find_learner("1", fnames) == 1
    assert find_learner("/d/x=1", fnames) == 0
    assert find_learner("x=11", fnames) == 1
    assert find_learner("y/1", fnames) == 2
    for wrong in ("3", "x", "z"):
        with pytest.raises(InputError):
            find_learner(wrong, fnames)


# ------------------------------------------------------------- the learners file


def test_a_learners_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "my learners.py"
    path.write_text("learners, fnames = [1], ['a']\ngoal = 5\ndef enough(l): return True\n")
    file = load_learners_file(path)
    assert (file.learners, file.fnames) == ([1], ["a"])
    assert goal_of(file, None) == 5
    assert goal_of(file, "0.5") == 0.5
    assert goal_of(file, "enough") is file.module.enough
    with pytest.raises(InputError, match="no function 'nothing'"):
        goal_of(file, "nothing")


def test_what_a_learners_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        load_learners_file(tmp_path / "none.py")
    (tmp_path / "half.py").write_text("learners = []\n")
    with pytest.raises(InputError, match="does not define fnames"):
        load_learners_file(tmp_path / "half.py")
    (tmp_path / "raises.py").write_text("1/0\n")
    with pytest.raises(UserCodeError, match="ZeroDivisionError") as caught:
        load_learners_file(tmp_path / "raises.py")
    assert "raises.py" in caught.value.traceback_text


# -------------------------------------------------------------- codes, logs, json


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"phases": {"done": 2}}, exits.DONE),
     ({"phases": {"done": 2}, "alive": False}, exits.DONE),
     ({"phases": {"running": 1, "failed": 1}}, exits.DONE),
     ({"phases": {"done": 1, "failed": 1}}, exits.FAILED),
     ({"phases": {"done": 1, "cancelled": 1}}, exits.FAILED),
     ({"phases": {"queued": 1}, "alive": False}, exits.NO_MANAGER),
     ({"phases": {"queued": 1}, "notes": ["held: refused"]}, exits.HELD)],
)  # fmt: skip
def test_exit_codes(changes: dict[str, object], code: int) -> None:
    assert exits.code_of(Snapshot(run="r", database="d", time=0.0, **changes)) == code  # type: ignore[arg-type]


def test_fault_30_logs_bear_any_bytes_and_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "7.log"
    lines = [
        {"timestamp": "2026-01-01T00:00:02", "event": "item_failed", "item": 1, "reason": "a\nb"},
        {"timestamp": "2026-01-01T00:00:01", "event": "item_claimed", "item": 1},
        {"timestamp": "2026-01-01T00:00:03", "event": "item_claimed", "item": 2},
    ]
    text = "\n".join(json.dumps(line) for line in lines).encode()
    path.write_bytes(
        b"\xff\xfe not json\n" + text + b'\n[1]\n{"event": "caf\xe9", "item": 1}\n{"ev'
    )
    entries = history.entries_of([path], 1)
    assert [entry.event for entry in entries] == ["caf�", "item_claimed", "item_failed"]
    assert "reason=a" in history.entry_line(entries[-1]).plain
    assert "caf" in (tail(path, 2) or "")
    assert tail(tmp_path / "none", 2) is None


def test_json_leaves_no_field_out() -> None:
    plain = whole(Snapshot(run="r", database="d", time=0.0))
    assert set(plain) == set(Snapshot.__struct_fields__)


def test_the_worst_finding_counts() -> None:
    good, bad = CheckResult("MPI", True), CheckResult("MPI", False, "worlds of 1", "use --mpi=pmi2")
    assert merge([good, bad, good]) == [bad]
