"""What texts on the command line mean, and what its exit codes tell."""

from __future__ import annotations

import inspect
import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from adaptive_scheduler import cli
from adaptive_scheduler.cli import app
from adaptive_scheduler.commandline.input.find_learner import find_learner
from adaptive_scheduler.commandline.input.find_run import find_run, runs_below
from adaptive_scheduler.commandline.input.learners_file import goal_of, load_learners_file
from adaptive_scheduler.commandline.input.options import (
    RUN_OPTIONS,
    SCHEDULER_OPTIONS,
    TypedOption,
    takes_options,
)
from adaptive_scheduler.commandline.input.scheduler import make_scheduler, scheduler_of_run
from adaptive_scheduler.commandline.input.values import parse_goal_text, parse_pairs, seconds
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.json_lines import plain as plain_data
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.resume import why_not
from adaptive_scheduler.commandline.retry import queued_again
from adaptive_scheduler.core import times
from adaptive_scheduler.core.goals import parse_goal, unparse_goal
from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.times import number_or_text
from adaptive_scheduler.core.wire.snapshot import JobRow, Snapshot
from adaptive_scheduler.errors import InputError, RunError, UserCodeError
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.pickling.callables_file import write_callables
from adaptive_scheduler.runs.views import log_entries
from adaptive_scheduler.scheduler import PBS, SLURM, LocalScheduler
from adaptive_scheduler.server_support import RunManager

# ----------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "goal"),
    [("200", 200), ("0.01", 0.01), ("1e-3", 1e-3), ("10m", timedelta(minutes=10)),
     ("1h30m", timedelta(minutes=90)), ("2026-12-01T08:00", datetime(2026, 12, 1, 8)),
     ("goal", "goal"), ("my.module:enough", "my.module:enough")],
)  # fmt: skip
def test_a_typed_goal_is_understood(text: str, goal: object) -> None:
    assert parse_goal_text(text) == goal
    assert type(parse_goal_text(text)) is type(goal)


@pytest.mark.parametrize("text", ["", "two hundred", "10 parsecs", "a-b", "lambda: 1"])
def test_a_text_that_is_no_goal_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not understood"):
        parse_goal_text(text)


@pytest.mark.parametrize("goal", [200, 0.25, timedelta(minutes=3), None])
def test_a_goal_comes_back_from_its_plain_form(goal: object) -> None:
    assert unparse_goal(parse_goal(goal)) == goal


def test_lengths_of_time_and_pairs_are_read() -> None:
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
    with pytest.raises(InputError, match=r"--max-cores is not an option of --scheduler slurm"):
        make_scheduler({"scheduler": "slurm", "cores": 1, "max_cores": 3})
    with pytest.raises(InputError, match=r"--gpus is not an option of --scheduler local"):
        make_scheduler({"scheduler": "local", "cores": 1, "gpus": 3})
    with pytest.raises(InputError, match=r"--scheduler slrum.* Did you mean slurm\?"):
        make_scheduler({"scheduler": "slrum", "cores": 1})


def test_a_run_stays_on_its_scheduler_unless_another_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_SYSTEM", "slurm")
    folder = RunFolder(tmp_path)
    assert scheduler_of_run(folder, {"cores": 2})[0].name == "slurm"
    files.private_folder(folder.folder)
    write_callables(folder.callables, {"scheduler": LocalScheduler(cores=2, max_cores=4)})
    same, remark = scheduler_of_run(folder, {})
    assert (same.name, same.shapes(1)[0][0].cores) == ("local", 2)
    assert "those of the last start (local)" in remark
    changed, remark = scheduler_of_run(folder, {"cores": 1})
    assert (changed.name, changed.shapes(1)[0][0].cores) == ("local", 1)
    assert "that of the last start: local" in remark
    other, remark = scheduler_of_run(folder, {"scheduler": "slurm", "cores": 3})
    assert (other.name, remark) == ("slurm", "")


# ---------------------------------------------------------- options and their names


def typed(*words: str) -> dict[str, object]:
    """What the command `run` is called with."""
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    return dict(command.make_context("run", ["study.py", *words]).params)


def test_options_have_the_names_of_pythons_arguments() -> None:
    arguments = inspect.signature(RunManager).parameters
    assert {option.name for option in RUN_OPTIONS} <= set(arguments)
    takes = {
        name for kind in (SLURM, PBS, LocalScheduler) for name in inspect.signature(kind).parameters
    }
    assert {option.name for option in SCHEDULER_OPTIONS} - {"scheduler"} <= takes


def test_run_options_reach_the_command_only_if_they_are_typed() -> None:
    seen = {}

    @takes_options("options", RUN_OPTIONS, "panel")
    def command(learners_file: str, *, options: dict[str, object]) -> None:
        seen.update(options)

    given = {option.name: option.parameter("panel").default for option in RUN_OPTIONS}
    command(learners_file="f", **given)
    assert seen == {}
    command(learners_file="f", **{**given, "check_goal_on_start": True, "save_interval": "90"})
    assert seen == {"check_goal_on_start": False, "save_interval": 90.0}


def test_other_names_of_options_are_accepted_and_not_shown() -> None:
    params = typed("--executor", "loky", "--overwrite-db", "--max-simultaneous-jobs=3",
                   "--no-check-goal-on-start", "--env", "A=1", "--env=B=2", "--partition", "gpu")  # fmt: skip
    assert params["executor_type"] == "loky"
    assert params["overwrite"] is True
    assert params["max_jobs"] == 3
    assert params["check_goal_on_start"] is True  # the flag is --no-check-goal-on-start
    assert list(params["extra_env_vars"]) == ["A=1", "B=2"]  # type: ignore[call-overload]
    assert params["queue"] == "gpu"
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    assert "--executor-type" in shown
    for other in ("--executor ", "--overwrite-db", "--max-simultaneous-jobs", "--env "):
        assert other not in shown


@pytest.mark.parametrize(
    ("python", "shell"),
    [("folder='/x' must be a folder of its own", "--folder '/x' must be a folder of its own"),
     ("folder: /x cannot be used", "--folder: /x cannot be used"),
     ("give another folder=..., or overwrite=True to begin anew.",
      "give another --folder ..., or --overwrite to begin anew."),
     ("overwrite_db=True: it lives. cancel() that run first",
      "--overwrite: it lives. Cancel that run (`adaptive-scheduler cancel RUN`) first"),
     ("cores=4 does not equal nodes=2 x cores_per_node=3: leave cores out.",
      "--cores 4 does not equal --nodes 2 x --cores-per-node 3: leave --cores out."),
     ("Give cores, or nodes and cores_per_node.", "Give --cores, or --nodes and --cores-per-node."),
     ("give fewer cores= or less memory=, or another queue=",
      "give fewer --cores or less --memory, or another --queue"),
     ("goal=None means: until the end", "No --goal means: until the end"),
     ("or goal=lambda learner: False.", "or `def goal(learner): return False` in the learners file."),
     ("give url='tcp://h:1' to RunManager; or", "give --url 'tcp://h:1'; or"),
     ("max_simultaneous_jobs=0 must be a whole number", "--max-jobs 0 must be a whole number"),
     ("/data/cores=4/x: 'goal=3' and x_cores=4 are no options",
      "/data/cores=4/x: 'goal=3' and x_cores=4 are no options"),
     ("There are 2 learners; the name of each", "There are 2 learners; the name of each")],
)  # fmt: skip
def test_errors_have_the_names_of_options(python: str, shell: str) -> None:
    assert in_option_names(python) == shell


@pytest.mark.parametrize("option", RUN_OPTIONS, ids=lambda option: option.name)
def test_a_wrong_value_is_reported_with_its_option(option: TypedOption) -> None:
    if option.kind is bool:
        return
    wrong = -1 if option.kind is int else "soon" if option.read is number_or_text else "\0"
    with pytest.raises(InputError) as caught:
        RunOptions(**{option.name: wrong})
    assert in_option_names(str(caught.value)).startswith(f"--{option.name.replace('_', '-')} ")


def test_what_only_python_takes_is_left_out_of_the_errors_of_the_command_line() -> None:
    with pytest.raises(InputError) as caught:
        SLURM(1, executor_type="threads")
    assert in_option_names(str(caught.value)) == (
        "--executor-type 'threads' is not known. Use one of 'mpi4py', 'process-pool', 'loky', "
        "'sequential', 'dask', 'ipyparallel'."
    )
    with pytest.raises(InputError) as caught:
        seconds("soon", "--timeout")
    assert "timedelta" not in in_option_names(str(caught.value))


@pytest.mark.parametrize("length", [0.5, 1.0, 30.0, 90.0, 300.0, 3600.0, 86400.0, 172800.0])
def test_a_length_of_time_comes_back_from_its_text(length: float) -> None:
    assert times.seconds(times.length_text(length), "x") == length


# ------------------------------------------------------- what a command has to do


def snapshot(**changes: object) -> Snapshot:
    return Snapshot(run="r", database="d", time=0.0, manager="host:1", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "if_dead", "reason"),
    [({"phases": {"done": 2, "failed": 1}}, False, "all 3 learners have ended: 2 done, 1 failed"),
     ({"phases": {"done": 1}, "alive": False}, False, "the learner has ended: 1 done"),
     ({"phases": {"cancelled": 1}, "alive": False}, False, ""),
     ({"phases": {"cancelled": 1}, "alive": False}, True, "the learner has ended: 1 cancelled"),
     ({"phases": {"running": 1}}, False, "its manager runs on host:1"),
     ({"phases": {"running": 1}, "alive": False}, True, ""),
     ({"phases": {"queued": 1}, "notes": ["held: refused"]}, False, ""),
     ({"phases": {"queued": 1}, "notes": ["held: refused"]}, True, "its manager runs on host:1"),
     ({"phases": {"done": 1}, "jobs": [JobRow("1")], "alive": False}, False, "")],
)  # fmt: skip
def test_why_a_run_cannot_be_resumed(
    changes: dict[str, object], if_dead: bool, reason: str
) -> None:
    assert why_not(snapshot(**changes), if_dead) == reason


@pytest.mark.parametrize(
    ("n", "named", "text"),
    [(2, 0, "2 learners queued again."), (1, 1, "1 learner queued again."),
     (1, 2, "1 of 2 learners queued again"), (0, 2, "they have not ended"),
     (0, 0, "no learner has failed")],
)  # fmt: skip
def test_a_retry_tells_how_many_learners_it_meant(n: int, named: int, text: str) -> None:
    assert text in queued_again(n, named, is_goal_checked=False)


def test_retry_says_that_done_learners_meet_the_goal_only_if_it_has_looked():
    assert "meet the goal" not in queued_again(0, 0, is_goal_checked=False)
    assert "those done meet the goal" in queued_again(0, 0, is_goal_checked=True)


# ---------------------------------------------------------------- finding a run


def make_run(home: Path) -> None:
    (home / "db.tinydb.run").mkdir(parents=True)
    (home / "db.tinydb.run" / "run.json").write_text("{}")


def test_the_only_run_below_a_folder_is_found(tmp_path: Path) -> None:
    make_run(tmp_path / "a b" / "one")
    found = find_run(None, tmp_path)
    assert found.home == tmp_path / "a b" / "one"
    for named in (found.home, found.database, found.folder, tmp_path / "a b"):
        assert find_run(named).folder == found.folder


def test_a_run_that_was_typed_wrong_gets_a_suggestion(tmp_path: Path) -> None:
    make_run(tmp_path / "study")
    (tmp_path / "studie").mkdir()
    with pytest.raises(RunError, match=r"Did you mean [^ ]*/study\?"):
        find_run(tmp_path / "stduy")
    with pytest.raises(RunError, match=r"is no run"):
        find_run(tmp_path / "nowhere" / "study")


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


def test_a_learner_is_found_by_its_number_its_fname_or_the_end_of_it() -> None:
    fnames: list[str | list[str]] = ["/d/x=1", "/d/x=11", ["/d/y/0", "/d/y/1"]]
    assert find_learner("1", fnames) == 1
    assert find_learner("/d/x=1", fnames) == 0
    assert find_learner("x=11", fnames) == 1
    assert find_learner("y/1", fnames) == 2
    assert find_learner("=11", fnames) == 1, "the end of the last part"
    for wrong in ("3", "x", "z"):
        with pytest.raises(InputError):
            find_learner(wrong, fnames)
    with pytest.raises(InputError, match=r"Did you mean x=11"):
        find_learner("y=11", fnames)


# ------------------------------------------------------------- the learners file


def test_a_learners_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "my learners.py"
    path.write_text("learners, fnames = [1], ['a']\ngoal = 5\ndef enough(l): return True\n")
    file = load_learners_file(path)
    assert (file.learners, file.fnames) == ([1], ["a"])
    assert goal_of(file, None) == 5
    assert goal_of(file, "0.5") == 0.5
    assert goal_of(file, "enough") is file.module.enough
    with pytest.raises(InputError, match=r"no function 'enuogh'. Did you mean enough\?"):
        goal_of(file, "enuogh")


def test_what_a_learners_file_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        load_learners_file(tmp_path / "none.py")
    (tmp_path / "study.py").write_text("")
    with pytest.raises(InputError, match=r"Did you mean .*study.py\?"):
        load_learners_file(tmp_path / "stuyd.py")
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
    [({"phases": {"done": 2}}, exit_codes.DONE),
     ({"phases": {"done": 2}, "alive": False}, exit_codes.DONE),
     ({"phases": {"running": 1, "failed": 1}}, exit_codes.DONE),
     ({"phases": {"done": 1, "failed": 1}}, exit_codes.FAILED),
     ({"phases": {"done": 1, "cancelled": 1}}, exit_codes.FAILED),
     ({"phases": {"queued": 1}, "alive": False}, exit_codes.NO_MANAGER),
     ({"phases": {"queued": 1}, "notes": ["held: refused"]}, exit_codes.HELD)],
)  # fmt: skip
def test_a_run_has_the_exit_code_of_its_state(changes: dict[str, object], code: int) -> None:
    assert exit_codes.of_snapshot(Snapshot(run="r", database="d", time=0.0, **changes)) == code  # type: ignore[arg-type]


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
    entries = log_entries.entries_of([path], 1)
    assert [entry.event for entry in entries] == ["caf�", "item_claimed", "item_failed"]
    assert "reason=a" in log_entries.entry_line(entries[-1]).plain


def test_json_leaves_no_field_out() -> None:
    plain = plain_data(Snapshot(run="r", database="d", time=0.0))
    assert set(plain) == set(Snapshot.__struct_fields__)


def test_a_ctrl_c_before_a_command_has_begun_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(prog_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    monkeypatch.setattr(sys, "argv", ["adaptive-scheduler", "status"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


def test_several_runs_in_the_folder_that_is_called_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=re.escape(f"There are 2 runs below {tmp_path}. Name one")):
        find_run(".")
