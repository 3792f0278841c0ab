"""Started by a launcher as each rank of a task: binds itself, runs the program, ends with all of it.

Started by `ranked_program` as ``python -S -P -c ENTER ROOT PLAN``. It stays until its program has
ended, as only it can tell how: of a launcher that runs many ranks one learns one status, or none
before all have ended. Its program writes both outputs into this process's standard output; standard error
has only what this process itself says (a line of JSON), and what the launcher says.

It ends its program softly or at once as its agent says (see `END_SOFTLY`), or a signal that the launcher
passes on; at once if the launcher is gone. What the program leaves behind is killed.

All ranks of a node start at once, so what this imports decides how long a short task takes: the
standard library alone, and little of it. A test counts.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections.abc import Mapping
from typing import Any

from adaptive_scheduler.client.tasks.node.orphans import has_company
from adaptive_scheduler.client.tasks.node.variables import with_devices
from adaptive_scheduler.client.tasks.ranks.guard import leave_guard
from adaptive_scheduler.client.tasks.ranks.which_rank import (
    END_SOFTLY,
    Rank,
    host_in,
    name_of,
    number_in,
    rank_in,
)
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.system.child_process import (
    Child,
    ProcessEnd,
    become_subreaper,
    end_all,
    patiently,
    signal_with_parent,
)

#: Comes when the launcher's process on this node has ended: no launcher passes it on.
PARENT_ENDED = signal.SIGRTMIN + 5
#: Those that Hydra passes on; under Slurm, what comes is for all processes of the job.
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: Seconds that the rest of a process group has after its leader was ended by SIGTERM, as at a walltime.
_REST = 2.0
#: Seconds for the launcher's process on this node to end, once the input that it passes on has: a process that
#: is killed closes its files first, and its children learn of its end a moment later.
_MOMENT = 1.0
#: Seconds between two looks at it.
_TICK = 0.05


class RankProcess:
    """Runs one rank of a task.

    Parameters
    ----------
    plan : dict
        A `RankPlan`.
    rank : Rank
    file : str
        That has the plan.
    """

    def __init__(self, plan: dict[str, Any], rank: Rank, file: str) -> None:
        self._plan = plan
        self._rank = rank
        self._file = file
        self._node: str = plan["nodes"][rank.node]
        self._is_ending = False
        self._has_input = plan["has_input"]
        self._is_lost = False
        self._selector = selectors.DefaultSelector()
        self._signals = _take_signals()
        self._selector.register(self._signals, selectors.EVENT_READ, self._hear_signals)
        if self._has_input:
            self._selector.register(0, selectors.EVENT_READ, self._hear_agent)

    def run(self, environ: Mapping[str, str]) -> int:
        """Run its program to the end; returns the status for the launcher."""
        if not self._plan["has_input"]:
            leave_guard(self._plan["marks"], self._tell_lost)
        try:
            self._child = patiently(lambda: self._spawn(environ))
        except OSError as error:
            return self._fail(f"{error.filename or 'its program'}: {error.strerror}", error.errno)
        except ValueError as error:  # a NUL in an argument
            return self._fail(str(error))
        self._child.prefer_when_memory_is_short()
        _say("RankBegun", rank=self._rank.number, pid=self._child.pid)
        ending = self._wait()
        end_all()
        self._say_ended(status=ending.status, signal=ending.signal, peak=ending.peak)
        return ending.status or (128 + ending.signal if ending.signal else 0)

    def _spawn(self, environ: Mapping[str, str]) -> Child:
        order = self._plan["orders"][self._rank.node][self._rank.local]
        environment = with_devices(
            {**environ, **order["environment"]}, order["gpus"], order["threads"]
        )
        argv = list(self._plan["programs"][order["program"]])
        if self._plan["is_call"]:
            size = len(self._plan["nodes"]) * self._plan["per_node"]
            argv += [str(self._rank.number), name_of(self._rank.number, self._node, size)]
        folder = self._plan["folder"]
        return Child(argv, environment, cwd=folder, output=1, cores=order["cores"])

    def _fail(self, fault: str, number: int | None = 0) -> int:
        end_all()
        self._say_ended(fault=fault, error=number or 0)
        return 127

    def _say_ended(self, **how: Any) -> None:
        if not _say("RankEnded", rank=self._rank.number, node=self._node, **how):
            self._tell_lost()

    def _wait(self) -> ProcessEnd:
        """Wait until the program and, if it was ended, its group has ended."""
        self._selector.register(self._child.pidfd, selectors.EVENT_READ, None)
        while all(key.fd != self._child.pidfd for key in self._turn(None)):
            pass
        self._selector.unregister(self._child.pidfd)
        if self._is_ending or self._child.peek().killed_by == signal.SIGTERM:
            end = float("inf") if self._is_ending else time.monotonic() + _REST
            while has_company(self._child.pid) and time.monotonic() < end:
                self._turn(_TICK)
        self._look_for_parent()
        return self._child.reap()

    def _look_for_parent(self) -> None:
        """Wait a moment for the end of the launcher's process here, if its input has ended."""
        end = time.monotonic() + _MOMENT
        is_cut = self._plan["has_input"] and not self._has_input
        while is_cut and not self._is_lost and time.monotonic() < end:
            self._turn(_TICK)

    def _turn(self, timeout: float | None) -> list[selectors.SelectorKey]:
        keys = [key for key, _ in self._selector.select(timeout)]
        for key in keys:
            if key.data is not None:
                key.data()
        return keys

    def _hear_signals(self) -> None:
        for number in os.read(self._signals, 64):
            if number == PARENT_ENDED:
                self._child.send(signal.SIGKILL)
                self._tell_lost()
            elif not self._plan["has_input"]:
                self._end(signal.Signals(number))

    def _tell_lost(self) -> None:
        """Write that it has lost its launcher (`RankLost`), unless nobody asks any more."""
        self._is_lost = True
        if os.path.exists(self._file):  # noqa: PTH110  pathlib takes long
            fd = os.open(self._plan["lost"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            os.write(fd, json.dumps({"rank": self._rank.number, "node": self._node}).encode())
            os.close(fd)

    def _hear_agent(self) -> None:
        said = os.read(0, 64)
        if END_SOFTLY in said:
            self._end(signal.SIGTERM)
        if not said:
            self._has_input = False
            self._selector.unregister(0)
            self._child.send(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if number != signal.SIGTERM:
            self._child.send(number)
        elif not self._is_ending:  # it is said again and again, for ranks that begin only now
            self._is_ending = True
            self._child.send(number)


def _take_signals() -> int:
    """Return a file descriptor from which the numbers of signals can be read."""
    ours, its = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(its, warn_on_full_buffer=False)
    for number in (*_PASSED_ON, PARENT_ENDED):
        signal.signal(number, lambda *_: None)  # its default again in the program
    signal_with_parent(PARENT_ENDED)
    return ours


def _say(report: str, **fields: Any) -> bool:
    """Tell the agent (a `RankReport`); in one piece, so that the launcher does not mix it with others.

    Returns whether the launcher is there to pass it on.
    """
    try:
        os.write(2, json.dumps({"type": report, **fields}).encode() + b"\n")
    except BrokenPipeError:
        return False
    return True


def main(argv: list[str]) -> int:
    """Run the rank that this process is; returns its exit status."""
    parent = os.getppid()
    become_subreaper()
    file = argv[0]
    try:
        with open(file, encoding="utf-8") as stream:  # noqa: PTH123  pathlib takes long
            plan = json.load(stream)
        rank = rank_in(os.environ, plan["nodes"], plan["per_node"])
    except (OSError, ValueError, AdaptiveSchedulerError) as error:
        # Hydra would wait for the others, which may wait for this one
        _say("RankEnded", rank=number_in(os.environ), node=host_in(os.environ), fault=str(error))
        return 1
    process = RankProcess(plan, rank, file)
    if os.getppid() != parent:
        return 1
    return process.run(os.environ)
