"""``run.json`` when several processes change it at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from adaptive_scheduler import LocalScheduler
from adaptive_scheduler.core.config import JobLimits, RunConfig
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import FileError, RunError
from adaptive_scheduler.io.storage.run_config import change_config, read_config, write_config
from adaptive_scheduler.manager.named_jobs import NamedJobs
from adaptive_scheduler.runs.manager_client import ManagerClient

#: Each adds names of jobs, one by one, and another limit; a pause makes it likely that two do so at once.
CHANGER = """
import sys, time
import msgspec
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.io.storage.run_config import change_config

folder, who, times = RunFolder(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def one_more(config):
    time.sleep(0.003)
    return msgspec.structs.replace(config, job_names=[*config.job_names, f"{who} {n}"])

print("ready", flush=True)
sys.stdin.readline()
for n in range(times):
    change_config(folder, one_more)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "a user's $run")
    found.folder.mkdir(0o700, parents=True)
    write_config(found, RunConfig("run", [Resources()], ["study"], "/logs"))
    return found


@pytest.mark.parametrize("n", [2, 8])
def test_no_process_undoes_the_change_of_another(folder: RunFolder, n: int) -> None:
    """All of them at once, each ten times: every change is there, in its order, and the rest is as it was."""
    started = read_config(folder).started
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CHANGER, str(folder.home), str(who), "10"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for who in range(n)
    ]  # fmt: skip
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    assert [one.wait(120) for one in processes] == [0] * n
    for one in processes:
        one.communicate()
    config = read_config(folder)
    assert sorted(config.job_names) == sorted(
        ["study", *(f"{w} {k}" for w in range(n) for k in range(10))]
    )
    for who in range(n):
        own = [name for name in config.job_names if name.startswith(f"{who} ")]
        assert own == [f"{who} {k}" for k in range(10)]
    assert (config.run, config.started) == ("run", started)
    assert folder.config.stat().st_mode & 0o777 == 0o600


def test_a_run_that_is_gone_is_told_as_everywhere(tmp_path: Path) -> None:
    """The folder of the lock is missing, too."""
    gone = RunFolder(tmp_path / "gone")
    with ManagerClient(gone) as client, pytest.raises(RunError, match="holds no run"):
        client.limit_jobs(3)
    with pytest.raises(FileError, match="No such file"):
        write_config(gone, RunConfig("run", [Resources()], ["study"], "/logs"))


def test_jobs_of_a_script_keep_what_another_has_changed_meanwhile(folder: RunFolder) -> None:
    change_config(folder, lambda config: msgspec.structs.replace(config, point_retries=7))
    jobs = NamedJobs(LocalScheduler(cores=1), ["a", "b"], "script.py", 30, JobLimits(max_jobs=2))
    config = jobs.configure(folder)
    assert config == read_config(folder)
    assert (config.job_names, config.point_retries, config.limits.max_jobs) == (["a", "b"], 7, 2)


def test_a_new_limit_keeps_what_another_has_changed_meanwhile(folder: RunFolder) -> None:
    """Nothing is written where nothing changes; an error of a change leaves the file as it was."""
    change_config(folder, lambda config: msgspec.structs.replace(config, point_retries=7))
    with ManagerClient(folder) as client:
        client.limit_jobs(3)
    config = read_config(folder)
    assert (config.limits.max_jobs, config.point_retries) == (3, 7)
    before = folder.config.stat()
    with ManagerClient(folder) as client:
        client.limit_jobs(3)
    assert folder.config.stat().st_ino == before.st_ino

    def fails(_: RunConfig) -> RunConfig:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        change_config(folder, fails)
    assert read_config(folder) == config


def test_a_run_whose_folder_is_gone_is_told_as_any_other_fault(tmp_path: Path) -> None:
    gone = RunFolder(tmp_path / "gone")
    with pytest.raises(RunError):
        change_config(gone, lambda config: config)
    with pytest.raises(FileError, match=r"gone/.*: No such file"):
        write_config(gone, RunConfig("run", [Resources()], ["study"], "/logs"))
