"""What is kept of a run's past: sums against a history made by hand, and what thinning may not change."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptive_scheduler.core.history.bins import MOST, Bins
from adaptive_scheduler.core.history.core_use import PARTS, core_use, waits
from adaptive_scheduler.core.history.fold import MOST_REASONS, HistoryFold, RowChange
from adaptive_scheduler.core.history.records import CoreUse, OpenStretch, RunHistory
from adaptive_scheduler.core.history.series import series
from adaptive_scheduler.core.history.thin import thin
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.row import DONE, FAILED, QUEUED, RUNNING, Phase
from adaptive_scheduler.core.wire.ends import How
from adaptive_scheduler.core.wire.messages import Owner
from adaptive_scheduler.runs.views.page.series import past
from tests.quick import usually

T = 1_700_000_000.0


def new(kind: str = "learner", cores: int = 4) -> HistoryFold:
    history = RunHistory(kind=kind)
    history.cores.of_jobs[0] = cores
    history.cores.of_tasks[0] = 2
    return HistoryFold(history)


def job(fold: HistoryFold, name: str, after: float, **fields: object) -> None:
    fold.take_clock(T + after)
    given = {"submitted": T, "owner": Owner(name, 0, 0, name), "started": T + 10}
    fold.take_job(JobRecord(name, 1, **{**given, **fields}))  # type: ignore[arg-type]


def run(fold: HistoryFold, item: int, after: float, name: str = "a", **fields: object) -> RowChange:
    row = RowChange(item, RUNNING, job=name, token=item + 1, changed=T + after, attempts=1)
    row = msgspec.structs.replace(row, **fields)
    fold.take_row(row)
    return row


def end(fold: HistoryFold, row: RowChange, phase: Phase, after: float, **fields: object) -> None:
    fold.take_row(msgspec.structs.replace(row, phase=phase, job=None, changed=T + after, **fields))


def by_hand() -> RunHistory:
    """A job of 4 cores from 10 to 110 s: first work at 20, done at 50, a crash until 70, given back at 100."""
    fold = new()
    job(fold, "a", 0, owner=None, started=0.0)
    job(fold, "a", 12, host="n1")
    job(fold, "a", 20, has_worked=True)
    end(fold, run(fold, 0, 20), DONE, 50, worked=27.0, npoints=100)
    end(fold, run(fold, 1, 50), QUEUED, 70, crashes=1, reason="a process of job 7 died")
    last = run(fold, 1, 70, token=9, crashes=1, attempts=2)
    end(fold, last, QUEUED, 100, worked=28.0, reason="deadline", crashes=1, npoints=40)
    job(fold, "a", 105, has_worked=True, goodbye="deadline", host="n1")
    job(fold, "a", 110, has_worked=True, goodbye="deadline", host="n1", ended="timeout")
    return fold.history


def test_what_was_held_is_what_became_of_it() -> None:
    history = by_hand()
    use = core_use(history, T + 1000)
    assert use == CoreUse(
        held=380.0,  # until its client left, at 105
        computing=4 * (27 + 28), starting=40.0, saving=4 * (3 + 2), crashes=80.0, walltime=20.0,
        idle=0.0,
    )  # fmt: skip
    assert waits(history.jobs) == [10.0]
    assert [(one.item, one.how, one.points) for one in history.stretches] == [
        (0, How.DONE, 100), (1, How.CRASHED, 0), (1, How.WALLTIME, 40),
    ]  # fmt: skip


def test_a_run_that_goes_on_is_counted_until_now() -> None:
    fold = new()
    job(fold, "a", 10, host="n1")
    run(fold, 0, 20)
    use = core_use(fold.history, T + 60)
    assert use == CoreUse(held=200.0, computing=160.0, starting=40.0)
    lines = series(fold.history, T + 60)
    held = sum(one * lines.width for one in lines.cores_held)
    assert held == pytest.approx(200.0, rel=0.05)


def test_the_first_tries_are_in_the_series_before_any_has_ended() -> None:
    fold = new()
    job(fold, "a", 0, owner=None, started=0.0)
    job(fold, "a", 12, host="n1")
    run(fold, 0, 20, npoints=5)
    found = series(fold.history, T + 40, npoints={0: 105})
    assert sum(found.points) * found.width == pytest.approx(100)
    samples = past(fold.history, T + 40, {0: 105})
    assert len(samples) > 10, "a chart of a view that is opened now has what was before"
    assert samples[-2][1:] == (4.0, 4.0, 5.0)
    assert past(RunHistory(), T, {}) == []


def test_tasks_of_a_job_run_side_by_side_and_what_failed_is_lost() -> None:
    fold = new("task")
    job(fold, "a", 10, has_worked=True, started=T + 10)
    rows = [run(fold, n, 20, kind="task", attempts=0) for n in range(3)]
    end(fold, rows[0], DONE, 40, worked=15.0, attempts=1)
    end(fold, rows[1], QUEUED, 40, worked=15.0, attempts=1, fails=1, reason="exit status 3")
    end(fold, rows[2], QUEUED, 40)  # it came back before it had begun
    job(fold, "a", 50, has_worked=True, ended="completed")
    use = core_use(fold.history, T + 99)
    assert [one.how for one in fold.history.stretches] == [How.DONE, How.FAILED]
    assert (use.held, use.computing, use.crashes, use.saving) == (160.0, 30.0, 30.0, 0.0)
    assert use.starting + use.idle == 100.0


def test_a_job_that_never_asked_for_work_was_lost_to_start_up() -> None:
    fold = new()
    job(fold, "a", 10)
    job(fold, "a", 40, ended="failed")
    assert core_use(fold.history, T + 99) == CoreUse(held=120.0, starting=120.0)


def test_a_job_believed_dead_that_lives_is_counted_once() -> None:
    fold = new()
    for after, ended in ((10, ""), (40, "unknown"), (50, ""), (60, "completed")):
        job(fold, "a", after, ended=ended)
    assert core_use(fold.history, T + 99).held == 200.0
    assert sum(fold.history.bins.held) == pytest.approx(200.0)


def test_how_a_try_ended_is_what_was_recorded_whatever_the_words_say() -> None:
    fold = new()
    job(fold, "a", 10)
    said = "the walltime of your model is over its deadline"
    end(fold, run(fold, 0, 20), QUEUED, 30, how=How.GIVEN_BACK, reason=said, cuts=1)
    end(fold, run(fold, 1, 30), QUEUED, 40, how=How.WALLTIME, reason="a word of no meaning")
    end(fold, run(fold, 2, 40), QUEUED, 50, how=How.LOST, reason=said, crashes=1)
    end(fold, run(fold, 3, 50), QUEUED, 60, how=How.NOT_BEGUN, reason=said)
    end(fold, run(fold, 4, 60), QUEUED, 70, how=99, reason="deadline")  # of a newer version
    end(fold, run(fold, 5, 70), DONE, 80, how=-1)
    assert [(one.item, one.how) for one in fold.history.stretches] == [
        (0, How.GIVEN_BACK), (1, How.WALLTIME), (2, How.LOST), (4, How.WALLTIME), (5, How.DONE),
    ]  # fmt: skip


def test_loading_and_saving_are_not_computing() -> None:
    fold = new()
    job(fold, "a", 20, started=T + 20)
    end(fold, run(fold, 0, 20), DONE, 50, worked=30.0, data_seconds=12.0)
    again = run(fold, 1, 50, token=7, worked=100.0, data_seconds=40.0)  # of earlier tries
    end(fold, again, QUEUED, 60, worked=110.0, data_seconds=43.0, how=How.WALLTIME)
    job(fold, "a", 60, started=T + 20, goodbye="deadline", ended="goodbye", has_worked=True)
    use = core_use(fold.history, T + 99)
    assert (use.held, use.computing, use.saving) == (160.0, 4 * (18.0 + 7.0), 4 * (12.0 + 3.0))
    lines = series(fold.history, T + 99)
    assert sum(lines.cores_used) * lines.width == pytest.approx(use.computing, rel=0.05)


def test_a_try_that_an_older_version_began_has_no_time_of_its_data() -> None:
    began = msgspec.msgpack.encode([0, 7, T, 4, 1.5, 3, 1, 0, 0, 0, 0])
    assert msgspec.msgpack.decode(began, type=OpenStretch).data_seconds == 0.0


def test_a_change_that_is_told_twice_counts_once() -> None:
    fold = new()
    job(fold, "a", 10)
    row = run(fold, 0, 20)
    run(fold, 0, 20)
    end(fold, row, DONE, 30, worked=9.0)
    before = msgspec.msgpack.encode(fold.history)
    end(fold, row, DONE, 30, worked=9.0)
    assert msgspec.msgpack.encode(fold.history) == before


def test_the_next_claim_ends_a_try_whose_own_end_was_not_seen() -> None:
    fold = new()
    job(fold, "a", 10)
    first = run(fold, 0, 20)
    run(fold, 0, 30, "b", token=first.token + 1, attempts=2, crashes=1)
    (one,) = fold.history.stretches
    assert (one.how, one.ended - one.began) == (How.CRASHED, 10.0)


def test_reasons_that_differ_in_numbers_are_one_and_they_are_few() -> None:
    fold = new()
    for n in range(3 * MOST_REASONS):
        row = run(fold, n, 20 + n)
        word = "".join(chr(97 + int(digit)) for digit in str(n // 2))
        end(fold, row, QUEUED, 21 + n, fails_in_all=1, reason=f"no such {word} at x={n}.5")
    assert len(fold.history.reasons) == MOST_REASONS
    assert fold.history.reasons[0] == "no such a at x=0.5"


# ------------------------------------------------------------------------- thinning

Tries = st.lists(
    st.tuples(
        st.integers(0, 5), st.floats(0.0, 500.0), st.floats(0.0, 500.0),
        st.sampled_from([DONE, QUEUED, FAILED]), st.integers(0, 1),
    ), max_size=40,
)  # fmt: skip


def any_history(tries: list[tuple[int, float, float, Phase, int]]) -> RunHistory:
    fold = new()
    for n, (where, began, lasted, phase, crashes) in enumerate(tries):
        name = f"j{where}"
        if not any(one.id == name for one in fold.history.jobs):
            job(fold, name, 10)
        row = run(fold, n, 10 + began, name)
        end(fold, row, phase, 10 + began + lasted, worked=lasted / 2, crashes=crashes)
    for n, one in enumerate(list(fold.history.jobs)):
        if n % 2:
            job(fold, one.id, 2000, ended="completed")
    return fold.history


@given(Tries, st.integers(0, 10), st.integers(0, 6))
@settings(max_examples=usually(200, quick=40), deadline=None)
def test_thinning_keeps_every_sum_and_what_is_left_fits(
    tries: list[tuple[int, float, float, Phase, int]], most_stretches: int, most_jobs: int
) -> None:
    history = any_history(tries)
    before, known = core_use(history, T + 3000), len(history.stretches)
    live = {one.id for one in history.jobs if not one.ended}
    names = {id(one): history.jobs[one.job].id for one in history.stretches}
    thin(history, most_stretches, most_jobs)
    after = core_use(history, T + 3000)
    for name in ("held", *PARTS):
        assert getattr(after, name) == pytest.approx(getattr(before, name), abs=1e-6)
    assert sum(getattr(after, name) for name in PARTS) == pytest.approx(after.held, abs=1e-6)
    assert len(history.stretches) <= most_stretches
    assert len(history.jobs) <= max(most_jobs, len(live))
    assert live <= {one.id for one in history.jobs}
    assert history.past.stretches + len(history.stretches) == known
    assert all(history.jobs[one.job].id == names[id(one)] for one in history.stretches)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(history), type=RunHistory)
    assert again == history


@given(
    st.lists(
        st.tuples(st.floats(0, 1e7), st.floats(0, 1e6), st.floats(0.1, 1e6)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=usually(200, quick=40), deadline=None)
def test_bins_stay_few_and_lose_nothing(spans: list[tuple[float, float, float]]) -> None:
    bins = Bins()
    for start, length, amount in spans:
        bins.add("used", T + start, T + start + length, amount)
    assert len(bins.used) == len(bins.held) <= 2 * MOST
    assert sum(bins.used) == pytest.approx(sum(amount for *_, amount in spans), rel=1e-6)


def test_times_of_a_clock_that_was_set_wrong_cost_no_memory() -> None:
    bins = Bins()
    bins.add("used", T, T + 10, 10.0)
    for start, last in ((5.0, T), (T, 1e300), (float("nan"), T), (0.0, T)):
        bins.add("used", start, last, 10.0)
    assert len(bins.used) <= MOST
    assert sum(bins.used) == pytest.approx(10.0)


def test_two_changes_of_a_try_take_less_than_a_hundred_bytes_each() -> None:
    fold = new()
    job(fold, "1234567_89", 10)
    empty = len(msgspec.msgpack.encode(fold.history))
    for n in range(1000):
        row = run(fold, 100_000 + n, 20 + n, "1234567_89")
        end(fold, row, DONE, 21 + n, worked=0.9, npoints=10_000)
    size = len(msgspec.msgpack.encode(fold.history)) - empty
    assert size / 2000 <= 60  # with the spans of time, which come once
