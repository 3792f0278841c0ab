"""The public `SLURM` on a real Slurm: callables in all tuples, a class of the user's own, scripts by hand."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adaptive
import pytest

from adaptive_scheduler import (
    SLURM,
    RunManager,
    SlurmExecutor,
    scheduler,
    server_support,
    slurm_run,
    widgets,
)
from adaptive_scheduler.errors import InputError

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class MySlurm(SLURM):  # type: ignore[misc, valid-type]
    """As people have one for their site."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **{"partition": ("normal", lambda: "normal"), **given})


def where(_: int) -> dict[str, str]:
    names = (
        "SLURM_CPUS_PER_TASK",
        "OMP_NUM_THREADS",
        "SLURM_JOB_PARTITION",
        "A",
        "B",
        "SLURM_MEM_PER_NODE",
    )
    return {name: os.environ.get(name, "") for name in names}


def test_every_element_of_a_tuple_may_be_a_callable(in_slurm: Path) -> None:
    made = MySlurm(
        cores=(1, lambda: 2), memory=("100MB", lambda: "200MB"), exclusive=(False, lambda: False),
        executor_type=("sequential", lambda: "process-pool"), num_threads=(1, lambda: 2),
        extra_scheduler=(["--time=5"], lambda: ["--time=6"]), extra_script=("export B=1", lambda: "export B=2"),
        extra_env_vars=(["A=$HOME"], lambda: ["A=$((1 + 1))"]),
    )  # fmt: skip
    learners = [adaptive.SequenceLearner(where, [0]) for _ in range(2)]
    fnames = [in_slurm / f"data {n}.pickle" for n in range(2)]
    run = RunManager(made, learners, fnames, job_name="callables", job_manager_interval=1)
    run.start()
    assert isinstance(run.scheduler, scheduler.BaseScheduler)
    run.wait(600, progress=False)
    run.load_learners()
    first, second = (learner.data[0] for learner in learners)
    assert (first["SLURM_CPUS_PER_TASK"], second["SLURM_CPUS_PER_TASK"]) == ("1", "4")
    assert (first["OMP_NUM_THREADS"], second["OMP_NUM_THREADS"]) == ("1", "2")
    assert (first["SLURM_MEM_PER_NODE"], second["SLURM_MEM_PER_NODE"]) == ("100", "200")
    assert (first["A"], second["A"]) == (os.environ["HOME"], "2")
    assert (first["B"], second["B"]) == ("1", "2")
    assert {first["SLURM_JOB_PARTITION"], second["SLURM_JOB_PARTITION"]} == {"normal"}
    info = widgets.RunManagerInfo.from_run_manager(run)
    assert (info.status, info.n_done, info.n_running) == ("finished", 2, 0)
    assert server_support.logs_with_string_or_condition("no such text", run.database_manager) == []


def test_a_script_by_hand_is_submitted_listed_and_cancelled(in_slurm: Path) -> None:
    made = SLURM(cores=(1, 2), extra_env_vars=(["A=1"], ["A=2"]), log_folder=in_slurm)
    made.batch_fname("job").write_text('#!/bin/sh\necho "$A $SLURM_NTASKS"\nexec sleep 600\n')
    jobs = [made.start_job(f"job-{n}", index=n) for n in range(2)]
    outputs = [in_slurm / f"{job}.out" for job in jobs]
    until(lambda: all(path.exists() and path.read_text().strip() for path in outputs))
    assert [path.read_text() for path in outputs] == ["1 1\n", "2 2\n"]
    queue = made.queue()
    assert {job: queue[job]["job_name"] for job in jobs} == {jobs[0]: "job-0", jobs[1]: "job-1"}
    panel = widgets.queue_widget(made)
    assert all(job in panel.children[-1].value for job in jobs)
    made.cancel(["job-0"])
    assert jobs[0] not in made.queue()
    SLURM.cancel_jobs("job")
    until(lambda: jobs[1] not in made.queue())


def test_a_partition_that_is_not_there_is_refused_at_once(in_slurm: Path) -> None:
    learners = [adaptive.SequenceLearner(abs, [0])]
    with pytest.raises(
        InputError, match=r"partition='nope' is not there\. sinfo lists normal, minute"
    ):
        slurm_run(learners, ["x.pickle"], partition="nope", cores_per_node=1)
    executor = SlurmExecutor(partition=("normal", "normal,nope"), cores_per_node=(1, 1))
    tasks = [executor.submit(abs, 1), executor.submit(len, "")]
    with pytest.raises(InputError, match="'normal,nope' is not there"):
        executor.finalize()
    assert not any(task.done() for task in tasks)  # another partition, and finalize() again
    assert list(in_slurm.iterdir()) == []


def alone(folder: str, place: int) -> tuple[int, list[str]]:
    """Say which others run in the same job."""
    mine = Path(folder, f"{os.environ['SLURM_JOB_ID']}-{place}")
    mine.touch()
    time.sleep(0.3)
    others = [
        one.name for one in Path(folder).glob(f"{os.environ['SLURM_JOB_ID']}-*") if one != mine
    ]
    mine.unlink()
    return len(os.sched_getaffinity(0)), others


def test_a_sequential_executor_gives_a_task_all_cores_of_its_job(in_slurm: Path) -> None:
    there = in_slurm / "there"
    there.mkdir()
    with SlurmExecutor(
        name="alone", folder=in_slurm / "tasks", partition="normal", cores_per_node=2,
        executor_type="sequential", job_manager_interval=1,
    ) as executor:  # fmt: skip
        tasks = [executor.submit(alone, str(there), place) for place in range(4)]
        executor.finalize()
        found = [task.result(600) for task in tasks]
    assert [others for _, others in found] == [[]] * 4
