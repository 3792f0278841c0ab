"""What histories found, each in a few lines: without its fix, each of these fails."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.commands import QueueListing, SubmitJobs, SubmitUnknown
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Claim, Goodbye, Ok, Owner, Refused
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.storage import tinydb_file
from adaptive_scheduler.io.storage.database import Database
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.simulation.disk import Disk

FOLDER = RunFolder("/run/db.tinydb")


class DeadError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("seed", range(20))
def test_lines_that_a_killed_manager_had_not_synced_are_synced_by_the_next(seed: int) -> None:
    """Killed before its fsync; the next manager reads the line, answers by it, loses its power."""
    doomed = ""

    def before(kind: str) -> None:
        if kind == doomed:
            raise DeadError

    disk = Disk(before, lambda: False)
    with files.through(disk):
        for folder in ("/", "/run"):
            disk.mkdir(folder)
        tinydb_file.create(FOLDER.database, {})
        first = Database(FOLDER)
        first.put("jobs", "1", {"id": "1"})
        doomed = "fsync"
        with pytest.raises(DeadError):
            first.commit()
        doomed = ""
        second = Database(FOLDER)
        assert second.tables["jobs"] == {"1": {"id": "1"}}
        second.put("jobs", "2", {"id": "2"})
        second.commit()
        disk.lose_power(Random(seed))
        assert Database(FOLDER).tables["jobs"] == {"1": {"id": "1"}, "2": {"id": "2"}}


@pytest.mark.parametrize("seed", range(20))
def test_unsynced_lines_of_an_earlier_segment_are_synced_by_the_next_manager(
    seed: int,
) -> None:
    """An fsync fails, a checkpoint begins the next segment, the manager dies; the next one loses its power.

    It was found as "damaged in the middle of the journal", by seed 50196.
    """
    doomed = ""

    def before(kind: str) -> None:
        if kind == doomed:
            raise DeadError

    disk = Disk(before, lambda: False)
    with files.through(disk):
        for folder in ("/", "/run"):
            disk.mkdir(folder)
        tinydb_file.create(FOLDER.database, {})
        first = Database(FOLDER)
        first.put("jobs", "1", {"id": "1"})
        doomed = "fsync"
        with pytest.raises(DeadError):
            first.commit()
        doomed = ""
        first._journal.begin_next()
        second = Database(FOLDER)
        second.put("jobs", "2", {"id": "2"})
        second.commit()
        disk.lose_power(Random(seed))
        assert Database(FOLDER).tables["jobs"] == {"1": {"id": "1"}, "2": {"id": "2"}}


class _Deaf(BatchWorker):
    """Its sbatch has sent the jobs, and hears nothing."""

    def _run(self, argv: Sequence[str]) -> CommandResult:
        words = (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
        )
        return CommandResult(tuple(argv), 1, "", words)


def test_a_submit_whose_socket_timed_out_may_have_arrived() -> None:
    disk = Disk(lambda _: None, lambda: False)
    config = RunConfig("run", [Resources()], ["job"], "/run/logs")
    with files.through(disk):
        for folder in ("/", "/run", FOLDER.folder, FOLDER.scripts):
            disk.mkdir(str(folder))
        batch = _Deaf(SLURM(cores=1), config, FOLDER, lambda _: None, lambda *_: "#!/bin/sh")
        result = batch.carry_out(SubmitJobs(0, 2, 1, "job"))
    assert isinstance(result, SubmitUnknown), "it would be sent again"


def test_a_claim_that_comes_after_the_goodbye_gives_no_work() -> None:
    """Doubled by the network; the manager that had answered the first one is no more."""
    config = RunConfig("run", [Resources()], ["job"], "/logs")
    owner, now = Owner("1_0", 0, 0, "uuid"), Moment(1.7e9, 0.0)
    table = ItemTable([Item(0, "data", Phase.QUEUED)])
    jobs = JobTable(
        [JobRecord("1_0", owner=owner, goodbye="nothing to do", ended="completed")], [], 0.0
    )
    clients = DatabaseManager(RunState(table, jobs, config))
    reply = clients.handle(owner, 7, Claim(), now)
    assert isinstance(reply, Refused)
    assert table.rows[0].phase is Phase.QUEUED
    assert clients.handle(owner, 8, Goodbye("nothing to do"), now) == Ok(), "said again: the same"


def test_a_job_whose_client_was_heard_since_does_not_wait() -> None:
    """An old or short listing left it PENDING: it was cancelled as one that had not begun."""
    jobs = JobTable([], [SubmitRecord(1, 0, 1, "job", 0.0, ["1_0"])], 0.0)
    waiting = ListedJob(JobId("1_0"), JobState.PENDING, "PENDING", comment="as:run:1")
    jobs.end_submit(1, ["1_0"], 0.0)
    jobs.on_listing(QueueListing([waiting]), 1.0, "run")
    assert [job.state for job in jobs.live.values()] == [JobState.PENDING]
    jobs.on_heartbeat(Owner("1_0", 0, 0, "uuid"), 1, 3.0)
    assert [job.state for job in jobs.live.values()] == [JobState.RUNNING]
    jobs.on_listing(QueueListing([waiting]), 5.0, "run")  # requeued
    assert [job.state for job in jobs.live.values()] == [JobState.PENDING]


def test_the_search_for_a_submit_begins_when_it_is_given_up() -> None:
    """The command itself may have hung for as long as the grace."""
    jobs = JobTable([], [], 0.0)
    number = jobs.begin_submit(0, 2, "job", 0.0, 0.0).number
    jobs.on_listing(QueueListing([]), 1.0, "run")
    jobs.doubt_submit(number, 60.0)
    (pending,) = jobs.pending_submits.values()
    assert (pending.since, pending.absences) == (60.0, 0)
