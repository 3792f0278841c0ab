"""Snapshots: what is shown of items and jobs."""

from __future__ import annotations

import msgspec

from adaptive_scheduler.core.jobs.batch_jobs import JobId, JobState, ListedJob
from adaptive_scheduler.core.jobs.records import JobRecord
from adaptive_scheduler.core.rows.row import Item, Phase
from adaptive_scheduler.core.wire.messages import Owner, Report
from adaptive_scheduler.core.wire.snapshot import (
    Snapshot,
    damage,
    item_view,
    item_views,
    job_row,
    never_start,
)

REPORT = Report(npoints=20, loss=0.1, seconds=5.0, points_per_second=2.0, memory=100.0)


def test_a_running_item_shows_the_report_of_its_client() -> None:
    row = Item(0, "f", Phase.RUNNING, job="1", npoints=15, loss=0.3, worked=10.0)
    view = item_view(row, REPORT)
    assert (view.npoints, view.loss, view.worked, view.memory) == (20, 0.1, 15.0, 100.0)
    assert item_view(row, None).worked == 10.0
    assert item_view(msgspec.structs.replace(row, npoints=30), REPORT).npoints == 30


def test_the_report_of_an_item_that_stopped_is_not_shown() -> None:
    view = item_view(Item(0, "f", Phase.QUEUED, npoints=15), REPORT)
    assert (view.npoints, view.points_per_second) == (15, 0.0)


def test_a_learner_whose_last_point_is_old_is_stalled() -> None:
    row = Item(0, "f", Phase.RUNNING, job="1")

    def stalled(idle: float, p95: float) -> bool:
        return item_view(row, Report(idle_since=idle, p95=p95)).stalled

    assert [stalled(50, 0), stalled(70, 0), stalled(70, 20), stalled(101, 20)] == [
        False, True, False, True,
    ]  # fmt: skip
    assert not item_view(Item(0, "f", Phase.QUEUED), Report(idle_since=999)).stalled


def test_damaged_data_are_named_of_running_and_other_learners() -> None:
    rows = [Item(0, "f", Phase.RUNNING), Item(1, "g", Phase.DONE, kept_aside="g.damaged-1")]
    rows += [Item(n, "h", Phase.QUEUED) for n in (2, 3)]
    assert damage(rows, {0: Report(kept_aside="f.damaged-2")}) == (
        "learner 0: f.damaged-2; learner 1: g.damaged-1"
    )
    assert damage(rows[2:], {}) == ""
    many = [Item(n, "g", Phase.DONE, kept_aside="x") for n in range(9)]
    assert damage(many, {}).endswith("learner 4: x and of 4 more learners")


def test_jobs_that_will_not_start_are_counted_by_reason() -> None:
    listed = ListedJob(
        JobId("1"), JobState.PENDING, "PENDING", reason="BadConstraints", remedy="change memory="
    )
    rows = [job_row(JobRecord(str(n)), listed, 0.0, None, 30.0) for n in range(3)]
    rows.append(job_row(JobRecord("9"), None, 0.0, None, 30.0))
    (line,) = never_start(rows)
    assert line.startswith("3 jobs in the queue will not start (BadConstraints): change memory=")


def test_views_of_all_of_active_and_of_no_items() -> None:
    rows = [Item(n, "f", phase) for n, phase in enumerate(Phase)]
    assert len(item_views(rows, {}, "all")) == len(Phase)
    assert [v.phase for v in item_views(rows, {}, "active")] == [Phase.RUNNING, Phase.FAILED]
    assert item_views(rows, {}, "none") == []


def snapshot(**fields: object) -> Snapshot:
    shot = Snapshot("run", "db", time=110.0, started=10.0)
    return msgspec.structs.replace(shot, **fields)


def test_the_remaining_time_is_estimated() -> None:
    shot = snapshot(phases={"done": 60, "queued": 20, "running": 5, "failed": 3}, finished=50)
    assert shot.total == 88
    assert shot.remaining == 25 * 100 / 50
    assert snapshot(phases={"queued": 5}).remaining is None, "nobody can tell yet"
    assert snapshot(phases={"queued": 5}, finished=5, alive=False).remaining is None
    assert not shot.over
    assert snapshot(phases={"done": 1, "cancelled": 1, "failed": 2}).over


def test_a_job_shows_what_the_queue_and_its_client_report() -> None:
    record = JobRecord("1", 1, 0, "job", Owner("1", 0, 0, "x"), host="n1")
    listed = ListedJob(JobId("1"), JobState.ALIVE, "SUSPENDED", nodes=("n2",), reason="why")
    row = job_row(record, listed, 31.0, 4, lease=30.0)
    assert (row.state, row.host, row.item, row.suspect) == ("SUSPENDED", "n1", 4, True)
    assert not job_row(record, listed, 29.0, 4, lease=30.0).suspect
    assert job_row(JobRecord("local:x:1"), None, 0.0, None, 30.0).state == "by hand"
    assert job_row(JobRecord("2"), None, 999.0, None, 30.0).silent == 0.0


def test_a_snapshot_can_be_encoded_and_decoded() -> None:
    shot = snapshot(items=[item_view(Item(0, ["a", "b"], Phase.RUNNING), REPORT)], notes=["x"])
    for form in (msgspec.msgpack, msgspec.json):
        assert form.decode(form.encode(shot), type=Snapshot) == shot
