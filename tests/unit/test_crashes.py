"""What a dead process counts, and what a cancel leaves to see."""

from __future__ import annotations

from adaptive_scheduler.core.book import Book
from adaptive_scheduler.core.events import Raised
from adaptive_scheduler.core.items import Budget, Item, Phase, step
from adaptive_scheduler.core.job_records import JobRecord, last_words
from adaptive_scheduler.core.messages import Owner, Report

OWNER = Owner("1_0", 0, 0, "u")


def held(**changes: int) -> Item:
    return Item(0, "/x", Phase.RUNNING, job="1_0", owner=OWNER, token=1, **changes)


def test_a_dead_worker_is_a_crash_and_no_failure() -> None:
    event = Raised(1, "a worker process died", crash=True)
    after = step(held(), event, 1.0, Budget(max_fails=0, max_crashes=1))
    assert isinstance(after, Item)
    assert (after.phase, after.fails, after.crashes) == (Phase.QUEUED, 0, 1)
    given_up = step(held(crashes=1), event, 1.0, Budget(max_fails=0, max_crashes=1))
    assert isinstance(given_up, Item)
    assert given_up.phase is Phase.FAILED
    assert given_up.reason == "a worker process died (2 times)"


def test_a_cancel_keeps_what_was_reported() -> None:
    book = Book([Item(0, "/x", Phase.QUEUED), Item(1, "/y", Phase.QUEUED)], Budget())
    assert isinstance(book.claim(OWNER, 0, 1.0), Item)
    book.cancel(2.0, {0: Report(npoints=70, seconds=3.0)})
    row = book.rows[0]
    assert (row.phase, row.npoints, row.worked) == (Phase.CANCELLED, 70, 3.0)
    assert book.rows[1].phase is Phase.CANCELLED


def test_last_words_tell_each_thing_once() -> None:
    dead = JobRecord("1_0", ended="unknown")
    printed = "no such file\n[adaptive_scheduler] again\nno such file\n"
    told = last_words(
        [JobRecord("0"), dead, JobRecord("2", claims=1, ended="x")], lambda _: printed
    )
    assert told == ". The last words of job 1_0: no such file"
    assert last_words([dead], lambda _: "") == ""
