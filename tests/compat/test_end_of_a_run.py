"""What people do right after `await run_manager.task`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import adaptive
import pytest

from adaptive_scheduler import RunManager
from adaptive_scheduler.errors import RunError
from adaptive_scheduler.scheduler import LocalScheduler


@pytest.mark.timeout(900)
def test_what_comes_right_after_the_end_of_its_task(tmp_path: Path) -> None:
    """`await run_manager.task` ends with the learners; the manager and its jobs may be leaving then."""
    made = LocalScheduler(
        cores=1, executor_type="sequential", max_cores=2, state=tmp_path / "state"
    )
    learner = adaptive.Learner1D(lambda x: x, (0, 1))

    async def run(npoints: int) -> RunManager:
        run_manager = RunManager(
            made, [learner], [tmp_path / "data"], goal=npoints, folder=tmp_path / "run", interval=1
        ).start()
        await run_manager.task
        assert str(run_manager.status()) == "finished"
        assert run_manager.load_learners()[0].npoints >= npoints
        return run_manager

    asyncio.run(run(3))
    other = RunManager(made, [learner], [tmp_path / "other"], goal=3, folder=tmp_path / "run")
    with pytest.raises(RunError, match="holds a run of other learners, which stays"):
        other.cleanup()
    asyncio.run(run(30)).cleanup()
    assert not (tmp_path / "run").exists()
