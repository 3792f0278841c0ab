"""Faults that a job finds on its node; node and manager's host are networks of their own."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adaptive_scheduler.runs.check import ClusterCheck, check
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.faces.doctor_world import (
    LOCAL,
    Machine,
    Networks,
    machine,
    missing,
    need,
    networks,
    python_on,
)

_ = machine


@pytest.fixture(scope="module")
def hosts() -> Iterator[Networks]:
    with networks() as made:
        yield made


@pytest.fixture
def cluster(machine: Machine, hosts: Networks) -> Machine:
    """The manager's host; jobs run on the node, because their Python enters it."""
    machine.within = hosts.manager
    python_on(machine, hosts.node)
    return machine


def job_on_node(cluster: Machine, *words: str) -> tuple[str, ...]:
    return (
        *LOCAL,
        "--python",
        str(cluster.folder / "bin/node-python"),
        "--timeout",
        "240s",
        *words,
    )


# ------------------------------------------------------------------ the way back


def test_one_of_two_interfaces_is_the_right_one(cluster: Machine) -> None:
    said = cluster.doctor(*job_on_node(cluster))
    found = said.fault("wrong-interface")
    assert (said.code, found["level"]) == (0, "warning")
    assert "interface=10.77.0.1" in found["remedy"]
    mended = cluster.doctor(*job_on_node(cluster, "--interface", "10.77.0.1"))
    assert (mended.code, mended.faults) == (0, set())


def test_the_wrong_interface(cluster: Machine) -> None:
    said = cluster.doctor(*job_on_node(cluster, "--interface", "other"))
    found = said.fault("manager-unreachable")
    assert "10.88.0.1" in found["found"]
    assert "unreachable" in found["found"]
    assert "interface=" in found["remedy"]
    assert "--as-job" in found["remedy"]
    assert said.faults == {"manager-unreachable"}, "the rest of the node is looked at, too"


def test_ports_that_a_firewall_drops_and_those_that_are_open(
    cluster: Machine, hosts: Networks
) -> None:
    hosts.firewall("40000-49999", "drop")
    shut = cluster.doctor(*job_on_node(cluster, "--interface", "shared", "--ports", "40000-40100"))
    found = shut.fault("firewall")
    assert "10.77.0.1:40" in found["found"]
    assert "--as-job" in found["remedy"]
    mended = cluster.doctor(
        *job_on_node(cluster, "--interface", "shared", "--ports", "30000-30100")
    )
    assert (mended.code, mended.faults) == (0, set())


@pytest.mark.parametrize(
    ("ports", "verdict", "words"),
    [
        ("20000-20999", "reject with tcp reset", "connection refused"),
        ("21000-21999", "reject with icmpx type admin-prohibited", "No route to host, answered at once"),
    ],
)  # fmt: skip
def test_ports_that_a_firewall_rejects(
    cluster: Machine, hosts: Networks, ports: str, verdict: str, words: str
) -> None:
    """The second is what firewalld does."""
    hosts.firewall(ports, verdict)
    said = cluster.doctor(*job_on_node(cluster, "--interface", "shared", "--ports", ports))
    found = said.fault("port-refused")
    assert words in found["found"]
    assert "which ports are open" in found["remedy"]


def test_an_address_at_which_nobody_is(cluster: Machine, hosts: Networks) -> None:
    """There is a way to it, and no host: Linux says so after three seconds."""
    hosts.ip(hosts.manager, "addr add 10.77.1.9/32 dev lo")
    hosts.ip(hosts.manager, "link set dev shared arp off")
    hosts.ip(hosts.node, "route add 10.77.1.9/32 dev shared")
    try:
        said = cluster.doctor(*job_on_node(cluster, "--interface", "10.77.1.9"))
    finally:
        hosts.ip(hosts.manager, "link set dev shared arp on")
    assert "No route to host" in said.fault("manager-unreachable")["found"]


def test_an_address_that_is_another_hosts_too(cluster: Machine, hosts: Networks) -> None:
    hosts.ip(hosts.manager, "addr add 10.99.0.1/32 dev lo")
    hosts.ip(hosts.node, "addr add 10.99.0.1/32 dev lo")
    said = cluster.doctor(*job_on_node(cluster, "--interface", "10.99.0.1"))
    assert "connection refused" in said.fault("port-refused")["found"]


# ------------------------------------------------------------------ its clock and its Python


def sitecustomize(machine: Machine, text: str) -> tuple[str, ...]:
    """A Python that runs this before anything else."""
    folder = machine.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    python = python_on(machine, environ={"PYTHONPATH": str(folder)})
    return (*LOCAL, "--python", str(python), "--timeout", "240s")


@pytest.mark.parametrize(("offset", "words"), [("+3600s", "ahead of"), ("-3600s", "behind")])
def test_a_clock_that_is_wrong(machine: Machine, offset: str, words: str) -> None:
    """All programs of the job have another time (libfaketime): a kernel has only one clock for all."""
    need("faketime", "faketime")
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    other = f"export LD_PRELOAD={library} FAKETIME={offset} FAKETIME_DONT_FAKE_MONOTONIC=1"
    said = machine.doctor(*LOCAL, "--timeout", "240s", "--setup", other)
    found = said.fault("clock-skew")
    assert (said.code, found["level"]) == (0, "warning")
    assert f"{words} this host's" in found["found"]
    seconds = int(found["found"].partition(" s ")[0].rpartition(" ")[2])
    assert 3500 < seconds <= 3600
    assert "NTP" in found["remedy"]


def test_another_python(machine: Machine) -> None:
    """The node's own, which cannot read this package."""
    python = need("pypy3", "pypy3")
    found = machine.doctor(*LOCAL, "--python", python, "--timeout", "240s").fault("other-python")
    assert python in found["found"]
    assert f"in place of 3.{sys.version_info.minor}" in found["found"]
    assert "python_executable=" in found["remedy"]


def test_another_python_that_has_this_package(machine: Machine) -> None:
    """It says that it is 3.99: what a job compares is this number."""
    words = sitecustomize(
        machine,
        "import sys\n"
        "class Version(tuple):\n"
        "    major, minor, micro, releaselevel, serial = 3, 99, 0, 'final', 0\n"
        "sys.version_info = Version(sys.version_info)\n",
    )
    found = machine.doctor(*words).fault("other-python")
    assert "Python 3.99" in found["found"]
    assert "python_executable=" in found["remedy"]


def test_another_version_of_a_package(machine: Machine) -> None:
    info = machine.folder / "site/adaptive-99.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: adaptive\nVersion: 99.0\n")
    python = python_on(machine, environ={"PYTHONPATH": str(info.parent)})
    said = machine.doctor(*LOCAL, "--python", str(python), "--timeout", "240s")
    assert "adaptive 99.0" in said.fault("other-python")["found"]


def test_an_environment_that_the_node_does_not_have(machine: Machine) -> None:
    said = machine.doctor(*LOCAL, "--python", "/no/such/env/bin/python", "--timeout", "240s")
    found = said.fault("python-missing")
    assert "/no/such/env/bin/python" in found["found"]
    assert "shared file system" in found["remedy"]


def test_a_python_that_lacks_this_package(machine: Machine) -> None:
    """The one of which this environment was made, as on a node where it is not activated."""
    base = f"{sys.base_prefix}/bin/python3.{sys.version_info.minor}"
    assert Path(base).samefile(sys.executable), "this test needs a virtual environment"
    said = machine.doctor(*LOCAL, "--python", base, "--timeout", "240s")
    found = said.fault("package-missing")
    assert "No module named 'adaptive_scheduler'" in found["found"]
    assert "setup=" in found["remedy"]


def test_a_launcher_that_the_node_does_not_have(machine: Machine) -> None:
    two = ("--scheduler", "local", "--cores", "2", "--max-cores", "2", "--timeout", "240s")
    said = machine.doctor(*two, "--mpiexec", "/no/such/mpiexec")
    assert "/no/such/mpiexec" in said.fault("launcher-missing-there")["found"]
    assert "launcher-missing" in said.faults, "it was not here either"


def test_a_launcher_of_another_mpi(machine: Machine) -> None:
    """A real Open MPI with mpi4py's MPICH: it is told before the job, and seen in it.

    Its ranks must not have its libraries: mpi4py's wheel takes the MPI that it finds.
    """
    root = machine.folder / "openmpi"  # Open MPI takes no blank in its path, which a clone may have
    root.symlink_to(Path(__file__).resolve().parents[2] / ".openmpi/usr")
    if not (root / "bin/orterun").exists():
        missing("Open MPI is not in .openmpi (see .ci/run)")
    (libraries,) = (root / "lib").glob("*-linux-gnu")
    settings = {
        "OPAL_PREFIX": root,
        "LD_LIBRARY_PATH": f"{libraries}:{libraries}/openmpi/lib",
        "OMPI_ALLOW_RUN_AS_ROOT": 1,
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": 1,
    }
    words = shlex.join(f"{name}={value}" for name, value in settings.items())
    launcher = machine.program("mpiexec", f'#!/bin/sh\nexec env {words} {shlex.quote(str(root))}/bin/orterun --oversubscribe -x LD_LIBRARY_PATH= "$@"\n')  # fmt: skip
    two = ("--scheduler", "local", "--cores", "2", "--max-cores", "2", "--timeout", "240s")
    said = machine.doctor(*two, "--mpiexec", str(launcher))
    assert "is Open MPI, but mpi4py uses MPICH" in said.fault("mpi-families-differ")["found"]
    assert "unsupported PMI version PMIx" in said.fault("mpi-world")["found"]


def test_a_job_that_dies_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(tmp_path / "batch"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "2")
    scheduler = LocalScheduler(
        cores=1, executor_type="sequential", setup="echo the licence has run out; exit 7"
    )
    (resources,), _ = scheduler.shapes(1)
    trial = ClusterCheck(scheduler, resources, tmp_path, tmp_path, timeout=240.0, visible=2.0)
    (found,) = [one for one in check(trial) if not one.ok]
    assert found.fault == "job-died"
    assert "the licence has run out" in found.remedy


def test_workers_that_die(machine: Machine) -> None:
    """Each process that is a worker of a pool ends before it has answered."""
    folder = machine.folder / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'multiprocessing' in ' '.join(sys.orig_argv):\n    os._exit(3)\n"
    )
    python = python_on(machine, environ={"PYTHONPATH": str(folder)})
    pool = ("--scheduler", "local", "--cores", "1", "--max-cores", "1", "--executor-type", "process-pool")  # fmt: skip
    said = machine.doctor(*pool, "--python", str(python), "--timeout", "240s")
    assert "output" in said.fault("workers-silent")["remedy"]


def test_a_job_that_does_not_start_in_time(machine: Machine) -> None:
    said = machine.doctor(*LOCAL, "--setup", "sleep 1000", "--timeout", "3s")
    assert "timeout=1h" in said.fault("job-waits")["remedy"]
