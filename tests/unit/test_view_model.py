"""What a view says of a run in one sentence, and how it sums it up."""

from __future__ import annotations

import pytest

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.runs.views.page import model


def run(**facts: object) -> Snapshot:
    return Snapshot("run", "/home/me/my run/db.tinydb", 1000.0, **facts)  # type: ignore[arg-type]


JOBS = [
    JobRow("1", state="RUNNING", host="n1"),
    JobRow("2", waiting=True),
    JobRow("3", state="not listed"),
]


@pytest.mark.parametrize(
    ("snapshot", "sentence"),
    [
        (run(phases={"done": 3, "queued": 97}, jobs=JOBS), "Running: 3 of 100 learners done, 1 of 3 jobs running, 2 waiting."),
        (run(phases={"queued": 1}, jobs=JOBS[1:2]), "Running: 0 of 1 learner done, 1 job waiting in the queue."),
        (run(phases={"done": 1, "failed": 1, "running": 1}, jobs=JOBS[:1]), "Running: 1 of 3 learners done, 1 failed, 1 job running."),
        (run(phases={"done": 100}), "Finished: 100 learners done."),
        (run(phases={"done": 1, "failed": 2}), "Ended: 1 of 3 learners done, 2 failed."),
        (run(phases={"done": 1, "cancelled": 2}), "Ended: 1 of 3 learners done, 2 cancelled."),
        (run(phases={"queued": 2}, alive=False), "No manager runs: 0 of 2 learners done. Resume starts a manager."),
        (run(phases={"queued": 2}, jobs=JOBS[:1], alive=False), "No manager runs: 0 of 2 learners done. Running jobs go on; Resume starts another manager."),
        (run(kind="task", phases={"done": 99_990, "failed": 10}), "Ended: 99,990 of 100,000 tasks done, 10 failed."),
        (run(phases={"queued": 2}, notes=["held: no such partition. Mend it, then resume."]), "Held: 0 of 2 learners done. No jobs are submitted until it is resumed."),
        (run(kind="task", phases={"done": 8}, is_open=True), "Open: 8 of 8 tasks done; more tasks may come."),
        (run(kind="task", is_open=True), "Open: no task yet; more tasks may come."),
    ],
)  # fmt: skip
def test_the_state_in_one_sentence(snapshot: Snapshot, sentence: str) -> None:
    assert model.sentence(snapshot) == sentence


def test_reasons_that_differ_in_their_numbers_alone_are_one_group() -> None:
    items = [
        ItemView(n, "data", Phase.FAILED, reason=f"singular matrix for x={n}.5e-{n}, in 3D")
        for n in range(30)
    ]
    (group,) = model.failure_groups(run(items=items))
    assert (group.reason, group.count) == ("singular matrix for x=0.5e-0, in 3D", 30)
    assert group.search == "singular matrix for in"


def test_failures_are_grouped_by_the_first_line_of_their_reason() -> None:
    items = [
        ItemView(n, "data", Phase.FAILED, reason=f"raised ValueError\nat x={n}") for n in range(200)
    ]
    items.append(ItemView(200, "data", Phase.FAILED))
    first, second = model.failure_groups(run(items=items))
    assert (first.reason, first.count) == ("raised ValueError", 200)
    assert first.items == list(range(model.MOST_OF_A_GROUP))
    assert (second.reason, second.items) == ("it failed", [200])


def test_jobs_that_need_attention_come_first_with_what_to_do() -> None:
    jobs = [JobRow("1", host="n1", item=3), JobRow("2", reason="PartitionConfig", remedy="choose another", waiting=True),
            JobRow("3", suspect=True, silent=300)]  # fmt: skip
    lines = model.summary(run(phases={"running": 1}, jobs=jobs)).jobs
    assert [line.id for line in lines] == ["3", "2", "1"]
    assert lines[0].reason == "nothing was heard of it for 5 min"
    assert (lines[1].reason, lines[1].remedy) == ("PartitionConfig", "choose another")
    assert lines[2].what == "learner 3"


def test_what_is_old_is_called_so() -> None:
    goes_on = run(phases={"running": 1})
    assert model.age_text(goes_on, age=5.0) == ""
    assert model.age_text(goes_on, age=100.0).startswith("This is 100 s old")
    assert model.age_text(run(phases={"done": 1}), age=9999.0) == ""
    on_disk = run(phases={"running": 1}, alive=False)
    assert model.age_text(on_disk, age=9999.0).startswith("No manager runs")
    on_disk.notes = ["a manager runs, but: it does not answer"]
    assert model.age_text(on_disk, age=0.0).startswith("The manager does not answer")
