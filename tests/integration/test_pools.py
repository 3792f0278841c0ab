"""Pools of real jobs: heads, agents, workers; walltimes that cut, and processes that are killed."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from adaptive_scheduler import Command, Executor, TaskResources
from adaptive_scheduler.core import paths
from adaptive_scheduler.core.config import Timing
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.wire.messages import Ok, Owner, Request
from adaptive_scheduler.core.wire.pools import AddPool, PoolList, Pools, PoolState
from adaptive_scheduler.core.wire.tasks import CloseRun
from adaptive_scheduler.io.transport.addresses import read_address
from adaptive_scheduler.io.transport.connection import Connection
from adaptive_scheduler.runs.driver import pools
from adaptive_scheduler.runs.driver.start_run import start_run
from adaptive_scheduler.runs.manager_client import ManagerClient
from adaptive_scheduler.runs.run_manager import run_folder
from adaptive_scheduler.scheduler import SLURM, Here, LocalScheduler
from adaptive_scheduler.schedulers.base import Scheduler
from tests.clusters.slurm import PrivateSlurm
from tests.integration.agent_node import is_alive

PATIENCE = 120.0
TIMING = Timing(beat=0.5, lease=10.0, interval=1.0, grace=10.0)


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(0.05)
    return found


class PoolRun:
    """A run whose pools' jobs are submitted by a scheduler, and its driver."""

    def __init__(self, folder: Path, scheduler: Scheduler) -> None:
        self.folder = run_folder(folder, "pool")
        start_run(self.folder, "pool", scheduler, TIMING)
        self._connection = Connection(self.folder)
        self._number = 0
        self.executor = Executor.attach(folder)

    def ask(self, body: Request) -> Any:
        self._number += 1
        return self._connection.ask(Owner("test", 0, 0, "test"), self._number, body, 10.0)

    def add(self, **settings: Any) -> None:
        assert self.ask(AddPool(Pool(**settings))) == Ok()

    def pool(self) -> PoolState:
        listed = self.ask(Pools())
        assert isinstance(listed, PoolList)
        return listed.pools[0]

    def processes(self, module: str) -> list[psutil.Process]:
        """Those of this run's jobs that run a module of `client`."""
        return [
            one
            for one in of_run(os.fspath(self.folder))
            if f"adaptive_scheduler.client{module}" in words(one)
        ]

    def kill_one(self, module: str) -> None:
        """Kill such a process, as soon as there is one: at times each job has just ended."""
        wait_for(lambda: any(map(is_killed, self.processes(module))))

    def close(self) -> None:
        self.executor.shutdown()
        self.ask(CloseRun())
        self._connection.close()
        wait_for(lambda: not self.folder.manager.exists())
        wait_for(lambda: not of_run(os.fspath(self.folder)))


def is_killed(process: psutil.Process) -> bool:
    """Kill a process; False if it has just ended by itself."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def of_run(folder: str) -> list[psutil.Process]:
    """All processes of a run's jobs: each has it in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(paths.RUN_VARIABLE) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return [one for one in found if is_alive(one.pid)]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[PoolRun]:
    scheduler = LocalScheduler(cores=2, max_cores=8, kill_wait=5, state=tmp_path / "batch")
    run = PoolRun(tmp_path / "run", scheduler)
    yield run
    run.close()


def note(number: int, ledger: str, seconds: float) -> int:
    """Sleep, and write down in which job and process, from when to when."""
    begin = time.time()
    time.sleep(seconds)
    with Path(ledger).open("a") as file:  # one write of a short line: they do not mix
        file.write(
            f"{number} {os.environ['ADAPTIVE_SCHEDULER_JOB']} {os.getpid()} {begin} {time.time()}\n"
        )
    return number


def test_200_calls_over_jobs_that_are_cut_and_processes_that_are_killed(
    local: PoolRun, tmp_path: Path
) -> None:
    """Each ends once, in spite of two walltimes, and of one kill of an agent, a head and the manager."""
    local.add(name="p", resources=Resources(cores=2, walltime=15), max_jobs=2, idle=1.0)
    ledger = tmp_path / "ledger"
    n = 200
    futures = [local.executor.submit(note, k, str(ledger), 0.3) for k in range(n)]

    def done() -> int:
        return sum(future.done() for future in futures)

    wait_for(lambda: done() >= 10)
    local.kill_one(".tasks.node.agent")
    wait_for(lambda: done() >= 40)
    local.kill_one("")
    wait_for(lambda: done() >= 80)
    os.kill(read_address(local.folder).pid, signal.SIGKILL)
    with ManagerClient(local.folder) as viewer:
        wait_for(lambda: not viewer.lives())
    start_run(local.folder, "pool")
    assert [future.result(PATIENCE) for future in futures] == list(range(n))
    rows = local.executor.tasks()
    assert [row["state"] for row in rows] == ["done"] * n
    lines = [line.split() for line in ledger.read_text().splitlines()]
    assert len({job for _, job, *_ in lines}) > 2, "no walltime has cut a job"
    assert_at_a_time(lines, 2)
    wait_for(lambda: not of_run(os.fspath(local.folder)))  # idle heads have left


def assert_at_a_time(lines: list[list[str]], cores: int) -> None:
    """No job ran more calls at a time than it has cores."""
    for job in {job for _, job, *_ in lines}:
        changes = sorted(
            change
            for _, its, _, begin, end in lines if its == job
            for change in ((float(begin), 1), (float(end), -1))
        )  # fmt: skip
        running = 0
        for _, change in changes:
            running += change
            assert running <= cores, job


def test_a_task_that_a_walltime_cuts_runs_again(local: PoolRun, tmp_path: Path) -> None:
    local.add(name="p", resources=Resources(cores=2, walltime=20))
    mark = tmp_path / "begun"

    def long_at_first() -> str:
        if mark.exists():
            return os.environ["ADAPTIVE_SCHEDULER_JOB"]
        mark.write_text(os.environ["ADAPTIVE_SCHEDULER_JOB"])
        time.sleep(1000)
        return ""

    future = local.executor.submit(long_at_first)
    assert future.result(PATIENCE) != mark.read_text()
    (row,) = local.executor.tasks()
    assert row["attempts"] >= 2  # more, where a job took all its time to begin it


def test_a_command_runs_in_a_job(local: PoolRun) -> None:
    local.add(name="p", resources=Resources(cores=2), idle=1.0)
    run = local.executor.submit(
        Command("echo $OMP_NUM_THREADS > out", value=lambda o: o.read("out"))
    )
    assert run.result(PATIENCE) == "1\n"


@pytest.mark.slurm
@pytest.mark.timeout(300)
def test_calls_on_slurm(
    tmp_path: Path, slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One head is killed, one job cancelled by a person: each call ends once, and none failed for it."""
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    run = PoolRun(tmp_path / "run", SLURM(cores=4))
    run.add(name="p", resources=Resources(cores=4, walltime=600), max_jobs=2, idle=1.0)
    ledger = tmp_path / "ledger"
    futures = [run.executor.submit(note, k, str(ledger), 0.3) for k in range(80)]
    wait_for(lambda: sum(future.done() for future in futures) >= 8)
    run.kill_one("")
    wait_for(lambda: sum(future.done() for future in futures) >= 24)
    (task, *_) = wait_for(lambda: run.executor.tasks(state="running"))
    slurm.run("scancel", task["job"])
    assert [future.result(PATIENCE) for future in futures] == list(range(80))
    rows = run.executor.tasks()
    assert {row["state"] for row in rows} == {"done"}
    lines = [line.split() for line in ledger.read_text().splitlines()]
    assert_at_a_time(lines, 4)
    run.close()


def affinity() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def affinity_beside(n: int, folder: Path) -> list[int]:
    """Return when n calls have begun, so that each has cores of its own."""
    (folder / str(os.getpid())).touch()
    end = time.monotonic() + PATIENCE
    while len(list(folder.iterdir())) < n:
        assert time.monotonic() < end
        time.sleep(0.02)
    return affinity()


def test_children_are_bound_to_their_cores(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    (tmp_path / "begun").mkdir()
    with Executor(Here(), folder=tmp_path / "run") as executor:
        calls = [executor.submit(affinity_beside, len(mine), tmp_path / "begun") for _ in mine]
        found = [tuple(call.result(PATIENCE)) for call in calls]
        assert set(found) == {(core,) for core in mine}
        whole = executor.options(resources=TaskResources(threads_per_rank=len(mine)))
        assert whole.submit(affinity).result(PATIENCE) == mine
        shown = executor.submit(
            Command("nproc > out", value=lambda output: output.read("out"))
        ).result(PATIENCE)
        assert shown == "1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_head_that_ends(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "PAUSES", (3600.0,))  # until the next head
    executor = Executor(Here(slots=2), folder=tmp_path / "run")
    mark, other = tmp_path / "begun", tmp_path / "other"

    def sleep() -> None:
        mark.touch()
        time.sleep(1000)

    command = Command(f"sleep 1000 & touch {shlex.quote(str(other))}; sleep 1000")
    futures = [executor.submit(sleep), executor.submit(command)]
    wait_for(lambda: mark.exists() and other.exists())
    head = executor._closing.heads[0].process
    children = psutil.Process(head.pid).children(recursive=True)
    assert len(children) >= 4
    head.send_signal(number)
    assert head.wait(PATIENCE) == (0 if number == signal.SIGTERM else -number)
    _, alive = psutil.wait_procs(children, PATIENCE)
    assert alive == []
    if number == signal.SIGTERM:  # it has said what became of them
        states = [(row["state"], row["attempts"]) for row in executor.tasks()]
        assert states == [("queued", 1), ("queued", 1)]
    for future in futures:
        future.cancel()
    executor.shutdown()


def test_a_supervisor_that_is_killed_is_started_anew(tmp_path: Path) -> None:
    with Executor(Here(slots=2), folder=tmp_path / "run") as executor:
        assert executor.submit(affinity).result(PATIENCE)
        head = executor._closing.heads[0].process
        children = psutil.Process(head.pid).children(recursive=True)
        next(
            one
            for one in children
            if "adaptive_scheduler.client.tasks.node.supervisor" in words(one)
        ).kill()
        assert executor.submit(affinity).result(PATIENCE)
        _, alive = psutil.wait_procs(children, PATIENCE)
        assert alive == []


def test_a_driver_that_begins_as_the_last_one_has_ended_keeps_its_manager(tmp_path: Path) -> None:
    """It sent each head away, and failed all tasks, since the pools of the last driver are removed."""
    folder = run_folder(tmp_path / "run", "tasks")
    scheduler = LocalScheduler(cores=1, max_cores=4, kill_wait=600, state=tmp_path / "batch")
    # so idle that the head is still there when it is looked for
    with Executor(scheduler, folder=tmp_path / "run", idle=PATIENCE, interval=1.0) as executor:
        assert executor.submit(abs, -1).result(PATIENCE) == 1
        (head,) = [
            one for one in of_run(os.fspath(folder)) if "adaptive_scheduler.client" in words(one)
        ]
        head.suspend()  # its manager does not end before its job has ended
    try:
        pid = read_address(folder).pid
        with Executor(Here(slots=1), folder=tmp_path / "run") as executor:
            executor.remove_pool("pool")
            assert executor._closing.heads[0].process.poll() is None
            assert [one.result(PATIENCE) for one in executor.submit_many(abs, [-2, -3])] == [2, 3]
            assert read_address(folder).pid == pid
        last = Executor.attach(tmp_path / "run")
        last.add_pool(Here(slots=1))
        assert last.submit(abs, -4).result(PATIENCE) == 4
        assert read_address(folder).pid == pid
    finally:
        head.resume()
    last.shutdown()
    wait_for(lambda: not folder.manager.exists())  # it is closed again
