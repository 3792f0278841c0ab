"""The manager's side of the batch system: when to list the queue, what to submit, what to avoid."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobRequest, JobState, Refusal
from adaptive_scheduler.core.jobs.commands import (
    CancelJobs,
    ListingFailed,
    ListQueue,
    NotSubmitted,
    QueueListing,
    SubmitJobs,
    SubmitUnknown,
)
from adaptive_scheduler.core.jobs.listing_schedule import LONGEST_PAUSE, SPACING
from adaptive_scheduler.core.jobs.outputs import end_reason
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Cancelled
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.manager.batch_worker import BatchWorker
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


def test_as_many_jobs_are_submitted_as_are_useful_and_allowed() -> None:
    cluster = world()
    cluster.run_for(3)
    assert len(jobs(cluster)) == 3
    cluster = world(n=2)
    cluster.run_for(3)
    assert len(jobs(cluster)) == 2


def test_a_run_ends_with_all_items_done_and_an_empty_queue() -> None:
    cluster = world(n=6)
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job)
    cluster.run_for(40)
    assert cluster.over
    assert cluster.done == set(range(6))


def test_fault_23_when_all_is_done_pending_jobs_are_gone_within_seconds() -> None:
    """Fault 23."""
    cluster = world(n=4)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1.0)
    while cluster.manager.items.unfinished:
        cluster.step(1.0)
    cluster.run_for(8)
    assert cluster.over


def test_fault_25_the_queue_is_listed_at_most_once_a_second_and_not_twice_at_a_time() -> None:
    """Fault 25."""
    manager = world().manager
    assert [type(command) for command in manager.commands_due()] == [ListQueue]
    manager._clock.advance(1000.0)
    assert manager.commands_due() == [], "the last listing has not come yet"
    manager.on_result(ListingFailed("down"))
    manager._clock.advance(1.0)
    manager.state.dirty = True
    assert [type(command) for command in manager.commands_due()] == [ListQueue]
    manager.on_result(ListingFailed("down"))
    manager.state.dirty = True
    assert manager.commands_due() == []
    assert 0 < manager.jobs.next_due(manager._clock.moment) <= SPACING


def test_fault_10_a_listing_that_fails_changes_nothing_and_is_reported() -> None:
    """Fault 10."""
    cluster = world()
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1000.0)
    cluster.run_for(40)
    before = [item.token for item in cluster.manager.items.rows]
    cluster.batch.listing_faults += ["fails"] * 100
    cluster.run_for(300, tick=5.0)
    assert "Unable to contact" in cluster.manager.jobs.notes.listing_error
    assert [item.token for item in cluster.manager.items.rows] == before
    cluster.batch.listing_faults.clear()
    cluster.run_for(LONGEST_PAUSE + 10)
    assert cluster.manager.jobs.notes.listing_error == ""


def test_a_server_that_is_down_is_asked_less_and_less_often() -> None:
    """Also while events ask for a listing each second."""
    manager = world().manager
    listings: list[float] = []
    for _ in range(3600):
        manager.state.dirty = True
        if manager.commands_due():
            listings.append(manager._clock.moment.monotonic)
            manager.on_result(ListingFailed("cannot connect to server"))
        manager._clock.advance(1.0)
    waits = [later - earlier for earlier, later in pairwise(listings)]
    assert waits[:7] == sorted(waits[:7])
    assert set(waits[7:]) == {LONGEST_PAUSE}
    assert len([at for at in listings if at - listings[0] < 66]) <= 8
    assert manager.jobs.notes.listing_error == "cannot connect to server (again in 60 s)"
    manager.jobs.resume()
    assert manager.commands_due(), "resume() ends the wait"
    logged = [facts for event, facts in manager.log.events if event == "queue_not_seen"]
    assert len(logged) == len(listings)


def test_an_impossible_array_is_sent_once_and_not_again_in_parts() -> None:
    cluster = world(n=40, limit=40)
    cluster.batch.submit_faults += ["impossible"] * 41
    cluster.run_for(600, tick=5.0)
    assert "sbatch" in cluster.manager.state.stops.held
    assert len(cluster.batch.submit_faults) == 40


def test_of_many_named_jobs_an_impossible_one_is_sent_once(
    tmp_path: Path,
) -> None:
    """All of them were decided together; those after the first refusal are not sent."""
    count = tmp_path / "count"
    script = f"echo asked >> {count}; echo 'qsub: Unknown queue' >&2; exit 170"
    config = RunConfig("run", [Resources(nodes=1)], ["job"], str(tmp_path / "logs"))
    folder = RunFolder(tmp_path / "db.tinydb")
    folder.scripts.mkdir(parents=True)
    system = BatchWorker(RefusingPBS(script), config, folder, lambda _: None)
    cluster = world(n=9, limit=9, names=tuple(f"job{i}" for i in range(9)))
    (listing,) = cluster.manager.commands_due()
    submits = cluster.manager.on_result(cluster.batch.carry_out(listing))
    assert len(submits) == 9
    for submit in submits:
        cluster.manager.on_result(system.carry_out(submit))
    assert count.read_text().split() == ["asked"]
    held = [facts for event, facts in cluster.manager.jobs.notes.log if event == "run_held"]
    words = "the batch system refuses these jobs: qsub: Unknown queue (exit status 170)"
    assert held == [{"reason": words}]
    cluster.manager.jobs.resume()  # a new decision: it is tried again
    cluster.manager._clock.advance(SPACING)
    (listing,) = cluster.manager.commands_due()
    submits = cluster.manager.on_result(cluster.batch.carry_out(listing))
    cluster.manager.on_result(system.carry_out(submits[0]))
    assert count.read_text().split() == ["asked", "asked"]


def test_a_row_for_the_cancelled_tasks_of_an_array_does_not_end_a_started_task(
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


class RefusingPBS(PBS):
    """A PBS whose qsub is a line of shell."""

    def __init__(self, shell: str) -> None:
        super().__init__(1, nodes=1)
        self.shell = shell

    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        return ["sh", "-c", self.shell]


def test_an_array_that_is_too_long_is_submitted_in_parts() -> None:
    cluster = world(n=40, limit=40)
    cluster.batch.submit_faults += ["too_long"] * 2
    cluster.run_for(600, tick=5.0)
    assert not cluster.manager.state.stops.held
    assert len(cluster.batch.jobs) == 40


def test_fault_10_an_empty_listing_resubmits_nothing() -> None:
    """Fault 10."""
    cluster = world()
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1000.0)
    cluster.run_for(40)
    cluster.batch.listing_faults += ["empty"] * 20
    cluster.run_for(600, tick=5.0)
    assert len(cluster.batch.jobs) == 3
    assert len(cluster.manager.items.rows) - cluster.manager.items.phases[Phase.QUEUED] == 3


def test_fault_17_a_refused_submit_is_tried_again_later_and_later() -> None:
    """Fault 17."""
    cluster = world(n=1)
    cluster.batch.submit_faults += ["busy"] * 4
    cluster.run_for(2)
    assert not cluster.batch.jobs
    assert (
        "try again later; it is tried again by itself (again in 5 s)"
        in cluster.manager.jobs.policy.backoff.reason
    )
    cluster.run_for(200)
    assert len(jobs(cluster)) == 1
    assert cluster.manager.jobs.policy.backoff.reason == ""


def test_refused_submits_of_one_group_count_as_one_refusal() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.batch.submit_faults += ["limit"] * 6
    cluster.run_for(3)
    assert "(again in 5 s)" in cluster.manager.jobs.policy.backoff.reason
    cluster.run_for(15)
    assert len(cluster.batch.living()) == 6


def test_refused_submits_of_a_slow_group_count_as_one_refusal() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.slow_batch = 8.0  # longer than the first wait
    cluster.batch.submit_faults += ["busy"] * 6
    cluster.run_for(60)
    assert "(again in 5 s)" in cluster.manager.jobs.policy.backoff.reason


def test_after_a_refused_group_one_submit_is_tried_at_a_time() -> None:
    cluster = world(n=6, limit=6, names=("a", "b", "c", "d", "e", "f"))
    cluster.batch.submit_faults += ["busy"] * 9
    cluster.run_for(40)
    assert len(cluster.batch.submits) == 6 + 3, "a group, and a try after 5, 10 and 20 s"
    cluster.run_for(60)
    assert len(cluster.batch.living()) == 6


def test_deaths_that_one_listing_shows_cause_one_wait() -> None:
    cluster = world(n=40, limit=40)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(3)
    for job in jobs(cluster)[:30]:
        cluster.kill(job, "failed")
    cluster.run_for(32)
    assert "(again in 5 s)" in cluster.manager.jobs.policy.backoff.reason


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
        cluster.run_for(36)  # the listing that shows it is due within 30 s
        assert len(cluster.batch.living()) == 4
        assert len(cluster.batch.submits) - asked < 12, "it asks for little more than there is"
    assert "it goes on by itself when jobs have ended" in cluster.manager.jobs.policy.backoff.reason


def test_many_jobs_are_submitted_at_once_again_when_a_limit_is_lifted() -> None:
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


def test_a_limit_that_comes_and_goes_is_used_nearly_in_full() -> None:
    """Ends of jobs fill the queue again: what runs is nearly always what may run."""
    cluster = world(n=60, limit=60)
    used = total = 0
    for second in range(1200):
        cluster.batch.limit = (12, 5)[second // 300 % 2]
        for job in jobs(cluster):
            cluster.start(job, work=40.0)
        cluster.step(1.0)
        if cluster.manager.items.phases[Phase.QUEUED]:
            used += len(cluster.batch.living())
            total += cluster.batch.limit
    assert cluster.over
    assert used > 0.8 * total


def test_an_impossible_submit_holds_the_run_until_it_is_resumed() -> None:
    cluster = world(n=1)
    manager = cluster.manager
    (listing,) = manager.commands_due()
    (submit,) = manager.on_result(cluster.batch.carry_out(listing))
    assert isinstance(submit, SubmitJobs)
    manager.on_result(NotSubmitted(Refusal.IMPOSSIBLE, "no such partition", submit.number))
    assert "no such partition" in manager.state.stops.held
    cluster.run_for(100)
    assert not cluster.batch.jobs
    manager.jobs.resume()
    cluster.run_for(3)
    assert len(jobs(cluster)) == 1


def test_fault_16_the_jobs_of_a_submit_without_an_answer_are_searched_before_it_is_sent_again() -> (
    None
):
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


def test_jobs_of_a_submit_during_which_the_manager_died_are_found_by_the_next() -> None:
    cluster = world(n=3)
    manager = cluster.manager
    (listing,) = manager.commands_due()
    (submit,) = manager.on_result(cluster.batch.carry_out(listing))
    manager.commit()
    cluster.batch.carry_out(submit)  # its answer reaches nobody
    manager.restart()
    cluster.run_for(200)
    assert len(cluster.batch.jobs) == 3


def test_large_arrays_are_split() -> None:
    cluster = world(n=10, limit=10)
    cluster.manager.jobs.configure(cluster.config, "virtual", max_array=4)
    (listing,) = cluster.manager.commands_due()
    submits = cluster.manager.on_result(cluster.batch.carry_out(listing))
    assert [command.n for command in submits if isinstance(command, SubmitJobs)] == [4, 4, 2]


def test_jobs_are_submitted_after_manage_jobs_was_called_again_during_a_submit() -> None:
    cluster = world(n=4, limit=4)
    manager = cluster.manager
    (listing,) = manager.commands_due()
    (submit,) = manager.on_result(cluster.batch.carry_out(listing))
    manager.jobs.configure(cluster.config, "virtual", max_array=4)
    assert manager.jobs.policy.blocked(0.0), "the submit of before is still under way"
    manager.on_result(cluster.batch.carry_out(submit))
    assert not manager.jobs.policy.blocked(0.0)


def test_names_of_live_jobs_and_pending_submits_are_not_given_twice() -> None:
    cluster = world(n=4, limit=4, names=("a", "b", "c", "d"))
    manager = cluster.manager
    (listing,) = manager.commands_due()
    submits = manager.on_result(cluster.batch.carry_out(listing))
    assert [command.name for command in submits if isinstance(command, SubmitJobs)] == list("abcd")
    assert manager.jobs._free_names(4) == []
    for command in submits:
        assert isinstance(command, SubmitJobs)
        manager.on_result(SubmitUnknown("?", command.number))
    assert manager.jobs._free_names(4) == []


def test_the_run_is_held_when_all_first_jobs_die() -> None:
    cluster = world(n=20, limit=20)
    cluster.run_for(3)
    for job in jobs(cluster)[:10]:
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert "all of the first 10 jobs died" in cluster.manager.state.stops.held
    n = len(cluster.batch.jobs)
    cluster.run_for(200)
    assert len(cluster.batch.jobs) == n


def test_a_run_whose_only_job_dies_tries_one_more_before_it_is_held() -> None:
    """The first one may have met a bad node."""
    cluster = world(n=1)
    cluster.run_for(3)
    (first,) = jobs(cluster)
    cluster.kill(first, "failed")
    cluster.run_for(40)
    (second,) = jobs(cluster)
    assert not cluster.manager.state.stops.held
    cluster.kill(second, "failed")
    cluster.run_for(60)
    assert "all of the first 2 jobs died" in cluster.manager.state.stops.held
    assert len(cluster.batch.jobs) == 2


def test_early_deaths_are_reported_while_other_jobs_live() -> None:
    cluster = world(n=20, limit=20)
    cluster.manager.jobs.output = lambda job: "ImportError: no adaptive\n"
    cluster.run_for(3)
    for job in jobs(cluster)[:2]:
        cluster.kill(job, "failed")
    cluster.run_for(40)
    notes = cluster.manager.jobs.notes
    assert notes.early_deaths.startswith("2 in a row. The last output of job")
    assert notes.early_deaths.endswith("ImportError: no adaptive")
    assert not cluster.manager.state.stops.held
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(40)
    assert notes.early_deaths == "", "one was given work: they are no sign of anything any more"


def test_a_run_that_was_resumed_is_not_held_again_by_the_next_manager() -> None:
    cluster = world(n=20, limit=20)
    cluster.run_for(3)
    for job in jobs(cluster)[:10]:
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert cluster.manager.state.stops.held
    cluster.manager.jobs.resume()
    cluster.run_for(5)
    cluster.kill_manager()
    assert cluster.manager.state.stops.held == ""
    cluster.run_for(60)
    assert cluster.manager.state.stops.held == ""
    for job in jobs(cluster)[:10]:  # nothing was mended: ten more are enough again
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert "all of the first 10 jobs died" in cluster.manager.state.stops.held


def test_jobs_that_die_early_in_mid_run_are_resubmitted_less_and_less_often() -> None:
    cluster = world(n=3, limit=2)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    for _ in range(600):
        for job in jobs(cluster):
            cluster.kill(job, "failed")
        cluster.step(1.0)
    assert 10 < len(cluster.batch.jobs) < 40
    assert "in a row died" in cluster.manager.jobs.policy.backoff.reason


def test_cancelled_jobs_are_no_early_deaths_without_accounting() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.run_for(3)
    cluster.manager.items.cancel(0.0)
    cluster.run_for(300)
    assert cluster.over
    records = cluster.manager.state.jobs.records
    assert {record.ended for record in records.values()} == {"cancelled"}
    assert cluster.manager.state.jobs.early_deaths == 0


def test_cancelled_jobs_are_dead_at_the_next_listing_that_lacks_them() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.batch.doubt = 60.0
    cluster.run_for(3)
    cluster.manager.items.cancel(0.0)
    cluster.manager.state.dirty = True
    cluster.run_for(5)
    assert not cluster.manager.state.jobs.live


def test_a_retry_right_after_a_cancel_submits_at_once() -> None:
    cluster = world(n=12, limit=12, accounting=False)
    cluster.batch.doubt = 60.0
    cluster.run_for(3)
    manager = cluster.manager
    manager.items.cancel(0.0)
    manager.state.dirty = manager.state.cancelled = True
    while not cluster.cancels:
        cluster.step(1.0)
    manager.items.retry(list(range(12)), 0.0)
    manager.state.cancelled = False
    manager.jobs.resume()
    cluster.run_for(5)
    assert len(jobs(cluster)) == 12


def test_a_retry_does_not_count_on_jobs_that_are_being_cancelled() -> None:
    cluster = world(n=2, limit=12)
    cluster.run_for(3)
    manager = cluster.manager
    cluster.batch.failing_cancels = 10**6
    manager.items.cancel(0.0)
    manager.state.dirty = manager.state.cancelled = True
    cluster.run_for(5)
    manager.items.retry([0, 1], 0.0)
    manager.state.cancelled = False
    manager.jobs.resume()
    cluster.run_for(5)
    assert len(cluster.batch.jobs) == 4


def test_fault_18_a_bad_node_is_avoided() -> None:
    """Fault 18."""
    cluster = world(n=8, limit=8)
    cluster.run_for(3)
    records = cluster.manager.state.jobs
    first, *others = jobs(cluster)
    cluster.start(first, work=1e6)
    cluster.run_for(3)
    records.on_hello(first.id, "good")
    for job in others[:3]:
        cluster.start(job, work=1e6)
        cluster.run_for(3)
        records.on_hello(job.id, "bad")
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert cluster.manager.jobs.nodes.excluded(cluster.clock.monotonic) == ("bad",)


def test_a_job_that_died_after_long_work_does_not_count_against_its_node() -> None:
    cluster = world(n=3)
    cluster.run_for(3)
    for job in jobs(cluster):
        cluster.start(job, work=1e6)
    cluster.run_for(120)
    for job in jobs(cluster, JobState.RUNNING):
        cluster.kill(job, "failed")
    cluster.run_for(60)
    assert not cluster.manager.jobs.nodes._deaths


def test_a_silent_job_that_cannot_be_cancelled_does_not_stop_submits() -> None:
    cluster = world(n=3, limit=3)
    cluster.run_for(3)
    silent, other, _ = jobs(cluster)
    cluster.start(silent, work=1e6)
    cluster.run_for(5)
    cluster.clients.pop(silent.id)
    cluster.batch.failing_cancels = 10**6
    cluster.run_for(200, tick=5.0)
    assert cluster.manager.jobs.notes.cancel_error
    cluster.kill(other, "node_fail")
    cluster.run_for(60)
    assert len(jobs(cluster)) == 2, "another one is submitted"


def test_a_cancel_is_not_repeated_at_each_listing() -> None:
    cluster = world(n=3)
    cluster.run_for(3)
    cluster.batch.failing_cancels = 10**6
    sent: list[CancelJobs] = []
    carry_out = cluster.batch.carry_out

    def count(command: object) -> object:
        sent.extend([command] if isinstance(command, CancelJobs) else [])
        return carry_out(command)  # type: ignore[arg-type]

    cluster.batch.carry_out = count  # type: ignore[assignment, method-assign]
    cluster.manager.items.cancel(0.0)
    cluster.run_for(60)
    assert 2 <= len(sent) <= 5


def test_a_job_without_work_whose_cancel_failed_is_cancelled_again() -> None:
    cluster = world(n=3, limit=3)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=1e6)
    cluster.run_for(3)
    cluster.batch.failing_cancels = 1
    for row in cluster.manager.items.rows:
        if row.phase is Phase.QUEUED:
            cluster.manager.items.apply(row.id, Cancelled(), 0.0)
    cluster.run_for(70)
    assert len(cluster.batch.living()) == 1


def test_the_reason_of_a_death_quotes_the_end_of_the_output() -> None:
    printed = "a\nb\n[adaptive_scheduler] started again\nc\n\nd\n"
    assert end_reason("1", "failed", printed) == (
        "job 1 ended: failed; the end of its output: c | d"
    )
    assert end_reason("1", "timeout") == "job 1 ended: timeout"
    assert end_reason("1", "failed", "") == "job 1 ended: failed"


def test_1_jobs_that_make_no_progress_are_submitted_less_and_less_often_and_then_not_at_all() -> (
    None
):
    """After jobs that worked; each group of them is followed by one pause, however many jobs died in it."""
    cluster = world(n=40, limit=12)
    cluster.run_for(3)
    cluster.start(jobs(cluster)[0], work=2.0)
    cluster.run_for(4)
    groups: list[float] = []
    while not cluster.manager.state.stops.held:
        assert cluster.clock.monotonic < 7200
        waiting = jobs(cluster)
        if waiting:
            groups.append(cluster.clock.monotonic)
        for job in [*waiting, *jobs(cluster, JobState.RUNNING)]:
            job.started = cluster.clock.monotonic
            cluster.kill(job, "failed")
        cluster.run_for(1)
    pauses = [after - before for before, after in pairwise(groups)]
    assert max(pauses) >= 250
    assert len(groups) < 30
    assert (
        "jobs in a row died before they asked for work; 8 pauses"
        in cluster.manager.state.stops.held
    )
    n = len(cluster.batch.jobs)
    cluster.run_for(600)
    assert len(cluster.batch.jobs) == n
    cluster.manager.jobs.resume()
    cluster.run_for(3)
    assert len(cluster.batch.jobs) > n


def test_the_cancel_of_a_silent_job_is_not_sent_if_it_was_heard_while_the_disk_was_full() -> None:
    """A command waits for the commit before it; the job may have started anew meanwhile."""
    cluster = world(n=3)
    cluster.run_for(3)
    for job in jobs(cluster)[:2]:
        cluster.start(job, work=1e6)
    cluster.run_for(5)
    heard, silent = list(cluster.clients)
    manager, now = cluster.manager, cluster.manager._clock.moment
    both = CancelJobs([heard, silent], "silent for 200 s", if_silent=True)
    cluster.manager.state.jobs.live[silent].last_heard = now.monotonic - 200
    manager.state.stops.being_cancelled.update({heard: 0.0, silent: 0.0})
    sent = manager.jobs.still_to_send(both, now)
    assert isinstance(sent, CancelJobs)
    assert sent.jobs == [silent]
    assert heard not in manager.state.stops.being_cancelled, "it may be given work again"
    cluster.manager.state.jobs.live[silent].last_heard = now.monotonic
    assert manager.jobs.still_to_send(both, now) is None
    useless = CancelJobs([heard], "no work is left for it")
    assert manager.jobs.still_to_send(useless, now) == useless
