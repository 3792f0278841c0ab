"""The issue's main job, on two private Slurms at once, with accidents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.runs.manager_client import ManagerClient
from tests.clusters.slurm import PrivateSlurm
from tests.integration import campaign_driver
from tests.integration.ownership import ownership

ROOT = Path(__file__).parents[2]
#: Seconds; the expected figure is 230.
LIMIT = 300
IDLE_AFTER = 10


class Campaign(threading.Thread):
    """One run on one cluster, and what happens to it."""

    def __init__(self, launcher: str, folder: Path) -> None:
        super().__init__(name=launcher)
        self.launcher, self.folder = launcher, folder
        self.slurm = PrivateSlurm()
        self.viewer = ManagerClient(RunFolder(folder / "run"))
        self.failure: BaseException | None = None
        self.said: list[str] = []
        self.accidents = [
            (15, self.scancel), (25, self.requeue), (35, self.kill_manager),
            (60, self.drain), (75, self.restart_controller), (95, self.undrain),
        ]  # fmt: skip
        self.highest = 0

    def run(self) -> None:
        try:
            self.slurm.start()
            self.env = {**os.environ, **self.slurm.env, "PYTHONPATH": str(ROOT)}
            self.began = time.monotonic()
            self.start_driver()
            self.go_through()
            self.wait_for_silence()
        except BaseException as error:
            self.failure = error
        finally:
            self.took = time.monotonic() - self.began
            self.after = self.slurm.run("squeue", "-h", "-r").stdout
            self.slurm.stop()

    def start_driver(self) -> None:
        driver = campaign_driver.__file__
        subprocess.run(
            [sys.executable, driver, str(self.folder), self.launcher],
            env=self.env, check=True, timeout=60, cwd=self.folder,
        )  # fmt: skip

    def go_through(self) -> None:
        todo = list(self.accidents)
        while True:
            elapsed = time.monotonic() - self.began
            assert elapsed < LIMIT, f"{self.launcher}: {self.snapshot()}"
            if todo and elapsed >= todo[0][0]:
                self.say(todo.pop(0)[1]())
            picture = self.viewer.snapshot("none")
            self.highest = max(self.highest, len(self.queue()))
            if picture.over and not todo:
                self.over = time.monotonic()
                return
            time.sleep(1)

    def snapshot(self):
        return self.viewer.snapshot("active")

    def say(self, what: str) -> None:
        self.said.append(f"{time.monotonic() - self.began:.0f} s: {what}")

    def queue(self) -> list[str]:
        try:
            lines = self.slurm.run("squeue", "-h", "-r", "-o", "%F_%K %T").stdout.splitlines()
        except subprocess.SubprocessError:
            return []
        return [line for line in lines if line.strip()]

    def running(self) -> list[str]:
        """Ids of running jobs, as Slurm's commands take them."""
        return [line.split()[0].removesuffix("_N/A") for line in self.queue() if "RUNNING" in line]

    # ----------------------------------------------------------------- accidents

    def scancel(self) -> str:
        job = self.running()[0]
        self.slurm.run("scancel", job)
        return f"scancel {job}"

    def requeue(self) -> str:
        job = self.running()[-1]
        self.slurm.scontrol("requeue", job)
        return f"scontrol requeue {job}"

    def kill_manager(self) -> str:
        host_pid = self.viewer.snapshot("none").manager
        pid = int(host_pid.rpartition(":")[2])
        os.kill(pid, signal.SIGKILL)
        time.sleep(3)
        code = (
            "from adaptive_scheduler.server_support import RunManager;"
            f"RunManager.attach({str(self.folder / 'run')!r}).resume()"
        )
        subprocess.run([sys.executable, "-c", code], env=self.env, check=True, timeout=60)
        return f"kill -9 {pid}, then resume"

    def drain(self) -> str:
        self.slurm.scontrol("update", "NodeName=n2", "State=DRAIN", "Reason=test")
        return "drained n2"

    def undrain(self) -> str:
        self.slurm.scontrol("update", "NodeName=n2", "State=RESUME")
        return "resumed n2"

    def restart_controller(self) -> str:
        self.slurm.restart_controller()
        return "restarted slurmctld"

    def wait_for_silence(self) -> None:
        while self.queue_of_ours() or self.processes():
            left = time.monotonic() - self.over
            assert left < IDLE_AFTER, f"{self.queue_of_ours()} {self.processes()}"
            time.sleep(0.2)

    def queue_of_ours(self) -> list[str]:
        return [line for line in self.queue() if "COMPLETING" not in line]

    def processes(self) -> list[str]:
        """Clients, ranks and managers of this run that still live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes()
            except OSError:
                continue
            if os.fsencode(self.folder) in environ and b"ADAPTIVE_SCHEDULER_JOB=" in environ:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:80])
        return found


@pytest.mark.slurm
@pytest.mark.mpi
@pytest.mark.slow
@pytest.mark.full  # tests/chaos does worse to both launchers, in each `make test`
@pytest.mark.timeout(LIMIT + 120)
def test_forty_learners_reach_their_goals_through_accidents(tmp_path):
    campaigns = []
    for launcher in ("mpiexec", "srun"):
        folder = tmp_path / f"with {launcher}"
        folder.mkdir()
        campaigns.append(Campaign(launcher, folder))
    for campaign in campaigns:
        campaign.start()
    for campaign in campaigns:
        campaign.join()
    for campaign in campaigns:
        report(campaign)
    for campaign in campaigns:
        if campaign.failure is not None:
            raise campaign.failure
        check(campaign)


def report(campaign: Campaign) -> None:
    print(f"\n{campaign.launcher}: {campaign.took:.0f} s; {'; '.join(campaign.said)}")


def check(campaign: Campaign) -> None:
    picture = campaign.viewer.snapshot("all")
    assert picture.phases == {"done": 40}, picture
    assert picture.submitted < 40
    assert campaign.highest <= 6
    learners, fnames, ledgers = campaign_driver.campaign(campaign.folder)
    evaluated = again = 0
    for learner, fname, ledger in zip(learners, fnames, ledgers, strict=True):
        learner.load(fname)
        noted = Counter(line.split("\t")[0] for line in Path(ledger).read_text().splitlines())
        evaluated += len(noted)
        again += sum(noted.values()) - len(noted)
        kept = campaign_driver.count(learner)
        assert campaign_driver.goal(learner), fname
        assert kept == len(noted), f"{fname}: {len(noted)} evaluated, {kept} kept"
    print(f"{campaign.launcher}: {evaluated} points evaluated, {again} of them again; "
          f"{picture.submitted} jobs submitted")  # fmt: skip
    for item, owners in ownership(campaign.folder / "run" / "logs").items():
        for (_, _, stopped), (token, claimed, _) in pairwise(owners):
            assert stopped <= claimed, (
                f"item {item} had two owners when {token} was given: {owners}"
            )
    assert again <= 12, "only the points in flight at the requeue may be evaluated again"
