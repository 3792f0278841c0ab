"""Starts and ends a worker process: its signals, and its end after that of its parent.

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

#: Meant for the client, which saves and then ends its workers itself.
IGNORED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

#: What stands between slurmstepd and a rank, see `schedulers.slurm.RANK`.
RANK_SHELL = "sh"
#: Seconds that a rank lives on without its launcher: longer than its client waits for points
#: (a third of the batch system's KillWait, 30 s by default).
ORPHAN_SECONDS = 15.0


def ignore_signals() -> None:
    """Leave signals to the client, and show where Python was if compiled code ends it."""
    signals.take(IGNORED_SIGNALS, signals.nothing)
    if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:  # a shell does that to what has an &
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    print_stack_at_crash()


def print_stack_at_crash() -> None:
    """Print Python's stack to the job's output at a segmentation fault, an abort and their kin."""
    with suppress(OSError, ValueError, AttributeError):  # a standard error that is closed
        faulthandler.enable(file=2, all_threads=False)


def start_mpi_rank() -> None:
    """Begin the life of an MPI rank: no signals, and no standard input that never ends."""
    ignore_signals()
    if os.environ.get("MPI_LOCALRANKID") == "0":  # on the nodes where the client is not
        from adaptive_scheduler.executors import topology_file

        topology_file.remove()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_launcher, args=(RankParent(),), daemon=True).start()


class RankParent:
    """What started this rank (hydra's proxy, slurmstepd): nobody else would ever end it.

    Where `RANK_SHELL` started the rank, it is the shell's parent that counts: srun's ranks are
    children of such a shell, which outlives a slurmstepd that is killed. (A job script is bash;
    its parent may well be restarted by an administrator, and the job goes on.)
    """

    def __init__(self) -> None:
        me, parent = os.getpid(), os.getppid()
        name, above = _name_and_parent(parent)
        self._parents = {me: parent} | ({parent: above} if name == RANK_SHELL else {})

    def is_gone(self) -> bool:
        """Whether it has ended, so that its children were given to another."""
        return any(_name_and_parent(pid)[1] != parent for pid, parent in self._parents.items())


def _name_and_parent(pid: int) -> tuple[str, int]:
    """Of a process, see proc(5), /proc/pid/stat; 0 where it cannot be told."""
    if pid == os.getpid():
        return "", os.getppid()
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except OSError:  # it has ended; or no Linux
        return "", 0
    return name, int(rest.split()[1])


def _end_with_launcher(launcher: RankParent) -> None:
    """End a while after the launcher: the client, which ends too, takes first what returns."""
    while not launcher.is_gone():
        time.sleep(1)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def start_pool_worker(client: int) -> None:
    """Begin the life of a worker of a process pool: no signals, and no life after the client.

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
