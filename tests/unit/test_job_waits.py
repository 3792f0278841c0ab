"""How long jobs waited is known from the history, also when they are gone."""

from __future__ import annotations

from pathlib import Path

from adaptive_scheduler.runs.compat.job_waits import seconds_in_queue
from tests.run_folders import PastRun


def test_each_job_that_began_has_its_wait_after_the_end_of_the_run(tmp_path: Path) -> None:
    """It was empty at the end: only jobs that were alive were looked at."""
    run = PastRun(tmp_path / "a $run", ["x=0", "x=1"])
    assert seconds_in_queue(run.folder) == []
    run.submit(["1", "2"], 10.0)
    run.submit(["3"], 20.0)
    assert seconds_in_queue(run.folder) == []
    run.start("2", 13.0)
    run.start("1", 40.0)
    assert seconds_in_queue(run.folder) == [30.0, 3.0]
    for job in ("1", "2"):
        run.finish(run.claim(job, 50.0), 60.0, 5.0)
    for job in ("1", "2"):
        run.state.jobs.mark_dead(job, "it has left")
    run.commit(70.0)
    run.checkpoint()
    assert seconds_in_queue(run.folder) == [30.0, 3.0]
    run.start("3", 100.0)
    assert seconds_in_queue(run.folder) == [30.0, 3.0, 80.0]


def test_what_was_started_by_hand_waited_in_no_queue(tmp_path: Path) -> None:
    """As `adaptive-scheduler pool join` does; each would count as a job that waited for 0 s."""
    run = PastRun(tmp_path / "a $run", ["x=0"])
    run.submit(["1", "here:node:7"], 10.0)
    run.start("here:node:7", 10.0)
    run.start("1", 40.0)
    assert seconds_in_queue(run.folder) == [30.0]
