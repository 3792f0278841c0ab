"""Jobs of several nodes, from `Executor` to the end: whatever dies, each task ends once, and no core is used twice."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler import Executor, TaskResources
from adaptive_scheduler.core.paths import JOB_VARIABLE, NODE_VARIABLE, RUN_VARIABLE
from adaptive_scheduler.errors import TaskError
from adaptive_scheduler.scheduler import PBS, SLURM
from adaptive_scheduler.schedulers.base import Scheduler
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm

PATIENCE = 90.0
NODE = "adaptive_scheduler.client.tasks.node."
OTHER = "adaptive_scheduler.client.tasks.other_nodes."
#: Seconds after which nothing is left on any node.
GONE = 60.0


def note(folder: str, n: int) -> tuple[str, int]:
    """Hold a lock for each core that this process may use; tell where it was."""
    import fcntl

    node, cores = os.environ[NODE_VARIABLE], sorted(os.sched_getaffinity(0))
    locks = [os.open(f"{folder}/{node}-{core}", os.O_CREAT | os.O_RDWR) for core in cores]
    for core, lock in zip(cores, locks, strict=True):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Path(folder, f"overlap-{node}-{core}-{n}").touch()
    time.sleep(0.2)
    for lock in locks:
        os.close(lock)
    return node, len(cores)


class Run:
    """Tasks on a job of three nodes, and what dies there."""

    def __init__(self, scheduler: Scheduler, folder: Path) -> None:
        self.folder = folder / "run"
        self.locks = folder / "locks"
        self.locks.mkdir()
        # a job that ends between two rounds of tasks, as this process stands still, takes its nodes along
        self.executor = Executor(scheduler, self.folder, idle=120, interval=1, max_jobs=1)
        self.options = self.executor.options(max_crashes=20)
        self.futures: list = []

    def submit(self, n: int) -> list:
        first, locks = len(self.futures), str(self.locks)
        more = self.options.submit_many(lambda k: note(locks, k), range(first, first + n))
        self.futures += more
        return more

    def nodes(self, n: int = 24) -> set[str]:
        """Run tasks; return where they have run."""
        return {future.result(PATIENCE)[0] for future in self.submit(n)}

    def await_nodes(self, nodes: set[str], seconds: float = PATIENCE) -> None:
        """Run tasks until all these nodes run some, and no other does."""
        end = time.monotonic() + seconds
        while (found := self.nodes()) != nodes:
            assert time.monotonic() < end, f"tasks run on {found}"

    def processes(self, module: str, node: str | None = None) -> list[psutil.Process]:
        """Those of this run that run a module (on a node)."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environ, words = process.environ(), process.cmdline()
                its = environ.get(RUN_VARIABLE, "").startswith(str(self.folder)) or any(
                    str(self.folder) in word for word in words
                )
                if its and module in words and node in (None, environ.get(NODE_VARIABLE)):
                    found.append(process)
        pids = {process.pid for process in found}
        # a child of one of them is about to be another program
        return [one for one in found if _parent(one) not in pids]

    def kill(self, module: str, node: str | None = None) -> None:
        """Kill those that run a module, while tasks run."""
        self.submit(12)
        time.sleep(0.3)
        found = self.processes(module, node)
        assert found, f"no {module} on {node}"
        for process in found:
            with suppress(psutil.NoSuchProcess):  # it has ended with the one before
                process.kill()

    def times_lost(self, node: str) -> int:
        """How often the head has said that a node is lost."""
        outputs = self.folder.parent.rglob("*.out")
        return sum(
            path.read_text(errors="replace").count(f"node {node} is lost") for path in outputs
        )

    def await_loss(self, node: str, before: int) -> None:
        """Wait until the head has noticed; the node may come again before a task could show that."""
        end = time.monotonic() + PATIENCE
        while self.times_lost(node) <= before:
            assert time.monotonic() < end, f"{node} is not lost"
            time.sleep(0.1)

    def kill_launchers(self) -> None:
        """Kill each pbs_tmrsh that has started a node."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if "pbs_tmrsh pbs" in line and str(self.folder) in line:
                    found.append(process)
        assert len(found) == 2, found
        for process in found:
            process.kill()

    def close(self) -> None:
        """Each task has ended once, no core was used twice, and nothing is left."""
        for future in self.futures:
            future.result(PATIENCE)
        done = Counter(row["state"] for row in self.executor.tasks())
        assert done == {"done": len(self.futures)}
        self.end()

    def end(self) -> None:
        """Nothing is left on any node."""
        self.executor.shutdown()
        assert list(self.locks.glob("overlap-*")) == []
        end = time.monotonic() + GONE
        while left := self._left():
            assert time.monotonic() < end, left
            time.sleep(0.2)
        assert list(self.folder.glob("*.run/invitations/*")) == []

    def _left(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                its = process.environ().get(RUN_VARIABLE, "").startswith(str(self.folder))
                is_job = JOB_VARIABLE in process.environ()
                if its and is_job and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


@pytest.fixture
def on_slurm(slurm: PrivateSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    run = Run(SLURM(nodes=3, cores=6, walltime="10m"), tmp_path)
    yield run
    run.executor.shutdown(wait=False, cancel_futures=True)


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def stepd_of(process: psutil.Process) -> psutil.Process:
    """The slurmstepd that has started it."""
    return next(one for one in process.parents() if one.name().startswith("slurmstepd"))


@pytest.mark.slurm
@pytest.mark.timeout(900)
def test_each_process_of_a_job_of_three_nodes_dies_alone_on_slurm(
    on_slurm: Run, slurm: PrivateSlurm
) -> None:
    run, all_of = on_slurm, set[str]()
    end = time.monotonic() + PATIENCE
    while len(all_of) < 3:  # the others come later than the first
        assert time.monotonic() < end, f"tasks run on {all_of}"
        all_of |= run.nodes()
    run.await_nodes(all_of)
    cores = {future.result(0)[1] for future in run.futures}
    assert cores == {1}  # each task is bound to one of the two cores of its node
    (head,) = run.processes("adaptive_scheduler.client")
    first = head.environ()["SLURMD_NODENAME"]
    second, third = sorted(all_of - {first})

    run.kill(NODE + "agent", second)
    run.await_nodes(all_of)
    run.kill(NODE + "supervisor", third)
    run.await_nodes(all_of)
    (proxy,) = run.processes(OTHER + "proxy", third)
    stepd_of(proxy).kill()
    lost = run.times_lost(second)
    run.kill(OTHER + "proxy", second)
    run.await_loss(second, lost)  # the launcher lives: it is the node's own silence that tells
    run.await_nodes(all_of)
    run.kill(OTHER + "enter")  # srun: its step may end with it, and is started anew
    run.await_nodes(all_of)
    run.kill("adaptive_scheduler.client")
    run.await_nodes(all_of)
    run.submit(24)
    slurm.kill_node(second)
    try:
        run.await_nodes({first, third})
        run.close()
    finally:
        slurm.start_node(second)


def kill_what_runs_here(mark: str) -> None:
    """As `kill -9 -1` does on a real node: agent, supervisor and proxy, none of which can tell how it died."""
    with Path(mark).open("a") as file:
        file.write(f"{os.environ[NODE_VARIABLE]}\n")
    for process in reversed(psutil.Process().parents()):
        with suppress(psutil.Error):
            if "adaptive_scheduler.client.tasks." in " ".join(process.cmdline()):
                process.kill()
    time.sleep(600)


@pytest.mark.slurm
@pytest.mark.timeout(900)
def test_a_task_that_kills_all_on_its_node_is_given_up(on_slurm: Run, tmp_path: Path) -> None:
    """It was tried again for ever: as far as is known, its node was lost each time."""
    run, mark, go = on_slurm, tmp_path / "mark", tmp_path / "go"

    def wait() -> str:
        while not go.exists():
            time.sleep(0.05)
        return os.environ[NODE_VARIABLE]

    whole = run.executor.options(resources=TaskResources(threads_per_rank=2), max_crashes=0)
    others = whole.submit_many(lambda _: wait(), range(2))  # one on the head's node
    wait_until = time.monotonic() + PATIENCE
    while [one.state for one in others] != ["running", "running"]:
        assert time.monotonic() < wait_until
        time.sleep(0.1)
    killer = whole.submit(kill_what_runs_here, str(mark))
    with pytest.raises(TaskError, match="3 times a node was lost on which nothing else ran"):
        killer.result(PATIENCE)
    assert (len(mark.read_text().split()), killer.attempts) == (3, 3)
    go.touch()
    assert len({one.result(PATIENCE) for one in others}) == 2
    run.end()


@pytest.mark.timeout(900)
def test_a_launcher_and_an_agent_of_a_job_of_pbs_die(
    pbs: PrivatePBS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a `pbs_tmrsh` has started goes on without it: its node is not lost."""
    for name, value in pbs.env.items():
        monkeypatch.setenv(name, value)
    hosts = {f"pbs{n}": 4 for n in (1, 2, 3)}
    pbs.change(hosts=hosts)
    run = Run(PBS(nodes=3, cores=6, walltime="10m"), tmp_path)
    run.await_nodes(set(hosts))
    log = (pbs.folder / "tmrsh.log").read_text().split()
    assert {"pbs2", "pbs3"} <= set(log)
    proxies = {process.pid for process in run.processes(OTHER + "proxy")}
    run.kill_launchers()
    run.await_nodes(set(hosts))
    assert {process.pid for process in run.processes(OTHER + "proxy")} == proxies
    run.kill(NODE + "agent", "pbs2")
    lost = run.times_lost("pbs3")
    run.kill(OTHER + "proxy", "pbs3")
    run.await_loss("pbs3", lost)
    run.await_nodes(set(hosts))
    run.close()
