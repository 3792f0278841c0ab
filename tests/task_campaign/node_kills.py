"""How nodes and what starts things on them are broken: each looks for its victim first."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil

from adaptive_scheduler.core.jobs.batch_jobs import ListedJob
from tests.clusters import remains
from tests.clusters.pbs import PrivatePBS
from tests.clusters.slurm import PrivateSlurm
from tests.task_campaign.world import World, node_of

#: Seconds for which a node is drained, and for which a dead one is away.
DRAINED, DEAD = 4.0, 6.0
#: Seconds between two deaths of nodes of which Slurm is told at once: it lets their jobs, which it
#: requeues, wait for two minutes.
NOTICED_EVERY = 60.0
#: A file with the jobs whose slurmstepds were killed.
UNWATCHED = "unwatched"
#: What runs for other nodes of a job, and for tasks of several ranks.
OVER_NODES = ("proxy", "launcher", "rank", "rank launcher", "call of a rank")


def kinds_over_nodes(world: World) -> list[str]:
    """Those that there are here."""
    return list(OVER_NODES) if world.plan.nodes > 1 else []


class NodeKills:
    """Kills nodes, daemons, and agents on other nodes.

    Parameters
    ----------
    world : World
    dice : random.Random
    jobs : callable
        Those that run, and may be ended.
    """

    def __init__(
        self, world: World, dice: random.Random, jobs: Callable[[], list[ListedJob]]
    ) -> None:
        self._world, self._dice, self._jobs = world, dice, jobs
        self._may_notice = time.monotonic() + NOTICED_EVERY / 2
        self._away: dict[str, tuple[float, Callable[[], None]]] = {}

    def kinds(self) -> dict[str, Callable[[], str]]:
        """What can be broken here, by its name."""
        found: dict[str, Callable[[], str]] = {}
        if isinstance(self._world.cluster, PrivateSlurm):
            found = {"node drained": self._drain}
        if self._world.plan.nodes and self._world.cluster is not None:
            found["node killed"] = self._kill_node
            if isinstance(self._world.cluster, PrivateSlurm):
                found["stepd killed"] = self._kill_stepd
        if self._world.plan.nodes > 1:
            found["agent elsewhere killed"] = self._kill_agent_elsewhere
        return found

    def mend(self, *, at_once: bool) -> None:
        """Bring back what was away for long enough."""
        for node, (until, bring_back) in list(self._away.items()):
            if at_once or time.monotonic() >= until:
                with suppress(RuntimeError):  # a controller that does not answer now is asked again
                    bring_back()
                    del self._away[node]

    # ------------------------------------------------------------------ Slurm

    def _node(self) -> str:
        """A node of a job that runs and may be ended."""
        nodes = [node for job in self._jobs() for node in job.nodes if node not in self._away]
        return self._dice.choice(nodes) if nodes and not self._away else ""

    def _drain(self) -> str:
        node, slurm = self._node(), self._world.cluster
        assert isinstance(slurm, PrivateSlurm)
        if node:
            self._away[node] = time.monotonic() + DRAINED, lambda: _resume(slurm, node)
            slurm.scontrol("update", f"NodeName={node}", "State=DRAIN", "Reason=campaign")
        return node

    def _kill_node(self) -> str:
        node, cluster = self._node(), self._world.cluster
        if not node:
            return ""
        if isinstance(cluster, PrivatePBS):
            return self._kill_host(cluster, node)
        assert isinstance(cluster, PrivateSlurm)
        cluster.kill_node(node)
        # ReturnToService=2: it is idle again as soon as its slurmd has registered
        self._away[node] = time.monotonic() + DEAD, lambda: cluster.start_node(node)
        is_noticed = time.monotonic() >= self._may_notice
        if is_noticed:
            self._may_notice = time.monotonic() + NOTICED_EVERY
            cluster.scontrol("update", f"NodeName={node}", "State=DOWN", "Reason=campaign")
        return f"{node}{', and Slurm was told' if is_noticed else ''}"

    def _kill_stepd(self) -> str:
        """One of a job's: of its batch script, or of a step; Slurm itself does not notice.

        When such a job is cancelled or requeued, Slurm has nobody to end its processes, and gives its
        nodes to others all the same: they may run in two jobs at a time, of which it knows one.
        """
        assert self._world.cluster is not None
        jobs = {job.id for job in self._jobs()}
        found: list[tuple[str, psutil.Process]] = []
        for process in remains.processes(self._world.cluster.folder):
            title = re.match(r"slurmstepd: \[(\d+)\.", " ".join(process.cmdline()))
            if title and title[1] in jobs:
                found.append((title[1], process))
        if not found:
            return ""
        job, victim = self._dice.choice(found)
        with (self._world.plan.path / UNWATCHED).open("a") as file:
            file.write(f"{job}\n")
        what = " ".join(victim.cmdline())
        victim.kill()
        return what

    # ------------------------------------------------------------------ PBS

    def _kill_host(self, pbs: PrivatePBS, host: str) -> str:
        """End all that runs on a host; the fake takes it for away meanwhile."""
        remains.kill_at_once(lambda: self._on_host(pbs, host))
        pbs.change(hosts_away=[host])
        self._away[host] = time.monotonic() + DEAD, lambda: pbs.change(hosts_away=[])
        return host

    def _on_host(self, pbs: PrivatePBS, host: str) -> Iterator[psutil.Process]:
        for job in self._jobs():
            for pid in pbs.processes_of(job.id):
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    if (node_of(process) or job.nodes[0]) == host:
                        yield process

    # ------------------------------------------------------------------ of several nodes

    def _kill_agent_elsewhere(self) -> str:
        """An agent of a job on another node than its head's."""
        first = {job.id: job.nodes[0] for job in self._jobs()}
        agents = [
            one for one in self._world.processes("agent")
            if (job := self._world.job_of(one)) in first and node_of(one) != first[job]
        ]  # fmt: skip
        if not agents:
            return ""
        victim = self._dice.choice(agents)
        victim.kill()
        return f"{victim.pid} on {node_of(victim)}"


def _resume(slurm: PrivateSlurm, node: str) -> None:
    slurm.scontrol("update", f"NodeName={node}", "State=RESUME")
