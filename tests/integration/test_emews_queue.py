"""examples/ranked_queue on a real Slurm whose processes are killed, and on another host by real ssh."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.transport.addresses import read_address
from tests.clusters.slurm import PrivateSlurm
from tests.clusters.sshd import HOST, PrivateSshd
from tests.effort import FULL, times
from tests.integration.emews_queue import RankedQueue
from tests.integration.test_driver_deaths import kill_all, processes_of, wait_for

#: Slots of each pool of the cluster, on two nodes of one job.
SLOTS = 8
#: In full, jobs end at their walltime while tasks of half a minute run.
SIZE = {
    "search_space_size": times(90, 300), "num_guesses": times(80, 260), "retrain_after": times(20, 40),
    "runtime": times(1, 20) * 0.4, "runtime_var": times(1, 20) * 0.2,
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    kill_all(tmp_path)


def pool(**settings: Any) -> dict[str, Any]:
    return {
        "type": "local", "scheduler": "slurm", "CFG_NODES": 2, "CFG_PPN": SLOTS // 2, "CFG_QUEUE": "normal",
        "CFG_PROCS": "$(( CFG_NODES * CFG_PPN ))", "CFG_BATCH_SIZE": "$(( CFG_PROCS + 2 ))", "CFG_WALLTIME": "00:01:00",
        **settings,
    }  # fmt: skip


def head(home: Path) -> psutil.Process | None:
    """A process of a job that talks to the manager, if there is one."""
    for one in processes_of(home):
        with suppress(psutil.Error):
            if "adaptive_scheduler.client" in one.cmdline():
                return one
    return None


@pytest.mark.slurm
@pytest.mark.effort
@pytest.mark.timeout(900)
def test_on_slurm_driver_manager_head_and_job_die_and_nothing_is_lost(
    home: Path, slurm: PrivateSlurm
) -> None:
    """In full jobs also come to their walltime, a minute, which cuts what runs."""
    alone = pool(CFG_NODES=1, CFG_PPN=1, CFG_BATCH_SIZE=1)
    made = RankedQueue(
        home / "queue", home / "ledger", {"p1": pool(), "p2": pool(), "p3": alone},
        reprioritize_endpoint="p3", **SIZE,
    )  # fmt: skip
    step = SIZE["num_guesses"] // 5

    def computed(n: int) -> None:
        wait_for(lambda: len(made.computed) >= n, 600)

    driver = made.start(**slurm.env)
    computed(step)
    made.kill(driver)
    driver = made.start(**slurm.env)
    computed(2 * step)
    folder = RunFolder(made.home / "e1")
    os.kill(read_address(folder).pid, signal.SIGKILL)
    computed(3 * step)
    wait_for(lambda: head(home), 60).kill()
    computed(4 * step)
    running = slurm.run("squeue", "--noheader", "--states=RUNNING", "--format=%A").stdout.split()
    for job in running[:1]:
        slurm.run("scancel", job)
    printed = made.end(driver)
    # what ran in the head's job and in that which was cancelled may have been computed, but not told
    made.assert_complete(printed, in_flight=2 * (SLOTS + 2))
    table = rows(made, folder, slurm.env)
    done = {row["key"] for row in table if row["state"] == "done" and row["key"]}
    assert len(done) >= SIZE["num_guesses"]
    assert {key.partition(": ")[2] for key in done} <= set(made.computed)
    refits = [row for row in table if row["tag"] == "reprioritize" and row["state"] == "done"]
    assert refits
    if FULL:
        assert any(row["attempts"] > 1 for row in table), "no walltime has cut any"


def rows(made: RankedQueue, folder: RunFolder, environment: dict[str, str]) -> list[dict[str, Any]]:
    program = Path(sys.executable).with_name("adaptive-scheduler")
    done = subprocess.run(
        [program, "tasks", folder.home, "--json"], cwd=made.home, capture_output=True, text=True,
        check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_by_ssh_the_run_is_there_and_a_driver_that_is_killed_goes_on(
    home: Path, sshd: PrivateSshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ADAPTIVE_SCHEDULER_SSH")
    config = re.findall(r"-F (\S+)", sshd.ssh)[0]
    queue = {
        "type": "emews_service", "folder": f"{sshd.home}/ranked queues", "python": str(sshd.python),
        "host": "127.0.0.1", "port": 11218, "tunnel": {"config_key": HOST, "ssh_config": config, "port": 11219},
    }  # fmt: skip
    ledger = sshd.home / "ledger of a ranked queue"
    ledger.touch()
    ledger.chmod(0o666)
    made = RankedQueue(
        home / "queue", ledger, {"p1": {"type": "local", "CFG_PROCS": 2}, "p2": {"CFG_PROCS": 2}},
        task_queues={"sim": queue}, search_space_size=40, num_guesses=30, retrain_after=8,
    )  # fmt: skip
    driver = made.start()
    wait_for(lambda: made.computed.total() >= 10, 100)
    made.kill(driver)
    printed = made.run()
    assert "note: task_queues: sim: host, port: not needed" in printed
    assert "pool added: p2" in printed
    made.assert_complete(printed)
    assert (sshd.home / "ranked queues" / "e1").is_dir()
    assert not (made.home / "e1").exists()
