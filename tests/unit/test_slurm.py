"""SLURM: the commands that are built, and how their output is parsed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    JobId,
    JobRequest,
    JobState,
    Refusal,
    expand_array_rows,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import NoObservation, SubmitRefusedError
from adaptive_scheduler.schedulers.slurm.scheduler import COLUMNS, FIELD, ROW, SLURM
from adaptive_scheduler.schedulers.slurm.states import ENDINGS, expand_nodes, never_starts
from tests.clusters import captures

SCHEDULER = SLURM(cores=4)


def job(**changes: object) -> JobRequest:
    return msgspec.structs.replace(
        JobRequest("name", "as:run:1", Resources(cores=4), "/logs"), **changes
    )


def header(**resources: object) -> list[str]:
    lines = SCHEDULER.header(job(resources=Resources(**resources)))
    return [line.removeprefix("#SBATCH ") for line in lines]


def answer(stdout: str = "", stderr: str = "", rc: int = 0) -> CommandResult:
    return CommandResult(("squeue",), rc, stdout, stderr)


def row(*fields: str) -> str:
    return ROW + FIELD.join(fields) + FIELD + "\n"


FAILED = "sbatch: error: Batch job submission failed: "

# ------------------------------------------------------------------ header


def test_mpi_ranks_are_tasks() -> None:
    assert header(cores=12)[0] == "--ntasks=12"
    spread = header(cores=12, nodes=3, cores_per_node=4)
    assert spread[:3] == ["--ntasks=12", "--nodes=3", "--ntasks-per-node=4"]
    assert "--cpus-per-task=2" in header(cores=12, num_threads=2)


@pytest.mark.parametrize("executor", ["process-pool", "loky", "sequential", "callable:0"])
def test_a_single_process_is_one_task_with_all_cpus(executor: str) -> None:
    lines = header(cores=6, executor_type=executor)
    assert lines[:3] == ["--nodes=1", "--ntasks=1", "--cpus-per-task=6"]


def test_a_pools_job_of_several_nodes_is_one_task_on_each_and_outlives_a_node() -> None:
    lines = header(cores=6, nodes=3, num_threads=2, executor_type="process-pool")
    assert lines[:5] == [
        "--nodes=3", "--ntasks=3", "--cpus-per-task=4", "--ntasks-per-node=1", "--no-kill",
    ]  # fmt: skip


def test_all_options_reach_the_header() -> None:
    lines = header(
        cores=2,
        memory=4096,
        partition="debug2",
        gpus=1,
        exclusive=True,
        extra_scheduler=("--account=x", "--qos=y"),
    )
    expected = ["--mem=4096M", "--partition=debug2", "--gpus-per-node=1", "--exclusive"]
    assert [line for line in lines if line in expected] == expected
    assert lines[-2:] == ["--account=x", "--qos=y"]


def test_a_job_may_be_requeued_and_keeps_its_output() -> None:
    lines = header(cores=1)
    assert "--requeue" in lines
    assert "--open-mode=append" in lines


def test_excluded_nodes_are_named() -> None:
    assert "#SBATCH --exclude=n1,n7" in SCHEDULER.header(job(excluded_nodes=("n1", "n7")))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "0-00:01:00"), (60, "0-00:01:00"), (61, "0-00:02:00"), (90061, "1-01:02:00")],
)
def test_walltimes_are_rounded_up_to_minutes(seconds: int, text: str) -> None:
    assert f"--time={text}" in header(cores=1, walltime=seconds)


@pytest.mark.parametrize(("walltime", "signal"), [(599, None), (600, 150), (7200, 300)])
def test_only_long_walltimes_get_an_early_signal(walltime: int, signal: int | None) -> None:
    signals = [line for line in header(cores=1, walltime=walltime) if "--signal" in line]
    assert signals == ([] if signal is None else [f"--signal=USR1@{signal}"])


# ------------------------------------------------------------------ submit


def test_names_with_special_characters_are_one_argument_each() -> None:
    argv = SCHEDULER.submit_command(job(name="-x $y", log_folder="/a b/100%"), Path("/run/s.sh"), 1)
    assert "--job-name=-x $y" in argv
    assert "--output=/a b/100%%/%j.out" in argv
    assert not any(word.startswith("--array") for word in argv)
    many = SCHEDULER.submit_command(job(), Path("/run/s.sh"), 3)
    assert "--array=0-2" in many
    assert "--output=/logs/%A_%a.out" in many


def test_an_id_may_name_its_cluster_and_follow_a_site_message() -> None:
    said = answer("Welcome to X\n1234;hpc\n")
    assert SCHEDULER.parse_submit(said, 1) == ["1234"]
    assert SCHEDULER.parse_submit(said, 2) == ["1234_0", "1234_1"]


@pytest.mark.parametrize(
    "words",
    [
        "Socket timed out on send/recv operation",
        "Unable to contact slurm controller (receive failure)",
        "Zero Bytes were transmitted or received",
    ],
)
def test_a_submit_whose_answer_was_lost_is_unknown(words: str) -> None:
    with pytest.raises(NoObservation):
        SCHEDULER.parse_submit(answer(stderr=FAILED + words, rc=1), 1)


POLICY = FAILED + (
    "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
)


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}", Refusal.LIMIT),
        (f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}", Refusal.LIMIT),
        (f"sbatch: error: QOSGrpSubmitJobsLimit\n{POLICY}", Refusal.LIMIT),
        (POLICY, Refusal.LIMIT),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", Refusal.IMPOSSIBLE),
        (f"sbatch: error: AssocMaxNodePerJobLimit\n{POLICY}", Refusal.IMPOSSIBLE),
        (f"sbatch: error: QOSMaxCpuPerJobLimit\n{POLICY}", Refusal.IMPOSSIBLE),
        (
            FAILED + "Invalid account or account/partition combination specified",
            Refusal.IMPOSSIBLE,
        ),
        (FAILED + "Invalid qos specification", Refusal.IMPOSSIBLE),
        ("sbatch: error: Slurm job queue full, sleeping and retrying", Refusal.LIMIT),
        (FAILED + "Slurm backup controller in standby mode", Refusal.BUSY),
        (FAILED + "words that nobody has seen", Refusal.BUSY),
    ],
)
def test_messages_of_a_refused_submit(words: str, refusal: Refusal) -> None:
    result = answer(stderr=words, rc=1)
    assert SCHEDULER.refusal(result) is refusal
    with pytest.raises(SubmitRefusedError):
        SCHEDULER.parse_submit(result, 1)


def test_fault_17_a_submit_that_hangs_at_the_limit_says_so() -> None:
    assert SCHEDULER.refusal(captures.load("slurm/refused_limit_hangs")) is Refusal.LIMIT


# ------------------------------------------------------------------ queue


def test_a_captured_listing_is_parsed() -> None:
    jobs = {job.id: job for job in SCHEDULER.parse_queue(captures.load("slurm/queue_mixed"))}
    odd = jobs[JobId("1")]
    assert odd.name == "-n |a$(b)\"c' é\nsecond line"
    assert odd.comment == "as:run:1"
    assert odd.nodes == ("n1",)
    assert jobs[JobId("4")].nodes == ("n1", "n2", "n3")
    assert jobs[JobId("5")].reason == "Resources"
    assert jobs[JobId("2_1")].native_state == "SUSPENDED"


def test_fault_09_states_that_nobody_knows_are_alive() -> None:
    for state in ("COMPLETING", "CONFIGURING", "REQUEUED", "STAGE_OUT", "NEW_IN_SLURM_99"):
        (job,) = SCHEDULER.parse_queue(answer(row("7", "N/A", state, "n1", "None", "(null)", "x")))
        assert (job.id, job.state, job.comment) == ("7", JobState.ALIVE, "")
    for state in ENDINGS:
        (job,) = SCHEDULER.parse_queue(answer(row("7", "3", state, "n1", "None", "c", "x")))
        assert (job.id, job.state) == ("7_3", JobState.ENDED)


def test_an_empty_listing_with_an_error_message_is_no_observation() -> None:
    with pytest.raises(NoObservation, match="Socket timed out"):
        SCHEDULER.parse_queue(answer(stderr="squeue: error: Socket timed out"))


def test_fault_29_a_row_that_is_cut_is_no_observation() -> None:
    full = row("7", "N/A", "RUNNING", "n1", "None", "c", "a name")
    assert len(SCHEDULER.parse_queue(answer(full))) == 1
    for end in range(1, len(full) - 1):
        with pytest.raises(NoObservation):
            SCHEDULER.parse_queue(answer(full[:end]))


def test_the_tasks_of_a_cancelled_array_share_one_row() -> None:
    """As 22.05 prints it: only those that had started have rows of their own."""
    rest = row("61", "N/A", "CANCELLED", "", "None", "as:run:1", "name")
    first = row("61", "0", "COMPLETED", "n1", "None", "as:run:1", "name")
    alone = row("62", "N/A", "RUNNING", "n2", "None", "as:run:2", "name")
    told = SCHEDULER.parse_queue(answer(rest + first + alone))
    jobs = {job.id: job for job in expand_array_rows(told, ["61_0", "61_1", "61_99", "62", "63_1"])}
    assert {job: row.native_state for job, row in jobs.items()} == {
        "61_0": "COMPLETED", "61_1": "CANCELLED", "61_99": "CANCELLED", "62": "RUNNING",
    }  # fmt: skip
    assert jobs[JobId("61_1")].state is JobState.ENDED
    ends = expand_array_rows(SCHEDULER.parse_history(answer(rest + first)), ["61_0", "61_1"])
    assert {end.id: end.cause for end in ends} == {"61_0": "completed", "61_1": "cancelled"}
    lives = row("61", "2", "RUNNING", "n1", "None", "as:run:1", "name")
    ends = expand_array_rows(SCHEDULER.parse_history(answer(rest + lives)), ["61_1", "61_2"])
    assert {end.id: end.cause for end in ends} == {"61_1": "cancelled", "61_2": ""}


def test_the_history_of_tasks_is_that_of_their_arrays() -> None:
    command = SCHEDULER.history_command([JobId("61_1"), JobId("61_2"), JobId("7")]) or []
    assert command[-1] == "--jobs=61,7"


def test_rows_that_stand_for_nobody_are_left_as_they_are() -> None:
    told = SCHEDULER.parse_queue(captures.load("slurm/queue_mixed"))
    assert expand_array_rows(told, [job.id for job in told]) is told
    assert expand_array_rows([], ["1_1"]) == []


def test_a_line_that_names_the_cluster_is_skipped() -> None:
    """So begins what squeue prints where SLURM_CLUSTERS is set."""
    text = "CLUSTER: alpha\n" + row("1", "N/A", "RUNNING", "n1", "None", "", "name")
    assert [job.id for job in SCHEDULER.parse_queue(answer(text))] == ["1"]


def test_the_format_has_as_many_columns_as_a_row() -> None:
    assert SCHEDULER.queue_command()[-1].count("%") == len(COLUMNS)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("(null)", ()),
        ("n1", ("n1",)),
        ("n[1-3,7],m2", ("n1", "n2", "n3", "n7", "m2")),
        ("n[08-10]", ("n08", "n09", "n10")),
        ("r[1-2]c[1,3]-ib", ("r1c1-ib", "r1c3-ib", "r2c1-ib", "r2c3-ib")),
        ("a-1,b-[2]", ("a-1", "b-2")),
    ],
)
def test_node_lists(text: str, names: tuple[str, ...]) -> None:
    assert expand_nodes(text) == names


# ------------------------------------------------------------------ the rest


def test_a_forgotten_job_has_no_ending() -> None:
    assert SCHEDULER.parse_history(captures.load("slurm/history_unknown")) == []


def test_an_ending_names_its_nodes_and_cause() -> None:
    text = row("7", "N/A", "TIMEOUT", "n[1-2]", "TimeLimit", "c", "x")
    (ending,) = SCHEDULER.parse_history(answer(text))
    assert (ending.cause, ending.detail, ending.nodes) == ("timeout", "TimeLimit", ("n1", "n2"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:59", 59), ("12:00", 720), ("1:00:00", 3600), ("2-01:00:01", 176401), ("0:00", 0)],
)
def test_time_left(text: str, seconds: float) -> None:
    assert SCHEDULER.parse_time_left(answer(text + "\n")) == seconds
    named = answer(f"CLUSTER: alpha\n{text}\n")  # where SLURM_CLUSTERS is set
    assert SCHEDULER.parse_time_left(named) == seconds


def test_no_limit_is_not_taken_for_no_answer() -> None:
    assert SCHEDULER.parse_time_left(answer("UNLIMITED\n")) is None
    for unknown in (answer("INVALID\n"), answer(), captures.load("slurm/time_left_unknown")):
        with pytest.raises(NoObservation):
            SCHEDULER.parse_time_left(unknown)


def test_a_first_start_has_restart_count_zero() -> None:
    assert SCHEDULER.own_id({"SLURM_JOB_ID": "5"}) == ("5", 0)


def test_srun_kills_a_step_whose_rank_died_and_mpiexec_gets_no_options() -> None:
    argv = SLURM(cores=3, mpiexec_executable="srun --mpi=pmi2").launcher(Resources(cores=3))
    assert argv[:5] == ["srun", "--mpi=pmi2", "--kill-on-bad-exit=1", "-n", "3"]
    assert "scancel --signal=KILL" in argv[-2]
    assert SLURM(cores=3, mpiexec_executable="mpiexec").launcher(Resources(cores=3)) == [
        "mpiexec",
        "-n",
        "3",
    ]


@pytest.mark.parametrize(
    ("reason", "word"),
    [("PartitionTimeLimit", "walltime="), ("PartitionNodeLimit", "nodes="),
     ("BadConstraints", "--constraint"), ("AssocMaxWallDurationPerJobLimit", "walltime="),
     ("QOSMaxCpuPerJobLimit", "cores="), ("AssocMaxCpuMinutesPerJobLimit", "walltime="),
     ("InvalidQOS", "--qos"), ("AccountNotAllowed", "--account"),
     ("Job's account not known, so it can't use this partition", "--account"),
     ("Job's_QOS_not_permitted_to_use_this_partition_(a_allows_b_not_c)", "--qos"),
     ("JobHeldAdmin", "scontrol release"), ("launch failed requeued held", "scontrol release")],
)  # fmt: skip
def test_reasons_for_which_a_job_never_starts(reason: str, word: str) -> None:
    listed = SCHEDULER.parse_queue(answer(row("1", "N/A", "PENDING", "", reason, "(null)", "x")))
    assert word in listed[0].remedy


@pytest.mark.parametrize(
    "reason",
    ["Priority", "Resources", "None", "AssocMaxJobsLimit", "QOSMaxCpuPerUserLimit", "Dependency",
     "AssocGrpCpuLimit", "QOSMaxJobsPerUserLimit", "Licenses", "BeginTime", "ReqNodeNotAvail"],
)  # fmt: skip
def test_reasons_for_which_a_job_only_waits(reason: str) -> None:
    assert never_starts(reason) == ""
