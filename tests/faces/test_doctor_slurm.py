"""Faults that only a batch system has: a private Slurm, started once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.clusters.slurm import DAEMON_PATH, PrivateSlurm
from tests.faces.doctor_world import Machine, machine, need_root
from tests.faces.queues import until

_ = machine
pytestmark = [pytest.mark.slurm]

#: What sites check accounts and QOS with, if they have no accounting database.
LUA = """
function slurm_job_submit(job, partitions, uid)
  if job.qos == "bad" then return 2066 end -- ESLURM_INVALID_QOS
  return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, uid) return slurm.SUCCESS end
return slurm.SUCCESS
"""
ONE = ("--scheduler", "slurm", "--cores", "1", "--timeout", "240s")


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateSlurm]:
    folder = Path(tempfile.mkdtemp(prefix="as-slurm-", dir="/tmp"))
    (folder / "job_submit.lua").write_text(LUA)
    settings = {
        "EnforcePartLimits": "ALL",
        "JobSubmitPlugins": "lua",
        "PartitionName": "closed Nodes=ALL AllowAccounts=good MaxTime=10 State=UP",
    }
    made = PrivateSlurm(folder, nodes=2, cores_per_node=4, settings=settings)
    try:
        yield made.start()
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def login(machine: Machine, cluster: PrivateSlurm) -> Machine:
    """The login node of the cluster."""
    machine.environ |= {"SLURM_CONF": cluster.env["SLURM_CONF"], "PATH": DAEMON_PATH}
    return machine


def test_a_cluster_with_nothing_wrong(login: Machine) -> None:
    said = login.doctor("--scheduler", "slurm", "--cores", "2", "--timeout", "240s")
    assert (said.code, said.faults) == (0, set()), said.checks
    assert {"request", "submit", "job", "workers", "way-back", "clock", "node-folder"} <= {
        one["check"] for one in said.checks
    }


@pytest.mark.parametrize(
    ("words", "fault", "remedy"),
    [
        (("--queue", "nosuch"), "wrong-partition", "sinfo -s"),
        (("--queue", "closed", "--extra-scheduler=--account=bad"), "wrong-account", "sacctmgr"),
        (("--extra-scheduler=--qos=bad",), "wrong-qos", "qos"),
        (("--queue", "minute", "--walltime", "2h"), "walltime-too-long", "walltime="),
        (("--memory", "900GB"), "request-refused", "own words"),
    ],
)
def test_what_the_cluster_refuses(
    login: Machine, words: tuple[str, ...], fault: str, remedy: str
) -> None:
    said = login.doctor(*ONE, *words)
    assert remedy in said.fault(fault)["remedy"]
    assert "submit" not in {one["check"] for one in said.checks}, "it asks, and submits nothing"


def test_a_job_that_waits_for_what_will_never_be(login: Machine, cluster: PrivateSlurm) -> None:
    """The test finds it possible, the queue does not: it is held as soon as it is submitted."""
    said = login.doctor(*ONE, "--extra-scheduler=--hold")
    found = said.fault("job-never-starts")
    assert "JobHeldUser" in found["found"]
    assert "release" in found["remedy"]
    until(lambda: not cluster.run("squeue", "-h").stdout.strip())  # it is cancelled


def test_a_plugin_that_srun_does_not_have(login: Machine) -> None:
    two = ("--scheduler", "slurm", "--cores", "2", "--no-job")
    found = login.doctor(*two, "--mpiexec", "srun --mpi=pmi7").fault("mpi-plugin-missing")
    assert "--mpi=pmi7" in found["found"]
    assert "pmi2" in found["remedy"]
    assert login.doctor(*two, "--mpiexec", "srun --mpi=pmi2").faults == set()


def test_a_launcher_that_does_not_speak_to_the_mpi_of_mpi4py(login: Machine) -> None:
    two = ("--scheduler", "slurm", "--cores", "2", "--timeout", "240s")
    said = login.doctor(*two, "--mpiexec", "srun --mpi=none")
    found = said.fault("mpi-world")
    assert "MPI world of 1" in found["found"]
    assert "mpiexec_executable=" in found["remedy"]


#: Runs a check on a disk that this process alone has mounted, with little patience for lost output.
HIDDEN = """
import json, sys
from pathlib import Path
from adaptive_scheduler.core.doctor.findings import as_json_value
from adaptive_scheduler.runs.check import ClusterCheck, check
from adaptive_scheduler.scheduler import SLURM
if __name__ == "__main__":
    scheduler = SLURM(cores=1)
    (resources,), _ = scheduler.shapes(1)
    folder = Path("/mnt/run")
    trial = ClusterCheck(scheduler, resources, folder, folder, timeout=240.0, visible=2.0)
    print(json.dumps(as_json_value(check(trial))))
"""


def test_a_folder_that_the_nodes_do_not_see(login: Machine, cluster: PrivateSlurm) -> None:
    need_root()
    script = login.folder / "hidden.py"
    script.write_text(HIDDEN)
    mount = 'mount -t tmpfs none /mnt && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", sys.executable, str(script)],
        env=login.environment(), capture_output=True, text=True, check=True, timeout=400,
    )  # fmt: skip
    (found,) = [one for one in json.loads(done.stdout)["checks"] if one["fault"] == "folder-unseen"]
    assert "/mnt/run" in found["found"]
    assert "that the nodes share" in found["remedy"]


# ------------------------------------------------------------------ last: they stop the cluster


def test_munge_that_is_down(login: Machine, cluster: PrivateSlurm) -> None:
    munged = psutil.Process(int((cluster.folder / "munge.pid").read_text()))
    munged.terminate()
    psutil.wait_procs([munged], timeout=120)
    found = login.doctor(*ONE).fault("munge-down")
    assert "Did you start munged" in found["found"]
    assert "systemctl start munge" in found["remedy"]
