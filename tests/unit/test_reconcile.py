"""What is decided after a good listing of the queue: each rule by itself."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from adaptive_scheduler.core.config import JobLimits, Timing
from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.commands import (
    Action,
    CancelJobs,
    ForgetSubmit,
    FreeItem,
    Hold,
    MarkDead,
    SubmitJobs,
)
from adaptive_scheduler.core.jobs.job_table import JobTable
from adaptive_scheduler.core.jobs.job_tracking import PendingSubmit, TrackedJob
from adaptive_scheduler.core.jobs.reconcile import (
    EARLY_DEATHS,
    EXIT_GRACE,
    ItemCounts,
    ObservedJobs,
    reconcile,
)
from adaptive_scheduler.core.jobs.records import JobRecord, SubmitRecord

NOW = 1e7
TIMING = Timing(lease=30, grace=60, patience=900)
P, R, A, E = JobState.PENDING, JobState.RUNNING, JobState.ALIVE, JobState.ENDED
#: Fields of a `JobRecord`, as far as a job of a test has them.
RECORD = ("shape", "goodbye", "has_worked", "host")


def job(
    name: str = "1",
    *,
    state: JobState | None = None,
    silent: float = 0.0,
    age: float = 1000.0,
    ending: str = "",
    **fields: Any,
) -> TrackedJob:
    """A job that was heard `silent` seconds ago, and of which the last listing shows `state`."""
    record = JobRecord(name, **{key: fields.pop(key) for key in RECORD if key in fields})
    row = None if state is None else ListedJob(JobId(name), state, state.value)
    return TrackedJob(
        record, NOW - age, NOW - silent, listed=row,
        last_pending=NOW if state is P else float("-inf"),
        ending=Ending(JobId(name), ending) if ending else None, **fields,
    )  # fmt: skip


def submit(number: int, n: int, age: float, absences: int) -> PendingSubmit:
    return PendingSubmit(SubmitRecord(number, 0, n, "job", 0.0), NOW - age, [], absences)


def decide(
    *jobs: TrackedJob,
    queued: dict[int, int] | None = None,
    running: int = 0,
    limit: int = 10,
    **observed: Any,
) -> list[Action]:
    counts = ItemCounts({0: 5} if queued is None else queued, {0: running})
    return reconcile(counts, ObservedJobs(NOW, jobs, **observed), JobLimits(limit), TIMING)


def deaths(*jobs: TrackedJob, holders: tuple[str, ...] = ()) -> list[Action]:
    found = decide(*jobs, limit=0, holders=holders)
    return [action for action in found if not isinstance(action, (SubmitJobs, CancelJobs))]


# ------------------------------------------------------------------------- who is dead


@pytest.mark.parametrize(
    ("fields", "dead"),
    [
        # heard: a listing without it and a lease that is out
        ({"was_heard": True, "silent": 31.0, "absences": 1}, True),
        ({"was_heard": True, "silent": 29.0, "absences": 9}, False),
        ({"was_heard": True, "silent": 9e9, "state": R}, False),
        ({"was_heard": True, "silent": 9e9, "state": A}, False),
        ({"was_heard": True, "silent": 29.0, "absences": 1, "ending": "failed"}, False),
        ({"was_heard": True, "silent": 31.0, "state": E}, True),
        ({"was_heard": True, "silent": 29.0, "state": E}, False),
        # it said goodbye
        ({"was_heard": True, "goodbye": "over", "absences": 1}, True),
        ({"was_heard": True, "goodbye": "over", "state": R}, False),
        # never heard: two good listings and the grace, or accounting
        ({"absences": 1, "age": 1000.0}, False),
        ({"absences": 2, "age": 59.0}, False),
        ({"absences": 2, "age": 60.0}, True),
        ({"absences": 1, "age": 1.0, "ending": "failed"}, True),
        ({"state": E, "age": 1.0}, True),
        ({"state": P, "age": 9e9}, False),
        ({"state": A, "age": 9e9}, False),
        # started by hand: no listing shows it
        ({"name": "local:1", "was_heard": True, "silent": 29.0}, False),
        ({"name": "local:1", "was_heard": True, "silent": 31.0}, True),
        ({"name": "local:1", "goodbye": "over"}, True),
    ],
)
def test_fault_09_10_dead_only_when_two_sources_agree(
    fields: dict[str, object], dead: bool
) -> None:
    """Faults 9 and 10."""
    found = deaths(job(**fields))
    assert [type(action) for action in found] == [MarkDead] * dead


@pytest.mark.parametrize(
    ("fields", "cause", "crash"),
    [
        ({"ending": "failed"}, "failed", True),
        ({"ending": "out_of_memory"}, "out_of_memory", True),
        ({"ending": ""}, "unknown", True),
        ({"ending": "timeout"}, "timeout", False),
        ({"ending": "cancelled"}, "cancelled", False),
        ({"ending": "node_fail"}, "node_fail", False),
        ({"ending": "preempted"}, "preempted", False),
        ({"goodbye": "over"}, "goodbye", False),
        ({"goodbye": "over", "ending": "failed"}, "failed", False),
    ],
)
def test_only_a_fault_of_the_job_itself_is_a_crash(
    fields: dict[str, object], cause: str, crash: bool
) -> None:
    found = deaths(job(was_heard=True, silent=31.0, absences=1, **fields))
    assert found == [MarkDead("1", cause, crash)]


def test_deaths_are_returned_alone_because_they_change_the_counts() -> None:
    found = decide(job(was_heard=True, silent=31.0, absences=1), job("2", state=P), holders=("1",))
    assert [type(action) for action in found] == [MarkDead]


def test_fault_11_the_item_of_a_requeued_job_is_freed_when_the_lease_is_out() -> None:
    pending = job(state=P, was_heard=True, silent=29.0)
    assert deaths(pending, holders=("1",)) == []
    pending.last_heard -= 2.0
    assert deaths(pending, holders=("1",)) == [FreeItem("1", "its job was requeued")]


# ---------------------------------------------------------------------- silent ones


def test_a_silent_job_is_cancelled_after_the_patience() -> None:
    silent = job(state=R, was_heard=True, silent=929.0)
    assert decide(silent, limit=1, holders=("1",)) == []
    silent.last_heard -= 2.0
    assert decide(silent, limit=1, holders=("1",)) == [
        CancelJobs(["1"], "silent for 931 s", if_silent=True)
    ]


def test_a_cancel_that_has_no_effect_does_not_stop_submits() -> None:
    found = decide(job(state=A, was_heard=True, silent=1e6), limit=3, holders=("1",))
    assert [type(action) for action in found] == [CancelJobs, SubmitJobs]


@pytest.mark.parametrize(
    "fields", [{"state": P}, {"name": "local:1", "silent": 0.0}, {"absences": 1}]
)
def test_a_pending_or_unlisted_job_is_never_cancelled_for_silence(
    fields: dict[str, object],
) -> None:
    silent = {"silent": 1e6, **fields}
    assert not any(isinstance(action, CancelJobs) for action in decide(job(**silent)))


# -------------------------------------------------------------------------- balance


def test_no_more_than_needed_and_no_more_than_allowed() -> None:
    assert decide() == [SubmitJobs(0, 5)]
    assert decide(limit=3) == [SubmitJobs(0, 3)]
    assert decide(job(state=P), limit=3) == [SubmitJobs(0, 2)]
    assert decide(job(state=R, was_heard=True), limit=1, holders=("1",)) == []


def test_a_job_that_will_take_an_item_is_counted_once() -> None:
    jobs = [job("1", state=R, was_heard=True), job("2", state=P), job("3")]
    assert decide(*jobs) == [SubmitJobs(0, 2)]


def test_a_job_that_leaves_or_is_silent_is_not_counted_on() -> None:
    jobs = [job("1", state=R, was_heard=True, goodbye="over"), job("2", state=R, silent=31.0)]
    assert decide(*jobs) == [SubmitJobs(0, 5)]


def test_fault_16_the_jobs_of_pending_submits_count() -> None:
    """Fault 16."""
    pending = [submit(1, 4, 10.0, 0)]
    assert decide(submits=pending) == [SubmitJobs(0, 1)]
    assert decide(submits=pending, limit=4) == []


def test_a_pending_submit_that_never_arrived_is_forgotten() -> None:
    assert decide(submits=[submit(7, 4, 60.0, 2)]) == [ForgetSubmit(7)]
    assert decide(submits=[submit(7, 5, 59.0, 9)]) == []
    assert decide(submits=[submit(7, 5, 99.0, 1)]) == []


def test_surplus_pending_jobs_are_cancelled_the_youngest_first() -> None:
    """Fault 23."""
    jobs = [
        job("1", state=R, was_heard=True),
        job("2", state=P),
        job("3", state=P),
        job("4", state=P),
    ]
    assert decide(*jobs, queued={0: 2}) == [CancelJobs(["3", "4"], "no work is left for it")]
    assert decide(*jobs, queued={0: 0}, running=1) == [
        CancelJobs(["2", "3", "4"], "no work is left for it")
    ]


def test_a_running_job_is_never_surplus() -> None:
    jobs = [job(str(n), state=R, was_heard=True) for n in range(5)]
    assert decide(*jobs, queued={0: 0}, running=1) == []


def test_of_jobs_above_a_lowered_limit_the_youngest_that_wait_are_cancelled() -> None:
    """Else those that run would leave for them, and they may wait for days."""
    why = "the run may have fewer jobs by now"
    runs = [job(str(n), state=R, was_heard=True) for n in range(2)]
    waits = [job(str(n), state=P, shape=n % 2) for n in range(2, 6)]
    enough = {"queued": {0: 9, 1: 9}}
    assert decide(*runs, *waits, limit=6, **enough) == []
    assert decide(*runs, *waits, limit=4, **enough) == [CancelJobs(["4", "5"], why)]
    assert decide(*waits, limit=1, **enough) == [CancelJobs(["3", "4", "5"], why)]
    assert decide(*runs, *waits, limit=1, **enough) == [CancelJobs(["2", "3", "4", "5"], why)]
    assert decide(*waits, limit=4, at_work=3, **enough) == [CancelJobs(["3", "4", "5"], why)]
    assert decide(*waits, limit=4, submits=[submit(1, 1, 9, 0)], **enough) == [CancelJobs(["5"], why)]  # fmt: skip
    going = {"being_cancelled": {"2"}, "holders": {"3"}}
    assert decide(*waits, limit=2, **enough, **going)[1:] == [CancelJobs(["5"], why)]
    assert decide(*waits, limit=2, queued={0: 0, 1: 9}) == [CancelJobs(["2", "4"], "no work is left for it")]  # fmt: skip
    assert decide(*waits, limit=0, **enough) == [], "a manager that submits nothing"


def test_shapes_share_the_room() -> None:
    assert decide(queued={0: 100, 1: 100}, limit=10) == [SubmitJobs(0, 5), SubmitJobs(1, 5)]
    assert decide(queued={0: 2, 1: 100, 2: 100}, limit=10) == [
        SubmitJobs(0, 2), SubmitJobs(1, 4), SubmitJobs(2, 4),
    ]  # fmt: skip
    assert decide(queued={0: 1, 1: 1, 2: 1}, limit=1) == [SubmitJobs(0, 1)]


def test_a_job_of_one_shape_is_no_help_to_another() -> None:
    assert decide(job(state=P, shape=1), queued={0: 1, 1: 1}) == [SubmitJobs(0, 1)]


def test_nothing_is_submitted_while_held_but_surplus_is_cancelled() -> None:
    assert decide(blocked="broken") == []
    found = decide(job(state=P), queued={0: 0}, running=1, blocked="broken")
    assert found == [CancelJobs(["1"], "no work is left for it")]


# -------------------------------------------------------------------------- the hold


def test_the_run_is_held_when_all_first_jobs_died() -> None:
    first = Hold(f"all of the first {EARLY_DEATHS} jobs died before they asked for work")
    assert decide(job(state=P), early_deaths=EARLY_DEATHS) == [first]
    assert isinstance(decide(early_deaths=1)[0], SubmitJobs), "one may have met a bad node"
    assert isinstance(decide(early_deaths=2)[0], Hold), "both died, and none is left"
    assert isinstance(decide(job(state=P), early_deaths=1)[0], SubmitJobs)
    assert isinstance(decide(early_deaths=EARLY_DEATHS, given_work=1)[0], SubmitJobs)
    assert decide(early_deaths=EARLY_DEATHS, blocked="already") == []


# --------------------------------------------------------------------------- the end


def test_fault_23_at_the_end_pending_jobs_are_cancelled_at_once_and_running_ones_later() -> None:
    jobs = [job("1", state=R, was_heard=True), job("2", state=P), job("3"), job("4", state=R)]
    end = {"queued": {}, "over_for": 0.0}
    assert decide(*jobs, **end) == [CancelJobs(["2", "3"], "all work is done")]  # type: ignore[arg-type]
    end["over_for"] = EXIT_GRACE + 0.1
    assert decide(*jobs, **end) == [CancelJobs(["1", "2", "3", "4"], "all work is done")]  # type: ignore[arg-type]


def test_a_script_started_by_hand_is_never_cancelled() -> None:
    assert decide(job("local:1", was_heard=True), queued={}, over_for=1e6) == []


# ------------------------------------------------------------------------- any state

ROWS = st.builds(ListedJob, st.just(JobId("1")), st.sampled_from([P, R, A, E]), st.just("X"))
RECORDS = st.builds(
    JobRecord,
    id=st.uuids().map(str) | st.uuids().map("local:{}".format),
    shape=st.integers(0, 2),
    has_worked=st.booleans(),
    goodbye=st.sampled_from(["", "nothing to do"]),
    host=st.sampled_from(["", "host"]),
)
JOBS = st.builds(
    TrackedJob,
    RECORDS,
    known_since=st.sampled_from([0.0, 100.0]).map(NOW.__sub__),
    last_heard=st.sampled_from([0.0, 20.0, 30.0, 31.0, 2000.0]).map(NOW.__sub__),
    was_heard=st.booleans(),
    listed=st.none() | ROWS,
    last_pending=st.sampled_from([float("-inf"), NOW - 25, NOW]),
    absences=st.integers(0, 3),
    ending=st.none()
    | st.builds(Ending, st.just(JobId("1")), st.sampled_from(["failed", "timeout"])),
    node=st.sampled_from(["", "node"]),
)
SUBMITS = st.builds(
    PendingSubmit,
    st.builds(
        SubmitRecord, st.integers(1, 9), st.integers(0, 2), st.integers(1, 5), st.just("job"),
        st.just(0.0),
    ),
    st.just(NOW - 1),
)  # fmt: skip


@given(
    st.lists(st.tuples(JOBS, st.booleans()), max_size=8),
    st.lists(SUBMITS, max_size=2),
    st.dictionaries(st.integers(0, 2), st.integers(0, 9)),
    st.integers(0, 12),
)
def test_in_any_state_the_limit_holds_and_no_job_at_work_is_cancelled(
    jobs: list[tuple[TrackedJob, bool]],
    submits: list[PendingSubmit],
    queued: dict[int, int],
    limit: int,
) -> None:
    everyone = {one.id: one for one, _ in jobs}
    holders = {one.id for one, holds in jobs if holds}
    actions = decide(
        *everyone.values(),
        holders=holders, submits=submits, queued=queued, limit=limit, running=1,
    )  # fmt: skip
    new = sum(action.n for action in actions if isinstance(action, SubmitJobs))
    there = sum(not one.record.external for one in everyone.values())
    there += sum(pending.missing for pending in submits)
    assert new == 0 or there + new <= limit
    for action in actions:
        if isinstance(action, SubmitJobs):
            assert 0 < action.n <= queued[action.shape]
        if isinstance(action, CancelJobs):
            for name in action.jobs:
                silence = everyone[name].silence(NOW)
                assert name not in holders or silence > TIMING.lease + TIMING.patience
                assert not everyone[name].record.external or everyone[name].listed


@given(
    st.lists(st.tuples(JOBS, st.booleans()), max_size=8),
    st.dictionaries(st.integers(0, 2), st.integers(0, 9)),
    st.integers(0, 12),
    st.sampled_from([0.0, 1e6]),
    st.sampled_from([0, 1, 2, EARLY_DEATHS]),
)
def test_jobs_at_work_change_no_decision(
    jobs: list[tuple[TrackedJob, bool]],
    queued: dict[int, int],
    limit: int,
    over_for: float,
    early_deaths: int,
) -> None:
    """They are left out of what `reconcile` is given; with them it would decide the same."""
    table = JobTable([], [], NOW)
    table.live.update((one.id, one) for one, _ in jobs)
    holders = {one.id for one, holds in jobs if holds}
    to_judge, nodes = table.to_judge(holders, NOW, TIMING.lease)
    assert nodes == {one.node_name for one in table.live.values() if one.record.has_worked} - {""}
    options: dict[str, Any] = {
        "queued": queued, "limit": limit, "over_for": over_for, "early_deaths": early_deaths,
        "holders": holders,
    }  # fmt: skip
    with_all = decide(*table.live.values(), **options)
    assert decide(*to_judge, at_work=len(table.live) - len(to_judge), **options) == with_all
