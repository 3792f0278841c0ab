"""Runs the launchers of a job's other nodes; who has come is told by the nodes themselves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adaptive_scheduler.client.tasks.other_nodes.launch_plan import (
    ARRIVAL,
    MOST_VAIN_STARTS,
    LaunchPlan,
)
from adaptive_scheduler.io.system.child_process import reap_group
from adaptive_scheduler.io.system.processes import end_process, start_launcher
from adaptive_scheduler.schedulers.node_launch import NodeLauncher, launchers

#: Makes the commands for (nodes, program).
Commands = Callable[[Sequence[str], Sequence[str]], list[NodeLauncher]]
#: Seconds that launchers have to end when all nodes have.
PATIENCE = 1.0
#: What they start.
ENTER = "adaptive_scheduler.client.tasks.other_nodes.enter"


def commands_of_job(nodes: Sequence[str], program: Sequence[str]) -> list[NodeLauncher]:
    """Return the commands of the batch system in whose job this process runs."""
    return launchers(os.environ, nodes, program)


@dataclass(frozen=True)
class _Running:
    """A launcher that has been started, for whom, and when."""

    process: subprocess.Popen[bytes]
    nodes: tuple[str, ...]
    begin: float


class Launchers:
    """Starts the nodes of a plan.

    Parameters
    ----------
    plan : LaunchPlan
    invitation : str
        Path of the file.
    commands : callable
    """

    def __init__(self, plan: LaunchPlan, invitation: str, commands: Commands) -> None:
        self._plan = plan
        self._program = [sys.executable, "-P", "-m", ENTER, invitation]
        self._commands = commands
        self._running: list[_Running] = []
        self._ended: list[
            int
        ] = []  # process groups of those that have: one that is killed leaves a child

    def tick(self, now: float) -> None:
        """Start what is due, and take in what has ended."""
        for one in list(self._running):
            if now - one.begin > ARRIVAL and not any(map(self._plan.is_there, one.nodes)):
                one.process.kill()  # it hangs: another one is to take its place
            if one.process.poll() is not None:
                self._running.remove(one)
                self._ended.append(one.process.pid)
                self._plan.note_failed(one.nodes, now, one.begin)
        self._ended = [group for group in self._ended if not reap_group(group)]
        due = self._plan.due(now)
        for node in self._plan.give_up(now):
            due.remove(node)
            say(f"node {node} is given up: it was started {MOST_VAIN_STARTS} times in vain.")
        for nodes in self._plan.in_groups(due):
            for launcher in self._commands(nodes, self._program):
                self._start(launcher, now)

    def _start(self, launcher: NodeLauncher, now: float) -> None:
        self._plan.note_started(launcher.nodes, now)
        try:
            process = start_launcher(launcher.argv, launcher.environ)
        except OSError as error:
            for node in launcher.nodes:
                self._plan.forget(node)
            say(
                f"{launcher.argv[0]} cannot be started ({error.strerror}), so this job has no other node "
                f"than its first one: {', '.join(launcher.nodes)} would be started by it. Put it on PATH "
                "by setup= or extra_script=, or give nodes=1."
            )
        else:
            self._running.append(_Running(process, launcher.nodes, now))

    def close(self) -> None:
        """End them; what they have started ends by itself."""
        end = time.monotonic() + PATIENCE
        for one in self._running:
            while one.process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
            if one.process.poll() is None:
                end_process(one.process, PATIENCE)
        self._running.clear()


def say(text: str) -> None:
    """Tell people, by the output of the job."""
    print(f"adaptive_scheduler: {text}", file=sys.stderr, flush=True)
