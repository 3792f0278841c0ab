"""Jobs at limits of accounts and QOS: of a private Slurm with slurmdbd and a database of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adaptive_scheduler import Executor
from adaptive_scheduler.core.jobs import submit_policy
from adaptive_scheduler.runs.driver import start_run, stuck
from adaptive_scheduler.scheduler import SLURM
from tests.clusters import accounts, remains
from tests.clusters.slurm import DAEMON_PATH, PrivateSlurm
from tests.faces.queues import PATIENCE, blocker, run_of, says, until

pytestmark = [pytest.mark.slurm]

#: Each QOS with its limit, and with Slurm's word for a job that waits at it; see sacctmgr(1).
QOS = {
    "jobs": ("MaxJobsPerUser=1", "QOSMaxJobsPerUserLimit"),
    "cores": ("GrpTRES=cpu=1", "QOSGrpCpuLimit"),
    "minute": ("MaxWall=1", "QOSMaxWallDurationPerJobLimit"),
    "submits": ("MaxSubmitJobsPerUser=1", "QOSMaxSubmitJobPerUserLimit"),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateSlurm]:
    """A node of eight cores, for all jobs of this file at once."""
    if missing := accounts.missing_programs(DAEMON_PATH):
        assert os.environ.get("CI") != "true", missing
        pytest.skip(f"not installed: {', '.join(missing)}")
    slurm = PrivateSlurm(nodes=1, has_accounts=True)
    try:
        slurm.start()
        assert slurm.accounts is not None
        user = f"name={accounts.user()}"
        for name, (limit, _word) in QOS.items():
            slurm.accounts.manage("add", "qos", name, limit)
        slurm.accounts.manage("modify", "user", user, "set", f"qos+={','.join(QOS)}")
        slurm.accounts.manage("add", "account", "poor", "GrpJobs=1")
        slurm.accounts.manage("add", "user", user, "account=poor")
        yield slurm
    finally:
        slurm.stop()
    assert remains.processes(slurm.folder) == []
    assert not slurm.folder.exists()


@pytest.fixture(autouse=True)
def to_this_cluster(cluster: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(submit_policy, "FIRST_WAIT", 1.0)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield
    cluster.run("scancel", f"--user={os.getuid()}", check=False)
    until(lambda: not cluster.run("squeue", "--noheader").stdout.split())


def test_jobs_at_limits_of_a_qos_and_of_an_account(cluster: PrivateSlurm, tmp_path: Path) -> None:
    for option in ("--qos=jobs", "--qos=cores", "--account=poor"):
        blocker(cluster, option)
    until(lambda: cluster.run("squeue", "--format=%T").stdout.split().count("RUNNING") == 3)
    here = run_of(tmp_path, [
        {"extra_scheduler": ["--qos=jobs"]}, {"extra_scheduler": ["--qos=cores"]},
        {"extra_scheduler": ["--account=poor"]}, {"extra_scheduler": ["--qos=minute"], "walltime": 600},
    ])  # fmt: skip
    with here.serving():
        run = here.run
        for learner, word in enumerate((QOS["jobs"][1], QOS["cores"][1], "AssocGrpJobsLimit")):
            found = says(run, learner, "queue limit")
            assert found.reasons[0].text == (
                "1 job in the queue waits at a limit of the jobs or resources that a user, an account or "
                f"a QOS may have ({word})"
            )
            assert "another --account or --qos in extra_scheduler= may have room" in (
                found.reasons[0].remedy
            )
        never = says(run, 3, "job never starts")
        assert QOS["minute"][1] in never.text
        assert "give a shorter walltime=" in never.reasons[0].remedy
        # Slurm takes its reasons back for a moment
        waiting = re.compile(r"(\d+) " + QOS["jobs"][1])
        (job,) = until(lambda: waiting.findall(cluster.run("squeue", "-o", "%i %r").stdout))
        until(lambda: run.explain_job(job).cause == "queue limit")
        assert cluster.accounts is not None
        cluster.accounts.manage("modify", "qos", "jobs", "set", "MaxJobsPerUser=-1")
        try:  # no limit any more: it starts, and the others wait on
            until(lambda: run[0].explain().state == "running")
            says(run, 1, "queue limit")
        finally:
            cluster.accounts.manage("modify", "qos", "jobs", "set", QOS["jobs"][0])


def test_a_qos_takes_no_more_jobs_or_may_not_be_used(cluster: PrivateSlurm, tmp_path: Path) -> None:
    blocker(cluster, "--qos=submits")
    full = run_of(tmp_path / "full", [{"extra_scheduler": ["--qos=submits"]}])
    with full.serving():
        found = says(full.run, 0, "submit limit")
        assert QOS["submits"][1] in found.text
    refused = run_of(tmp_path / "refused", [{"extra_scheduler": ["--qos=theirs"]}])
    with refused.serving():
        found = says(refused.run, 0, "run held")
        assert "Invalid qos specification" in found.text
        assert "resume()" in found.reasons[0].remedy


def test_a_driver_tells_once_of_a_limit_and_of_a_hold(
    cluster: PrivateSlurm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its results would be waited for without a word."""
    monkeypatch.setattr(start_run, "WATCH", 0.1)
    monkeypatch.setattr(start_run, "HELD_LOOKS", 2)
    monkeypatch.setattr(stuck, "PATIENCE", 1.0)
    first = blocker(cluster, "--qos=jobs")
    until(lambda: "RUNNING" in cluster.run("squeue", "--format=%T").stdout)
    told = ""

    def says_on_stderr(words: str) -> bool:
        nonlocal told
        told += capsys.readouterr().err
        return words in told

    scheduler = SLURM(cores=1, extra_scheduler=["--qos=jobs"])
    with Executor(scheduler, tmp_path / "run", interval=1, idle=1) as executor:
        task = executor.submit(pow, 2, 5)
        try:
            until(lambda: says_on_stderr("(QOSMaxJobsPerUserLimit): wait until jobs of yours"))
            until(lambda: task.explain().cause == "queue limit")
            (job,) = executor._book.keeper._viewer.snapshot("none").jobs
            cluster.scontrol("hold", job.id)
            until(
                lambda: says_on_stderr(
                    "held by a person (JobHeldAdmin): it is held: 'scontrol release'"
                )
            )
            until(lambda: task.explain().cause == "job held")
            assert told.count("QOSMaxJobsPerUserLimit") == 1
            cluster.scontrol("release", job.id)
        finally:
            cluster.run("scancel", first)
        assert task.result(PATIENCE) == 32
    assert told.count("JobHeldAdmin") == 1
