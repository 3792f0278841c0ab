"""Faults of the field that need no process to be seen; docs/reliability.md lists them all."""

from __future__ import annotations

import time
from pathlib import Path

import adaptive
import msgspec
import numpy as np
import pytest

from adaptive_scheduler.client.scripts.match import find_learner
from adaptive_scheduler.core.config import JobLimits, RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobId, JobRequest, JobState
from adaptive_scheduler.core.jobs.commands import NotSubmitted, QueueListing, SubmitJobs
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.combos import plain_values
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Assigned
from adaptive_scheduler.evaluation.learners.store import LearnerStore
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.learner_data.point_journal import PointJournal
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm.scheduler import COLUMNS, FIELD, ROW, SLURM
from adaptive_scheduler.testing import World


def world(n: int, limit: int) -> World:
    config = RunConfig("run", [Resources()], ["job"], "/logs", limits=JobLimits(limit))
    return World([Item(row, f"f{row}", Phase.QUEUED) for row in range(n)], config)


def listing(columns: dict[str, str]) -> CommandResult:
    """What squeue prints of one job."""
    row = ROW + FIELD.join(columns.get(column, "x") for column in COLUMNS) + FIELD
    return CommandResult((), 0, f"{row}\n", "")


# ---------------------------------------------------------------- 9: states of jobs

#: All of https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES in which a job comes back
#: or goes on; the manual's words for "not yet over".
UNDERWAY = (
    "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING",
    "RESV_DEL_HOLD", "REVOKED", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED",
)  # fmt: skip


@pytest.mark.parametrize("state", UNDERWAY)
def test_fault_09_a_job_that_is_underway_keeps_its_learner_and_gets_no_twin(state: str) -> None:
    cluster = world(n=1, limit=1)
    cluster.run_for(3)
    (job,) = cluster.batch.living()
    cluster.start(job, work=1e6)
    cluster.run_for(5)
    before = cluster.manager.items.rows[0]
    assert before.phase is Phase.RUNNING
    cluster.clients.clear()  # nothing is heard of it for five minutes: suspended, or so
    columns = {"%F": job.id.partition("_")[0], "%K": job.id.partition("_")[2], "%T": state}
    listed = SLURM(cores=1).parse_queue(listing(columns))
    assert [one.id for one in listed] == [job.id]
    for _ in range(60):
        cluster.clock.advance(5.0)
        tasks = [
            *cluster.manager.commands_due(),
            *cluster.manager.on_result(
                QueueListing([msgspec.structs.replace(listed[0], comment=job.tag)])
            ),
        ]
        assert not [task for task in tasks if isinstance(task, SubmitJobs)], "a second job"
    assert cluster.manager.items.rows[0] == before


# ------------------------------------------------------------------ 16: failed submits


def test_fault_16_a_submit_that_was_refused_ten_times_is_not_booked() -> None:
    cluster = world(n=4, limit=4)
    cluster.batch.submit_faults += ["busy", "limit"] * 50
    refusals = 0
    carry_out = cluster.batch.carry_out

    def count(task: object) -> object:
        nonlocal refusals
        result = carry_out(task)  # type: ignore[arg-type]
        refusals += isinstance(result, NotSubmitted)
        return result

    cluster.batch.carry_out = count  # type: ignore[assignment, method-assign]
    while refusals < 12:
        cluster.step(5.0)
        assert not cluster.batch.jobs
        jobs = cluster.manager.state.jobs
        assert not jobs.records, "a job is booked that nobody has"
        assert cluster.clock.monotonic < 24 * 3600
    cluster.batch.submit_faults.clear()
    cluster.run_for(400, tick=5.0)
    assert len(cluster.batch.living()) == 4, "and it tries on"


# -------------------------------------------------------- 24: costs, 25: commands


def test_fault_24_a_look_at_the_queue_does_not_grow_with_the_learners() -> None:
    """Expected 0.2 ms for 100 jobs, at any number of learners."""
    best = {}
    for n in (200, 100_000):
        cluster = world(n, limit=100)
        cluster.run_for(3)
        for job in cluster.batch.living():
            cluster.start(job, work=1e6)
        cluster.run_for(3)
        took = []
        for _ in range(5):
            cluster.clock.advance(40.0)
            (task,) = cluster.manager.commands_due()
            look = cluster.batch.carry_out(task)
            began = time.thread_time()
            cluster.manager.on_result(look)
            took.append(time.thread_time() - began)
        best[n] = min(took)
    print(f"a look with 200 learners: {best[200]:.5f} s, with 100,000: {best[100_000]:.5f} s")
    assert best[100_000] < max(5 * best[200], 0.003), "looking at each row once takes 0.005 s"


@pytest.mark.parametrize("scheduler", [SLURM(cores=1), PBS(cores=1)], ids=["slurm", "pbs"])
def test_fault_25_a_hundred_jobs_take_one_submit_and_one_look(scheduler: Scheduler) -> None:
    request = JobRequest("job", "as:run:1", Resources(), "/logs")
    command = scheduler.submit_command(request, Path("/script.sh"), 100)
    assert any("100" in word or "0-99" in word or "1-100" in word for word in command)
    assert scheduler.max_array >= 100
    assert "as:run:1" not in scheduler.queue_command(), "one look shows all jobs of the run"
    ids = [JobId(f"7_{n}" if scheduler.name == "slurm" else f"7[{n}].vm") for n in range(100)]
    assert len(scheduler.cancel_commands(ids)) == 1


# --------------------------------------------------------------------- 29: names


@pytest.mark.parametrize("kind", [SLURM, PBS])
def test_fault_29_a_partition_is_a_name_and_no_number_of_cores(kind: type[Scheduler]) -> None:
    named = kind(cores=32, partition="debug2").shapes(1)[0][0]
    assert named == msgspec.structs.replace(kind(cores=32).shapes(1)[0][0], partition="debug2")
    header = "\n".join(kind(cores=32).header(JobRequest("job", "as:run:1", named, "/logs")))
    assert "debug2" in header
    plain_header = header.replace("debug2", "PARTITION")
    other = msgspec.structs.replace(named, partition="c64m512")
    same = "\n".join(kind(cores=32).header(JobRequest("job", "as:run:1", other, "/logs")))
    assert same.replace("c64m512", "PARTITION") == plain_header


def test_fault_29_a_name_of_any_length_comes_back_whole_from_the_listing() -> None:
    name = "n" * 1000
    columns = {"%F": "7", "%K": "N/A", "%T": "RUNNING", "%j": name}
    (job,) = SLURM(cores=1).parse_queue(listing(columns))
    assert (job.name, job.state) == (name, JobState.RUNNING)
    asked = SLURM(cores=1).queue_command()[-1]
    assert all(f"{column}{FIELD}" in asked for column in COLUMNS), "no column has a width"
    assert all(len(column) == 2 for column in COLUMNS)


# ---------------------------------------------------- 32: things that only look equal


def test_fault_32_arrays_that_print_alike_are_not_taken_for_each_other() -> None:
    """NumPy prints 2,000 numbers as the first three and the last three."""
    arrays = [np.zeros(2000) for _ in range(3)]
    arrays[1][1000], arrays[2][1000] = 1.0, 2.0
    assert len({str(array) for array in arrays}) == 1
    combos = [{"profile": array} for array in arrays]
    for row, combo in enumerate(combos):
        stored = msgspec.json.decode(msgspec.json.encode(plain_values(combo)))
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            found = find_learner(
                Assigned(row, 1, "f", 0.0, stored),
                [f"learner {place}" for place in order],
                [combos[place] for place in order],
            )
            assert found == f"learner {row}"


def test_fault_32_file_names_that_begin_and_end_alike_do_not_collide(tmp_path: Path) -> None:
    """Same folder, same length, same first 200 and last 20 letters."""
    names = [str(tmp_path / f"{'a' * 200}{n:035d}{'z' * 20}") for n in range(300)]
    assert {len(Path(name).name) for name in names} == {files.MAX_NAME}
    for text in ("damaged-1", "edited"):
        assert len({files.name_beside(name, text) for name in names}) == 300
    assert len({files.temporary_name(name, "1") for name in names}) == 300
    for n, name in enumerate(names[:20]):
        journal = PointJournal(name, 1)
        journal.add(n / 100, float(n))
        journal.close()
    for n, name in enumerate(names[:20]):
        learner = adaptive.Learner1D(abs, (-1, 1))
        LearnerStore(learner, name, token=2).load()
        assert dict(learner.data) == {n / 100: float(n)}
