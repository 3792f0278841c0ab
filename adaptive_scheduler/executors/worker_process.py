"""Starts and ends a worker process: ignores signals, and exits after its client or launcher.

Imports only the standard library, as `worker` does.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from multiprocessing.connection import wait

from adaptive_scheduler.executors import signals

#: Signals for the client, which saves and then ends its workers itself.
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

#: Name of the process between slurmstepd and a rank, see `schedulers.slurm.scheduler.RANK`.
RANK_SHELL = "sh"
#: Seconds until a rank without its launcher exits: longer than its client waits for points
#: (a third of the batch system's KillWait, 30 s by default).
ORPHAN_SECONDS = 15.0


def ignore_signals() -> None:
    """Ignore the signals for the client, and print Python's stack if compiled code crashes."""
    signals.take(IGNORED_SIGNALS, signals.nothing)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:  # a shell sets that for `command &`
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    print_stack_at_crash()


def print_stack_at_crash() -> None:
    """Print Python's stack to the job's output at a segmentation fault, an abort or the like."""
    with suppress(OSError, ValueError, AttributeError):  # standard error is closed
        faulthandler.enable(file=2, all_threads=False)


def start_mpi_rank() -> None:
    """Set up an MPI rank: signals, standard input, and its exit after the launcher's."""
    ignore_signals()
    if os.environ.get("MPI_LOCALRANKID") == "0":  # a node without the client
        from adaptive_scheduler.executors import topology_file

        topology_file.remove()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_launcher, args=(RankParent(),), daemon=True).start()


class RankParent:
    """The launcher process that started this rank (hydra's proxy, slurmstepd).

    Without it nothing else would ever end the rank. Under srun the rank is a child of `RANK_SHELL`,
    which outlives a killed slurmstepd; so the parent of that shell is checked too. (A job script
    runs in bash, whose parent an administrator may restart while the job goes on.)
    """

    def __init__(self) -> None:
        me, parent = os.getpid(), os.getppid()
        name, above = _name_and_parent(parent)
        self._parents = {me: parent} | ({parent: above} if name == RANK_SHELL else {})

    def is_gone(self) -> bool:
        """Whether it has ended, so that its children have another parent."""
        return any(_name_and_parent(pid)[1] != parent for pid, parent in self._parents.items())


def _name_and_parent(pid: int) -> tuple[str, int]:
    """Name and parent of a process from /proc/pid/stat, see proc(5); parent 0 if not known."""
    if pid == os.getpid():
        return "", os.getppid()
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except OSError:  # it has ended; or no Linux
        return "", 0
    return name, int(rest.split()[1])


def _end_with_launcher(launcher: RankParent) -> None:
    """Exit a while after the launcher, so that the client can first collect results."""
    while not launcher.is_gone():
        time.sleep(1)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def start_pool_worker(client: int) -> None:
    """Set up a worker of a process pool: signals, and its exit after the client's.

    Parameters
    ----------
    client : int
        The client's process id.
    """
    ignore_signals()
    threading.Thread(target=_end_with_client, args=(client,), daemon=True).start()


def _end_with_client(client: int) -> None:
    parent = multiprocessing.parent_process()
    sentinel = getattr(parent, "sentinel", None)  # loky has a parent process without one
    if sentinel is not None:
        wait([sentinel])
    else:
        while os.getppid() == client:
            time.sleep(1)
    os._exit(1)
