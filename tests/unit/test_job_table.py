"""Who may act for a job, what a listing shows, and what a submit without an answer leaves behind."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.commands import QueueListing
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord, submit_number, tag
from adaptive_scheduler.core.wire.messages import Owner, Refused

RUN = "run"


def listed(
    job: str, state: JobState = JobState.RUNNING, submit: int = 1, node: str = ""
) -> ListedJob:
    return ListedJob(
        JobId(job), state, state.value, comment=tag(RUN, submit), nodes=(node,) * bool(node)
    )


def owner(restart: int = 0, attempt: int = 0, uuid: str = "a", job: str = "1") -> Owner:
    return Owner(job, restart, attempt, uuid)


def see(table: JobTable, now: float, *jobs: ListedJob, endings: tuple[Ending, ...] = ()) -> None:
    table.on_listing(QueueListing(jobs, endings), now, RUN)


def doubt(table: JobTable, now: float, *jobs: ListedJob) -> None:
    """A listing of a batch system that also lists ended jobs for a while."""
    table.on_listing(QueueListing(jobs, doubt=60.0), now, RUN)


def silence(table: JobTable, now: float, job: str = "1") -> float:
    return table.live[job].silence(now)


def missing(table: JobTable) -> list[int]:
    return [submit.missing for submit in table.pending_submits.values()]


def submitted(n: int = 1) -> JobTable:
    table = JobTable([], [], 0.0)
    table.begin_submit(2, n, "job", 0.0, 0.0)
    return table


def code(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


# --------------------------------------------------------- who may act for a job


def test_fault_12_a_client_may_connect_before_the_submit_of_its_job_is_answered() -> None:
    """Fault 12."""
    table = submitted()
    record = table.on_heartbeat(owner(), 1, 1.0)
    assert isinstance(record, JobRecord)
    assert (record.shape, record.name, record.submit) == (2, "job", 1)
    table.end_submit(1, ["1"], 2.0)
    assert list(table.records) == ["1"]


def test_fault_11_a_later_start_of_a_job_takes_over_and_an_earlier_one_is_refused() -> None:
    """Fault 11."""
    table = submitted()
    table.on_heartbeat(owner(0, 0, "a"), 1, 0.0)
    assert isinstance(table.on_heartbeat(owner(0, 1, "b"), 1, 1.0), JobRecord)
    assert isinstance(table.on_heartbeat(owner(1, 0, "c"), 1, 2.0), JobRecord)
    assert code(table.on_heartbeat(owner(0, 1, "b"), 1, 3.0)) == "old_life"
    assert silence(table, 10.0) == 8.0, "a client that is refused renews nothing"


def test_mismatched_mpi_is_named_with_the_number_of_clients() -> None:
    table = submitted()
    table.on_heartbeat(owner(uuid="a"), 1, 0.0)
    answers = [table.on_heartbeat(owner(uuid=uuid), 1, 0.0) for uuid in "bcd"]
    assert [code(answer) for answer in answers] == ["many_clients"] * 3
    assert isinstance(answers[-1], Refused)
    assert "job 1 has 4 clients: mpiexec and mpi4py do not match" in answers[-1].reason


def test_after_a_goodbye_another_client_of_the_job_is_accepted() -> None:
    table = submitted()
    table.on_heartbeat(owner(uuid="a"), 1, 0.0)
    table.on_goodbye("1", "done", broken=False)
    record = table.on_heartbeat(owner(uuid="b"), 1, 1.0)
    assert isinstance(record, JobRecord)
    assert not record.goodbye


def test_a_job_marked_dead_is_live_again_when_its_client_is_heard() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    table.mark_dead("1", "failed")
    assert table.early_deaths == 1
    record = table.on_heartbeat(owner(), 1, 9.0)
    assert isinstance(record, JobRecord)
    assert not record.ended
    assert table.early_deaths == 0
    assert table.live["1"].was_heard


def test_early_deaths_are_counted_in_a_row() -> None:
    table = submitted(4)
    table.end_submit(1, ["1", "2", "3", "4"], 0.0)
    table.mark_dead("1", "failed")
    table.mark_dead("2", "cancelled")
    table.mark_dead("3", "unknown")
    assert (table.early_deaths, table.given_work) == (2, 0)
    table.on_heartbeat(owner(job="4"), 1, 0.0)
    table.on_claim("4", 0.0)
    assert (table.early_deaths, table.given_work) == (0, 1)


# ------------------------------------------------------------------------- listings


def test_the_lease_begins_when_a_listing_shows_the_job_running() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    see(table, 1000.0, listed("1", JobState.PENDING))
    assert silence(table, 5000.0) == 0.0
    see(table, 5000.0, listed("1"))
    assert silence(table, 5010.0) == 10.0
    see(table, 5010.0, listed("1"))
    assert silence(table, 5020.0) == 20.0


def test_a_requeued_job_that_waited_long_is_not_silent_when_it_starts_again() -> None:
    table = submitted()
    table.on_heartbeat(owner(), 1, 0.0)
    see(table, 10.0, listed("1"))
    see(table, 20.0, listed("1", JobState.PENDING))
    assert silence(table, 9000.0) == 9000.0, "its client is gone"
    see(table, 9000.0, listed("1"))
    assert silence(table, 9001.0) == 1.0


def test_absences_count_in_a_row_and_only_good_listings() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    see(table, 1.0)
    see(table, 2.0)
    assert table.live["1"].absences == 2
    see(table, 3.0, listed("1"))
    assert table.live["1"].absences == 0


def test_a_job_marked_dead_that_is_listed_again_is_live_again() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    table.mark_dead("1", "unknown")
    see(table, 5.0, listed("1", JobState.ENDED))
    assert not table.live
    see(table, 6.0, listed("1", JobState.PENDING))
    assert table.live["1"].state is JobState.PENDING


def test_an_ending_is_kept_with_its_node() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    see(table, 1.0, listed("1", node="n1"))
    assert table.live["1"].node_name == "n1"
    see(table, 2.0, endings=(Ending(JobId("1"), "timeout", nodes=("n2",)),))
    assert table.live["1"].ending == Ending(JobId("1"), "timeout", nodes=("n2",))
    assert table.live["1"].node_name == "n2"
    table.on_heartbeat(owner(), 1, 3.0)
    table.on_hello("1", "n3")
    assert table.live["1"].node_name == "n2", "a submit can only exclude the queue's name"
    table.end_submit(1, ["2"], 0.0)
    table.on_heartbeat(owner(job="2"), 1, 3.0)
    table.on_hello("2", "n3")
    assert table.live["2"].node_name == "n3", "the host's own name is all that is known"


def test_the_time_since_the_last_claim_is_known() -> None:
    table = submitted()
    table.on_heartbeat(owner(), 1, 0.0)
    assert table.live["1"].worked_for is None
    table.on_claim("1", 5.0)
    table.on_heartbeat(owner(), 1, 65.0)
    assert table.live["1"].worked_for == 60.0


# ----------------------------------------------------------------- pending submits


def test_fault_16_jobs_of_a_pending_submit_are_found_by_their_tag() -> None:
    """Fault 16."""
    table = submitted(3)
    assert missing(table) == [3]
    see(
        table,
        1.0,
        listed("7"),
        listed("8"),
        listed("9", submit=2),
        ListedJob(JobId("x"), JobState.RUNNING, "R"),
    )
    assert set(table.records) == {"7", "8", "9"}
    assert missing(table) == [1]
    assert table.names_in_use() - {""} == {"job"}
    see(table, 2.0, listed("10"))
    assert not table.pending_submits
    assert table.submits[1].jobs == ["7", "8", "10"]


def test_a_job_whose_client_connects_is_not_counted_as_pending_too() -> None:
    table = submitted(2)
    table.on_heartbeat(owner(), 1, 0.0)
    assert missing(table) == [1]
    see(table, 1.0, listed("1"))
    assert missing(table) == [1]


def test_listings_within_the_grace_of_a_pending_submit_do_not_count_as_absences() -> None:
    """Two of them and one stale one later made a submit be forgotten although it had arrived (seed 724636)."""
    table = JobTable([], [], 0.0)
    table.begin_submit(0, 2, "job", 0.0, 0.0)
    for now in (1.0, 2.0, 59.0):
        table.on_listing(QueueListing([]), now, RUN, grace=60.0)
    table.on_listing(QueueListing([]), 61.0, RUN, grace=60.0)
    assert [submit.absences for submit in table.pending_submits.values()] == [1]


def test_a_submit_of_which_some_jobs_showed_up_is_still_pending_for_the_next_manager() -> None:
    table = submitted(3)
    see(table, 1.0, listed("7"))
    again = JobTable(table.records.values(), table.submits.values(), 0.0)
    assert missing(again) == [2]


def test_jobs_that_showed_up_are_kept_when_the_rest_of_their_submit_is_forgotten() -> None:
    table = submitted(3)
    see(table, 1.0, listed("7"))
    table.forget_submit(1)
    assert table.submits[1].jobs == ["7"]
    assert not table.pending_submits
    see(table, 2.0, listed("8"))  # very late
    assert table.live["8"].record.shape == 2


def test_numbers_of_submits_are_never_given_twice() -> None:
    table = JobTable([], [SubmitRecord(4, 0, 1, "job", 0.0, [])], 0.0)
    assert table.begin_submit(0, 1, "job", 0.0, 0.0).number == 5


def test_other_runs_tags_are_not_ours() -> None:
    assert submit_number(tag("run", 12), "run") == 12
    for comment in ("", "as:run", "as:other:12", "as:run:x", "as:run:1:2", "run:12"):
        assert submit_number(comment, "run") is None


# --------------------------------------------------------------------- a new manager


def test_fault_07_leases_begin_anew_with_a_new_manager() -> None:
    """Fault 7."""
    table = submitted()
    table.on_heartbeat(owner(), 1, 0.0)
    again = JobTable(table.records.values(), table.submits.values(), 777.0)
    assert silence(again, 780.0) == 3.0
    assert code(again.on_heartbeat(owner(uuid="b"), 1, 780.0)) == "many_clients"


def test_a_job_that_an_item_names_is_tracked() -> None:
    """Only half of a commit may have reached the disk."""
    table = JobTable([JobRecord("2", shape=1, ended="failed")], [], 0.0)
    for job in ("1", "2"):
        table.watch(owner(job=job), 1, 0.0)
        assert silence(table, 40.0, job) == 40.0
        assert table.live[job].record.shape == 1
    assert not table.records["2"].ended
    assert table.given_work == 2


def test_a_job_that_is_missing_for_a_moment_is_not_absent_where_ends_are_listed() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    table.on_heartbeat(owner(), 1, 1.0)
    table.on_goodbye("1", "signal SIGTERM", broken=False)  # it was requeued
    see(table, 2.0, listed("1", JobState.PENDING))
    for now in (3.0, 30.0, 62.9):
        doubt(table, now)
        assert (table.live["1"].absences, table.live["1"].listed) == (0, None)
    see(table, 63.0, listed("1", JobState.PENDING))
    for now in (64.0, 123.9):
        doubt(table, now)
        assert table.live["1"].absences == 0, "it was seen meanwhile"
    doubt(table, 124.0)
    assert table.live["1"].absences == 1


def test_a_job_that_was_cancelled_is_absent_at_once_and_one_that_said_goodbye_soon() -> None:
    """Its node may take a while to complete it, and squeue may answer with nothing meanwhile."""
    table = submitted()
    table.end_submit(1, ["1", "2", "3"], 0.0)
    table.on_heartbeat(owner(), 1, 1.0)
    see(table, 2.0, listed("1", JobState.RUNNING), listed("2"), listed("3"))
    table.on_goodbye("1", "no work is left", broken=False)
    table.on_cancelled(["2", "gone already"])
    for now, absences in ((3.0, [0, 1, 0]), (17.9, [0, 2, 0]), (18.0, [1, 3, 0])):
        doubt(table, now)
        assert [table.live[job].absences for job in ("1", "2", "3")] == absences


def test_a_job_that_said_goodbye_is_absent_at_once_where_ends_are_not_listed() -> None:
    table = submitted()
    table.end_submit(1, ["1"], 0.0)
    table.on_heartbeat(owner(), 1, 1.0)
    see(table, 2.0, listed("1", JobState.RUNNING))
    table.on_goodbye("1", "no work is left", broken=False)
    see(table, 3.0)
    assert table.live["1"].absences == 1


def test_a_goodbye_before_a_requeue_does_not_make_one_listing_enough() -> None:
    """It was requeued since: under a former manager, or as this one's listings showed."""
    owner = Owner("1_0", 0, 0, "u")
    record = JobRecord("1_0", 1, owner=owner, has_worked=True, goodbye="signal")
    runs = ListedJob(JobId("1_0"), JobState.RUNNING, "RUNNING", nodes=("n1",))
    waits = ListedJob(JobId("1_0"), JobState.PENDING, "PENDING")
    table = JobTable([record], [], 0.0)
    doubt(table, 1.0, runs)
    doubt(table, 2.0)
    assert [job.absences for job in table.live.values()] == [0]
    for before, absences in (([waits, runs], 0), ([runs], 1)):
        table = JobTable([], [SubmitRecord(1, 0, 1, "job", 0.0, ["1_0"])], 0.0)
        table.on_heartbeat(owner, 1, 1.0)
        table.on_goodbye("1_0", "signal", broken=False)
        for now, row in enumerate(before, 2):
            doubt(table, now, row)
        doubt(table, 5.0)
        doubt(table, 20.0)
        assert [job.absences for job in table.live.values()] == [absences]
