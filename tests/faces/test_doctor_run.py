"""Faults of a run's folder: keys, lock, manager, disk."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import adaptive
import msgspec
import psutil
import pytest

from adaptive_scheduler.core.options.run_options import RunOptions
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.io.system.processes import start_manager
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.runs.start.plan import make_plan
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.faces.doctor_world import Machine, machine, need_root

_ = machine


def f(x: float) -> float:
    time.sleep(1)
    return x


class Study:
    """A run that nobody has started yet, and its managers."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.managers: list[subprocess.Popen[bytes]] = []
        scheduler = LocalScheduler(cores=1, max_cores=1, executor_type="sequential")
        learners = [adaptive.Learner1D(f, (-1, 1))]
        plan = make_plan(scheduler, learners, [machine.folder / "data"], RunOptions(goal=10**6))
        self.folder: RunFolder = run_folder(machine.folder / "study", "job")
        prepare(plan, self.folder)

    def start(self) -> int:
        """Start a manager; return its process when it answers."""
        process = start_manager(self.folder)
        self.managers.append(process)
        until(lambda: self._pid() == process.pid)
        return process.pid

    def _pid(self) -> int:
        try:
            return read_address(self.folder).pid
        except AdaptiveSchedulerError:
            return -1

    def close(self) -> None:
        for process in self.managers:
            process.kill()
            process.wait()


def until(is_true: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def study(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH", str(machine.folder / "batch"))
    monkeypatch.setenv("ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE", "2")
    monkeypatch.chdir(machine.folder)
    made = Study(machine)
    yield made
    made.close()
    for process in psutil.process_iter(["cmdline"]):  # its job and the batch system's server
        if any(str(machine.folder) in word for word in process.info["cmdline"] or []):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_run_with_nothing_wrong_and_then_a_dead_a_stopped_and_a_second_manager(
    study: Study,
) -> None:
    run = str(study.folder.home)
    first = study.start()
    said = study.machine.doctor(run)
    assert (said.code, said.faults) == (0, set())
    assert {one["check"] for one in said.checks} == {"run", "keys", "lock", "manager", "run-folder"}

    os.kill(first, signal.SIGSTOP)
    found = study.machine.doctor(run).fault("manager-silent")
    assert f"process {first}" in found["found"]
    assert "kill -STOP" in found["remedy"]

    study.folder.lock.unlink()  # what one should never do
    second = study.start()
    found = study.machine.doctor(run).fault("another-manager")
    assert f"process {first}" in found["found"]
    assert f"process {second}" in found["found"]
    assert f"kill {first}" in found["remedy"]

    for process in study.managers:
        process.kill()
        process.wait()
    found = study.machine.doctor(run).fault("stale-lock")
    assert f"process {second}" in found["found"]
    assert f"resume {run}" in found["remedy"]

    study.folder.lock.unlink()
    assert f"resume {run}" in study.machine.doctor(run).fault("no-manager")["remedy"]


def test_keys_that_are_open_foreign_or_missing(study: Study) -> None:
    study.start()
    study.close()
    run, key = str(study.folder.home), study.folder.keys / "client.key"
    key.chmod(0o644)
    found = study.machine.doctor(run).fault("keys-open")
    assert "mode 644" in found["found"]
    assert f"chmod 600 {key}" in found["remedy"]
    key.chmod(0o600)
    study.folder.keys.chmod(0o750)
    assert "chmod 700" in study.machine.doctor(run).fault("keys-open")["remedy"]
    study.folder.keys.chmod(0o700)
    key.unlink()
    assert str(key) in study.machine.doctor(run).fault("keys-missing")["found"]


def test_a_run_of_another_user(study: Study) -> None:
    need_root()
    for path in (study.folder.keys, study.folder.folder):
        path.mkdir(exist_ok=True)
        os.chown(path, 65534, 65534)
    said = study.machine.doctor(str(study.folder.home))
    assert "belongs to user 65534" in said.all("keys-foreign")[0]["found"]
    os.chown(study.folder.config, 65534, 65534)
    said = study.machine.doctor(str(study.folder.home))
    assert "belongs to user 65534" in said.fault("run-unreadable")["found"]


def test_a_run_whose_environment_and_folder_have_changed(study: Study) -> None:
    config = read_config(study.folder)
    assert config.environment is not None
    gone = study.machine.folder / "gone"
    former = msgspec.structs.replace(config.environment, python="3.9", cwd=str(gone))
    write_config(study.folder, msgspec.structs.replace(config, environment=former))
    said = study.machine.doctor(str(study.folder.home))
    assert said.faults == {"python-changed", "cwd-missing", "no-manager"}
    assert "Python 3.9" in said.fault("python-changed")["found"]
    assert str(gone) in said.fault("cwd-missing")["found"]


def test_a_run_on_a_full_disk(study: Study) -> None:
    """The run's folder lies on a small disk that is full; the manager cannot write there either."""
    need_root()
    small = study.machine.folder / "small"
    small.mkdir()
    study.machine.within = ["unshare", "--mount", "--propagation", "private"]
    fill = (
        f"mount -t tmpfs -o size=2m none {small} && cp -a {study.folder.home}/. {small} && "
        f"{{ head -c 9m /dev/zero > {small}/full || true; }} 2> /dev/null"
    )
    said = study.machine.doctor(str(small), shell=fill)
    assert str(small) in said.all("no-room")[0]["found"]


def test_with_job_it_looks_at_the_runs_own_cluster_too(study: Study) -> None:
    study.start()
    said = study.machine.doctor(str(study.folder.home), "--job", "--timeout", "1s")
    checks = [one["check"] for one in said.checks]
    assert {"run", "lock", "programs", "submit"} <= set(checks)
