"""The batch system's side: when to look, what to submit, whom to blame."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.jobs.backoff import FIRST, LONGEST, Backoff
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobRequest, JobState, Refusal
from adaptive_scheduler.core.jobs.commands import (
    CancelTask,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    Submit,
    SubmitUnknown,
)
from adaptive_scheduler.core.jobs.records import end_reason
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.items import Item, Phase
from adaptive_scheduler.manager.batch_worker import BatchWorker
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.jobs import LONGEST_BLIND, SPACING
from adaptive_scheduler.schedulers.pbs import PBS
from adaptive_scheduler.schedulers.slurm.scheduler import FIELD, ROW, SLURM
from adaptive_scheduler.testing import VirtualJob, World


def world(n: int = 4, limit: int = 3, names: tuple[str, ...] = ("job",), **fields: object) -> World:
    items = [Item(row, f"f{row}", Phase.QUEUED) for row in range(n)]
    config = RunConfig(
        "run", [Resources()], list(names), "/logs",
        timing=Timing(interval=30, lease=30, grace=60, patience=120),
        limits=JobLimits(limit, max_crashes=2),
    )  # fmt: skip
    return World(items, config, **fields)  # type: ignore[arg-type]


def jobs(cluster: World, state: JobState = JobState.PENDING) -> list[VirtualJob]:
    return [job for job in cluster.batch.living() if job.state is state]


def test_it_submits_what_is_useful_and_allowed() -> None:
    cluster = world()
    cluster.run_for(3)
    assert len(jobs(cluster)) == 3
    cluster = world(n=2)
    cluster.run_for(3)
    assert len(jobs(cluster)) == 2


def test_a_run_goes_through_and_leaves_nothing_behind() -> None:
    cluster = world(n=6)
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job)
    cluster.run_for(40)
    assert cluster.over
    assert cluster.done == set(range(6))


def test_fault_23_when_all_is_done_what_waits_is_gone_within_seconds() -> None:
    """Fault 23."""
    cluster = world(n=4)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1.0)
    while cluster.manager.book.unfinished:
        cluster.step(1.0)
    cluster.run_for(8)
    assert cluster.over


def test_fault_25_it_looks_at_most_once_a_second_and_not_twice_at_a_time() -> None:
    """Fault 25."""
    manager = world().manager
    assert [type(task) for task in manager.tasks()] == [ListQueue]
    manager._clock.advance(1000.0)
    assert manager.tasks() == [], "the last look has not answered"
    manager.take(ListingFailed("down"))
    manager._clock.advance(1.0)
    manager.clients.news = True
    assert [type(task) for task in manager.tasks()] == [ListQueue]
    manager.take(ListingFailed("down"))
    manager.clients.news = True
    assert manager.tasks() == []
    assert 0 < manager.jobs.next_due(manager._clock.moment) <= SPACING


def test_fault_10_a_look_that_fails_changes_nothing_and_is_told() -> None:
    """Fault 10."""
    cluster = world()
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1000.0)
    cluster.run_for(40)
    before = [item.token for item in cluster.manager.book.rows]
    cluster.batch.look_faults += ["fails"] * 100
    cluster.run_for(300, tick=5.0)
    assert "Unable to contact" in cluster.manager.jobs.notes.blind
    assert [item.token for item in cluster.manager.book.rows] == before
    cluster.batch.look_faults.clear()
    cluster.run_for(LONGEST_BLIND + 10)
    assert cluster.manager.jobs.notes.blind == ""


def test_a_server_that_is_down_is_asked_less_and_less_often() -> None:
    """Also while news and people who leave ask for a look each second; Slurm's as well as PBS's."""
    manager = world().manager
    looks: list[float] = []
    for _ in range(3600):
        manager.clients.news = True
        if manager.tasks():
            looks.append(manager._clock.moment.monotonic)
            manager.take(ListingFailed("cannot connect to server"))
        manager._clock.advance(1.0)
    waits = [later - earlier for earlier, later in pairwise(looks)]
    assert waits[:7] == sorted(waits[:7])
    assert set(waits[7:]) == {LONGEST_BLIND}
    assert len([look for look in looks if look - looks[0] < 66]) <= 8
    said = [facts for event, facts in manager.jobs.notes.log if event == "queue_not_seen"]
    assert len(said) == len(looks)
    assert manager.jobs.notes.blind == "cannot connect to server (again in 60 s)"
    manager.jobs.resume()
    assert manager.tasks(), "a person who says so is not made to wait"


def test_an_impossible_array_is_sent_once_and_not_again_in_parts() -> None:
    cluster = world(n=40, limit=40)
    cluster.batch.submit_faults += ["impossible"] * 41
    cluster.run_for(600, tick=5.0)
    assert "sbatch" in cluster.manager.jobs.notes.held
    assert len(cluster.batch.submit_faults) == 40


def test_of_many_jobs_with_names_of_their_own_an_impossible_one_is_sent_once(
    tmp_path: Path,
) -> None:
    """All of them were decided together; those after the first refusal are not sent."""
    count = tmp_path / "count"
    script = f"echo asked >> {count}; echo 'qsub: Unknown queue' >&2; exit 170"
    config = RunConfig("run", [Resources(nodes=1)], ["job"], str(tmp_path / "logs"))
    folder = RunFolder(tmp_path / "db.tinydb")
    folder.scripts.mkdir(parents=True)
    system = BatchWorker(_Refusing(script), config, folder, lambda _: None)
    cluster = world(n=9, limit=9, names=tuple(f"job{i}" for i in range(9)))
    (look,) = cluster.manager.tasks()
    submits = cluster.manager.take(cluster.batch.carry_out(look))
    assert len(submits) == 9
    for submit in submits:
        cluster.manager.take(system.carry_out(submit))
    assert count.read_text().split() == ["asked"]
    held = [facts for event, facts in cluster.manager.jobs.notes.log if event == "run_held"]
    words = "the batch system refuses these jobs: qsub: Unknown queue (exit status 170)"
    assert held == [{"reason": words}]
    cluster.manager.jobs.resume()  # a new decision: it is tried again
    cluster.manager._clock.advance(SPACING)
    (look,) = cluster.manager.tasks()
    submits = cluster.manager.take(cluster.batch.carry_out(look))
    cluster.manager.take(system.carry_out(submits[0]))
    assert count.read_text().split() == ["asked", "asked"]


def test_a_short_listing_and_the_row_of_an_arrays_cancelled_tasks_end_no_other_task(
    tmp_path: Path,
) -> None:
    rest = ROW + FIELD.join(("61", "N/A", "CANCELLED", "", "None", "as:run:1", "a")) + FIELD + "\n"
    lives = ROW + FIELD.join(("61", "0", "RUNNING", "n1", "None", "as:run:1", "a")) + FIELD + "\n"
    folder = RunFolder(tmp_path / "db.tinydb")
    system = BatchWorker(
        SLURM(1), RunConfig("run", [Resources()], ["job"], "/logs"), folder, lambda _: None
    )
    answers = [rest, rest + lives, rest, rest]
    system._run = lambda argv: CommandResult(tuple(argv), 0, answers.pop(0), "")  # type: ignore[method-assign]
    found = [
        system.carry_out(ListQueue(["61_0", "61_1"])),
        system.carry_out(ListQueue(["61_0", "61_1"], frozenset(["61_0"]))),
    ]
    for listing in found:
        assert isinstance(listing, QueueListing)
        assert [job.id for job in listing.jobs] == ["61"]
        assert [(end.id, end.cause) for end in listing.endings] == [("61_1", "cancelled")]


class _Refusing(PBS):
    """Its qsub is a line of shell."""

    def __init__(self, shell: str) -> None:
        super().__init__(1, nodes=1)
        self.shell = shell

    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        return ["sh", "-c", self.shell]


def test_an_array_that_is_too_long_is_still_sent_in_parts() -> None:
    cluster = world(n=40, limit=40)
    cluster.batch.submit_faults += ["too_long"] * 2
    cluster.run_for(600, tick=5.0)
    assert not cluster.manager.jobs.notes.held
    assert len(cluster.batch.jobs) == 40


def test_fault_10_an_empty_listing_resubmits_nothing() -> None:
    """Fault 10."""
    cluster = world()
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1000.0)
    cluster.run_for(40)
    cluster.batch.look_faults += ["empty"] * 20
    cluster.run_for(600, tick=5.0)
    assert len(cluster.batch.jobs) == 3
    assert len(cluster.manager.book.rows) - cluster.manager.book.phases[Phase.QUEUED] == 3


def test_fault_17_a_refused_submit_is_tried_again_later_and_later() -> None:
    """Fault 17."""
    cluster = world(n=1)
    cluster.batch.submit_faults += ["busy"] * 4
    cluster.run_for(2)
    assert not cluster.batch.jobs
    assert (
        "try again later; it is tried again by itself (again in 5 s)"
        in cluster.manager.jobs.backoff.reason
    )
    cluster.run_for(200)
    assert len(jobs(cluster)) == 1
    assert cluster.manager.jobs.backoff.reason == ""


def test_back_off_grows_to_its_longest() -> None:
    backoff = Backoff()
    pauses = [backoff.wait("busy", 0.0) for _ in range(9)]
    assert pauses[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pauses[-1] == LONGEST
    assert backoff.why(LONGEST - 1) == "busy (again in 300 s)"
    assert backoff.why(LONGEST + 1) == ""
    backoff.clear()
    assert backoff.wait("busy", 0.0) == FIRST


def test_one_wave_of_refusals_is_one_refusal() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.batch.submit_faults += ["limit"] * 6
    cluster.run_for(3)
    assert "(again in 5 s)" in cluster.manager.jobs.backoff.reason
    cluster.run_for(15)
    assert len(cluster.batch.living()) == 6


def test_a_slow_wave_of_refusals_is_one_refusal_too() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.slow_batch = 8.0  # longer than the first wait
    cluster.batch.submit_faults += ["busy"] * 6
    cluster.run_for(60)
    assert "(again in 5 s)" in cluster.manager.jobs.backoff.reason


def test_after_a_refused_wave_one_submit_tries_whether_it_goes_again() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.batch.submit_faults += ["busy"] * 9
    cluster.run_for(40)
    assert len(cluster.batch.submits) == 6 + 3, "a wave, and a try after 5, 10 and 20 s"
    cluster.run_for(60)
    assert len(cluster.batch.living()) == 6


def test_deaths_that_one_look_shows_are_one_reason_to_wait() -> None:
    cluster = world(n=40, limit=40)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(3)
    for job in jobs(cluster)[:30]:
        cluster.kill(job, "failed")
    cluster.run_for(32)
    assert "(again in 5 s)" in cluster.manager.jobs.backoff.reason


@pytest.mark.parametrize("names", [("job",), tuple("abcdefghijklmnopqrst")])
def test_the_end_of_a_job_at_the_limit_ends_the_wait(names: tuple[str, ...]) -> None:
    cluster = world(n=20, limit=20, names=names)
    cluster.batch.limit = 4
    cluster.run_for(400)
    assert len(cluster.batch.living()) == 4
    for _ in range(6):
        asked = len(cluster.batch.submits)
        for job in jobs(cluster)[:2]:
            cluster.kill(job, "cancelled")
        cluster.run_for(36)  # the look that shows it is due within 30 s
        assert len(cluster.batch.living()) == 4
        assert len(cluster.batch.submits) - asked < 12, "it asks for little more than there is"
    assert "it goes on by itself when jobs have ended" in cluster.manager.jobs.backoff.reason


def test_the_end_of_a_job_ends_no_wait_for_a_server() -> None:
    """Also where the last refusal but one was for want of room."""
    manager = world(n=4, limit=4).manager
    now = manager._clock.moment
    manager.jobs._jobs.begin_submit(0, 1, "job", 0.0, 0.0)
    manager.jobs._submitting = 1
    manager.jobs.take(NotSubmitted(1, Refusal.LIMIT, "full"), now)
    assert manager.jobs._is_at_limit
    later = Moment(now.wall, now.monotonic + 100)
    manager.jobs._submitting, manager.jobs._is_wave_refused = 1, False
    manager.jobs._jobs.begin_submit(0, 1, "job", 0.0, 0.0)
    manager.jobs.take(NotSubmitted(2, Refusal.BUSY, "down"), later)
    manager.jobs._make_room()
    assert "down" in manager.jobs.backoff.why(later.monotonic)


def test_many_are_asked_for_at_once_again_when_a_limit_has_gone() -> None:
    cluster = world(n=100, limit=100)
    cluster.batch.limit = 3
    cluster.run_for(60)
    assert len(cluster.batch.living()) == 3
    cluster.batch.limit = None
    asked = len(cluster.batch.submits)
    while len(cluster.batch.living()) < 5:
        cluster.step(1.0)
    cluster.run_for(20)
    assert len(cluster.batch.living()) == 100
    assert max(n for n, _ in cluster.batch.submits[asked:]) > 30


def test_a_limit_that_comes_and_goes_leaves_no_job_unasked_for_long() -> None:
    """Ends of jobs fill the queue again: what runs is nearly always what may run."""
    cluster = world(n=60, limit=60)
    used = total = 0
    for second in range(1200):
        cluster.batch.limit = (12, 5)[second // 300 % 2]
        for job in jobs(cluster):
            cluster.start(job, work=40.0)
        cluster.step(1.0)
        if cluster.manager.book.phases[Phase.QUEUED]:
            used += len(cluster.batch.living())
            total += cluster.batch.limit
    assert cluster.over
    assert used > 0.8 * total


def test_what_is_impossible_holds_the_run_until_a_person_says_so() -> None:
    cluster = world(n=1)
    manager = cluster.manager
    (look,) = manager.tasks()
    (submit,) = manager.take(cluster.batch.carry_out(look))
    assert isinstance(submit, Submit)
    manager.take(NotSubmitted(submit.submit.number, Refusal.IMPOSSIBLE, "no such partition"))
    assert "no such partition" in manager.jobs.notes.held
    cluster.run_for(100)
    assert not cluster.batch.jobs
    manager.jobs.resume()
    cluster.run_for(3)
    assert len(jobs(cluster)) == 1


def test_fault_16_a_submit_without_an_answer_is_searched_before_it_is_sent_again() -> None:
    """Fault 16."""
    cluster = world(n=3)
    cluster.batch.submit_faults.append("unanswered")
    cluster.run_for(120)
    assert len(cluster.batch.jobs) == 3
    cluster = world(n=3)
    cluster.batch.submit_faults.append("lost")
    cluster.run_for(55)
    assert not cluster.batch.jobs, "it may still arrive, until the grace (60 s) is over"
    cluster.run_for(120)
    assert len(cluster.batch.jobs) == 3


def test_a_manager_that_dies_over_a_submit_is_followed_by_one_that_knows() -> None:
    cluster = world(n=3)
    manager = cluster.manager
    (look,) = manager.tasks()
    (submit,) = manager.take(cluster.batch.carry_out(look))
    manager.commit()
    cluster.batch.carry_out(submit)  # its answer reaches nobody
    manager.restart()
    cluster.run_for(200)
    assert len(cluster.batch.jobs) == 3


def test_large_arrays_are_split() -> None:
    cluster = world(n=10, limit=10)
    cluster.manager.jobs._max_array = 4
    (look,) = cluster.manager.tasks()
    submits = cluster.manager.take(cluster.batch.carry_out(look))
    assert [task.submit.n for task in submits if isinstance(task, Submit)] == [4, 4, 2]


def test_names_of_living_and_unknown_jobs_are_not_given_twice() -> None:
    cluster = world(n=4, limit=4, names=("a", "b", "c", "d"))
    manager = cluster.manager
    (look,) = manager.tasks()
    submits = manager.take(cluster.batch.carry_out(look))
    assert [task.submit.name for task in submits if isinstance(task, Submit)] == list("abcd")
    assert manager.jobs._free_names(4) == []
    for task in submits:
        assert isinstance(task, Submit)
        manager.take(SubmitUnknown(task.submit.number, "?"))
    assert manager.jobs._free_names(4) == []


def test_the_run_is_held_when_all_first_jobs_die() -> None:
    cluster = world(n=20, limit=20)
    cluster.run_for(3)
    for job in jobs(cluster)[:10]:
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert "all of the first 10 jobs died" in cluster.manager.jobs.notes.held
    n = len(cluster.batch.jobs)
    cluster.run_for(200)
    assert len(cluster.batch.jobs) == n


def test_early_deaths_are_told_while_other_jobs_live() -> None:
    cluster = world(n=20, limit=20)
    cluster.manager.jobs._output = lambda job: "ImportError: no adaptive\n"
    cluster.run_for(3)
    for job in jobs(cluster)[:2]:
        cluster.kill(job, "failed")
    cluster.run_for(40)
    notes = cluster.manager.jobs.notes
    assert notes.early_deaths.startswith("2 in a row. The last words of job")
    assert notes.early_deaths.endswith("ImportError: no adaptive")
    assert not notes.held
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(40)
    assert notes.early_deaths == "", "one was given work: they are no sign of anything any more"


def test_a_run_that_was_resumed_is_not_held_again_by_the_next_manager() -> None:
    cluster = world(n=20, limit=20)
    cluster.run_for(3)
    for job in jobs(cluster)[:10]:
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert cluster.manager.jobs.notes.held
    cluster.manager.jobs.resume()
    cluster.run_for(5)
    cluster.kill_manager()
    assert cluster.manager.jobs.notes.held == ""
    cluster.run_for(60)
    assert cluster.manager.jobs.notes.held == ""
    for job in jobs(cluster)[:10]:  # nothing was mended: ten more are enough again
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert "all of the first 10 jobs died" in cluster.manager.jobs.notes.held


def test_jobs_that_die_one_after_the_other_in_mid_run_are_not_resubmitted_each_second() -> None:
    cluster = world(n=3, limit=2)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    for _ in range(600):
        for job in jobs(cluster):
            cluster.kill(job, "failed")
        cluster.step(1.0)
    assert 10 < len(cluster.batch.jobs) < 40
    assert "in a row died" in cluster.manager.jobs.backoff.reason


def test_jobs_that_we_cancelled_are_no_deaths_without_accounting() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.run_for(3)
    cluster.manager.book.cancel(0.0)
    cluster.run_for(300)
    assert cluster.over
    records = cluster.manager.clients.jobs.records
    assert {record.ended for record in records.values()} == {"cancelled"}
    assert cluster.manager.clients.jobs.early_deaths == 0


def test_jobs_that_we_cancelled_are_over_at_the_next_look_that_lacks_them() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.batch.doubt = 60.0
    cluster.run_for(3)
    cluster.manager.book.cancel(0.0)
    cluster.manager.clients.news = True
    cluster.run_for(5)
    assert not list(cluster.manager.clients.jobs.living())


def test_a_retry_right_after_a_cancel_submits_at_once() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.batch.doubt = 60.0
    cluster.run_for(3)
    manager = cluster.manager
    manager.book.cancel(0.0)
    manager.clients.news = manager.clients.closing = True
    while not cluster.cancels:
        cluster.step(1.0)
    manager.book.retry(list(range(12)), 0.0)
    manager.clients.closing = False
    manager.jobs.resume()
    cluster.run_for(5)
    assert len(jobs(cluster)) == 12


def test_jobs_that_are_being_cancelled_are_not_waited_for_by_a_retry() -> None:
    cluster = world(n=2, limit=12)
    cluster.run_for(3)
    manager = cluster.manager
    cluster.batch.deaf_to_cancels = 10**6
    manager.book.cancel(0.0)
    manager.clients.news = manager.clients.closing = True
    cluster.run_for(5)
    manager.book.retry([0, 1], 0.0)
    manager.clients.closing = False
    manager.jobs.resume()
    cluster.run_for(5)
    assert len(cluster.batch.jobs) == 4


def test_fault_18_a_bad_node_is_avoided() -> None:
    """Fault 18."""
    cluster = world(n=8, limit=8)
    cluster.run_for(3)
    records = cluster.manager.clients.jobs
    first, *others = jobs(cluster)
    cluster.start(first, work=1e6)
    cluster.run_for(3)
    records.note_host(first.id, "good")
    for job in others[:3]:
        cluster.start(job, work=1e6)
        cluster.run_for(3)
        records.note_host(job.id, "bad")
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert cluster.manager.jobs.nodes.excluded(cluster.clock.monotonic) == ("bad",)


def test_a_long_life_does_not_speak_against_a_node() -> None:
    cluster = world(n=3)
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1e6)
    cluster.run_for(120)
    for job in jobs(cluster, JobState.RUNNING):
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert not cluster.manager.jobs.nodes._deaths


def test_a_silent_job_that_cannot_be_cancelled_holds_up_nothing() -> None:
    cluster = world(n=3, limit=3)
    cluster.run_for(3)
    silent, other, _ = jobs(cluster)
    cluster.start(silent, work=1e6)
    cluster.run_for(5)
    cluster.clients.pop(silent.id)
    cluster.batch.deaf_to_cancels = 10**6
    cluster.run_for(200, tick=5.0)
    assert cluster.manager.jobs.notes.cancel
    cluster.kill(other, "node_fail")
    cluster.run_for(60)
    assert len(jobs(cluster)) == 2, "another one is submitted"


def test_a_cancel_is_not_sent_at_each_look() -> None:
    cluster = world(n=3)
    cluster.run_for(3)
    cluster.batch.deaf_to_cancels = 10**6
    sent: list[CancelTask] = []
    carry_out = cluster.batch.carry_out

    def count(task: object) -> object:
        sent.extend([task] if isinstance(task, CancelTask) else [])
        return carry_out(task)  # type: ignore[arg-type]

    cluster.batch.carry_out = count  # type: ignore[assignment, method-assign]
    cluster.manager.book.cancel(0.0)
    cluster.run_for(60)
    assert 2 <= len(sent) <= 5


def test_a_job_without_work_whose_cancel_failed_is_cancelled_again() -> None:
    cluster = world(n=3, limit=3)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(3)
    cluster.batch.deaf_to_cancels = 1
    for row in cluster.manager.book.rows:
        if row.phase is Phase.QUEUED:
            cluster.manager.book.apply(row.id, Cancelled(), 0.0)
    cluster.run_for(70)
    assert len(cluster.batch.living()) == 1


def test_a_dead_job_is_remembered_by_the_end_of_its_output() -> None:
    printed = "a\nb\n[adaptive_scheduler] started again\nc\n\nd\n"
    assert end_reason("1", "failed", lambda _: printed) == (
        "job 1 ended: failed; the end of its output: c | d"
    )
    assert end_reason("1", "timeout", None) == "job 1 ended: timeout"
    assert end_reason("1", "failed", lambda _: "") == "job 1 ended: failed"


def test_1_jobs_that_get_nowhere_are_submitted_more_and_more_seldom_and_then_no_more() -> None:
    """After jobs that worked; each wave is one pause, however many jobs died in it."""
    cluster = world(n=40, limit=12)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=2.0)
    cluster.run_for(4)
    waves: list[float] = []
    while not cluster.manager.jobs.notes.held:
        assert cluster.clock.monotonic < 7200
        waiting = jobs(cluster)
        if waiting:
            waves.append(cluster.clock.monotonic)
        for job in [*waiting, *jobs(cluster, JobState.RUNNING)]:
            job.started = cluster.clock.monotonic
            cluster.kill(job, "failed")
        cluster.run_for(1)
    pauses = [after - before for before, after in pairwise(waves)]
    assert max(pauses) >= 250
    assert len(waves) < 30
    assert (
        "jobs in a row died before they asked for work; 8 pauses" in cluster.manager.jobs.notes.held
    )
    n = len(cluster.batch.jobs)
    cluster.run_for(600)
    assert len(cluster.batch.jobs) == n
    cluster.manager.jobs.resume()
    cluster.run_for(3)
    assert len(cluster.batch.jobs) > n
