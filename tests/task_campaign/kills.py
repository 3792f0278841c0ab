"""What is broken in a campaign, by a seeded dice: each looks for its victim first."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil

from adaptive_scheduler.core.jobs.batch_jobs import JobState, ListedJob
from adaptive_scheduler.core.paths import JOB_VARIABLE
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm
from tests.task_campaign.node_kills import NodeKills, kinds_over_nodes
from tests.task_campaign.world import World

#: Seconds between two requeues: Slurm lets a requeued job wait for two minutes, and it is one of its pool's.
REQUEUE_EVERY = 40.0
IN_JOBS = ("head", "supervisor", "agent", "worker", "program")
#: Kinds that come more often.
OFTEN = ("worker", "program", "agent")


class Kills:
    """Kills, cancels, drains and requeues.

    Parameters
    ----------
    world : World
    dice : random.Random

    Attributes
    ----------
    done : Counter of str
        How often, by kind.
    spares_one : bool
        The job that ran first is not ended, so that one reaches its walltime.
    """

    def __init__(self, world: World, dice: random.Random) -> None:
        self._world, self._dice = world, dice
        self.done: Counter[str] = Counter()
        self.told: list[str] = []
        self._begin = time.monotonic()
        self._nodes = NodeKills(world, dice, self._listed)
        self.spares_one = True
        self._spared = ""
        self._may_requeue = 0.0
        kinds: dict[str, Callable[[], str]] = {
            f"{kind} killed": (lambda kind=kind: self._kill_in_job(kind))  # type: ignore[misc]
            for kind in (*IN_JOBS, *kinds_over_nodes(world))
        }
        kinds |= {
            "driver killed": self._kill_driver, "manager killed": self._kill_manager,
            "job cancelled": self._cancel,
        }  # fmt: skip
        if world.cluster is not None:
            kinds["job requeued"] = self._requeue
        self.kinds = kinds | self._nodes.kinds()

    @property
    def missing(self) -> list[str]:
        """Kinds that have had no victim so far."""
        return [kind for kind in self.kinds if not self.done[kind]]

    def strike(self) -> bool:
        """Break one thing; what is missing comes first. False if there was none of its kind to break."""
        often = [f"{kind} killed" for kind in OFTEN]
        kind = self._dice.choice(self.missing or [*self.kinds, *often])
        # a victim may end meanwhile, and a busy controller may not answer a command
        with suppress(psutil.NoSuchProcess, RuntimeError):
            if what := self.kinds[kind]():
                self.done[kind] += 1
                self.told.append(f"{time.monotonic() - self._begin:.1f} s: {kind}: {what}")
                return True
        return False

    def _kill_in_job(self, kind: str) -> str:
        victims = self._world.processes(kind)
        if kind == "head":
            victims = [one for one in victims if one.environ().get(JOB_VARIABLE) in self._jobs()]
        if not victims:
            return ""
        victim = self._dice.choice(victims)
        victim.kill()
        return str(victim.pid)

    def _kill_driver(self) -> str:
        driver = self._world.driver
        if driver is None or driver.poll() is not None or self._world.done() < 1:
            return ""
        driver.kill()
        driver.wait()
        self._world.start_driver()
        return str(driver.pid)

    def _kill_manager(self) -> str:
        victim = self._world.manager()
        if victim is None:
            return ""
        victim.kill()
        return str(victim.pid)

    def _jobs(self) -> list[str]:
        return [job.id for job in self._listed()]

    def _listed(self) -> list[ListedJob]:
        """Jobs that run, and may be ended."""
        running = [job for job in self._world.queue() if job.state is JobState.RUNNING]
        if not self.spares_one:
            return running
        if self._spared not in [job.id for job in running]:
            self._spared = running[0].id if running else ""
        return [job for job in running if job.id != self._spared]

    def _running(self) -> str:
        """A job that runs tasks; "" if none does."""
        jobs = self._jobs()
        return self._dice.choice(jobs) if jobs and self._world.processes("agent") else ""

    def _cancel(self) -> str:
        job = self._running()
        if job:
            for argv in self._world.scheduler.cancel_commands([job]):
                self._world.command(argv)
        return job

    def _requeue(self) -> str:
        now = time.monotonic()
        job, cluster = self._running() if now >= self._may_requeue else "", self._world.cluster
        if not job:
            return ""
        self._may_requeue = now + REQUEUE_EVERY
        if isinstance(cluster, PrivateSlurm):
            done = self._world.command(["scontrol", "requeue", job])
            return "" if done.rc else job
        assert isinstance(cluster, PrivatePBS)
        cluster.rerun(job)
        return job

    def mend(self, *, at_once: bool = False) -> None:
        """Bring back what was away for long enough."""
        self._nodes.mend(at_once=at_once)
