"""The world in which chaos happens: a private Slurm, a small disk, an squeue that may answer wrongly, two runs."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from adaptive_scheduler.core.config import RunConfig, Timing
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.io.disk.lock import holder, is_alive
from adaptive_scheduler.io.storage.run_config import read_config, write_config
from adaptive_scheduler.runs.start.prepare import prepare
from adaptive_scheduler.scheduler import SLURM
from adaptive_scheduler.server_support import RunManager
from tests.chaos.mix import PER_MINUTE, Mix
from tests.clusters.slurm import DAEMON_PATH, PrivateSlurm
from tests.integration.campaigns import all_ranks

LAUNCHERS = {"mpiexec": None, "srun": "srun --mpi=pmi2"}
MAX_JOBS, CORES = 3, 3
KILL_WAIT = 5
#: A lease that a pause of seconds outlasts, and a manager that gives up a silent job soon.
TIMING = Timing(
    beat=1.0, lease=6.0, idle=5.0, grace=30.0, patience=25.0, interval=4.0, kill_wait=KILL_WAIT
)
POINTS_INTERVAL, SAVE_INTERVAL = 0.1, 2.0
DISK = "96m"

#: Answers as the file `squeue-mode` orders; jobs are login shells and do not call it.
SQUEUE = """#!/bin/bash
mode=$(cat {folder}/squeue-mode 2> /dev/null)
echo "$mode" >> {folder}/squeue-calls
case $mode in
    nothing) exit 0 ;;
    half) out=$({squeue} "$@"; echo .) ; out=${{out%.}}; printf %s "${{out:0:${{#out}} / 2}}" ;;
    garbage) head -c 300 /dev/urandom ;;
    failure) echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1 ;;
    hang) while [ "$(cat {folder}/squeue-mode)" = hang ]; do sleep 0.2; done; exit 1 ;;
    *) exec {squeue} "$@" ;;
esac
"""
#: Refuses as at a limit of the site, while a file says so.
SBATCH = """#!/bin/bash
if [ -e {folder}/submit-limit ]; then
    echo >> {folder}/refusals
    echo "sbatch: error: AssocMaxSubmitJobLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy" >&2
    exit 1
fi
exec {sbatch} "$@"
"""
WRONG_ANSWERS = ("nothing", "half", "garbage", "failure", "hang")

#: In each job before its client: on the broken node it dies at once.
PREAMBLE = (
    'if [ -e {folder}/broken-"$SLURMD_NODENAME" ]; then '
    'echo "$SLURMD_NODENAME $ADAPTIVE_SCHEDULER_RUN $ADAPTIVE_SCHEDULER_JOB $(date +%s.%N)" '
    ">> {folder}/deaths; exit 1; fi"
)


@dataclass
class ChaosRun:
    """One run and what became of its manager.

    Attributes
    ----------
    lives : list of float
        When each of its managers began (monotonic seconds).
    refusals : list of str
        Why a manager could not be started, each time.
    """

    name: str
    mix: Mix
    run: RunManager
    attached: RunManager
    config: RunConfig
    lives: list[float] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.run.folder.home

    def has_evaluated(self) -> bool:
        """Whether a point of any of its learners has been evaluated."""
        return any(one.lines() for ledgers in self.mix.ledgers for one in ledgers)

    @staticmethod
    def wall(monotonic: float) -> float:
        """Seconds since 1970 of a moment on this host's monotonic clock."""
        return time.time() - time.monotonic() + monotonic

    def manager(self) -> psutil.Process | None:
        """The process that holds the lock, if it lives."""
        one = holder(self.run.folder.lock)
        try:
            return psutil.Process(one.pid) if one and is_alive(self.run.folder.lock, one) else None
        except (psutil.Error, ValueError):
            return None

    def resume(self) -> bool:
        """Start a manager, as a watchdog would; whether it could be started."""
        began = time.monotonic()
        try:
            self.attached.resume()
        except AdaptiveSchedulerError as error:
            self.refusals.append(f"{type(error).__name__}: {error}")
            return False
        self.lives.append(began)
        return True


@dataclass(frozen=True)
class Rank:
    """One process of a job: the client is rank 0."""

    run: ChaosRun
    job: str
    rank: int
    process: psutil.Process


class World:
    """Everything that can be broken.

    Parameters
    ----------
    minutes : float
        Of faults.
    dice : random.Random
    """

    def __init__(self, minutes: float, dice: random.Random) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="as-chaos-", dir="/tmp"))
        self.disk = self.folder / "disk"
        self.calm = self.folder / "calm"
        self.notes: list[str] = []
        (self.folder / "slurm").mkdir()
        self.slurm = PrivateSlurm(
            self.folder / "slurm", kill_wait=KILL_WAIT, settings={"MinJobAge": "60"}
        )
        self.has_small_disk = self._mount()
        self._write_wrappers()
        self.slurm.start()
        os.environ.update(self.slurm.env)
        os.environ["PATH"] = f"{self.folder}/bin{os.pathsep}{DAEMON_PATH}"
        os.environ["XDG_STATE_HOME"] = str(self.folder / "state")
        self.runs = [self._make(name, minutes, dice) for name in LAUNCHERS]

    def _mount(self) -> bool:
        """A disk that can be filled without harm; the namespace of this process takes it along."""
        self.disk.mkdir()
        argv = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.disk)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            self.notes.append(f"NO FULL DISK WAS TRIED: {done.stderr.strip()} (it needs root)")
        return done.returncode == 0

    def _write_wrappers(self) -> None:
        (self.folder / "bin").mkdir()
        for name, text in (("squeue", SQUEUE), ("sbatch", SBATCH)):
            path = self.folder / "bin" / name
            real = {name: shutil.which(name, path=DAEMON_PATH)}
            path.write_text(text.format(folder=self.folder, **real))
            path.chmod(0o755)

    def _make(self, name: str, minutes: float, dice: random.Random) -> ChaosRun:
        ledgers = self.folder / f"ledgers-{name}"
        ledgers.mkdir()
        n = max(10, round(PER_MINUTE * minutes))
        mix = Mix(self.disk / name / "data", ledgers, self.calm, n, dice)
        scheduler = SLURM(
            cores=CORES, kill_wait=KILL_WAIT, mpiexec_executable=LAUNCHERS[name],
            extra_script=PREAMBLE.format(folder=self.folder),
        )  # fmt: skip
        run = RunManager(
            scheduler, mix.learners, mix.fnames, goal=mix.goal, folder=self.disk / name / "run",
            name=name, max_jobs=MAX_JOBS, max_crashes=10_000,
            points_interval=POINTS_INTERVAL, save_interval=SAVE_INTERVAL, log_interval=1.0,
            interval=TIMING.interval,
        )  # fmt: skip
        assert run._plan is not None
        prepare(run._plan, run.folder, False)
        config = msgspec.structs.replace(read_config(run.folder), timing=TIMING)
        write_config(run.folder, config)
        return ChaosRun(name, mix, run, RunManager.attach(run.folder.home), config)

    # ------------------------------------------------------------------ looking

    def ranks(self) -> list[Rank]:
        """All ranks of all jobs that live."""
        found = []
        of = {str(run.run.folder.folder): run for run in self.runs}
        for process, environ in all_ranks():
            run = of.get(environ.get("ADAPTIVE_SCHEDULER_RUN", ""))
            job = environ.get("ADAPTIVE_SCHEDULER_JOB")
            if run is not None and job is not None:
                rank = int(environ.get("PMI_RANK") or environ.get("SLURM_PROCID") or 0)
                found.append(Rank(run, job, rank, process))
        return found

    def queue(self, timeout: float = 20) -> list[tuple[str, str, str, str]] | None:
        """Job, state, node and tag of all that the real queue holds; None if it does not answer."""
        try:
            done = self.slurm.run(
                "squeue", "-h", "-r", "-o", "%F_%K|%T|%N|%k", check=False, timeout=timeout
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            return None
        rows = [line.split("|") for line in done.stdout.splitlines() if line.strip()]
        return [(job.removesuffix("_N/A"), state, node, tag) for job, state, node, tag in rows]

    def queue_of(
        self, run: ChaosRun, rows: list[tuple[str, str, str, str]]
    ) -> list[tuple[str, str, str, str]]:
        return [row for row in rows if row[3].startswith(f"as:{run.config.run}:")]

    # ------------------------------------------------------------------ ending

    def end(self, keep: bool) -> None:
        """End everything; what is kept is copied from the small disk, which goes with this process."""
        os.environ["PATH"] = DAEMON_PATH
        for run in self.runs:
            manager = run.manager()
            if manager is not None:
                manager.kill()
        self.slurm.stop()
        if keep:
            shutil.copytree(self.disk, self.folder / "kept", symlinks=True)
        if self.has_small_disk:
            subprocess.run(["umount", "-l", str(self.disk)], check=False)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
