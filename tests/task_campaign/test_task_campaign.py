"""The kill campaign: `make test-all` has it on each batch system, `make soak` for longer, too."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import times
from tests.task_campaign.__main__ import CALLS, LIMIT

#: Seconds for the start of a batch system, its end and the verdict.
MORE = 60.0
#: Calls; each kind of kill comes with half of them, too. `make test-all` has all of them on Slurm and PBS.
N = times(CALLS // 2, CALLS)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + MORE + 40)
@pytest.mark.parametrize(
    "batch_system",
    [
        "local",
        pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.full]),
        pytest.param("pbs", marks=pytest.mark.full),
    ],
)
def test_every_task_ends_once_whatever_is_killed(batch_system: str) -> None:
    """With a new seed each time, which is printed."""
    campaign = subprocess.Popen(
        [sys.executable, "-m", "tests.task_campaign", batch_system, f"--calls={N}"],
        cwd=Path(__file__).parents[2], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = campaign.communicate(timeout=LIMIT + MORE)
    except subprocess.TimeoutExpired:
        campaign.send_signal(signal.SIGTERM)  # it ends what it has started
        out, _ = campaign.communicate(timeout=40)
    print(out)
    assert campaign.returncode == 0, out
