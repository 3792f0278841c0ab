"""What every scheduler must do, whatever its batch system; one `Case` for each.

To add one: a function that returns its `Case`, with captured outputs of the
real commands, and a line in `CASES`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    JobId,
    JobRequest,
    JobState,
    Refusal,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import NoObservation, SchedulerError, SubmitRefusedError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.local import LocalScheduler
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.clusters import captures, pbs_captures


class Case(msgspec.Struct, kw_only=True):
    """What one batch system really answers."""

    make: Callable[..., Scheduler]
    submit_one: tuple[CommandResult, list[str]]  # the answer, and the ids in it
    submit_array: tuple[CommandResult, list[str]] | None = None  # None: no arrays
    queue: CommandResult  # several jobs in several states
    states: Mapping[str, JobState]  # of some jobs in that queue
    queue_empty: CommandResult
    no_observation: list[CommandResult]  # listings that cannot be trusted
    refusals: list[tuple[CommandResult, Refusal]]
    cancel_gone: list[CommandResult]  # cancelling what has ended is no fault
    cancel_failed: list[CommandResult]
    environ: Mapping[str, str]  # of a job
    own_id: tuple[str, int]  # id and restart count
    time_left: tuple[CommandResult, float | None] | None = None
    extra_scheduler: str  # an option of this batch system
    history: tuple[CommandResult, dict[str, str]] | None = None  # ids and causes
    has_header: bool = True  # False: all is on the command line, and cores are only counted


def slurm() -> Case:
    def real(name: str) -> CommandResult:
        return captures.load(f"slurm/{name}")

    impossible = [
        "cores",
        "gres",
        "memory",
        "nodes",
        "option",
        "partition",
        "value",
        "walltime",
    ]
    return Case(
        make=SLURM,
        submit_one=(real("submit_one"), ["1"]),
        submit_array=(real("submit_array"), ["2_0", "2_1", "2_2"]),
        queue=real("queue_mixed"),
        states={
            "1": JobState.RUNNING,
            "2_0": JobState.ENDED,
            "2_1": JobState.ALIVE,
            "2_2": JobState.PENDING,
            "3": JobState.PENDING,
        },
        queue_empty=real("queue_empty"),
        no_observation=[real("down_queue")],
        refusals=[
            *((real(f"refused_{name}"), Refusal.IMPOSSIBLE) for name in impossible),
            (real("refused_array"), Refusal.TOO_LONG),
            (real("down_submit"), Refusal.BUSY),
        ],
        cancel_gone=[real("cancel_finished"), real("cancel_unknown")],
        cancel_failed=[real("down_cancel")],
        environ={
            "SLURM_JOB_ID": "15",
            "SLURM_ARRAY_JOB_ID": "12",
            "SLURM_ARRAY_TASK_ID": "3",
            "SLURM_RESTART_COUNT": "2",
        },
        own_id=("12_3", 2),
        time_left=(real("time_left"), 365 * 86400.0),
        extra_scheduler="--account=x",
        history=(real("history"), {"2_0": "cancelled"}),
    )


def pbs() -> Case:
    def qsub(rc: int, stdout: str = "", stderr: str = "") -> CommandResult:
        return CommandResult(("qsub", "job.sh"), rc, stdout, stderr)

    no_jobs = pbs_captures.captured("qstat_unknown").stdout
    return Case(
        make=pbs_captures.scheduler,
        submit_one=(qsub(0, "2.vm\n"), ["2.vm"]),
        submit_array=(qsub(0, "1007[].vm\n"), ["1007[0].vm", "1007[1].vm", "1007[2].vm"]),
        queue=pbs_captures.answer("qstat_f_json_all"),
        states={
            "3.vm": JobState.RUNNING,
            "4.vm": JobState.PENDING,
            "5.vm": JobState.ALIVE,
            "6.vm": JobState.PENDING,
        },
        queue_empty=CommandResult(("qstat",), 0, no_jobs, ""),
        no_observation=[CommandResult(("qstat",), 255, no_jobs, "Connection refused")],
        refusals=[
            (pbs_captures.captured("qsub_over_walltime_max"), Refusal.IMPOSSIBLE),
            (pbs_captures.captured("qsub_root_before_acl"), Refusal.IMPOSSIBLE),
            (pbs_captures.captured("qsub_queue_disabled"), Refusal.BUSY),
            (qsub(38, "", "qsub: would exceed complex's per-user limit"), Refusal.LIMIT),
            (qsub(162, "", "qsub: cannot connect to server vm (errno=15010)"), Refusal.BUSY),
        ],
        cancel_gone=[
            pbs_captures.captured("qdel_unknown"),
            CommandResult(("qdel", "1001"), 35, "", "qdel: Job has finished 1001.vm"),
        ],
        cancel_failed=[
            pbs_captures.captured("qdel_other_user"),
            CommandResult(("qdel", "1"), 162, "", "Couldn't connect to cluster: vm"),
        ],
        environ={"PBS_JOBID": "1007[2].vm", "PBS_ENVIRONMENT": "PBS_BATCH"},
        own_id=("1007[2].vm", 0),
        time_left=(pbs_captures.answer("qstat_f_json_running"), 115.0),
        extra_scheduler="-A x",
        history=(
            pbs_captures.answer("array_partial_t"),
            {"1008[1].vm": "failed", "1008[2].vm": "failed"},
        ),
    )


def local() -> Case:
    def said(rc: int, stdout: str = "", stderr: str = "") -> CommandResult:
        return CommandResult(("localbatch",), rc, stdout, stderr)

    def make(**options: Any) -> LocalScheduler:
        return LocalScheduler(max_cores=64, **options)

    queue = """\
{"id": "1_0", "state": "running", "name": "a.sh", "comment": "", "cores": 1, "restart": 0, "nodes": ["vm"], "time_left": 9.5, "reason": ""}
{"id": "1_1", "state": "completing", "name": "a.sh", "comment": "", "cores": 1, "restart": 0, "nodes": ["vm"], "time_left": 0.0, "reason": "timeout"}
{"id": "1_2", "state": "pending", "name": "a.sh", "comment": "", "cores": 1, "restart": 0, "nodes": [], "time_left": null, "reason": "waits for free cores"}
{"rows": 3}
"""
    ended = """\
{"id": "1_0", "cause": "failed", "code": 3, "detail": "exit code 3"}
{"id": "1_1", "cause": "timeout", "code": 143, "detail": "the walltime of 1 s was over"}
{"rows": 2}
"""
    too_large = (
        "localbatch: a job of 5 cores can never start: this batch system has 4. Ask for fewer "
        "cores, or give it more with --slots (LocalScheduler: max_cores).\n"
    )
    locked = "localbatch: database is locked (/s/jobs.sqlite); try again\n"
    return Case(
        make=make,
        has_header=False,
        submit_one=(said(0, "2\n"), ["2"]),
        submit_array=(said(0, "1_0\n1_1\n1_2\n"), ["1_0", "1_1", "1_2"]),
        queue=said(0, queue),
        states={"1_0": JobState.RUNNING, "1_1": JobState.ALIVE, "1_2": JobState.PENDING},
        queue_empty=said(0, '{"rows": 0}\n'),
        no_observation=[said(75, "", locked), said(0)],
        refusals=[
            (said(3, "", too_large), Refusal.IMPOSSIBLE),
            (said(75, "", locked), Refusal.BUSY),
        ],
        cancel_gone=[said(0)],
        cancel_failed=[said(75, "", locked)],
        environ={"LOCALBATCH_JOB_ID": "12_3", "LOCALBATCH_RESTART": "2"},
        own_id=("12_3", 2),
        time_left=(said(0, "12.500\n"), 12.5),
        extra_scheduler="--kill-wait=5",
        history=(said(0, ended), {"1_0": "failed", "1_1": "timeout"}),
    )


CASES: dict[str, Callable[[], Case]] = {"slurm": slurm, "pbs": pbs, "local": local}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture
def scheduler(case: Case) -> Scheduler:
    return case.make(cores=4)


def request_of(scheduler: Scheduler, **changes: object) -> JobRequest:
    (resources,), _ = scheduler.shapes(1)
    job = JobRequest("a job", "as:run1:7", resources, "/logs/a folder")
    return msgspec.structs.replace(job, **changes)


def test_a_scheduler_has_a_name_and_programs(scheduler: Scheduler) -> None:
    assert scheduler.name
    assert scheduler.programs
    assert scheduler.max_array >= 1


def test_the_last_lines_of_a_header_are_the_users_own_options(case: Case) -> None:
    scheduler = case.make(cores=4, walltime="1:00:00", extra_scheduler=[case.extra_scheduler])
    header = scheduler.header(request_of(scheduler))
    assert all(line.startswith("#") and "\n" not in line for line in header)
    argv = scheduler.submit_command(request_of(scheduler), Path("job.sh"), 1)
    assert case.extra_scheduler in (header[-1] if case.has_header else argv)


def asked(scheduler: Scheduler) -> list[str]:
    """All that one submit tells the batch system."""
    job = request_of(scheduler)
    return [*scheduler.header(job), *scheduler.submit_command(job, Path("job.sh"), 1)]


def test_a_single_process_executor_asks_for_one_task(case: Case) -> None:
    ranks, pool = case.make(cores=4), case.make(cores=4, executor_type="process-pool")
    if case.has_header:
        assert asked(pool) != asked(ranks), "one task of four cores, not four tasks"
    else:
        assert asked(pool) == asked(ranks), "cores are only counted: four either way"
        assert "--cores=4" in asked(pool)


def test_a_submit_names_the_script_and_carries_the_tag(scheduler: Scheduler) -> None:
    script = Path("/a folder/job $x.sh")
    argv = scheduler.submit_command(request_of(scheduler), script, 1)
    assert str(script) in argv
    assert any("as:run1:7" in word for word in argv)


def test_a_submit_gives_one_id_for_each_job(case: Case, scheduler: Scheduler) -> None:
    result, ids = case.submit_one
    assert scheduler.parse_submit(result, 1) == ids
    if case.submit_array is not None:
        result, ids = case.submit_array
        assert scheduler.parse_submit(result, len(ids)) == ids


def test_a_submit_that_prints_no_id_has_an_unknown_result(case: Case, scheduler: Scheduler) -> None:
    silent = msgspec.structs.replace(case.submit_one[0], stdout="")
    with pytest.raises(NoObservation):
        scheduler.parse_submit(silent, 1)


def test_a_refused_submit_shows_the_message_of_the_batch_system(
    case: Case, scheduler: Scheduler
) -> None:
    for result, refusal in case.refusals:
        assert scheduler.refusal(result) is refusal, result
        with pytest.raises(SubmitRefusedError) as caught:
            scheduler.parse_submit(result, 1)
        last = (result.stderr or result.stdout).strip().splitlines()[-1]
        assert last.split(":")[-1].strip() in str(caught.value)


def test_a_listing_is_read(case: Case, scheduler: Scheduler) -> None:
    jobs = scheduler.parse_queue(case.queue)
    states = {job.id: job.state for job in jobs}
    assert len(states) == len(jobs)
    assert {job: states[JobId(job)] for job in case.states} == case.states


def test_no_jobs_is_an_empty_list(case: Case, scheduler: Scheduler) -> None:
    assert scheduler.parse_queue(case.queue_empty) == []


def test_a_failed_listing_is_no_observation(case: Case, scheduler: Scheduler) -> None:
    broken = [msgspec.structs.replace(case.queue, rc=rc) for rc in (1, 255, -9)]
    for result in (*case.no_observation, *broken):
        with pytest.raises(NoObservation):
            scheduler.parse_queue(result)


def test_garbage_is_no_observation(case: Case, scheduler: Scheduler) -> None:
    for text in ("Segmentation fault\n", "<html>busy</html>", "{", "\0\0"):
        with pytest.raises(NoObservation):
            scheduler.parse_queue(msgspec.structs.replace(case.queue, stdout=text))


def test_a_cut_listing_shows_no_job_that_is_not_there(case: Case, scheduler: Scheduler) -> None:
    whole = scheduler.parse_queue(case.queue)
    text = case.queue.stdout
    for end in range(0, len(text), max(1, len(text) // 500)):
        try:
            jobs = scheduler.parse_queue(msgspec.structs.replace(case.queue, stdout=text[:end]))
        except NoObservation:
            continue
        assert jobs == whole[: len(jobs)]


def test_a_cancel_names_each_job_once(scheduler: Scheduler) -> None:
    jobs = [JobId(str(n)) for n in range(2500)]
    words = [word for argv in scheduler.cancel_commands(jobs) for word in argv]
    assert [word for word in words if word.isdigit()] == jobs
    assert scheduler.cancel_commands([]) == []


def test_cancelling_an_ended_job_is_no_error(case: Case, scheduler: Scheduler) -> None:
    for result in case.cancel_gone:
        scheduler.parse_cancel(result)
    for result in case.cancel_failed:
        with pytest.raises(SchedulerError):
            scheduler.parse_cancel(result)


def test_endings_are_read(case: Case, scheduler: Scheduler) -> None:
    if case.history is None:
        assert scheduler.history_command([JobId("1")]) is None
        return
    result, causes = case.history
    assert {end.id: end.cause for end in scheduler.parse_history(result)} == causes
    assert scheduler.history_command([JobId("1")])


def test_time_left_is_read_or_unknown(case: Case, scheduler: Scheduler) -> None:
    if case.time_left is None:
        return
    result, seconds = case.time_left
    assert scheduler.time_left_command(JobId("1"))
    assert scheduler.parse_time_left(result) == seconds
    with pytest.raises(NoObservation):
        scheduler.parse_time_left(msgspec.structs.replace(result, rc=1, stdout=""))


def test_a_job_finds_its_own_id_in_python_and_in_the_shell(
    case: Case, scheduler: Scheduler
) -> None:
    assert scheduler.own_id({}) is None
    assert scheduler.own_id(case.environ) == case.own_id
    show = 'printf "%s|%s" "$ADAPTIVE_SCHEDULER_JOB" "$ADAPTIVE_SCHEDULER_RESTART"'
    script = "\n".join([*scheduler.own_id_script(), f"bash -c '{show}'"])
    path = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", "-eu", "-c", script],
        env={**path, **case.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "|".join(map(str, case.own_id))


def test_a_launcher_gets_the_number_of_ranks(case: Case) -> None:
    for launcher in (None, "srun --mpi=pmi2", ["/a folder/mpiexec", "-x"]):
        argv = case.make(cores=4, mpiexec_executable=launcher).launcher(Resources(cores=4))
        assert argv[argv.index("-n") + 1] == "4"
