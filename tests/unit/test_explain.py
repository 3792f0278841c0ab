"""Why a learner, a task or a job does not run: each cause brought about, and named with its remedy.

Those of Slurm's queue are brought about on a private Slurm in ``tests/faces/test_explain_on_slurm.py``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adaptive_scheduler.core.config import JobLimits, RunConfig, Timing
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobState, QueueCause
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.reasons.explanation import Explanation
from adaptive_scheduler.core.reasons.queue_words import REMEDIES, WORDS
from adaptive_scheduler.core.reasons.table import CAUSES
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.rows.row import FAILED, Item, Phase
from adaptive_scheduler.core.tasks.resources import TaskResources
from adaptive_scheduler.core.tasks.retry_policy import RetryPolicy
from adaptive_scheduler.core.wire.messages import (
    Beat,
    Cancel,
    Fail,
    Owner,
    Refused,
    Report,
    Request,
    Status,
    decode_reply,
    encode_request,
)
from adaptive_scheduler.core.wire.reasons import Explain, Reason, Reasons
from adaptive_scheduler.core.wire.tasks import EndKind, Prioritise
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.io.storage import database, row_codec
from adaptive_scheduler.io.storage.run_config import write_config
from adaptive_scheduler.io.system.complaints import read_complaints
from adaptive_scheduler.manager.clients import Moment
from adaptive_scheduler.manager.control import ControlApi
from adaptive_scheduler.manager.explain import Explainer
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.reasons.explain import explain_item, explain_job
from adaptive_scheduler.schedulers.pbs.listing import listed_job
from adaptive_scheduler.schedulers.slurm.scheduler import FIELD, ROW, SLURM
from adaptive_scheduler.schedulers.slurm.states import queue_cause
from adaptive_scheduler.testing import VirtualJob, World
from tests.unit import test_task_manager
from tests.unit.test_pools import Head, Run, pool
from tests.unit.test_task_waits import full

PERSON = Owner("viewer", 0, 0, "viewer")
NAMES = [cause.name for cause in CAUSES]


class Cluster(World):
    """Learners on a virtual batch system, and a person who asks."""

    def __init__(self, n: int = 2, limit: int = 9, items: list[Item] | None = None) -> None:
        rows = items or [Item(row, f"/data/{row}", Phase.QUEUED) for row in range(n)]
        config = RunConfig(
            "run", [Resources()], ["job"], "/logs",
            timing=Timing(interval=30, lease=30, grace=60, patience=120),
            limits=JobLimits(limit, max_fails=1),
        )  # fmt: skip
        super().__init__(rows, config)
        self._asked = 0

    def ask(self, body: Request, owner: Owner = PERSON) -> Any:
        self._asked += 1
        return decode_reply(self.manager.answer(encode_request(owner, self._asked, body)))[1]

    def why(self, item: int = -1, job: str = "") -> list[Reason]:
        reply = self.ask(Explain(item, job))
        assert isinstance(reply, Reasons), reply
        assert [NAMES.index(one.cause) for one in reply.reasons] == sorted(
            NAMES.index(one.cause) for one in reply.reasons
        ), "the most important first"
        return reply.reasons

    def first(self, item: int = -1, job: str = "") -> Reason:
        return self.why(item, job)[0]

    def job(self, place: int = 0) -> VirtualJob:
        return self.batch.living()[place]

    def begin(self, place: int = 0, work: float = 1e6) -> VirtualJob:
        """A job that has its learner."""
        self.run_for(3)
        job = self.job(place)
        self.start(job, work=work)
        self.run_for(5)
        return job


def why(run: Any, item: int) -> list[Reason]:
    reply = run.ask(Explain(item))
    assert isinstance(reply, Reasons), reply
    return reply.reasons


def causes(run: Any, item: int) -> list[str]:
    return [one.cause for one in why(run, item)]


# ------------------------------------------------------------------- others come first


def test_it_waits_for_a_parent() -> None:
    items = [Item(0, "/a", Phase.QUEUED), Item(1, "/b", Phase.WAITING, depends_on=(0,))]
    cluster = Cluster(items=items)
    cause = cluster.first(1)
    assert (cause.cause, cause.text) == (
        "waits for a parent", "it waits for learner 0, which is queued",
    )  # fmt: skip
    cluster.begin()
    assert cluster.first(1).text == "it waits for learner 0, which runs"


def test_a_parent_of_its_parent_failed() -> None:
    items = [
        Item(0, "/a", Phase.QUEUED),
        Item(1, "/b", Phase.WAITING, depends_on=(0,)),
        Item(2, "/c", Phase.WAITING, depends_on=(1,)),
    ]
    cluster = Cluster(items=items)
    cluster.run_for(3)
    cluster.start(cluster.job()).outcomes += ["fail"] * 9
    cluster.run_for(120)
    assert cluster.manager.items.rows[0].phase is FAILED
    first = cluster.first(0)
    assert first.cause == "failed"
    assert first.text == "it was given up after 2 failures: ValueError: no"
    assert "retry" in first.remedy
    for child, through in ((1, ""), (2, " or through others")):
        (cause,) = cluster.why(child)
        assert cause.cause == "parent failed"
        assert cause.text == (f"it depends on learner 0{through}, which failed: ValueError: no")
        assert "retry learner 0" in cause.remedy


def test_it_waits_for_the_delay_after_a_failure() -> None:
    world = test_task_manager.World()
    world.submit(policy=RetryPolicy(3, delay=60.0))
    head = test_task_manager.Head(world)
    head.trade()
    head.end(head.tokens[0], EndKind.ERROR, value=b"raised")
    head.trade()
    assert causes(world.driver, 0) == ["retry delay", "was tried"]


def test_a_learner_waits_for_the_delay_after_a_failure() -> None:
    cluster = Cluster(1)
    cluster.begin()
    row = cluster.manager.items.rows[0]
    assert row.owner is not None
    cluster.manager.answer(encode_request(row.owner, 99, Fail(row.token, "ValueError: x")))
    cluster.manager.state.items.wake_delayed(cluster.clock.monotonic)
    first, second = cluster.why(0)
    assert (first.cause, second.cause) == ("retry delay", "was tried")
    assert first.text.startswith("it is tried again in 1 s")
    assert "ValueError: x" in second.text


def test_tasks_of_a_higher_priority_go_first(tmp_path: Path) -> None:
    """Where the rows are at hand: on disk, without a manager."""
    rows = [Item(n, f"/{n}", Phase.QUEUED, priority=float(n == 1)) for n in range(3)]
    viewer = ManagerClient(stored(tmp_path, rows))
    found = explain_item(viewer, 2)
    assert [one.cause for one in found.reasons] == ["manager dead", "others go first"]
    assert found.reasons[1].text == "2 learners go first: the highest has priority 1, it has 0"
    assert [one.cause for one in explain_item(viewer, 1).reasons] == ["manager dead"]


# ------------------------------------------------------------------- jobs are to come


def test_as_many_jobs_as_may_be_are_there() -> None:
    cluster = Cluster(2, limit=1)
    cluster.begin()
    row = next(row for row in cluster.manager.items.rows if row.phase is Phase.QUEUED)
    cause = cluster.first(row.id)
    assert cause.cause == "max_jobs"
    assert cause.text == "this run has 1 job, and may have 1: no more is submitted for it"
    assert "larger max_jobs" in cause.remedy


def test_the_batch_system_takes_no_more_jobs() -> None:
    cluster = Cluster(3)
    cluster.batch.limit = 1
    cluster.run_for(60)
    cluster.start(cluster.job(), work=1e6)
    cluster.run_for(30)
    row = next(row for row in cluster.manager.items.rows if row.phase is Phase.QUEUED)
    cause = cluster.first(row.id)
    assert cause.cause == "submit limit"
    assert "qsub: would exceed the limit" in cause.text


def test_the_batch_system_is_busy_or_away() -> None:
    cluster = Cluster(1)
    cluster.batch.submit_faults += ["busy"] * 20
    cluster.run_for(4)
    assert cluster.first(0).cause == "submit postponed"
    assert "try again later" in cluster.first(0).text
    cluster.batch.listing_faults += ["fails"] * 20
    cluster.run_for(60)
    first, *others = cluster.why(0)
    assert first.cause == "batch system away"
    assert "Unable to contact slurm controller" in first.text
    assert "submit postponed" in {one.cause for one in others}


def test_a_job_is_submitted_within_moments_and_then_waits_in_the_queue() -> None:
    cluster = Cluster(1)
    assert cluster.first(0).cause == "job to come"
    cluster.run_for(3)
    cause = cluster.first(0)
    assert (cause.cause, cause.text) == (QueueCause.OTHER, "1 job in the queue waits")
    job = cluster.job()
    assert cluster.first(job=job.id).text == "it waits in the queue"


def test_the_run_is_held() -> None:
    cluster = Cluster(1)
    cluster.batch.submit_faults += ["impossible"]
    cluster.run_for(4)
    cause = cluster.first(0)
    assert cause.cause == "run held"
    assert "try again later" in cause.text
    assert "resume()" in cause.remedy


def test_the_run_was_cancelled_or_one_learner_alone() -> None:
    cluster = Cluster(1)
    cluster.ask(Cancel())
    assert [one.cause for one in cluster.why(0)] == ["run cancelled"]
    alone = Item(0, "/a", Phase.CANCELLED, reason="cancelled")
    assert [one.cause for one in Cluster(items=[alone]).why(0)] == ["cancelled"]


def test_jobs_bring_nothing() -> None:
    cluster = Cluster(1)
    cluster.manager.state.stops.barren_runs = 10
    assert "jobs in vain" in {one.cause for one in cluster.why(0)}


def test_nodes_that_killed_jobs_are_avoided() -> None:
    cluster = Cluster(1)
    nodes = cluster.manager.state.stops.nodes
    nodes.add(["bad", "good"])
    for number in range(3):
        nodes._deaths["bad"].add(("job", number))
        nodes._last_death["bad"] = cluster.clock.monotonic
    found = {one.cause: one.text for one in cluster.why(0)}
    assert found["nodes avoided"] == "nodes are avoided that killed earlier jobs: bad"


# ------------------------------------------------------------------- it runs


def test_it_runs_well_and_is_done() -> None:
    cluster = Cluster(1)
    job = cluster.begin(work=60.0)
    (cause,) = [one for one in cluster.why(0) if one.cause == "runs"]
    assert cause.text.startswith(f"it runs in job {job.id}")
    cluster.manager.state.reports[0] = Report(npoints=12_000, points_per_second=12_345.6)
    (cause,) = [one for one in cluster.why(0) if one.cause == "runs"]
    assert "12000 points, 12,346 points/s" in cause.text
    (works,) = cluster.why(job=job.id)
    assert works.cause == "job runs"
    assert "holds learner 0" in works.text
    cluster.run_for(90)
    (cause,) = cluster.why(0)
    assert cause.cause == "done"
    assert cause.remedy == ""


def test_its_job_is_silent() -> None:
    cluster = Cluster(1)
    job = cluster.begin()
    del cluster.clients[job.id]  # its client hangs; the queue goes on to show the job
    cluster.run_for(45)
    for cause in (cluster.first(0), cluster.first(job=job.id)):
        assert cause.cause == "silent"
        assert "has sent nothing for" in cause.text
        assert "is cancelled in" in cause.text
        assert f"cancel job {job.id}" in cause.remedy


def test_a_point_takes_longer_than_usual() -> None:
    cluster = Cluster(1)
    cluster.begin()
    row = cluster.manager.items.rows[0]
    assert row.owner is not None
    report = Report(npoints=7, idle_since=400.0, p95=2.0)
    cluster.manager.answer(encode_request(row.owner, 999, Beat(row.token, report)))
    cause = cluster.first(0)
    assert cause.cause == "slow"
    assert cause.text == "no point has come back for 6 min; 95 % of its points took at most 2 s"


def test_the_disk_is_full() -> None:
    """That of the job, and that of the manager: then it answers nobody but people."""
    cluster = Cluster(2)
    cluster.begin()
    row = next(row for row in cluster.manager.items.rows if row.phase is Phase.RUNNING)
    assert row.owner is not None
    report = Report(problem="[Errno 28] No space left on device: '/data/0'")
    cluster.manager.answer(encode_request(row.owner, 999, Beat(row.token, report)))
    cause = cluster.first(row.id)
    assert cause.cause == "disk full"
    assert "No space left on device" in cause.text
    assert "make room" in cause.remedy
    cluster.manager.dispatcher.persistence.write_error = "No space left on device."
    assert {cluster.first(0).cause, cluster.first(1).cause} == {"disk full"}


def test_a_job_ended() -> None:
    cluster = Cluster(1)
    job = cluster.begin()
    cluster.kill(job, "node_fail")
    cluster.run_for(90)
    cause = cluster.first(job=job.id)
    assert cause.cause == "job ended"
    assert "node_fail" in cause.text
    reply = cluster.ask(Explain(job="4711"))
    assert isinstance(reply, Refused)
    assert reply.code == "no_such_job"


def test_a_job_that_died_before_it_asked_is_explained_with_its_last_lines() -> None:
    """The same sentence as for its learner, and as `status` has it."""
    cluster = Cluster(2)
    cluster.manager.jobs.output = lambda job: f"line of job {job}\nno licence left"
    cluster.run_for(3)
    job = cluster.job()
    cluster.kill(job, "failed")
    cluster.run_for(40)
    told = cluster.why(job=job.id)[0]
    assert told.cause == "job ended"
    quoted = f"The last output of job {job.id}: line of job {job.id}\nno licence left"
    assert quoted in told.text
    assert "adaptive-scheduler doctor RUN" in told.remedy
    of_item = next(one for one in cluster.why(0) if one.cause == "jobs in vain")
    assert of_item.text.endswith(quoted)


def test_a_job_that_finds_no_manager_is_named(tmp_path: Path) -> None:
    """With and without a manager, for the job and for what waits for it; complaints in the order of the jobs."""
    folder = stored(tmp_path, [Item(0, "/a", Phase.QUEUED)])
    folder.complaints.mkdir()
    for job in ("16", "9", "123/4.server"):
        folder.complaint(job).write_text(f"2026-01-01 host n1: {job}: no route to host\n")
    assert list(read_complaints(folder)) == ["9", "16", "123_4.server"]
    found = {one.cause: one for one in explain_job(ManagerClient(folder), "16").reasons}
    told = found["manager not reached"]
    assert told.text == "job 16 reached no manager: 2026-01-01 host n1: 16: no route to host"
    assert f"adaptive-scheduler doctor '{folder.home}' tries" in told.remedy
    assert "interface=" in told.remedy

    cluster = Cluster(1)
    cluster.run_for(3)
    job = cluster.job()
    explainer = cluster.manager.dispatcher._handlers[Explain]
    assert isinstance(explainer, Explainer)
    explainer._complaints = lambda *_: {job.id: "no route to host", "77": "no route"}
    assert [one.text for one in cluster.why(0) if one.cause == "manager not reached"] == [
        f"job {job.id} reached no manager: no route to host",
        "job 77 reached no manager: no route",
    ]
    (own,) = [one for one in cluster.why(job=job.id) if one.cause == "manager not reached"]
    assert own.text.endswith("no route to host")


def complain(folder: RunFolder, job: str, ago: float) -> Path:
    folder.complaints.mkdir(exist_ok=True)
    path = folder.complaint(job)
    path.write_text(f"2026-01-01 host n1: {job}: no route to host\n")
    then = time.time() - ago
    os.utime(path, (then, then))
    return path


def unreached(reasons: list[Reason]) -> list[str]:
    return [one.text.split()[1] for one in reasons if one.cause == "manager not reached"]


@pytest.mark.parametrize(
    ("ago", "reached", "told"),
    [
        (500.0, 100.0, []),  # it died, and others have reached the manager since
        (500.0, 900.0, ["7"]),  # it died, and nobody has: the next one may do no better
        (20.0, 0.0, ["7"]),  # started by hand, it complains each minute while others work
    ],
)
def test_what_a_dead_job_has_complained_of_is_told_until_another_one_reaches_the_manager(
    ago: float, reached: float, told: list[str], tmp_path: Path
) -> None:
    me = Owner("5", 0, 0, "u")
    rows = [Item(0, "/a", Phase.QUEUED)]
    records = [
        JobRecord("5", owner=me, started=time.time() - reached, has_worked=True, ended="done"),
        JobRecord("7", ended="out of time"),
        JobRecord("8"),
    ]
    folder = stored(tmp_path, rows, records)
    complain(folder, "7", ago)
    complain(folder, "8", 9000)  # of a job that lives, as far as is known
    viewer = ManagerClient(folder)
    assert unreached(explain_job(viewer, "7").reasons) == told
    assert unreached(explain_job(viewer, "8").reasons) == ["8"]


def test_the_complaint_of_the_job_that_is_asked_about_is_told_among_many(tmp_path: Path) -> None:
    folder = stored(tmp_path, [Item(0, "/a", Phase.QUEUED)], [JobRecord(str(n)) for n in range(40)])
    for n in range(40):
        complain(folder, str(n), 1.0)
    assert unreached(explain_job(ManagerClient(folder), "33").reasons) == ["33"]


def test_status_names_dead_jobs_no_more_that_complained_before_the_run_went_well(
    tmp_path: Path,
) -> None:
    """Their files go, too: a hundred of them would be looked at for each status."""
    cluster = Cluster(1)
    control = cluster.manager.dispatcher._handlers[Status]
    assert isinstance(control, ControlApi)
    folder = control._folder = RunFolder(tmp_path)
    folder.folder.mkdir(parents=True, exist_ok=True)
    moment = Moment(time.time(), cluster.clock.monotonic)

    def told() -> list[str]:
        return [
            one for one in control.snapshot("none", moment).notes if "reached no manager" in one
        ]

    path = complain(folder, "7", 500)
    assert len(told()) == 1
    cluster.begin()
    moment = Moment(time.time(), cluster.clock.monotonic)
    assert told() == []
    assert not path.exists()


def test_a_job_has_started_and_says_nothing() -> None:
    cluster = Cluster(1)
    cluster.run_for(3)
    job = cluster.job()
    job.state = JobState.RUNNING
    cluster.run_for(3)
    cluster.manager.state.dirty = True
    cluster.run_for(3)
    assert "not connected" in {one.cause for one in cluster.why(job=job.id)}


def test_a_job_is_suspended() -> None:
    cluster = Cluster(1)
    job = cluster.begin()
    job.state = JobState.ALIVE
    cluster.manager.state.dirty = True
    cluster.run_for(40)
    found = {one.cause: one.text for one in cluster.why(job=job.id)}
    assert found["job state"] == "the queue shows it as ALIVE"


def test_a_job_is_cancelled_while_it_waits() -> None:
    cluster = Cluster(1)
    cluster.run_for(3)
    job = cluster.job()
    cluster.ask(Cancel())
    cluster.run_for(1)
    assert "job being cancelled" in {one.cause for one in cluster.why(job=job.id)}


def test_the_queue_does_not_show_a_job_whose_client_is_heard() -> None:
    cluster = Cluster(1)
    job = cluster.begin()
    cluster.batch.listing_faults += ["empty"] * 9
    cluster.manager.state.dirty = True
    cluster.run_for(40)
    causes = {one.cause: one.text for one in cluster.why(job=job.id)}
    assert causes["job missing"].startswith("the queue does not show it any more")
    assert "job runs" in causes


# ------------------------------------------------------------------- tasks


def test_a_job_has_room_for_a_task_that_it_has_not_asked_for_yet() -> None:
    run = Run()
    full(run)
    run.submit(1)
    assert "room is kept" in causes(run, 1)


def test_a_task_that_no_pool_can_hold() -> None:
    run = Run()
    run.submit(1, TaskResources(threads_per_rank=99))
    assert causes(run, 0) == ["no jobs"]
    run.add()
    run.turn()
    (cause,) = why(run, 0)
    assert cause.cause == "fits no pool"
    assert "99 cores" in cause.text


def test_the_walltime_of_a_task_is_longer_than_what_its_job_has_left() -> None:
    run = Run()
    run.add(pool(resources=Resources(cores=4, walltime=10800), max_jobs=1))
    run.submit(1, TaskResources(threads_per_rank=3), "first")
    run.turn()
    head = Head(run, run.jobs()[0], left=3600.0)
    run.submit(1, TaskResources(walltime=7200.0))
    found = {one.cause: one for one in why(run, 1)}
    cause = found["ends too soon"]
    assert cause.text == f"job {head.owner.job} ends in 1h, and the task needs 2h"
    assert "shorter walltime" in cause.remedy
    assert found["max_jobs"].text == "pool p has 1 job, and may have 1: max_jobs is reached"


def test_a_task_of_a_higher_priority_has_the_room() -> None:
    world = test_task_manager.World()
    world.submit(3)
    head = test_task_manager.Head(world)
    head.trade()
    world.driver.ask(Prioritise([2], [5.0]))
    assert causes(world.driver, 0) == ["runs"]
    assert causes(world.driver, 2) == ["jobs in use"]


def test_a_task_waits_in_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    world = test_task_manager.World()
    world.submit(3)
    head = test_task_manager.Head(world)
    head.trade()
    state = world.manager.state
    mirror = state.tasks.heads["j1"].view.mirror
    monkeypatch.setattr(mirror, "has_place", lambda _token: False)
    first, *_ = why(world.driver, 0)
    assert first.cause == "waits in its job"


def test_a_task_runs_for_longer_than_its_function_usually_takes() -> None:
    world = test_task_manager.World()
    world.submit(1)
    head = test_task_manager.Head(world)
    head.trade()
    msgspec.structs.force_setattr(world.row(0), "function", "f")
    world.manager.state.tasks.hand_out.durations.note("f", 2.0)
    world.clock.advance(3600)
    _silent, slow, _runs = why(world.driver, 0)
    assert causes(world.driver, 0) == ["silent", "slow", "runs"]
    assert slow.text == "it runs since 60 min, and its function usually takes 2 s"


# ------------------------------------------------------------------- without a manager


def stored(
    home: Path, rows: list[Item], records: Sequence[JobRecord] = (), **run: Any
) -> RunFolder:
    folder = RunFolder(home / "run $x")
    folder.folder.mkdir(0o700, parents=True)
    write_config(folder, RunConfig("run", [Resources()], ["job"], str(home)))
    database.create(folder.database, row_codec.new_tables(rows, None))
    store = database.Database(folder)
    store.put(row_codec.RUN_TABLE, row_codec.RUN_ROW, row_codec.RunRow(**run))
    store.put(database.JOBS, "16", JobRecord("16", ended="timeout", host="n1", has_worked=True))
    for record in records:
        store.put(database.JOBS, record.id, record)
    store.commit()
    store.close()
    return folder


def test_the_database_answers_where_the_manager_is_dead(tmp_path: Path) -> None:
    rows = [
        Item(0, "/a", Phase.RUNNING, job="17", owner=Owner("17", 0, 0, "u"), token=1),
        Item(1, "/b", Phase.QUEUED),
        Item(2, ["/c", "/d"], Phase.DONE, npoints=9),
        Item(3, "/e", Phase.FAILED, fails=2, attempts=2, reason="ValueError: no"),
    ]
    viewer = ManagerClient(stored(tmp_path, rows, held="all jobs died"))
    dead = explain_item(viewer, 0)
    assert dead.cause == "manager dead"
    assert "job 17 had it" in dead.text
    assert "resume()" in dead.text
    assert [one.cause for one in explain_item(viewer, 1).reasons] == ["manager dead", "run held"]
    done = explain_item(viewer, 2)
    assert done.text == "Learner 2 (/c, /d) is done: it has 9 points, and took 0 s of work."
    assert explain_item(viewer, 3).cause == "failed"
    job = explain_job(viewer, "17")
    assert (job.kind, job.state) == ("job", "not known to have ended")
    assert job.cause == "manager dead"
    assert explain_job(viewer, "16").text == "Job 16 has ended: how it ended on n1: timeout."
    with pytest.raises(InputError, match=r"no job 162 in .*Did you mean 16\?"):
        explain_job(viewer, "162")
    with pytest.raises(InputError, match=r"no job x in .*Its last ones: 16\."):
        explain_job(viewer, "x")


def test_a_hundred_thousand_learners_are_read_once_and_few_of_them_whole(tmp_path: Path) -> None:
    """0.1 s of a processor; a row of which only the text was wanted may be no row at all."""
    rows = [Item(n, f"/data/{n}", Phase.DONE if n % 3 else Phase.QUEUED) for n in range(100_000)]
    rows[5] = Item(5, "/data/5", Phase.WAITING, depends_on=(4, 6))
    viewer = ManagerClient(stored(tmp_path, rows))
    took = []
    for _ in range(3):  # one of them on a machine that does nothing else at that moment
        begun = time.process_time()
        found = explain_item(viewer, 99_999)
        took.append(time.process_time() - begun)
    assert min(took) < 0.6
    assert found.reasons[1].text.startswith("33333 learners go first: they are older")
    parents = explain_item(viewer, 5)
    assert [one.cause for one in parents.reasons] == ["manager dead", "waits for a parent"]
    assert parents.reasons[1].text == "it waits for learner 6, which is queued"
    with pytest.raises(InputError, match=r"There is no learner 100000 in .*: they are 0 to 99999"):
        explain_item(viewer, 100_000)


def test_a_job_of_which_only_the_database_is_left(tmp_path: Path) -> None:
    running = {"job": "17", "owner": Owner("17", 0, 0, "u"), "token": 1}
    rows = [Item(0, "/a", Phase.QUEUED), Item(1, "/b", Phase.RUNNING, **running)]
    job = explain_job(ManagerClient(stored(tmp_path, rows)), "17")
    assert [one.cause for one in job.reasons] == ["manager dead", "job runs"]
    assert job.reasons[1].text == "its client has been heard, and holds learner 1"


# ------------------------------------------------------------------- the batch system's words


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Resources", "job resources"), ("Licenses", "job resources"), ("Priority", "job priority"),
        ("Dependency", "job dependency"), ("DependencyNeverSatisfied", "job never starts"),
        ("JobHeldAdmin", "job held"), ("JobHeldUser", "job held"), ("BeginTime", "job begins later"),
        ("launch failed requeued held", "job held"),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-2]", "nodes unavailable"),
        ("Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions",
         "nodes unavailable"),
        ("Reservation", "nodes unavailable"),
        ("QOSMaxJobsPerUserLimit", "queue limit"), ("QOSGrpCpuLimit", "queue limit"),
        ("QOSMaxCpuPerUserLimit", "queue limit"), ("AssocGrpCPUMinutesLimit", "queue limit"),
        ("AssocMaxJobsLimit", "queue limit"), ("QOSResourceLimit", "queue limit"),
        ("AssocGrpNodeLimit", "queue limit"), ("JobArrayTaskLimit", "queue limit"),
        ("QOSMaxCpuPerJobLimit", "job never starts"), ("PartitionTimeLimit", "job never starts"),
        ("PartitionConfig", "job never starts"), ("AssocMaxWallDurationPerJobLimit", "job never starts"),
        ("None", "queue"), ("", "queue"), ("SomethingNew", "queue"),
    ],
)  # fmt: skip
def test_the_reasons_of_slurm(reason: str, cause: str) -> None:
    """Names from squeue(1), JOB REASON CODES."""
    assert queue_cause(reason) == cause


def test_a_job_at_a_limit_of_its_qos() -> None:
    """As a row of squeue has it; on a real Slurm: ``tests/faces/test_explain_limits.py``."""
    fields = ("17", "N/A", "PENDING", "", "QOSMaxJobsPerUserLimit", "as:run:1", "job")
    row = ROW + FIELD.join(fields) + FIELD + "\n"
    (listed,) = SLURM(cores=1).parse_queue(CommandResult(("squeue",), 0, row, ""))
    cluster = Cluster(1)
    cluster.run_for(3)
    job = cluster.manager.state.jobs.live[cluster.job().id]
    job.listed = listed
    for cause in (cluster.first(0), cluster.first(job=job.id)):
        assert cause.cause == "queue limit"
        assert "a QOS may have (QOSMaxJobsPerUserLimit)" in cause.text
        assert "wait until jobs of yours, or others of that account" in cause.remedy


@pytest.mark.parametrize(
    ("letter", "attributes", "cause"),
    [
        ("Q", {"comment": "Not Running: Insufficient amount of resource: ncpus (R: 8 A: 0 T: 8)"},
         "job resources"),
        ("Q", {"comment": "Not Running: Job would conflict with reservation or top job"},
         "job priority"),
        ("Q", {"comment": "Not Running: User has reached server running job limit."}, "queue limit"),
        ("Q", {"comment": "Can Never Run: Insufficient amount of resource: ncpus"},
         "job never starts"),
        ("Q", {"comment": "Not Running: Queue not started."}, "nodes unavailable"),
        ("H", {"Hold_Types": "s", "depend": "afterok:12.pbs"}, "job dependency"),
        ("H", {"Hold_Types": "o"}, "job held"), ("W", {}, "job begins later"), ("Q", {}, "queue"),
    ],
)  # fmt: skip
def test_the_comments_of_pbs(letter: str, attributes: dict[str, Any], cause: str) -> None:
    """From the scheduler's messages in the Administrator's Guide of PBS Professional."""
    assert listed_job("1.pbs", {"job_state": letter, **attributes}).why == cause


# ------------------------------------------------------------------- words


def test_a_paragraph_names_the_first_with_its_remedy_and_the_others() -> None:
    found = Explanation(
        "task", "7", "fit", "queued",
        [Reason("max_jobs", "pool p is full", "give max_jobs= more"), Reason("jobs in use", "job 3 is in use", "wait")],
    )  # fmt: skip
    assert str(found) == (
        "Task 7 (fit) is queued: pool p is full. What to do: give max_jobs= more. Also: job 3 is in use."
    )
    data = found.to_dict()
    assert data["schema_version"] == 1
    assert data["cause"] == "max_jobs"
    assert data["reasons"] == [
        {"cause": "max_jobs", "text": "pool p is full", "remedy": "give max_jobs= more"},
        {"cause": "jobs in use", "text": "job 3 is in use", "remedy": "wait"},
    ]
    assert "&lt;b&gt;" in Explanation("job", "<b>", "", "RUNNING", [])._repr_html_()


def test_of_each_cause_it_is_said_which_test_brings_it_about() -> None:
    from docs import causes as documented

    assert list(documented.TESTS) == NAMES
    root = Path(__file__).parents[2]
    for cause, tests in documented.TESTS.items():
        for test in tests:
            assert f"def {test.name}(" in (root / test.file).read_text(), (cause, test)


def test_each_cause_has_a_name_of_its_own_and_each_of_the_queue_has_words() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(QueueCause) <= set(NAMES)
    assert set(WORDS) == set(REMEDIES) == set(QueueCause)


def test_the_documented_causes_are_those_of_the_code() -> None:
    from docs import causes as documented

    text = documented.DOCUMENT.read_text()
    assert documented.inserted(text) == text, "run: python -m docs.causes"
    assert all(cause.when for cause in CAUSES)
