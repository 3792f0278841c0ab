"""SLURM, spoken to a real one of four nodes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from adaptive_scheduler.core.clean_environment import clean_environment
from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    JobId,
    JobRequest,
    JobState,
    ListedJob,
    Refusal,
)
from adaptive_scheduler.core.times import parse_text
from adaptive_scheduler.errors import NoObservation
from adaptive_scheduler.io.system import commands
from adaptive_scheduler.schedulers.base import Scheduler, default_mpiexec
from adaptive_scheduler.schedulers.slurm import SLURM
from tests.clusters.slurm import PrivateSlurm
from tests.unit.test_times import SLURM_TIMES

pytestmark = [pytest.mark.slurm]

T = TypeVar("T")
LAUNCHERS = {"mpiexec": default_mpiexec(sys.executable), "srun": ["srun", "--mpi=pmi2"]}


class User:
    """Submits and looks as the job manager does, in a folder with an odd name."""

    def __init__(self, cluster: PrivateSlurm, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.profile: dict[str, str] = {}

    def ask(self, argv: list[str]) -> CommandResult:
        done = self.cluster.run(*argv, check=False)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def ask_with(self, profile: dict[str, str], argv: list[str]) -> CommandResult:
        """As the manager asks, for a user whose profile sets these."""
        environ = os.environ | self.cluster.env | profile
        return commands.run(argv, 30, env=clean_environment(environ))

    def submit(self, scheduler: Scheduler, body: str, n: int = 1, **job: object) -> list[JobId]:
        (resources,), _ = scheduler.shapes(1)
        request = JobRequest("-n |a$(b)\nc", "as:test:1", resources, str(self.folder))
        request = msgspec.structs.replace(request, **job)
        lines = ["#!/bin/bash -l", *scheduler.header(request), *scheduler.own_id_script()]
        script = self.folder / "job $x.sh"
        script.write_text("\n".join([*lines, f"cd {quoted(self.folder)}", body]) + "\n")
        answer = self.ask_with(self.profile, scheduler.submit_command(request, script, n))
        return scheduler.parse_submit(answer, n)

    def jobs(self) -> dict[JobId, ListedJob]:
        listed = SLURM(cores=1).parse_queue(self.ask(SLURM(cores=1).queue_command()))
        return {job.id: job for job in listed}

    def cancel(self, *ids: JobId) -> None:
        for argv in SLURM(cores=1).cancel_commands(ids):
            SLURM(cores=1).parse_cancel(self.ask(argv))

    def wait(self, job: JobId, state: JobState | str) -> ListedJob:
        def found() -> ListedJob | None:
            listed = self.jobs()[job]
            return listed if state in (listed.state, listed.native_state) else None

        return self.until(found)

    def until(self, look: Callable[[], T | None], seconds: float = 90) -> T:
        """Wait for a truth; at the deadline tell what the cluster was doing."""
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, self.cluster.report()
            time.sleep(0.1)
        return seen

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\"'\"'") + "'"


@pytest.fixture
def user(slurm: PrivateSlurm, tmp_path: Path) -> Iterator[User]:
    folder = tmp_path / "a $x 100%d; b"
    folder.mkdir()
    user = User(slurm, folder)
    yield user
    left = [job.id for job in user.jobs().values() if job.state is not JobState.ENDED]
    user.cancel(*left)


def test_the_users_own_settings_reach_his_jobs_and_arguments_beat_them(user: User) -> None:
    """sbatch(1): such variables beat the script, and options of the command line beat them."""
    user.profile = {
        "SBATCH_PARTITION": "minute", "SBATCH_ACCOUNT": "physics", "SBATCH_MEM_PER_CPU": "7",
        "SBATCH_EXPORT": "NONE", "SLURM_TIME_FORMAT": "relative", "UCX_TLS": "tcp",
        "SQUEUE_PARTITION": "nowhere", "SCANCEL_PARTITION": "nowhere", "SBATCH_WAIT": "1",
        "SBATCH_ARRAY_INX": "0-3", "SLURM_MEM_PER_NODE": "9999999", "SLURM_NTASKS": "9",
        "SLURM_JOB_ID": "1", "PMI_FD": "9",
    }  # fmt: skip
    (his,) = user.submit(SLURM(cores=1), "sleep 60")
    ours = SLURM(
        cores=2, partition="normal", walltime=600, memory="50MB", extra_scheduler=["-A 'a b'"]
    )
    (own,) = user.submit(
        ours, "export TOLD=told; srun --mpi=pmi2 sh -c 'echo $TOLD $SLURM_NTASKS >> ran'; sleep 60"
    )
    shown = "--format=%i %P %a %l %D %C"
    told = user.ask(["squeue", "-h", f"--jobs={his},{own}", "-r", "-S", "i", shown]).stdout
    assert told.splitlines() == [
        f"{his} minute physics 1:00 1 1",
        f"{own} normal a b 10:00 1 2",
    ]
    user.until(lambda: len(user.text("ran").splitlines()) == 2)
    assert user.text("ran").splitlines() == ["told 2", "told 2"]
    listing = user.ask_with(user.profile, SLURM(cores=1).queue_command())
    assert {his, own} <= {job.id for job in SLURM(cores=1).parse_queue(listing)}
    for argv in SLURM(cores=1).cancel_commands([his, own]):
        SLURM(cores=1).parse_cancel(user.ask_with(user.profile, argv))
    user.wait(own, JobState.ENDED)


WHO = 'echo "$ADAPTIVE_SCHEDULER_JOB $ADAPTIVE_SCHEDULER_RESTART" >> who; exec sleep 600'


def test_an_array_from_submit_to_cancel(user: User) -> None:
    (one,) = user.submit(SLURM(cores=1), WHO)
    array = user.submit(SLURM(cores=1), WHO, n=3)
    ids = {one, *array}
    user.until(lambda: len(user.text("who").splitlines()) == 4)
    assert {line.split()[0] for line in user.text("who").splitlines()} == ids
    jobs = user.jobs()
    for job in ids:
        assert jobs[job].state is JobState.RUNNING
        assert (jobs[job].name, jobs[job].comment) == ("-n |a$(b)\nc", "as:test:1")
        assert (user.folder / f"{job}.out").exists()
    user.cancel(*ids)
    for job in ids:
        user.wait(job, JobState.ENDED)
    scheduler = SLURM(cores=1)
    history = user.ask(scheduler.history_command(sorted(ids)) or [])
    assert {end.id: end.cause for end in scheduler.parse_history(history)} == dict.fromkeys(
        ids, "cancelled"
    )
    user.cancel(one, JobId("999999"))  # gone already: no fault


def test_fault_29_a_name_longer_than_any_column_comes_back_whole(user: User) -> None:
    (job,) = user.submit(SLURM(cores=1), WHO, name="n" * 200, tag="as:test:" + "7" * 50)
    found = user.jobs()[job]
    assert (found.name, found.comment) == ("n" * 200, "as:test:" + "7" * 50)


def test_fault_09_a_suspended_job_lives(user: User) -> None:
    (job,) = user.submit(SLURM(cores=1), WHO)
    user.wait(job, JobState.RUNNING)
    user.cluster.scontrol("suspend", job)
    assert user.wait(job, "SUSPENDED").state is JobState.ALIVE


def test_fault_11_a_requeued_job_keeps_its_id_and_counts_its_restarts(user: User) -> None:
    (job,) = user.submit(SLURM(cores=1), WHO)
    user.until(lambda: user.text("who"))
    user.cluster.scontrol("requeue", job)
    assert user.wait(job, JobState.PENDING).id == job
    # else the end of its first life can be taken for the end of its second
    user.until(lambda: not user.cluster.processes_of(job))
    time.sleep(
        2
    )  # slurmd counts in seconds: "Job credential revoked", if it starts in the same one
    user.cluster.scontrol("update", f"JobId={job}", "StartTime=now")  # else after two minutes
    user.until(lambda: user.text("who") == f"{job} 0\n{job} 1\n")


def test_drained_and_excluded_nodes_are_avoided(user: User) -> None:
    user.cluster.scontrol("update", "NodeName=n1", "State=DRAIN", "Reason=test")
    try:
        (job,) = user.submit(SLURM(cores=2, nodes=2), WHO, excluded_nodes=("n2",))
        assert user.wait(job, JobState.RUNNING).nodes == ("n3", "n4")
    finally:
        user.cluster.scontrol("update", "NodeName=n1", "State=RESUME")


def test_slurm_takes_every_option_and_tells_the_time_left(user: User) -> None:
    scheduler = SLURM(
        nodes=2,
        cores_per_node=3,
        num_threads=2,
        memory="100MB",
        walltime=700,
        partition="normal",
        exclusive=True,
        extra_scheduler=["--nice=5"],
    )
    (job,) = user.submit(scheduler, WHO)
    user.wait(job, JobState.RUNNING)
    shown = user.cluster.scontrol("show", "job", job)
    for word in ("NumNodes=2", "NumTasks=6", "CPUs/Task=2", "TimeLimit=00:12:00", "Requeue=1"):
        assert word in shown
    left = scheduler.parse_time_left(user.ask(scheduler.time_left_command(job) or []))
    assert left is not None
    assert 600 < left <= 720


@pytest.mark.slow
def test_fault_17_a_refusal_and_a_controller_that_is_away(user: User) -> None:
    (job,) = user.submit(SLURM(cores=1), WHO)
    scheduler = SLURM(cores=1)
    request = JobRequest("x", "t", scheduler.shapes(1)[0][0], "/tmp")
    argv = scheduler.submit_command(request, user.folder / "job $x.sh", 1)
    refused = user.ask([*argv[:-1], "--partition=nowhere", argv[-1]])
    assert scheduler.refusal(refused) is Refusal.IMPOSSIBLE
    user.cluster.stop_controller()
    try:
        with pytest.raises(NoObservation, match="Unable to contact slurm controller"):
            user.jobs()
        assert scheduler.refusal(user.ask(argv)) is Refusal.BUSY
    finally:
        user.cluster.start_controller()
    user.wait(job, JobState.RUNNING)


# ------------------------------------------------------------------ MPI

RANKS = """
import os, signal, sys, time
from mpi4py import MPI
from mpi4py.futures import MPIPoolExecutor

def say(word):
    with open("said", "a") as file:
        file.write(f"{MPI.COMM_WORLD.rank} {word}\\n")

def begin():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    say(f"pid {os.getpid()}")

def work(x):
    time.sleep(0.1)
    return x

ended = []
if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: (ended.append(True), say("SIGTERM")))
    say(f"size {MPI.COMM_WORLD.size} pid {os.getpid()}")
    with MPIPoolExecutor(initializer=begin) as pool:
        after = 0  # rounds that began after the signal
        while after < 2:
            after += bool(ended)
            list(pool.map(work, range(6)))
            say("round")
    say("end")
"""
#: What a batch script does so that rank 0 may end by itself: trap, wait, and wait again.
BATCH = """
got= ; trap 'got=1' TERM
{launcher} {python} -m mpi4py.futures ranks.py & pid=$!
while got= ; wait "$pid"; status=$?; [ -n "$got" ]; do :; done
echo "$status" > status
"""


def start_ranks(user: User, launcher: str) -> JobId:
    scheduler = SLURM(cores=4, nodes=2, mpiexec_executable=LAUNCHERS[launcher])
    (user.folder / "ranks.py").write_text(RANKS)
    (resources,), _ = scheduler.shapes(1)
    argv = " ".join(quoted(Path(word)) for word in scheduler.launcher(resources))
    (job,) = user.submit(
        scheduler, BATCH.format(launcher=argv, python=quoted(Path(sys.executable)))
    )
    user.until(lambda: "0 round" in user.text("said"))
    assert user.text("said").count("size 4") == 1, "one world of four ranks"
    return job


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_rank_0_ends_by_itself_after_a_cancel(user: User, launcher: str) -> None:
    job = start_ranks(user, launcher)
    user.cancel(job)
    user.until(lambda: user.text("status"))
    said = user.text("said")
    assert "0 round" in said.partition("0 SIGTERM")[2], "work went on after SIGTERM"
    assert said.endswith("0 end\n")
    assert user.text("status") == "0\n"


@pytest.mark.mpi
@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("rank", [0, 3])
def test_fault_19_a_killed_rank_ends_its_world_before_kill_wait(
    user: User, launcher: str, rank: int
) -> None:
    start_ranks(user, launcher)
    line = next(
        x for x in user.text("said").splitlines() if x.startswith(f"{rank} ") and "pid" in x
    )
    pid = int(line.split()[-1])
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    user.until(lambda: user.text("status"))
    took = time.monotonic() - began
    assert user.text("status") != "0\n"
    # on a busy machine srun's SIGTERM reaches another node before our SIGKILL does
    is_killed = "SIGTERM" not in user.text("said") or took < user.cluster.kill_wait
    assert is_killed, f"srun's own way, which takes KillWait: {took:.1f} s"


def test_a_walltime_means_to_slurm_what_we_take_it_for(slurm: PrivateSlurm, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n")
    submit = ["sbatch", "--hold", "--parsable", "--output=/dev/null"]
    jobs = {
        text: slurm.run(*submit, f"--time={text}", str(script)).stdout.strip()
        for text in SLURM_TIMES
    }
    listed = slurm.run("squeue", "--noheader", "--states=all", "--format=%A %l").stdout
    limits = dict(row.split() for row in listed.splitlines())
    slurm.run("scancel", *jobs.values())
    assert {text: parse_text(limits[job]) for text, job in jobs.items()} == SLURM_TIMES
