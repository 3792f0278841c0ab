"""Tasks whose jobs fit on no node of a real Slurm fail at once, with the numbers: they would wait for ever."""

from __future__ import annotations

from concurrent.futures import as_completed
from pathlib import Path

import pytest

from adaptive_scheduler import SlurmExecutor
from adaptive_scheduler.errors import InputError

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]


def test_tasks_that_fit_on_no_node_fail_when_they_are_sent(in_slurm: Path) -> None:
    executor = SlurmExecutor(name="$large", folder=in_slurm / "tasks", cores_per_node=(1, 500))
    tasks = [executor.submit(abs, -1), executor.submit(len, "ab")]
    with pytest.raises(InputError, match="120 cores, and a job asks for 500"):
        executor.finalize()
    for task in as_completed(tasks, timeout=600):
        with pytest.raises(InputError, match="cores_per_node="):
            task.result(600)
    assert not (in_slurm / "tasks").exists()
    executor.shutdown()
