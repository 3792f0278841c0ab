"""Why jobs wait in a queue: each reason brought about on one private Slurm, and explained.

Limits of accounts and QOS have a Slurm of their own, in ``test_explain_limits.py``.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from adaptive_scheduler.core.jobs import submit_policy
from adaptive_scheduler.io.system import submit
from adaptive_scheduler.server_support import RunManager
from tests.clusters.slurm import PrivateSlurm
from tests.faces.queues import blocker, run_of, says, until

pytestmark = [pytest.mark.slurm]

#: All jobs that this Slurm takes; ended ones count, until it forgets them.
MAX_JOBS = 24


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateSlurm]:
    """Two nodes of four cores; the second one is drained, the first one is filled by whoever needs that."""
    settings = {"MaxJobCount": str(MAX_JOBS), "MinJobAge": "2"}
    slurm = PrivateSlurm(nodes=2, cores_per_node=4, settings=settings)
    try:
        yield slurm.start()
    finally:
        slurm.stop()


@pytest.fixture(autouse=True)
def to_this_cluster(cluster: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(submit_policy, "FIRST_WAIT", 1.0)
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    yield
    cluster.run("scancel", f"--user={os.getuid()}", check=False)
    until(lambda: not cluster.run("squeue", "--noheader").stdout.split())


def refuses_one_more(cluster: PrivateSlurm) -> bool:
    """Submit a held job, and tell whether Slurm takes no more: sbatch tries again by itself then."""
    try:
        blocker(cluster, "--hold", timeout=30)
    except subprocess.TimeoutExpired as error:
        return "unable to accept job" in str(error.stderr)  # bytes, or text
    return False


def is_noted(run: RunManager, note: str) -> bool:
    return note in "\n".join(run.snapshot("none").notes)


def test_why_jobs_wait_in_the_queue_of_slurm(cluster: PrivateSlurm, tmp_path: Path) -> None:
    """One run, whose learners ask for different things; each job waits for a reason of its own."""
    cluster.scontrol("update", "NodeName=n2", "State=DRAIN", "Reason=test")
    try:
        first = blocker(cluster, "--nodelist=n1", "--ntasks=4")
        blocker(cluster, "--nodelist=n2", "--ntasks=4")
        until(lambda: "RUNNING" in cluster.run("squeue", "--format=%T").stdout)
        here = run_of(tmp_path, [
            {"extra_scheduler": [f"--dependency=afterok:{first}"]},
            {"extra_scheduler": ["--begin=now+1hour"]},
            {"extra_scheduler": ["--hold"]},
            {"partition": "minute", "walltime": 600},
            {"extra_scheduler": ["--nodelist=n2"]},
            {},
            {"extra_scheduler": ["--nice=100"]},
        ])  # fmt: skip
        with here.serving():
            run = here.run
            dependent = says(run, 0, "job dependency")
            assert "1 job in the queue waits for another job, on which it depends (Dependency)" in (
                dependent.text
            )
            later = says(run, 1, "job begins later")
            assert "(BeginTime)" in later.text
            held = says(run, 2, "job held")
            assert "scontrol release" in held.reasons[0].remedy
            never = says(run, 3, "job never starts")
            # Slurm calls it PartitionConfig until its scheduler has looked at it again
            assert re.search(r"\(Partition(TimeLimit|Config)\)", never.text)
            assert "give a shorter walltime=" in never.reasons[0].remedy
            drained = says(run, 4, "nodes unavailable")
            assert "drained, down or reserved (" in drained.text
            cluster.scontrol("update", "NodeName=n2", "State=RESUME")  # for the other blocker
            resources = says(run, 5, "job resources")
            assert "wait" in resources.reasons[0].remedy
            assert "(Priority)" in says(run, 6, "job priority").text

            # a job says the same of itself, and an administrator may hold it
            until(lambda: len(run.snapshot("none").jobs) == 7)
            nice = cluster.run("squeue", "--noheader", "--format=%y %i").stdout
            (last,) = re.findall(r"^100 (\d+)$", nice, re.MULTILINE)
            waits = f"Job {last} is PENDING: it waits for jobs of a higher priority"
            until(lambda: run.explain_job(last).text.startswith(waits))
            cluster.scontrol("hold", last)
            by_admin = says(run, 6, "job held")
            assert "(JobHeldAdmin)" in by_admin.text
            for note in (
                "1 job in the queue waits, held by a person (JobHeldAdmin)",
                "1 job in the queue will not start (Partition",
            ):
                until(partial(is_noted, run, note))
    finally:
        cluster.run("scontrol", "update", "NodeName=n2", "State=RESUME", check=False)


def test_no_job_because_slurm_takes_no_more_or_is_away(
    cluster: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "TIMEOUT", 15.0)  # sbatch tries again by itself for longer
    # ended jobs count, until Slurm forgets them: room for a job would come then
    until(lambda: "JobId=" not in cluster.run("scontrol", "show", "job", check=False).stdout)
    until(lambda: refuses_one_more(cluster))
    here = run_of(tmp_path, [{}])
    with here.serving():
        full = says(here.run, 0, "submit limit")
        assert "takes no more jobs now" in full.text
        assert "smaller max_jobs" in full.reasons[0].remedy
        cluster.stop_controller()
        try:
            away = says(here.run, 0, "batch system away")
            assert "the batch system does not answer: squeue" in away.text
        finally:
            cluster.start_controller()


def test_a_node_that_kills_jobs_is_avoided(cluster: PrivateSlurm, tmp_path: Path) -> None:
    cluster.scontrol("update", "NodeName=n1", "State=DRAIN", "Reason=test")
    try:
        here = run_of(tmp_path, [{}] * 6, setup="[ $SLURMD_NODENAME != n1 ] || exit 3")
        with here.serving():
            run = here.run
            until(lambda: run.snapshot("none").phases.get("running") == 4)  # all of n2
            cluster.scontrol("update", "NodeName=n1", "State=RESUME")
            waiting = until(lambda: next((one for one in run if one.status == "queued"), None))
            avoided = until(
                lambda: [one for one in waiting.explain().reasons if one.cause == "nodes avoided"]
            )
            assert avoided[0].text == "nodes are avoided that killed earlier jobs: n1"
            until(partial(is_noted, run, "excluded nodes: n1"))
    finally:
        cluster.run("scontrol", "update", "NodeName=n1", "State=RESUME", check=False)
