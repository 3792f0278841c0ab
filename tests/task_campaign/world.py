"""Where a campaign runs: one batch system of its own, and the processes that are there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from adaptive_scheduler.client.tasks.ranks.ranked_program import ENTER
from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobState, ListedJob
from adaptive_scheduler.core.paths import (
    JOB_VARIABLE,
    NODE_VARIABLE,
    RUN_VARIABLE,
    RunFolder,
)
from adaptive_scheduler.errors import NoObservation
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.runs.run_manager import run_folder
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm
from tests.task_campaign import driver, work
from tests.task_campaign.plan import GPUS_OF_NODE, Plan, write_plan

ROOT = Path(__file__).parents[2]
#: Seconds in which everything must be over after the run: less than what waits for a manager that is gone.
SILENCE = 25.0
#: Of the batch system, where jobs have whole ones.
NODES = 4
#: What runs in the processes of a job, by their command line.
MODULES = {
    "head": "adaptive_scheduler.client", "supervisor": "adaptive_scheduler.client.tasks.node.supervisor",
    "agent": "adaptive_scheduler.client.tasks.node.agent",
    "worker": "adaptive_scheduler.client.tasks.node.worker", "program": work.__file__,
    "proxy": "adaptive_scheduler.client.tasks.other_nodes.proxy",
    "launcher": "adaptive_scheduler.client.tasks.other_nodes.enter",
    "rank": ENTER,
    "rank launcher": ENTER,
    "call of a rank": "adaptive_scheduler.client.tasks.ranks.call_rank",
}  # fmt: skip


def private_slurm(plan: Plan) -> PrivateSlurm:
    """Return a Slurm for a campaign, not started."""
    if not plan.nodes:
        return PrivateSlurm()
    return PrivateSlurm(nodes=NODES, cores_per_node=plan.cores, gpus_per_node=GPUS_OF_NODE)


def private_pbs(plan: Plan) -> PrivatePBS:
    """Return a fake PBS for a campaign, not started."""
    hosts = {f"pbs{n}": plan.cores for n in range(1, NODES + 1)} if plan.nodes else None
    return PrivatePBS(plan.path / "pbs", hosts=hosts, resources=["ngpus"])


def node_of(process: psutil.Process) -> str:
    """On which node a process runs, as its environment says; "" if it does not."""
    known = process.environ()
    return known.get(NODE_VARIABLE) or known.get("SLURMD_NODENAME", "")


def is_a(kind: str, words: list[str]) -> bool:
    """Whether a command line is of a kind: what starts something elsewhere has its words, too."""
    if not words or kind.endswith("launcher") == words[0].endswith("python"):
        return False
    return MODULES[kind] in (*words, *words[-1].split())  # pbs_tmrsh has a text for a shell


class World:
    """A batch system, a run on it, and its driver.

    Parameters
    ----------
    plan : Plan
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.cluster: PrivateSlurm | PrivatePBS | None = None
        if plan.batch_system == "slurm":
            self.cluster = private_slurm(plan)
        elif plan.batch_system == "pbs":
            self.cluster = private_pbs(plan)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "2",
        }
        self.run: RunFolder = run_folder(plan.path / "run", "kills")
        self.scheduler = plan.scheduler()
        self._plan_file = write_plan(plan)
        self.driver: subprocess.Popen[bytes] | None = None
        self.lives = 0

    def start(self) -> None:
        """Start the batch system, and the driver."""
        if self.cluster is not None:
            self.cluster.start()
            self.env |= self.cluster.env
        self.start_driver()

    def start_driver(self) -> None:
        """Run the driver, for the first time or again."""
        self.lives += 1
        with (self.plan.path / "driver.out").open("ab") as out:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", driver.__name__, str(self._plan_file)],
                env=self.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    # ------------------------------------------------------------------ looking

    def processes(self, kind: str = "") -> list[psutil.Process]:
        """Those of this run's jobs that live, or of one kind of them."""
        return [one for one, words in self._of_jobs() if not kind or is_a(kind, words)]

    def job_of(self, process: psutil.Process) -> str:
        """The job that a process belongs to."""
        return process.environ().get(JOB_VARIABLE, "")

    def _of_jobs(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(RUN_VARIABLE) != os.fspath(self.run):
                    continue
                if process.status() != psutil.STATUS_ZOMBIE:
                    yield process, process.cmdline()

    def manager(self) -> psutil.Process | None:
        """The process that holds the run's lock, if it lives."""
        one = holder(self.run.lock)
        with contextlib.suppress(psutil.Error, ValueError):
            if one is not None and is_alive(self.run.lock, one):
                return psutil.Process(one.pid)
        return None

    def queue(self) -> list[ListedJob]:
        """What the batch system's queue has: all is of this run."""
        result = self.command(self.scheduler.queue_command())
        try:
            return self.scheduler.parse_queue(result)
        except NoObservation:
            return []

    def command(self, argv: list[str], timeout: float = 180) -> CommandResult:
        """Run a command of the batch system."""
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.env, timeout=timeout, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def is_driver_over(self) -> bool:
        """Whether it has ended in good order; AssertionError if it has ended otherwise."""
        assert self.driver is not None
        status = self.driver.poll()
        assert status in (None, 0), f"the driver ended with {status}: {self.driver_output()}"
        return status == 0

    def driver_output(self) -> str:
        """The end of what the driver printed."""
        return (self.plan.path / "driver.out").read_text(errors="replace")[-3000:]

    def has_walltime_come(self) -> bool:
        """Whether a job has ended because its walltime did."""
        return any("its walltime ends" in log.read_text(errors="replace")
                   for log in (self.run.home / "logs").glob("*.log"))  # fmt: skip

    def done(self) -> int:
        """Evaluations that came to their end."""
        with contextlib.suppress(FileNotFoundError):
            return Path(self.plan.ledger).read_bytes().count(b'"what": "end"')
        return 0

    # ------------------------------------------------------------------ ending

    def remains(self) -> list[str]:
        """What runs or waits still; slurm takes its time over jobs that have nothing left in them."""
        left = [f"job {job.id} {job.native_state}" for job in self.queue()
                if job.state in (JobState.PENDING, JobState.RUNNING)]  # fmt: skip
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                left.append(f"process {process.pid} {' '.join(process.cmdline())[:150]}")
        manager = self.manager()
        return left + ([f"manager {manager.pid}"] if manager else [])

    def wait_for_silence(self) -> list[str]:
        """What is left some seconds after the end of the run."""
        end = time.monotonic() + SILENCE
        while (left := self.remains()) and time.monotonic() < end:
            time.sleep(0.2)
        return left

    def end(self) -> None:
        """End everything, whatever state it is in."""
        with contextlib.ExitStack() as stack:
            if self.cluster is not None:
                stack.callback(self.cluster.stop)
            stack.callback(self._kill_all)
            if self.driver is not None:
                self.driver.kill()
                self.driver.wait()
            if manager := self.manager():
                manager.kill()
            with contextlib.suppress(subprocess.SubprocessError):
                for argv in self.scheduler.cancel_commands([job.id for job in self.queue()]):
                    self.command(argv)

    def _kill_all(self) -> None:
        end = time.monotonic() + 60
        while (left := self.processes()) and time.monotonic() < end:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.1)
        assert not left, f"these do not end: {left}"


def described(process: psutil.Process) -> dict[str, Any]:
    """What is told of a victim."""
    return {"pid": process.pid, "cmdline": process.cmdline()}
