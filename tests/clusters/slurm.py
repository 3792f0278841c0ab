"""A real Slurm of several nodes on this host, private to a test session.

Nothing in ``/etc`` is touched; all daemons run as the current user. They are
found by ``SLURM_CONF`` (slurm.conf(5)), and so is what outlives its job. They
end with the process that started them, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import psutil
import pytest

from adaptive_scheduler.core.paths import NODE_VARIABLE
from tests.clusters import remains
from tests.clusters.accounts import Accounts

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
#: Debian installs the daemons here, which is not on everybody's PATH.
DAEMON_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
#: Slurm knows a GPU by its device, which may be any file.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
#: A path of a Unix socket has at most 107 bytes; Slurm appends names such as ``/n4_1234.0``.
LONGEST_FOLDER = 60


def missing_programs() -> list[str]:
    """Slurm's programs that are not installed here."""
    return [name for name in PROGRAMS if shutil.which(name, path=DAEMON_PATH) is None]


class PrivateSlurm:
    """A whole cluster in one folder: munged, slurmctld and a slurmd for each node.

    Parameters
    ----------
    folder : Path, optional
        Must be short (sockets live in it). Default: a new folder in ``/tmp``,
        removed by `stop`.
    nodes, cores_per_node : int
        Nodes are called ``n1``, ``n2``, …; they may claim more cores than the host has.
    kill_wait : int
        Seconds between SIGTERM and SIGKILL at the end of a job.
    ports : int, optional
        The first of ``nodes + 1`` ports in a row, with accounts of one more. Default: free ones.
    gpus_per_node : int
        At most 4; they are numbers, that of other devices.
    settings : mapping, optional
        Lines of ``slurm.conf``, e.g. ``{"MaxJobCount": "5"}``; they replace ours.
    has_accounts : bool
        With slurmdbd and a database, for limits of accounts and QOS: `accounts` manages them.

    Notes
    -----
    Partitions: ``normal`` (the default, no limit) and ``minute`` (``MaxTime=1``).
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        nodes: int = 4,
        cores_per_node: int = 8,
        kill_wait: int = 5,
        ports: int | None = None,
        gpus_per_node: int = 0,
        settings: Mapping[str, str] | None = None,
        has_accounts: bool = False,
    ) -> None:
        self._owns_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="as-slurm-", dir="/tmp"))
        if len(str(self.folder)) > LONGEST_FOLDER or " " in str(self.folder):
            raise ValueError(f"{self.folder}: too long, or with a blank, for Slurm's sockets")
        self.nodes = nodes
        self.cores_per_node = cores_per_node
        self.kill_wait = kill_wait
        self.first_port = ports or free_ports(nodes + 1 + has_accounts)
        self.gpus_per_node = gpus_per_node
        self.settings = dict(settings or {})
        self.accounts = (
            Accounts(self.folder, self._environment(), self.first_port + nodes + 1)
            if has_accounts
            else None
        )
        self._watch: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------ life

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this cluster.

        An empty home keeps the login files of whoever runs the tests out of the
        jobs: ``bash -l`` with ``pyenv init`` waits a minute for a lock that a
        killed job has left behind.
        """
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "HOME": str(self.folder / "home")}

    def start(self) -> PrivateSlurm:
        """Return when all nodes are idle; RuntimeError with the logs after 60 s."""
        self._write()
        self._watch = remains.watch(self.folder, self._owns_folder)
        munge = {"key-file": "key", "socket": "munge.s", "pid-file": "munge.pid"}
        munge |= {"log-file": "munge.log", "seed-file": "munge.seed"}
        self._daemon(
            "munged", "--force", *(f"--{key}={self.folder / name}" for key, name in munge.items())
        )
        if self.accounts is not None:
            self.accounts.start(self._wait)
        self._daemon("slurmctld", "-c")
        for node in range(1, self.nodes + 1):
            self._daemon("slurmd", "-N", f"n{node}")
        self._wait(self._all_idle, f"{self.nodes} idle nodes")
        return self

    def stop(self) -> None:
        """End the daemons, and all processes of jobs that outlived their job."""
        remains.end(self.folder)
        if self._watch is not None and self._watch.stdin is not None:
            self._watch.stdin.close()
            self._watch.wait(remains.PATIENCE)
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop_controller(self) -> None:
        """End slurmctld, as an administrator would for a while; its state stays."""
        process = self.controller()
        if process is not None:
            process.terminate()
            psutil.wait_procs([process], timeout=120)
        self._wait(lambda: self.controller() is None, "the end of slurmctld")

    def controller(self) -> psutil.Process | None:
        """The process of slurmctld, if it lives."""
        return self._by_pid_file("slurmctld.pid")

    def start_controller(self) -> None:
        """Start slurmctld with the state it had; return when it answers."""
        self._daemon("slurmctld")
        self._wait(lambda: self.run("squeue", check=False).returncode == 0, "slurmctld")

    def restart_controller(self) -> None:
        """Stop and start slurmctld; jobs go on meanwhile."""
        self.stop_controller()
        self.start_controller()

    def reconfigure(self) -> None:
        """Restart slurmctld with what `settings` says now; jobs go on meanwhile."""
        self._write_settings()
        self.restart_controller()

    def kill_node(self, node: str) -> None:
        """End all that runs on a node at once, its slurmd too, as if its power had failed."""
        remains.kill_at_once(
            lambda: [one for one in remains.processes(self.folder) if self._is_on(one, node)]
        )

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node that was killed."""
        self._daemon("slurmd", "-N", node)

    # ------------------------------------------------------------------ use

    def run(
        self, *argv: str, check: bool = True, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this cluster; its output is text."""
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self._environment(), timeout=timeout
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def scontrol(self, *args: str) -> str:
        return self.run("scontrol", *args).stdout

    def report(self) -> str:
        """What the cluster is doing, for the message of a failed test."""
        looks = (("squeue", "-r", "--states=all", "-o", "%F_%K %T %r %N %S"), ("sinfo", "-N", "-l"))
        said = [done.stdout + done.stderr for done in (self.run(*a, check=False) for a in looks)]
        logs = [f"{p.name}: {p.read_text()[-1500:]}" for p in sorted(self.folder.glob("*.log"))]
        return "\n".join(["not in time:", *said, *logs])

    def processes_of(self, job: str) -> list[psutil.Process]:
        """Processes of a job, also those that have outlived it (not the slurmstepd)."""
        return [
            process
            for process in remains.processes(self.folder)
            if remains.environment(process).get("SLURM_JOB_ID") == job
        ]

    # ------------------------------------------------------------------ inside

    def _write(self) -> None:
        for name in ("state", "d", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)  # munged refuses a socket that others cannot reach
        (self.folder / "key").write_bytes(os.urandom(128))
        (self.folder / "key").chmod(0o600)
        self._write_settings()

    def _write_settings(self) -> None:
        accounting = self.accounts.settings if self.accounts is not None else {}
        settings = self._defaults | accounting | self.settings
        lines = [f"{key}={value}" for key, value in settings.items()]
        last, cores = self.first_port + self.nodes, self.cores_per_node
        if gpus := DEVICES[: self.gpus_per_node]:
            lines += ["GresTypes=gpu", f"NodeName=DEFAULT Gres=gpu:{len(gpus)}"]
        lines += [
            f"NodeName=DEFAULT CPUs={cores} Boards=1 SocketsPerBoard=1 CoresPerSocket={cores}",
            "NodeName=DEFAULT ThreadsPerCore=1 RealMemory=4000",
            f"NodeName=n[1-{self.nodes}] NodeHostname=localhost Port=[{self.first_port + 1}-{last}]",
            "PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
            "PartitionName=minute Nodes=ALL MaxTime=1 State=UP",
        ]
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={file}\n" for file in gpus))

    @cached_property
    def _defaults(self) -> dict[str, str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        f = self.folder
        return {
            "ClusterName": "private",
            "SlurmUser": user,
            "SlurmdUser": user,
            "SlurmctldHost": "localhost",
            "SlurmctldPort": str(self.first_port),
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={f}/munge.s",
            "StateSaveLocation": f"{f}/state",
            "SlurmdSpoolDir": f"{f}/d/%n",
            "SlurmctldPidFile": f"{f}/slurmctld.pid",
            "SlurmdPidFile": f"{f}/slurmd-%n.pid",
            "SlurmctldLogFile": f"{f}/slurmctld.log",
            "SlurmdLogFile": f"{f}/slurmd-%n.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_Core",
            "SlurmdParameters": "config_overrides",
            "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1",
            "AccountingStorageType": "accounting_storage/none",
            "ReturnToService": "2",
            "MpiDefault": "none",
            # mpich names its shared memory by job and step: two clusters on one host
            # with the same ids would take each other's ("MPI_Init: Out of memory", or a hang)
            "FirstJobId": str(random.randrange(1000, 60_000_000)),
            "MailProg": "/bin/true",
            "KillWait": str(self.kill_wait),
        }

    def _environment(self) -> dict[str, str]:
        outer = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        return outer | self.env | {"PATH": DAEMON_PATH}

    def _daemon(self, *argv: str) -> None:
        """Start a program that turns itself into a daemon."""
        log = self.folder / "start.log"
        with log.open("a") as out:
            done = subprocess.run(
                argv,
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=120,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} does not start:\n{log.read_text()[-2000:]}")

    def _all_idle(self) -> bool:
        done = self.run("sinfo", "-h", "-N", "-p", "normal", "-t", "idle", "-o", "%N", check=False)
        return done.returncode == 0 and len(done.stdout.split()) == self.nodes

    def _wait(self, is_done: Callable[[], bool], what: str, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while not is_done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {what} after {seconds} s\n{self.report()}")
            time.sleep(0.05)

    def _is_on(self, process: psutil.Process, node: str) -> bool:
        """Whether a process is on a node: by its environment, or as a daemon by its name or log."""
        known = remains.environment(process)
        if where := known.get(NODE_VARIABLE) or known.get("SLURMD_NODENAME"):
            return where == node
        return remains.has_open(process, self.folder / f"slurmd-{node}.log")

    def _by_pid_file(self, name: str) -> psutil.Process | None:
        """The daemon of a pid file, if that number is still ours."""
        try:
            process = psutil.Process(int((self.folder / name).read_text()))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return None
        return process if remains.is_of(self.folder, process) else None


def free_ports(n: int) -> int:
    """The first of n neighbouring ports below the range that the kernel hands out."""
    for _ in range(100):
        first = random.randrange(20000, 32000 - n)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + n):
                    stack.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
            return first
    raise RuntimeError(f"no {n} free ports in a row")


@pytest.fixture(scope="session")
def slurm() -> Iterator[PrivateSlurm]:
    """Four nodes of eight cores, shared by the tests of a session."""
    cluster = PrivateSlurm()
    try:
        yield cluster.start()
    finally:
        cluster.stop()
