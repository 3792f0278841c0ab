"""What to do after a good look at the queue: each rule alone."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from adaptive_scheduler.core.config import JobLimits, Timing
from adaptive_scheduler.core.jobs.batch_jobs import Ending, JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.job_tracking import TrackedJob, survey, view
from adaptive_scheduler.core.jobs.reconcile import (
    EARLY_DEATHS,
    EXIT_GRACE,
    Action,
    BuryJob,
    CancelJobs,
    Counts,
    ForgetSubmit,
    FreeItem,
    Hold,
    JobView,
    Observed,
    SubmitJobs,
    SubmitView,
    reconcile,
)
from adaptive_scheduler.core.jobs.records import JobRecord

TIMING = Timing(lease=30, grace=60, patience=900)
P, R, A, E = JobState.PENDING, JobState.RUNNING, JobState.ALIVE, JobState.ENDED


def job(name: str = "1", **fields: object) -> JobView:
    return msgspec.structs.replace(JobView(name, 0, 1, age=1000.0), **fields)


def decide(
    *jobs: JobView,
    queued: dict[int, int] | None = None,
    running: int = 0,
    limit: int = 10,
    **observed: object,
) -> list[Action]:
    counts = Counts({0: 5} if queued is None else queued, {0: running})
    return reconcile(counts, Observed(jobs, **observed), JobLimits(limit), TIMING)  # type: ignore[arg-type]


def deaths(*jobs: JobView) -> list[Action]:
    return [a for a in decide(*jobs, limit=0) if not isinstance(a, (SubmitJobs, CancelJobs))]


# ------------------------------------------------------------------------- who is dead


@pytest.mark.parametrize(
    ("fields", "dead"),
    [
        # heard: a listing without it and a lease that is out
        ({"spoke": True, "silent": 31.0, "absences": 1}, True),
        ({"spoke": True, "silent": 29.0, "absences": 9}, False),
        ({"spoke": True, "silent": 9e9, "listed": R}, False),
        ({"spoke": True, "silent": 9e9, "listed": A}, False),
        ({"spoke": True, "silent": 29.0, "absences": 1, "ending": "failed"}, False),
        ({"spoke": True, "silent": 31.0, "listed": E}, True),
        ({"spoke": True, "silent": 29.0, "listed": E}, False),
        # it said goodbye
        ({"spoke": True, "goodbye": True, "absences": 1}, True),
        ({"spoke": True, "goodbye": True, "listed": R}, False),
        # never heard: two good listings and the grace, or accounting
        ({"absences": 1, "age": 1000.0}, False),
        ({"absences": 2, "age": 59.0}, False),
        ({"absences": 2, "age": 60.0}, True),
        ({"absences": 1, "age": 1.0, "ending": "failed"}, True),
        ({"listed": E, "age": 1.0}, True),
        ({"listed": P, "age": 9e9}, False),
        ({"listed": A, "age": 9e9}, False),
        # started by hand: no listing shows it
        ({"external": True, "spoke": True, "silent": 29.0}, False),
        ({"external": True, "spoke": True, "silent": 31.0}, True),
        ({"external": True, "goodbye": True}, True),
    ],
)
def test_fault_09_10_dead_only_when_two_sources_agree(
    fields: dict[str, object], dead: bool
) -> None:
    """Faults 9 and 10."""
    found = deaths(job(**fields))
    assert [type(action) for action in found] == [BuryJob] * dead


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
        ({"goodbye": True}, "goodbye", False),
        ({"goodbye": True, "ending": "failed"}, "failed", False),
    ],
)
def test_only_its_own_fault_is_a_crash(fields: dict[str, object], cause: str, crash: bool) -> None:
    found = deaths(job(spoke=True, silent=31.0, absences=1, **fields))
    assert found == [BuryJob("1", cause, crash)]


def test_deaths_come_alone_because_the_counts_change() -> None:
    found = decide(job(spoke=True, silent=31.0, absences=1, holds=True), job("2", listed=P))
    assert [type(action) for action in found] == [BuryJob]


def test_fault_11_a_requeued_job_gives_back_its_item_when_the_lease_is_out() -> None:
    waits = job(listed=P, spoke=True, holds=True)
    assert deaths(msgspec.structs.replace(waits, silent=29.0)) == []
    assert deaths(msgspec.structs.replace(waits, silent=31.0)) == [
        FreeItem("1", "its job was requeued")
    ]


# ---------------------------------------------------------------------- silent ones


def test_a_silent_job_is_suspected_then_cancelled() -> None:
    silent = job(listed=R, spoke=True, holds=True, silent=929.0)
    assert decide(silent, limit=1) == []
    late = msgspec.structs.replace(silent, silent=931.0)
    assert decide(late, limit=1) == [CancelJobs(["1"], "silent for 931 s")]


def test_a_cancel_that_has_no_effect_holds_up_nothing_else() -> None:
    found = decide(job(listed=A, spoke=True, holds=True, silent=1e6), limit=3)
    assert [type(action) for action in found] == [CancelJobs, SubmitJobs]


@pytest.mark.parametrize(
    "fields", [{"listed": P}, {"external": True, "silent": 0.0}, {"absences": 1}]
)
def test_what_waits_or_is_not_listed_is_never_cancelled_for_silence(
    fields: dict[str, object],
) -> None:
    silent = {"silent": 1e6, **fields}
    assert not any(isinstance(action, CancelJobs) for action in decide(job(**silent)))


# -------------------------------------------------------------------------- balance


def test_no_more_than_needed_and_no_more_than_allowed() -> None:
    assert decide() == [SubmitJobs(0, 5)]
    assert decide(limit=3) == [SubmitJobs(0, 3)]
    assert decide(job(listed=P), limit=3) == [SubmitJobs(0, 2)]
    assert decide(job(listed=R, spoke=True, holds=True), limit=1) == []


def test_a_job_that_will_take_an_item_is_counted_once() -> None:
    jobs = [job("1", listed=R, spoke=True), job("2", listed=P), job("3")]
    assert decide(*jobs) == [SubmitJobs(0, 2)]


def test_nobody_waits_for_a_job_that_leaves_or_is_mute() -> None:
    jobs = [job("1", listed=R, spoke=True, goodbye=True), job("2", listed=R, silent=31.0)]
    assert decide(*jobs) == [SubmitJobs(0, 5)]


def test_fault_16_unknown_submits_count() -> None:
    """Fault 16."""
    unknown = [SubmitView(1, 0, 4, 10.0, 0)]
    assert decide(submits=unknown) == [SubmitJobs(0, 1)]
    assert decide(submits=unknown, limit=4) == []


def test_an_unknown_submit_that_never_came_is_forgotten() -> None:
    assert decide(submits=[SubmitView(7, 0, 4, 60.0, 2)]) == [ForgetSubmit(7)]
    assert decide(submits=[SubmitView(7, 0, 5, 59.0, 9)]) == []
    assert decide(submits=[SubmitView(7, 0, 5, 99.0, 1)]) == []


def test_surplus_jobs_that_wait_are_cancelled_the_youngest_first() -> None:
    """Fault 23."""
    jobs = [
        job("1", listed=R, spoke=True),
        job("2", listed=P),
        job("3", listed=P),
        job("4", listed=P),
    ]
    assert decide(*jobs, queued={0: 2}) == [CancelJobs(["3", "4"], "no work is left for it")]
    assert decide(*jobs, queued={0: 0}, running=1) == [
        CancelJobs(["2", "3", "4"], "no work is left for it")
    ]


def test_what_runs_is_never_surplus() -> None:
    jobs = [job(str(n), listed=R, spoke=True) for n in range(5)]
    assert decide(*jobs, queued={0: 0}, running=1) == []


def test_shapes_share_the_room() -> None:
    assert decide(queued={0: 100, 1: 100}, limit=10) == [SubmitJobs(0, 5), SubmitJobs(1, 5)]
    assert decide(queued={0: 2, 1: 100, 2: 100}, limit=10) == [
        SubmitJobs(0, 2), SubmitJobs(1, 4), SubmitJobs(2, 4),
    ]  # fmt: skip
    assert decide(queued={0: 1, 1: 1, 2: 1}, limit=1) == [SubmitJobs(0, 1)]


def test_a_job_of_one_shape_is_no_help_to_another() -> None:
    assert decide(job(listed=P, shape=1), queued={0: 1, 1: 1}) == [SubmitJobs(0, 1)]


def test_nothing_is_submitted_while_held_but_surplus_goes() -> None:
    assert decide(held="broken") == []
    found = decide(job(listed=P), queued={0: 0}, running=1, held="broken")
    assert found == [CancelJobs(["1"], "no work is left for it")]


# -------------------------------------------------------------------------- the hold


def test_the_run_is_held_when_all_first_jobs_died() -> None:
    first = Hold(f"all of the first {EARLY_DEATHS} jobs died before they asked for work")
    assert decide(job(listed=P), early_deaths=EARLY_DEATHS) == [first]
    assert isinstance(decide(early_deaths=1)[0], Hold), "the only one died, and none is left"
    assert isinstance(decide(job(listed=P), early_deaths=1)[0], SubmitJobs)
    assert isinstance(decide(early_deaths=EARLY_DEATHS, lived=1)[0], SubmitJobs)
    assert decide(early_deaths=EARLY_DEATHS, held="already") == []


# ------------------------------------------------------------------------ the farewell


def test_fault_23_at_the_end_what_waits_goes_at_once_and_what_runs_may_leave() -> None:
    jobs = [job("1", listed=R, spoke=True), job("2", listed=P), job("3"), job("4", listed=R)]
    end = {"queued": {}, "over_for": 0.0}
    assert decide(*jobs, **end) == [CancelJobs(["2", "3"], "all work is done")]  # type: ignore[arg-type]
    end["over_for"] = EXIT_GRACE + 0.1
    assert decide(*jobs, **end) == [CancelJobs(["1", "2", "3", "4"], "all work is done")]  # type: ignore[arg-type]


def test_a_script_started_by_hand_is_never_cancelled() -> None:
    assert decide(job(external=True, spoke=True), queued={}, over_for=1e6) == []


# ------------------------------------------------------------------------- any state

JOBS = st.builds(
    JobView,
    id=st.uuids().map(str),
    shape=st.integers(0, 2),
    submit=st.just(1),
    holds=st.booleans(),
    spoke=st.booleans(),
    goodbye=st.booleans(),
    silent=st.sampled_from([0.0, 20.0, 40.0, 2000.0]),
    age=st.sampled_from([0.0, 100.0]),
    listed=st.sampled_from([None, P, R, A, E]),
    absences=st.integers(0, 3),
    ending=st.sampled_from(["", "failed", "timeout"]),
    external=st.booleans(),
)


@given(
    st.lists(JOBS, max_size=8),
    st.lists(st.builds(SubmitView, st.integers(1, 9), st.integers(0, 2), st.integers(1, 5), st.just(1.0), st.just(0)), max_size=2),
    st.dictionaries(st.integers(0, 2), st.integers(0, 9)),
    st.integers(0, 12),
)  # fmt: skip
def test_in_any_state_the_limit_holds_and_no_worker_is_cancelled(
    jobs: list[JobView], submits: list[SubmitView], queued: dict[int, int], limit: int
) -> None:
    actions = decide(*jobs, submits=submits, queued=queued, limit=limit, running=1)
    coming = sum(action.n for action in actions if isinstance(action, SubmitJobs))
    there = sum(not one.external for one in jobs) + sum(s.n for s in submits)
    assert coming == 0 or there + coming <= limit
    by_id = {one.id: one for one in jobs if not (one.external and one.listed)}
    for action in actions:
        if isinstance(action, CancelJobs):
            for name in action.jobs:
                if name not in by_id:
                    continue  # started by hand yet listed: cannot be
                assert not by_id[name].external
                assert not by_id[name].holds or by_id[name].silent > TIMING.lease + TIMING.patience
        if isinstance(action, SubmitJobs):
            assert 0 < action.n <= queued[action.shape]


RECORDS = st.builds(
    JobRecord,
    id=st.uuids().map(str) | st.uuids().map("local:{}".format),
    shape=st.integers(0, 2),
    has_worked=st.booleans(),
    goodbye=st.sampled_from(["", "nothing to do"]),
    host=st.sampled_from(["", "host"]),
)
ROWS = st.builds(ListedJob, st.just(JobId("1")), st.sampled_from([P, R, A, E]), st.just("X"))
NOW = 5000.0
SIGNS = st.builds(
    TrackedJob,
    heard=st.sampled_from([0.0, 20.0, 30.0, 31.0, 2000.0]).map(NOW.__sub__),
    known=st.sampled_from([0.0, 100.0]).map(NOW.__sub__),
    spoke=st.booleans(),
    listed=st.none() | ROWS,
    waited=st.sampled_from([float("-inf"), NOW - 25, NOW]),
    absences=st.integers(0, 3),
    ending=st.none()
    | st.builds(Ending, st.just(JobId("1")), st.sampled_from(["failed", "timeout"])),
    node=st.sampled_from(["", "node"]),
)


@given(
    st.lists(st.tuples(RECORDS, SIGNS, st.booleans()), max_size=8),
    st.dictionaries(st.integers(0, 2), st.integers(0, 9)),
    st.integers(0, 12),
    st.sampled_from([0.0, 1e6]),
    st.sampled_from([0, 1, EARLY_DEATHS]),
)  # fmt: skip
def test_nothing_is_decided_about_the_jobs_at_work(
    jobs: list[tuple[JobRecord, TrackedJob, bool]], queued: dict[int, int], limit: int, over_for: float,
    early_deaths: int,
) -> None:  # fmt: skip
    """They are left out of what is looked at; looked at, they would not change it."""
    known = {record.id: record for record, _, _ in jobs}
    signs = {record.id: sign for record, sign, _ in jobs}
    holders = {record.id for record, _, holds in jobs if holds}
    found = survey(known, signs, holders, NOW, TIMING.lease)
    everyone = [view(known[name], signs[name], name in holders, NOW) for name in signs]
    assert len(found.views) + found.at_work == len(everyone)
    assert found.nodes == {
        sign.node or record.host for record, sign, _ in jobs if record.has_worked
    } - {""}
    options = {"queued": queued, "limit": limit, "over_for": over_for, "early_deaths": early_deaths}
    with_all = decide(*everyone, **options)  # type: ignore[arg-type]
    assert decide(*found.views, at_work=found.at_work, **options) == with_all  # type: ignore[arg-type]
