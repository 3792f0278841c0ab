"""Starts, watches and ends the processes of tasks."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from adaptive_scheduler.executors import signals

#: Names the task in the environment of its programs, and of whatever they leave behind.
TASK_VARIABLE = "ADAPTIVE_SCHEDULER_TASK"
#: Names the worker in the environment of what its calls leave behind.
WORKER_VARIABLE = "ADAPTIVE_SCHEDULER_WORKER"
#: Signals by which a batch system ends or warns a job; every process of it gets them.
_HEADS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
#: prctl(2), PR_SET_CHILD_SUBREAPER.
_SUBREAPER = 36
#: Added to what the kernel would choose by if memory runs out: it is to take the task, not the agent.
_OOM = 500


@dataclass
class ProcessEnd:
    """How a process ended: exit status, or signal, and the most memory it had (bytes)."""

    status: int
    signal: int
    peak: int


class Child:
    """A process and its process group.

    Parameters
    ----------
    argv, cwd, env, stdin, stdout, pass_fds
        As for `subprocess.Popen`.
    cores : iterable of int
        It may use; those that this machine lacks are left out.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        pass_fds: Sequence[int] = (),
        cores: Iterable[int] = (),
    ) -> None:
        with _bound_to(cores):
            # no preexec_fn: with it, Python forks, which takes ten times longer
            self._process = subprocess.Popen(
                argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=subprocess.STDOUT if stdout is not None else None,
                pass_fds=pass_fds, process_group=0,
            )  # fmt: skip
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)
        with suppress(OSError):
            Path(f"/proc/{self.pid}/oom_score_adj").write_text(str(_OOM))

    def send(self, number: int) -> None:
        """Send a signal to the whole process group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def wait(self) -> ProcessEnd:
        """Reap it; it must have ended. What is left of its group is killed before."""
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOWAIT)
        self.send(signal.SIGKILL)  # its number cannot be another's yet: it is not reaped
        _, status, usage = os.wait4(self.pid, 0)
        os.close(self.pidfd)
        code = os.waitstatus_to_exitcode(status)
        self._process.returncode = code
        return ProcessEnd(max(code, 0), max(-code, 0), usage.ru_maxrss * 1024)


@contextmanager
def _bound_to(cores: Iterable[int]) -> Iterator[None]:
    """Let what is started inside have these cores, as far as there are any of them."""
    before = os.sched_getaffinity(0)
    wanted = before.intersection(cores)
    if not wanted:
        yield
        return
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def leave_to_head() -> None:
    """Do nothing at the batch system's signals: the head says when it is time to end.

    By a handler: what is ignored stays ignored in the programs that are started.
    """
    signals.take(_HEADS, signals.nothing)


def become_subreaper() -> None:
    """Let orphans of this process's descendants become its own children, see prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def children() -> set[int]:
    """Pids of the children of this process."""
    found: set[int] = set()
    for tasks in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found.update(map(int, (tasks / "children").read_text().split()))
    return found


def variable_of(pid: int, name: str) -> str | None:
    """The value that a variable had when a process was started; None if it had none, or has ended."""
    prefix = f"{name}=".encode()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(prefix):
                return os.fsdecode(entry[len(prefix) :])
    return None


def kill(pid: int) -> None:
    """Kill and reap a child."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
