"""What a dead process counts, and what a cancel leaves to see."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.outputs import explain_early_death
from adaptive_scheduler.core.jobs.reconcile import EARLY_DEATHS
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.events import Raised
from adaptive_scheduler.core.rows.item_table import ItemTable
from adaptive_scheduler.core.rows.items import step
from adaptive_scheduler.core.rows.retry_decision import Budget
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.rows.run_state import RunState
from adaptive_scheduler.core.wire.messages import Assigned, Claim, Owner, Release, Report
from adaptive_scheduler.manager.clients import DatabaseManager, Moment
from adaptive_scheduler.manager.jobs import JobManager

OWNER = Owner("1_0", 0, 0, "u")


def held(**changes: int) -> Item:
    return Item(0, "/x", Phase.RUNNING, job="1_0", owner=OWNER, token=1, **changes)


def test_a_dead_worker_counts_as_a_crash_and_not_as_a_failure() -> None:
    event = Raised(1, "a worker process died", crash=True)
    after = step(held(), event, 1.0, Budget(max_fails=0, max_crashes=1))
    assert isinstance(after, Item)
    assert (after.phase, after.fails, after.crashes) == (Phase.QUEUED, 0, 1)
    given_up = step(held(crashes=1), event, 1.0, Budget(max_fails=0, max_crashes=1))
    assert isinstance(given_up, Item)
    assert given_up.phase is Phase.FAILED
    assert given_up.reason == "a worker process died (2 times)"


def test_a_cancelled_item_keeps_its_last_report() -> None:
    table = ItemTable([Item(0, "/x", Phase.QUEUED), Item(1, "/y", Phase.QUEUED)], Budget())
    assert isinstance(table.claim(OWNER, 0, 1.0), Item)
    table.cancel(2.0, {0: Report(npoints=70, seconds=3.0)})
    row = table.rows[0]
    assert (row.phase, row.npoints, row.worked) == (Phase.CANCELLED, 70, 3.0)
    assert table.rows[1].phase is Phase.CANCELLED


def test_an_early_death_is_explained_without_repeats() -> None:
    dead = JobRecord("1_0", ended="unknown")
    printed = "no such file\n[adaptive_scheduler] again\nno such file\n"
    told = explain_early_death(
        [JobRecord("0"), dead, JobRecord("2", has_worked=True, ended="x")], lambda _: printed
    )
    assert told == ". The last output of job 1_0: no such file"
    assert explain_early_death([dead], lambda _: None) == ""


@pytest.mark.parametrize(
    ("printed", "cause", "words"),
    [
        ("", "completed", "its output file is empty, and it ended with 0: look at the login"),
        ("", "unknown", "its output file is empty: look at the login profile"),
        ("", "failed", "its output file is empty: look at the login profile"),
        (
            None,
            "completed",
            "it has no output file, and it ended with 0: look at the login profile",
        ),
        ("Welcome\n", "completed", "The last output of job 7: Welcome. It ended with 0, before"),
        ("ImportError: x\n", "failed", "The last output of job 7: ImportError: x"),
    ],
)
def test_a_job_that_died_silently_says_why(printed: str | None, cause: str, words: str) -> None:
    told = explain_early_death([JobRecord("7", ended=cause)], lambda _: printed)
    assert words in told
    assert ("login profile" in told) is (cause == "completed" or printed == "")


@pytest.mark.parametrize("printed", [None, "[adaptive_scheduler] The client ended with status 1\n"])
def test_a_login_profile_is_not_blamed_where_the_script_began(printed: str | None) -> None:
    assert explain_early_death([JobRecord("7", ended="failed")], lambda _: printed) == ""


def test_jobs_that_get_nowhere_are_told_and_waited_with() -> None:
    table = ItemTable([Item(0, "/x", Phase.QUEUED)], Budget())
    config = RunConfig("ab12", [Resources()], ["run"], "/logs")
    state = RunState(table, JobTable([], [], 0.0), config)
    manager, jobs = DatabaseManager(state), JobManager(state)

    def shift(job: int, points: int) -> None:
        owner, now = Owner(f"{job}", 0, 0, f"u{job}"), Moment(float(job), float(job))
        given = manager.handle(owner, 1, Claim(), now)
        assert isinstance(given, Assigned)
        report = Report(new_points=points, seconds=5.0)
        manager.handle(owner, 2, Release(given.token, "deadline", report), now)

    for job in range(EARLY_DEATHS):
        assert not state.backoff_reason
        shift(job, points=0)
    assert "its walltime is too short" in state.backoff_reason
    jobs.resume()
    assert not state.backoff_reason
    for job in range(100, 100 + EARLY_DEATHS):
        shift(job, points=0)
    shift(200, points=1)
    assert not state.backoff_reason
