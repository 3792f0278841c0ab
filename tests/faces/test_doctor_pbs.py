"""Faults that a PBS has: one that answers as a real OpenPBS did, started once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from shlex import quote
from typing import Any

import pytest

from tests.clusters.pbs import DEFAULTS, PrivatePBS
from tests.faces.doctor_world import CLI, Machine, machine, networks, python_on

_ = machine
#: Two cores: MPI is looked at, too.
PBS = ("--scheduler", "pbs", "--cores", "2", "--timeout", "240s")
ONE = ("--scheduler", "pbs", "--cores", "1", "--executor-type", "sequential", "--timeout", "240s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivatePBS]:
    with PrivatePBS(tmp_path_factory.mktemp("pbs")) as made:
        yield made


@pytest.fixture
def cluster(server: PrivatePBS) -> Iterator[PrivatePBS]:
    """Nothing is wrong with it before a test, and no job of doctor is left after it."""
    server.change(**{name: value for name, value in DEFAULTS.items() if name != "next_number"})
    yield server
    server.server_up()
    server.wait(
        lambda: all(job["job_state"] in "FX" for job in server.jobs().values()),
        "the end of all that doctor has submitted",
    )


@pytest.fixture
def login(machine: Machine, cluster: PrivatePBS) -> Machine:
    """The login node of the cluster."""
    path = f"{machine.folder / 'bin'}:{cluster.env['PATH']}"  # the first for programs of the test
    machine.environ |= {"FAKEPBS": cluster.env["FAKEPBS"], "PATH": path}
    return machine


def test_a_cluster_with_nothing_wrong(login: Machine, cluster: PrivatePBS) -> None:
    said = login.doctor(*PBS, "--walltime", "2h", "--queue", "long")
    assert (said.code, said.faults) == (0, set()), said.checks
    assert {"request", "submit", "job", "workers", "way-back", "clock", "node-folder"} <= {
        one["check"] for one in said.checks
    }
    (request,) = [one for one in said.checks if one["check"] == "request"]
    (held,) = [job for name, job in cluster.jobs().items() if name in request["found"]]
    assert held["Resource_List"]["walltime"] == "02:00:00", "the whole of it, not what the job has"
    assert held["queue"] == "long"
    assert "stime" not in held, "it never ran"


@pytest.mark.parametrize(
    ("settings", "words", "fault", "found", "remedy"),
    [
        ({}, ("--queue", "nosuch"), "wrong-partition", "Unknown queue", "qstat -Q"),
        ({"queue_open": False}, (), "wrong-partition", "Access to queue is denied", "qstat -Q"),
        ({"queue_enabled": False}, (), "wrong-partition", "Queue is not enabled", "qstat -Q"),
        ({"accounts": ["mine"]}, ("--extra-scheduler=-A theirs",), "wrong-account", "Invalid Account", "'-A NAME'"),
        ({"max_walltime": 3600}, ("--walltime", "2h"), "walltime-too-long", "resource limits", "qstat -Qf"),
        ({"max_ncpus": 1}, ("--walltime", "2h"), "over-limits", "resource limits", "resources_max"),
        ({"max_ncpus": 1}, (), "over-limits", "resource limits", "It is not the walltime"),
        ({"max_queued": 0}, (), "too-many-jobs", "per-user limit", "max_jobs"),
        ({}, ("--gpus", "1"), "request-refused", "Unknown resource: ngpus", "own words"),
    ],
)  # fmt: skip
def test_what_the_cluster_refuses(
    login: Machine,
    cluster: PrivatePBS,
    settings: dict[str, Any],
    words: tuple[str, ...],
    fault: str,
    found: str,
    remedy: str,
) -> None:
    cluster.change(**settings)
    said = login.doctor(*PBS, *words)
    one = said.fault(fault)
    assert found in one["found"]
    assert remedy in one["remedy"]
    assert "submit" not in {one["check"] for one in said.checks}, "a job would be refused, too"


class SlowAnswer:
    """A `qsub` that has submitted, and does not end yet."""

    def __init__(self, login: Machine, cluster: PrivatePBS) -> None:
        self._cluster = cluster
        self._submitted, self._may_end = login.folder / "submitted", login.folder / "may end"
        real = shutil.which("qsub", path=cluster.env["PATH"]) or ""
        self.program = login.program(
            "qsub",
            f'#!/bin/sh\n{quote(real)} "$@"\ntouch {quote(str(self._submitted))}\n'
            f"until [ -e {quote(str(self._may_end))} ]; do sleep 0.1; done\n",
        )

    def doctor(self, login: Machine) -> subprocess.Popen[str]:
        """Start it; returns when its job is there."""
        for path in (self._submitted, self._may_end):
            path.unlink(missing_ok=True)
        started = subprocess.Popen(
            [*CLI, "doctor", *ONE], cwd=login.folder, env=login.environment(), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._cluster.wait(self._submitted.exists, "a job that is submitted", 300)
        return started

    def end(self) -> None:
        self._may_end.touch()


def held(cluster: PrivatePBS) -> list[str]:
    return [name for name, job in cluster.jobs().items() if job["job_state"] not in "FX"]


def test_no_job_stays_held_after_a_signal_and_none_after_kill_9_and_another_doctor(
    login: Machine, cluster: PrivatePBS
) -> None:
    slow = SlowAnswer(login, cluster)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stopped = slow.doctor(login)
            stopped.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):
                stopped.wait(2)  # it waits for the job's number
            slow.end()
            said, _ = stopped.communicate(timeout=300)
            assert (stopped.returncode, held(cluster)) == (130, []), said
            assert "Traceback" not in said

        killed = slow.doctor(login)
        killed.kill()
        killed.communicate()
        slow.end()
        assert len(held(cluster)) == 1
    finally:
        slow.end()
        slow.program.unlink()
    assert login.doctor(*ONE).code == 0
    cluster.wait(lambda: held(cluster) == [], "an end of the small job, and of the held one")


def test_root_may_submit_no_jobs(login: Machine, cluster: PrivatePBS) -> None:
    """Captured as qsub_root_before_acl."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root is refused")
    cluster.change(roots_allowed=False)
    said = login.doctor(*PBS)
    assert "Bad UID" in said.fault("user-refused")["found"]


def test_without_a_job_nothing_is_submitted(login: Machine, cluster: PrivatePBS) -> None:
    before = set(cluster.jobs())
    cluster.change(max_walltime=3600)
    said = login.doctor(*PBS, "--walltime", "2h", "--no-job")
    assert (said.code, said.faults) == (0, set())
    assert set(cluster.jobs()) == before


def test_a_queue_that_starts_nothing(login: Machine, cluster: PrivatePBS) -> None:
    cluster.change(queue_started=False)
    found = login.doctor(*PBS).fault("queue-stopped")
    assert "Not Running: Queue not started" in found["found"]


def test_a_job_that_is_larger_than_any_host(login: Machine) -> None:
    found = login.doctor("--scheduler", "pbs", "--nodes", "1", "--cores-per-node", "400").fault(
        "job-never-starts"
    )
    assert "Can Never Run" in found["found"]
    assert "fewer" in found["remedy"]


def test_a_server_that_does_not_answer(login: Machine, cluster: PrivatePBS) -> None:
    cluster.server_down()
    said = login.doctor(*PBS)
    assert "cannot connect to server" in said.fault("scheduler-silent")["found"]
    assert "submit" not in {one["check"] for one in said.checks}


def test_a_node_that_does_not_reach_the_manager(login: Machine) -> None:
    """Its Python is on another host, which has no way to the second network of the login node."""
    with networks() as hosts:
        login.within = hosts.manager
        python = python_on(login, hosts.node)
        words = (*ONE, "--python", str(python))
        found = login.doctor(*words, "--interface", "other").fault("manager-unreachable")
        assert "10.88.0.1" in found["found"]
        mended = login.doctor(*words, "--interface", "shared")
        assert (mended.code, mended.faults) == (0, set())


def test_an_environment_that_the_node_does_not_have(login: Machine) -> None:
    said = login.doctor(*ONE, "--python", "/no/such/env/bin/python")
    assert "/no/such/env/bin/python" in said.fault("python-missing")["found"]
