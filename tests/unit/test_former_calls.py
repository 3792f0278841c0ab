"""What was written for adaptive-scheduler 2: keywords, schedulers, groups of tasks, tables of a run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import adaptive
import cloudpickle
import pytest

from adaptive_scheduler import (
    MultiRunManager,
    RunManager,
    SlurmExecutor,
    scheduler,
    start_one_by_one,
)
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import (
    EnvironmentMismatchError,
    InputError,
    NoObservation,
    SchedulerError,
)
from adaptive_scheduler.runs.compat.batch.node_sizes import parse_largest, too_large
from adaptive_scheduler.runs.compat.batch.partitions import FIELD, parse_partitions
from adaptive_scheduler.runs.compat.batch.queue_table import (
    FIELD as IN_QUEUE,
)
from adaptive_scheduler.runs.compat.batch.queue_table import (
    ROW,
    jobs_named,
    parse_slurm,
    parts_of,
)
from adaptive_scheduler.runs.compat.learners import accepted
from adaptive_scheduler.runs.compat.learners.data_removal import remove
from adaptive_scheduler.runs.compat.learners.rows import progress_rows
from adaptive_scheduler.runs.compat.tasks.groups import TaskGroups, TaskID
from adaptive_scheduler.runs.run import Run
from adaptive_scheduler.scheduler import PBS, SLURM, LocalScheduler
from adaptive_scheduler.schedulers.slurm import SLURM as TRANSLATOR


def answer(stdout: str, rc: int = 0) -> CommandResult:
    return CommandResult(("sinfo",), rc, stdout, "down" if rc else "")


def a_run(tmp_path: Path, name: str = "a", **options: Any) -> RunManager:
    learners = [adaptive.SequenceLearner(abs, [1, 2]) for _ in range(2)]
    fnames = [tmp_path / f"{name}{n}.pickle" for n in range(2)]
    made = LocalScheduler(cores=1, state=tmp_path / "state")
    return RunManager(made, learners, fnames, name=name, folder=tmp_path / name, **options)


# ------------------------------------------------------------------------------ sinfo, squeue


def test_the_default_partition_comes_first_and_cores_are_those_that_all_nodes_have() -> None:
    rows = [("a b", "8+"), ("long", "64"), ("normal*", "32"), ("long", "16"), ("odd", "?")]
    found = parse_partitions(answer("\n".join(FIELD.join(row) for row in rows)))
    assert found == {"normal": 32, "a b": 8, "long": 16, "odd": None}
    assert next(iter(found)) == "normal"


def test_a_cluster_that_does_not_answer_has_not_no_partitions() -> None:
    with pytest.raises(SchedulerError, match=r"sinfo \(exit status 1\): down"):
        parse_partitions(answer("", rc=1))
    with pytest.raises(NoObservation, match="does not answer"):
        parse_slurm(answer("", rc=1))


def test_the_queue_has_jobs_that_wait_or_run_whatever_their_names_contain() -> None:
    def row(job: str, state: str, name: str) -> str:
        return ROW + IN_QUEUE.join([job, state, *"123456", "p", name]) + IN_QUEUE

    text = row("7_1", "RUNNING", "a | b\nc") + row("8", "COMPLETED", "x") + row("9", "PENDING", "x")
    queue = parse_slurm(answer(text))
    assert {job: facts["job_name"] for job, facts in queue.items()} == {"7_1": "a | b\nc", "9": "x"}
    assert jobs_named(queue, ["x", "y"]) == ["9"]
    is_one = parts_of("a-b")
    assert [name for name in ("a-b", "a-b-12", "a-b-c", "a-bc-1", "x") if is_one(name)] == [
        "a-b",
        "a-b-12",
    ]


# ---------------------------------------------------------------------------------- schedulers


def test_a_public_scheduler_is_a_translator_that_survives_a_pickle() -> None:
    made = SLURM(cores=4, partition="long", extra_scheduler=["--time=1"])
    again = cloudpickle.loads(cloudpickle.dumps(made))
    assert isinstance(made, TRANSLATOR)
    assert type(again) is SLURM
    assert (
        repr(again)
        == repr(made)
        == "SLURM(cores=4, partition='long', extra_scheduler=['--time=1'])"
    )
    assert (again.cores, again.partition, again.memory, again.ext) == (4, "long", None, ".sbatch")
    assert scheduler.DefaultScheduler in (SLURM, PBS)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = made.nothing


def test_callables_in_tuples_give_their_values_at_the_start() -> None:
    values = iter([4, 8])
    made = SLURM(cores=(2, lambda: next(values)), executor_type=("loky", lambda: "process-pool"))
    for expected in (4, 8):
        shapes, index = made.shapes(2)
        assert [shapes[place].cores for place in index] == [2, expected]
        assert [shapes[place].executor_type for place in index] == ["loky", "process-pool"]
    with pytest.raises(InputError, match=r"cores\[1\]='x' must be a whole number"):
        SLURM(cores=(2, lambda: "x")).shapes(2)
    assert not SLURM(cores=2, executor_type=lambda n: n).has_callables  # makes an executor


def test_assignments_are_for_the_jobs_shell_and_a_dict_is_literal() -> None:
    made = SLURM(cores=1, extra_env_vars=["A=$HOME/x", "B='c d'"], extra_script="module load x")
    assert "export A=$HOME/x\nexport B='c d'\nmodule load x\n" in made.job_script()
    several = SLURM(cores=1, extra_env_vars=(["A=1"], lambda: ["A=2"]))
    assert [shape.extra_script for shape in several.shapes(2)[0]] == ["export A=1", "export A=2"]
    assert "export A=2" in several.job_script(index=1)
    assert "export A=1" not in several.job_script({}, index=1)
    assert "A='$HOME'" in SLURM(cores=1, extra_env_vars={"A": "$HOME"}).job_script()
    with pytest.raises(InputError, match="'A' must be a text such as 'NAME=value'"):
        SLURM(cores=1, extra_env_vars=["A"])


# ------------------------------------------------------------------------------ run managers


def test_what_has_no_effect_is_told_once_and_only_if_it_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "_said", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a_run(tmp_path, kill_on_error=None, cleanup_first=False, quiet=False, max_log_lines=500)
    with pytest.warns(UserWarning, match="kill_on_error= has no effect.*replaced anyway"):
        made = a_run(tmp_path, kill_on_error="died", kill_interval=60)
    assert made.kill_on_error == "died"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a_run(tmp_path, kill_on_error="died")


def test_attributes_have_both_names(tmp_path: Path) -> None:
    made = a_run(tmp_path, job_manager_interval=7, max_fails_per_job=9, url="tcp://127.0.0.1:4000")
    assert (made.job_name, made.job_names, made.name) == ("a", ["a"], "a")
    assert (made.job_manager_interval, made.interval, made.max_fails_per_job) == (7, 7, 9)
    assert (made.url, made.max_simultaneous_jobs) == ("tcp://127.0.0.1:4000", 100)
    assert (made.is_started, made.task, made.elapsed_time()) == (False, None, 0.0)
    assert made.database_manager.as_dicts() == []
    assert not made.database_manager.is_done()  # who watches it goes on
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = made.nothing


def test_the_form_of_info_may_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(Run, "info", lambda _, interval: shown.append(interval))
    made = a_run(tmp_path)
    for given in ((), (5,), ("widget",)):
        made.info(*given)
    assert shown == [2.0, 5, 2.0]
    assert made.info("text").startswith("call start()")
    with pytest.raises(InputError, match="format='picture' must be one of"):
        made.info(format="picture")


def test_tables_need_a_known_format_and_what_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="format='xls' is not known"):
        a_run(tmp_path, save_dataframe=True, dataframe_format="xls")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentMismatchError, match="needs the package pyarrow or fastparquet"):
        a_run(tmp_path, save_dataframe=True, dataframe_format="parquet")
    with pytest.raises(InputError, match="save_dataframe=3 must be True or False"):
        a_run(tmp_path, save_dataframe=3)


class Queue:
    """Not a scheduler, but what tests of other packages give for one."""

    def queue(self) -> dict[str, Any]:
        return {}


def test_a_stranger_can_be_held_but_not_started(tmp_path: Path) -> None:
    learners = [adaptive.SequenceLearner(abs, [1])]
    stranger = Queue()
    made = RunManager(stranger, learners, [tmp_path / "x"], folder=tmp_path / "r")  # type: ignore[arg-type]
    assert made.scheduler is stranger
    with pytest.raises(InputError, match="is no scheduler"):
        made.start()
    with pytest.raises(InputError, match="is no scheduler"):
        RunManager("slurm", learners, [tmp_path / "x"])  # type: ignore[arg-type]


def test_several_runs_by_their_names(tmp_path: Path) -> None:
    first, second = a_run(tmp_path), a_run(tmp_path, "b")
    several = MultiRunManager([first], max_jobs=1)
    with pytest.raises(ValueError, match="called 'a' already"):
        several.add_run_manager(first)
    with pytest.raises(ValueError, match="needs start=True"):
        several.add_run_manager(second, wait_for="a")
    with pytest.raises(KeyError, match="no run called 'c'"):
        several.add_run_manager(second, start=True, wait_for="c")
    several.add_run_manager(second)
    assert repr(several).splitlines()[0].startswith("a: not started")
    several.remove_run_manager("a")
    assert list(several.run_managers) == ["b"]
    several.cancel_all()  # none was started
    executor = SlurmExecutor(folder=tmp_path / "tasks", partition="p", cores_per_node=1)
    executor.submit(abs, 1)
    with pytest.raises(InputError, match="'adaptive-scheduler' is a run of tasks: max_jobs=1"):
        several.add_run_manager(executor.finalize(start=False))


def test_one_by_one_needs_folders_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two of the runs are in one folder"):
        start_one_by_one(a_run(tmp_path), a_run(tmp_path))


def test_progress_is_that_of_each_learner(tmp_path: Path) -> None:
    rows = [{"fname": f"x{n}", "is_done": n == 0, "phase": "done"} for n in range(2)]
    events = [
        {"event": "progress_made", "item": 0, "npoints": 3, "elapsed": 1.0, "job": "7"},
        {"event": "client_started", "job": "7"},
        {
            "event": "learner_stopped",
            "item": 0,
            "npoints": 5,
            "seconds": 2.0,
            "job": "7",
            "loss": 0.1,
        },
    ]
    (last,) = progress_rows(events, rows, only_last=True)
    assert (last["npoints"], last["elapsed_time"], last["job_id"], last["latest_loss"]) == (
        5,
        2.0,
        "7",
        0.1,
    )
    assert (last["fname"], last["is_done"]) == ("x0", True)
    assert [row["npoints"] for row in progress_rows(events, rows, only_last=False)] == [3, 5]


def test_data_are_moved_only_where_nothing_is(tmp_path: Path) -> None:
    names = [tmp_path / "a b.pickle", tmp_path / "$c.pickle", tmp_path / "none.pickle"]
    for path in (*names[:2], tmp_path / "dataframe.a b.csv"):
        path.write_text("x")
    there = tmp_path / "there"
    assert remove([str(name) for name in names], there) == 3
    assert sorted(path.name for path in there.iterdir()) == [
        "$c.pickle",
        "a b.pickle",
        "dataframe.a b.csv",
    ]
    names[0].write_text("new")
    with pytest.raises(InputError, match=r"a b.pickle would be written over"):
        remove([str(names[0])], there)
    assert names[0].read_text() == "new"


# -------------------------------------------------------------------------------------- tasks


def test_groups_are_numbered_function_by_function() -> None:
    groups = TaskGroups(2)
    for function in (abs, abs, len, abs):
        groups.add(function)
    assert groups.count() == 3
    assert [groups.group_of(TaskID(*one)) for one in ((0, 0), (0, 1), (0, 2), (1, 0))] == [
        0,
        0,
        1,
        2,
    ]
    later = groups.add(len), groups.add(len)
    assert [groups.group_of(one) for one in later] == [2, 3]
    whole = TaskGroups(None)
    assert [whole.group_of(whole.add(abs)) for _ in range(3)] == [0, 0, 0]


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self) -> int:
        return 1


def test_an_executor_before_its_start(tmp_path: Path) -> None:
    executor = SlurmExecutor(folder=tmp_path, size_per_learner=1, extra_scheduler_kwargs={"a": [1]})
    assert executor.finalize() is None
    tasks = [executor.submit(Unhashable()), *executor.map(pow, [1, 2], [3, 4])]
    assert [task.task_id.learner_index for task in tasks] == [0, 1, 1]
    with pytest.raises(RuntimeError, match="call finalize"):
        tasks[0].result()
    with pytest.raises(ValueError, match="shorter"):
        executor.map(pow, [1, 2], [3])
    with pytest.raises(InputError, match="timeout"):
        executor.map(pow, [1], [2], timeout=3)
    assert tasks[1].cancel()
    assert tasks[1].cancelled()
    other = executor.new({"name": "b", "cores_per_node": (1, 2)})
    assert (other.name, other.cores_per_node, other.folder) == ("b", (1, 2), tmp_path)
    assert other.extra_scheduler_kwargs == {"a": [1]}
    assert other.extra_scheduler_kwargs is not executor.extra_scheduler_kwargs
    executor.shutdown(cancel_futures=True)
    assert all(task.cancelled() for task in tasks)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    with pytest.raises(InputError, match="size_per_learner=0 must be"):
        SlurmExecutor(size_per_learner=0)


def test_a_scheduler_that_slurm_run_made_can_be_pickled_where_nothing_else_was_imported() -> None:
    code = (
        "import cloudpickle\n"
        "from adaptive_scheduler.runs.compat.batch.slurm_scheduler import slurm_scheduler\n"
        "made = slurm_scheduler({'partition': 'p', 'nodes': 1, 'cores_per_node': 2}, None)\n"
        "print(len(cloudpickle.dumps(made)) < 2000)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cores": 500, "nodes": 1, "cores_per_node": 500}, "120 cores, and a job asks for 500"),
        ({"cores": 500, "executor_type": "process-pool"}, "120 cores, and a job asks for 500"),
        ({"cores": 500}, ""),  # on as many nodes as that takes
        ({"cores": 240, "nodes": 2}, ""),
        ({"cores": 1, "memory": 2001}, "2000 MiB of memory, and a job asks for 2001"),
        ({"cores": 1, "memory": 2000}, ""),
    ],
)
def test_a_job_that_fits_on_no_node_is_refused_with_both_numbers(
    asked: dict[str, Any], said: str
) -> None:
    found = too_large(Resources(partition="a b", **asked), 120, 2000)
    assert (said in found) if said else not found
    assert too_large(Resources(partition="a b", **asked), 0, 0) == ""  # Slurm did not say


def test_the_largest_node_is_that_of_all_rows() -> None:
    assert parse_largest(answer("8 4000\n 120+ 2000\nodd\n? 9000\n")) == (120, 4000)
    assert parse_largest(answer("8 4000", rc=1)) == (0, 0)
