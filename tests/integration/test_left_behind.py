"""Files outside of the run's folder are removed when nothing needs them any more."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import adaptive
import psutil
import pytest

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.executors import topology_file
from adaptive_scheduler.io.disk import files
from adaptive_scheduler.io.disk.lock import holder
from adaptive_scheduler.io.transport import keys, url_registry
from adaptive_scheduler.io.transport.addresses import host_addresses
from adaptive_scheduler.runs.run_manager import RunManager
from adaptive_scheduler.schedulers.local import LocalScheduler
from tests.integration.accidents import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def _learners_go_on(tmp_path: Path) -> Iterator[None]:
    """However a test ends, its learner does not wait for ever."""
    yield
    (tmp_path / "go").touch()


def f(go: Path, x: float) -> float:
    while not go.exists():
        time.sleep(0.05)
    return x


def run_of(tmp_path: Path, name: str, goal: int) -> RunManager:
    scheduler = LocalScheduler(
        cores=1, max_cores=2, executor_type="sequential", state=tmp_path / "batch"
    )
    learner = adaptive.Learner1D(partial(f, tmp_path / "go"), (-1, 1))
    return RunManager(
        scheduler, [learner], [tmp_path / name / "data"], goal=goal, folder=tmp_path / name / "run",
        interval=1,
    )  # fmt: skip


def notes(state: Path) -> list[str]:
    return sorted(path.name for path in state.iterdir()) if state.exists() else []


def test_url_entries_are_deleted_with_their_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    state = tmp_path / "home/adaptive_scheduler"
    run = run_of(tmp_path, "one", 20)
    run.start()
    until(lambda: run.snapshot().phases.get("running"))
    killed = holder(run.folder.lock)
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    assert notes(state), "jobs find the next manager by it"
    # what other runs, and the user, have there
    host = host_addresses()[0]
    deleted, other = RunFolder(tmp_path / "deleted/run"), RunFolder(tmp_path / "other/run")
    url_registry.publish(f"tcp://{host}:1", deleted)
    url_registry.publish("tcp://198.51.100.7:1", deleted)  # a host of its own folders
    other.folder.mkdir(parents=True)
    url_registry.publish(f"tcp://{host}:2", other)
    (state / "my notes_1").mkdir()
    (state / "a_letter.txt").write_text(os.fspath(run.folder))
    run.resume()
    (tmp_path / "go").touch()
    assert run.wait(120).phases == {"done": 1}
    assert notes(state) == sorted(["198.51.100.7_1", "a_letter.txt", f"{host}_2", "my notes_1"])


def test_keys_in_the_state_folder_are_deleted_with_their_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        files, "is_open_to_others", lambda path: path == tmp_path / "keys"
    )  # a chmod without effect
    keys.load_or_make(tmp_path / "keys", "server")
    place = tmp_path / "home/adaptive_scheduler/keys"
    (place / "of another run").mkdir()
    assert len(list(place.iterdir())) == 2
    keys.remove_external(tmp_path / "keys")
    keys.remove_external(tmp_path / "keys")
    assert [path.name for path in place.iterdir()] == ["of another run"]
    keys.load_or_make(tmp_path / "keys", "server")  # a run that goes on makes new ones
    assert len(list(place.iterdir())) == 2


# --------------------------------------------------------------- the launcher's file

WORLD = """
import json, os, sys, time
from mpi4py import MPI
from adaptive_scheduler.executors import topology_file
MPI.COMM_WORLD.Barrier()
import psutil
begin = psutil.Process().create_time() - 0.05
before = [str(path) for path in topology_file._written(begin, time.time() + 0.05)]
left = topology_file.remove()
MPI.COMM_WORLD.Barrier()
if MPI.COMM_WORLD.rank == 0:
    print(json.dumps([before, left, os.getppid()]), flush=True)
time.sleep(60)
"""


def world(tmp_path: Path) -> tuple[subprocess.Popen[str], list[str], list[str]]:
    """Start an MPI world; what its launcher may have written, and what is left to be removed."""
    beside = Path(sys.executable).with_name("mpiexec")
    launcher = str(beside) if beside.exists() else str(shutil.which("mpiexec"))
    script = tmp_path / "world.py"
    script.write_text(WORLD)
    process = subprocess.Popen(
        [launcher, "-n", "2", sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    before, left, proxy = json.loads(process.stdout.readline())
    family = [psutil.Process(proxy), *psutil.Process(proxy).children(recursive=True)]
    for member in [psutil.Process(process.pid), *family]:
        with suppress(psutil.NoSuchProcess):  # it has ended with the one before
            member.kill()
    process.communicate()
    return process, before, left


@pytest.mark.mpi
def test_the_launchers_file_is_gone_although_the_launcher_was_killed(tmp_path: Path) -> None:
    mine = tmp_path / "hydra_hwloc_xmlfile_mine"
    mine.touch()
    _, written, left = world(tmp_path)
    if not written:
        pytest.skip("this launcher writes none")
    # other worlds may have begun at the same time: then nobody can tell which one is ours
    still = {path for path in written if Path(path).exists()}
    assert still <= set(left)
    assert not left or any(Path(path).exists() for path in left), "another world may need it"


def test_files_of_others_and_of_other_times_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology_file, "_FOLDER", tmp_path)
    now = time.time()
    for name, when in (("old", now - 500), ("ours", now), ("later", now + 500)):
        path = tmp_path / f"hydra_hwloc_xmlfile_{name}"
        path.touch()
        os.utime(path, (when, when))
    (tmp_path / "hydra_other").touch()
    (tmp_path / "hydra_hwloc_xmlfile_link").symlink_to(tmp_path / "hydra_other")
    os.utime(tmp_path / "hydra_hwloc_xmlfile_link", (1, 1), follow_symlinks=False)
    assert [path.name for path in topology_file._written(now - 1, now + 1)] == [
        "hydra_hwloc_xmlfile_ours"
    ]
    assert topology_file.remove() == []  # no launcher of that kind started this process
    assert len(list(tmp_path.iterdir())) == 5
