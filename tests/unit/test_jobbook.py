"""Jobs: who may speak for one, what a listing shows, what a lost submit leaves behind."""

from __future__ import annotations

from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.reconcile import JobView
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


def see(book: JobTable, now: float, *jobs: ListedJob, endings: tuple[Ending, ...] = ()) -> None:
    book.observe(jobs, endings, now, RUN)


def view(book: JobTable, now: float, job: str = "1") -> JobView:
    return next(one for one in book.survey([], now, 30.0).views if one.id == job)


def submitted(n: int = 1) -> JobTable:
    book = JobTable([], [], 0.0)
    book.begin_submit(2, n, "job", 0.0, 0.0)
    return book


def code(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return answer.code


# ------------------------------------------------------------------- who may speak


def test_fault_12_a_job_may_speak_before_its_submit_is_answered() -> None:
    """Fault 12."""
    book = submitted()
    record = book.hear(owner(), 1, 1.0)
    assert isinstance(record, JobRecord)
    assert (record.shape, record.name, record.submit) == (2, "job", 1)
    book.end_submit(1, ["1"], 2.0)
    assert list(book.records) == ["1"]


def test_fault_11_a_higher_life_takes_over_and_an_old_one_is_sent_away() -> None:
    """Fault 11."""
    book = submitted()
    book.hear(owner(0, 0, "a"), 1, 0.0)
    assert isinstance(book.hear(owner(0, 1, "b"), 1, 1.0), JobRecord)
    assert isinstance(book.hear(owner(1, 0, "c"), 1, 2.0), JobRecord)
    assert code(book.hear(owner(0, 1, "b"), 1, 3.0)) == "old_life"
    assert view(book, 10.0).silent == 8.0, "one who is refused renews nothing"


def test_mismatched_mpi_is_named_with_the_number_of_clients() -> None:
    book = submitted()
    book.hear(owner(uuid="a"), 1, 0.0)
    answers = [book.hear(owner(uuid=uuid), 1, 0.0) for uuid in "bcd"]
    assert [code(answer) for answer in answers] == ["many_clients"] * 3
    assert isinstance(answers[-1], Refused)
    assert "job 1 has 4 clients: mpiexec and mpi4py do not match" in answers[-1].reason


def test_after_a_goodbye_another_script_of_the_job_may_come() -> None:
    book = submitted()
    book.hear(owner(uuid="a"), 1, 0.0)
    book.note_goodbye("1", "done", broken=False)
    record = book.hear(owner(uuid="b"), 1, 1.0)
    assert isinstance(record, JobRecord)
    assert not record.goodbye


def test_one_believed_dead_that_speaks_lives() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    book.bury("1", "failed")
    assert book.early_deaths == 1
    record = book.hear(owner(), 1, 9.0)
    assert isinstance(record, JobRecord)
    assert not record.ended
    assert book.early_deaths == 0
    assert view(book, 9.0).spoke


def test_early_deaths_are_counted_in_a_row() -> None:
    book = submitted(4)
    book.end_submit(1, ["1", "2", "3", "4"], 0.0)
    book.bury("1", "failed")
    book.bury("2", "cancelled")
    book.bury("3", "unknown")
    assert (book.early_deaths, book.lived) == (2, 0)
    book.hear(owner(job="4"), 1, 0.0)
    book.note_claim("4", 0.0)
    assert (book.early_deaths, book.lived) == (0, 1)


# ------------------------------------------------------------------------- listings


def test_silence_begins_when_a_job_is_seen_to_run() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    see(book, 1000.0, listed("1", JobState.PENDING))
    assert view(book, 5000.0).silent == 0.0
    see(book, 5000.0, listed("1"))
    assert view(book, 5010.0).silent == 10.0
    see(book, 5010.0, listed("1"))
    assert view(book, 5020.0).silent == 20.0


def test_a_requeued_job_that_waited_long_is_not_silent_when_it_starts_again() -> None:
    book = submitted()
    book.hear(owner(), 1, 0.0)
    see(book, 10.0, listed("1"))
    see(book, 20.0, listed("1", JobState.PENDING))
    assert view(book, 9000.0).silent == 9000.0, "its client is gone all the same"
    see(book, 9000.0, listed("1"))
    assert view(book, 9001.0).silent == 1.0


def test_absences_count_in_a_row_and_only_good_listings() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    see(book, 1.0)
    see(book, 2.0)
    assert view(book, 3.0).absences == 2
    see(book, 3.0, listed("1"))
    assert view(book, 3.0).absences == 0


def test_one_believed_dead_that_is_listed_again_fills_the_queue_again() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    book.bury("1", "unknown")
    see(book, 5.0, listed("1", JobState.ENDED))
    assert not book.survey([], 5.0, 30.0).views
    see(book, 6.0, listed("1", JobState.PENDING))
    assert view(book, 6.0).listed is JobState.PENDING


def test_endings_are_kept_with_their_node() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    see(book, 1.0, listed("1", node="n1"))
    assert book.node_of("1") == "n1"
    see(book, 2.0, endings=(Ending(JobId("1"), "timeout", nodes=("n2",)),))
    assert view(book, 2.0).ending == "timeout"
    assert book.node_of("1") == "n2"
    book.hear(owner(), 1, 3.0)
    book.note_host("1", "n3")
    assert book.node_of("1") == "n2", "the queue takes no other name"
    book.end_submit(1, ["2"], 0.0)
    book.hear(owner(job="2"), 1, 3.0)
    book.note_host("2", "n3")
    assert book.node_of("2") == "n3", "better than nothing"


def test_the_time_since_the_last_claim_is_known() -> None:
    book = submitted()
    book.hear(owner(), 1, 0.0)
    assert book.worked_for("1") is None
    book.note_claim("1", 5.0)
    book.hear(owner(), 1, 65.0)
    assert book.worked_for("1") == 60.0


# ----------------------------------------------------------------- unknown submits


def test_fault_16_jobs_of_an_unknown_submit_are_adopted_by_their_tag() -> None:
    """Fault 16."""
    book = submitted(3)
    assert [s.n for s in book.submit_views(1.0)] == [3]
    see(
        book,
        1.0,
        listed("7"),
        listed("8"),
        listed("9", submit=2),
        ListedJob(JobId("x"), JobState.RUNNING, "R"),
    )
    assert set(book.records) == {"7", "8", "9"}
    assert [s.n for s in book.submit_views(1.0)] == [1]
    assert book.unknown_names() == {"job"}
    see(book, 2.0, listed("10"))
    assert not book.submit_views(2.0)
    assert book.submits[1].jobs == ["7", "8", "10"]


def test_a_job_that_speaks_is_not_counted_as_coming_too() -> None:
    book = submitted(2)
    book.hear(owner(), 1, 0.0)
    assert [s.n for s in book.submit_views(1.0)] == [1]
    see(book, 1.0, listed("1"))
    assert [s.n for s in book.submit_views(1.0)] == [1]


def test_listings_before_an_unknown_submit_can_have_arrived_say_nothing_of_it() -> None:
    """Two of them and one stale one later made a submit be forgotten that had arrived (seed 724636)."""
    book = JobTable([], [], 0.0)
    book.begin_submit(0, 2, "job", 0.0, 0.0)
    for now in (1.0, 2.0, 59.0):
        book.observe([], [], now, RUN, grace=60.0)
    book.observe([], [], 61.0, RUN, grace=60.0)
    assert [submit.absences for submit in book.submit_views(61.0)] == [1]


def test_a_partly_adopted_submit_is_still_unknown_to_the_next_manager() -> None:
    book = submitted(3)
    see(book, 1.0, listed("7"))
    again = JobTable(book.records.values(), book.submits.values(), 0.0)
    assert [s.n for s in again.submit_views(1.0)] == [2]


def test_what_arrived_is_kept_when_the_rest_is_given_up() -> None:
    book = submitted(3)
    see(book, 1.0, listed("7"))
    book.forget_submit(1)
    assert book.submits[1].jobs == ["7"]
    assert not book.submit_views(1.0)
    see(book, 2.0, listed("8"))  # very late
    assert view(book, 2.0, "8").shape == 2


def test_numbers_of_submits_are_never_given_twice() -> None:
    book = JobTable([], [SubmitRecord(4, 0, 1, "job", 0.0, [])], 0.0)
    assert book.begin_submit(0, 1, "job", 0.0, 0.0).number == 5


def test_other_runs_tags_are_not_ours() -> None:
    assert submit_number(tag("run", 12), "run") == 12
    for comment in ("", "as:run", "as:other:12", "as:run:x", "as:run:1:2", "run:12"):
        assert submit_number(comment, "run") is None


# --------------------------------------------------------------------- a new manager


def test_fault_07_leases_begin_anew_with_a_new_manager() -> None:
    """Fault 7."""
    book = submitted()
    book.hear(owner(), 1, 0.0)
    again = JobTable(book.records.values(), book.submits.values(), 777.0)
    assert view(again, 780.0).silent == 3.0
    assert code(again.hear(owner(uuid="b"), 1, 780.0)) == "many_clients"


def test_a_row_that_is_run_makes_its_job_watched() -> None:
    """Half of a group of lines may have reached the disk."""
    book = JobTable([JobRecord("2", shape=1, ended="failed")], [], 0.0)
    for job in ("1", "2"):
        book.hold(owner(job=job), 1, 0.0)
        assert view(book, 40.0, job).silent == 40.0
        assert view(book, 40.0, job).shape == 1
    assert not book.records["2"].ended
    assert book.lived == 2


def test_a_job_that_is_missing_for_a_moment_is_not_absent_where_ends_are_listed() -> None:
    book = submitted()
    book.end_submit(1, ["1"], 0.0)
    book.hear(owner(), 1, 1.0)
    book.note_goodbye("1", "signal SIGTERM", broken=False)  # it was requeued
    see(book, 2.0, listed("1", JobState.PENDING))
    for now in (3.0, 30.0, 62.9):
        book.observe([], [], now, RUN, 60.0)
        assert (view(book, now).absences, view(book, now).listed) == (0, None)
    see(book, 63.0, listed("1", JobState.PENDING))
    for now in (64.0, 123.9):
        book.observe([], [], now, RUN, 60.0)
        assert view(book, now).absences == 0, "it was seen meanwhile"
    book.observe([], [], 124.0, RUN, 60.0)
    assert view(book, 124.0).absences == 1


def test_one_that_said_goodbye_or_was_cancelled_is_absent_at_once() -> None:
    book = submitted()
    book.end_submit(1, ["1", "2", "3"], 0.0)
    book.hear(owner(), 1, 1.0)
    see(book, 2.0, listed("1", JobState.RUNNING), listed("2"), listed("3"))
    book.note_goodbye("1", "no work is left", broken=False)
    book.note_cancelled(["2", "gone already"])
    book.observe([], [], 3.0, RUN, 60.0)
    assert [view(book, 3.0, job).absences for job in ("1", "2", "3")] == [1, 1, 0]


def test_a_goodbye_of_a_former_life_makes_one_empty_listing_no_end() -> None:
    """It was requeued since: while another manager ruled, or as this one's listings showed."""
    owner = Owner("1_0", 0, 0, "u")
    record = JobRecord("1_0", 1, owner=owner, has_worked=True, goodbye="signal")
    runs = ListedJob(JobId("1_0"), JobState.RUNNING, "RUNNING", nodes=("n1",))
    waits = ListedJob(JobId("1_0"), JobState.PENDING, "PENDING")
    book = JobTable([record], [], 0.0)
    book.observe([runs], [], 1.0, "run", doubt=60.0)
    book.observe([], [], 2.0, "run", doubt=60.0)
    assert [view.absences for view in book.survey((), 2.0, 30.0).views] == [0]
    for before, absences in (([waits, runs], 0), ([], 1)):
        book = JobTable([], [SubmitRecord(1, 0, 1, "job", 0.0, ["1_0"])], 0.0)
        book.hear(owner, 1, 1.0)
        book.note_goodbye("1_0", "signal", broken=False)
        for now, listed in enumerate(before, 2):
            book.observe([listed], [], now, "run", doubt=60.0)
        book.observe([], [], 5.0, "run", doubt=60.0)
        assert [view.absences for view in book.survey((), 5.0, 30.0).views] == [absences]
