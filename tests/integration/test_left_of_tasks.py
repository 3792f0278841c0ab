"""Nothing that belongs to a run outlives it, whoever is killed, whatever its tasks do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler import Command, Executor, TaskResources, regex_value
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.scheduler import Here, LocalScheduler
from adaptive_scheduler.schedulers.job_script import OUTPUT_LIMIT
from tests.integration.agent_node import MARK, is_alive, kill_all, of_test

PATIENCE = 120.0
NODE = "adaptive_scheduler.client.tasks.node"
HEAD = "adaptive_scheduler.client.tasks.head.head"
MANAGER = "adaptive_scheduler.manager"


class Driver:
    """A driver in a process of its own, with a call and a command that run and have daemons."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        script = Path(__file__).with_name("nasty_driver.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env={**os.environ, MARK: str(folder), "PYTHONPATH": os.getcwd()},
        )
        self.daemons: list[int] = []

    def await_daemons(self) -> None:
        self.daemons = [self._pid(name) for name in ("daemon-of-call", "daemon-of-command")]

    def _pid(self, name: str) -> int:
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(OSError, ValueError):
                return int((self.folder / name).read_text())
            assert time.monotonic() < end, f"no {name}"
            time.sleep(0.02)

    def find(self, module: str) -> list[psutil.Process]:
        return [one for one in self.running() if module in words(one)]

    def running(self) -> list[psutil.Process]:
        """All processes of the run; the manager has an environment of its own."""
        found = {one.pid: one for one in of_test(self.folder)}
        for one in psutil.process_iter():
            if MANAGER in words(one) and any(str(self.folder) in word for word in words(one)):
                found[one.pid] = one
        return list(found.values())

    def kill(self, *modules: str) -> list[int]:
        """Kill all processes of these modules at once; returns what the head's node ran before."""
        before = [one.pid for one in self.running() if MANAGER not in words(one)]
        victims = [one for module in modules for one in self.find(module)]
        for one in victims:
            with suppress(psutil.NoSuchProcess):  # it has ended with the one before
                one.send_signal(signal.SIGKILL)
        return [pid for pid in before if pid != self.process.pid]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        kill_all(self.folder)
        for one in self.running():
            with suppress(psutil.NoSuchProcess):
                one.kill()


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def await_gone(pids: list[int]) -> None:
    end = time.monotonic() + PATIENCE
    while left := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < end, f"after {PATIENCE:g} s: {left}"
        time.sleep(0.05)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    one = Driver(tmp_path)
    try:
        one.await_daemons()
        yield one
    finally:
        one.close()


def test_tasks_end_with_their_agent_and_supervisor_if_both_are_killed_at_once(
    driver: Driver,
) -> None:
    workers = [one.pid for one in driver.find(f"{NODE}.worker")]
    driver.kill(f"{NODE}.supervisor", f"{NODE}.agent")
    await_gone([*driver.daemons, *workers])
    assert driver.process.poll() is None
    assert driver.find(HEAD)


def test_a_head_that_is_started_anew_ends_what_a_killed_node_has_left(driver: Driver) -> None:
    """Head, supervisor and agent are killed at once: nobody is left who would end their tasks."""
    driver.kill(HEAD, f"{NODE}.supervisor", f"{NODE}.agent")
    await_gone(driver.daemons)
    end = time.monotonic() + PATIENCE
    while not driver.find(f"{NODE}.worker"):
        assert time.monotonic() < end, "the tasks do not run again"
        time.sleep(0.05)


@pytest.mark.parametrize("others", [(), (MANAGER,)])
def test_all_ends_with_the_driver(driver: Driver, others: tuple[str, ...]) -> None:
    """Also if no manager is there any more whom the head could tell."""
    mine = driver.kill("nasty_driver.py", *others)
    driver.process.kill()
    driver.process.wait()
    await_gone([*driver.daemons, *mine])
    end = time.monotonic() + PATIENCE
    while left := [
        told for one in driver.running() if (told := words(one)) and MANAGER not in told
    ]:
        assert time.monotonic() < end, left  # what they had just started ends as well
        time.sleep(0.05)


# ----------------------------------------------------------------------- many that fail


def fails(n: int) -> None:
    raise ValueError(f"number {n}")


def threads() -> tuple[str, int]:
    return os.environ["OMP_NUM_THREADS"], len(os.sched_getaffinity(0))


@pytest.mark.timeout(1500)
def test_ten_thousand_tasks_that_all_fail_at_once(tmp_path: Path) -> None:
    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        futures = executor.submit_many(fails, range(10_000))
        messages = [str(future.exception(PATIENCE)) for future in futures]
        assert messages == [f"number {n}" for n in range(10_000)]
        assert executor.submit(abs, -1).result(PATIENCE) == 1


def test_a_task_has_the_threads_that_it_asked_for(tmp_path: Path) -> None:
    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        two = executor.options(resources=TaskResources(threads_per_rank=2))
        assert executor.submit(threads).result(PATIENCE) == ("1", 1)
        cores = min(2, os.cpu_count() or 1)
        assert two.submit(threads).result(PATIENCE) == ("2", cores)


def test_the_output_of_a_success_can_be_left_out(tmp_path: Path) -> None:
    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        quiet = [Command(text, keep_log=False) for text in ("echo 1", "echo 2; exit 3")]
        good, bad = [executor.submit(one) for one in quiet]
        assert good.result(PATIENCE) == 0
        assert "status 3" in str(bad.exception(PATIENCE))
        assert [Path(one.log).exists() for one in (good, bad)] == [False, True]
    with pytest.raises(InputError, match="keep_log"):
        Command("echo 1", value=regex_value("(.)"), keep_log=False)


def prints_a_gigabyte() -> int:
    block = "x" * 2**20
    for _ in range(2**10):
        print(block)
    return 1


def test_a_call_that_prints_a_gigabyte_into_its_job_fills_no_disk(tmp_path: Path) -> None:
    scheduler = LocalScheduler(cores=1, max_cores=2, state=tmp_path / "batch")
    with Executor(scheduler, folder=tmp_path / "run", max_jobs=1) as executor:
        assert executor.submit(prints_a_gigabyte).result(PATIENCE) == 1
        assert executor.submit(abs, -1).result(PATIENCE) == 1
    sizes = []
    for path in tmp_path.rglob("*"):
        with suppress(FileNotFoundError):  # the batch system's server ends just now
            sizes.append(path.stat().st_size if path.is_file() else 0)
    assert max(sizes) > OUTPUT_LIMIT, "it was printed elsewhere"
    assert sum(sizes) < 1.2 * OUTPUT_LIMIT
