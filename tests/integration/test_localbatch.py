"""The embedded batch system with real processes, spoken to by `LocalScheduler`."""

from __future__ import annotations

import itertools
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    JobId,
    JobRequest,
    JobState,
    ListedJob,
    Refusal,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import NoObservation
from adaptive_scheduler.localbatch import processes, server
from adaptive_scheduler.localbatch.folder import Folder, try_lock
from adaptive_scheduler.localbatch.store import Store
from adaptive_scheduler.schedulers.local import LocalScheduler

pytestmark = pytest.mark.timeout(900)
DEADLINE = 120.0


def wait_for(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Cluster:
    """One state folder, and the commands of `LocalScheduler` run for real."""

    def __init__(self, home: Path, *, slots: int = 4, kill_wait: float = 5.0) -> None:
        self.home = home
        self.folder = Folder(os.path.realpath(home / "state"))
        self.logs = home / "logs"
        self.environ = os.environ | {"ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE": "0.3"}
        self.scheduler = LocalScheduler(
            cores=1, max_cores=slots, kill_wait=kill_wait, state=self.folder.path
        )

    def run(self, argv: Sequence[str]) -> CommandResult:
        done = subprocess.run(
            argv, capture_output=True, text=True, env=self.environ, cwd=self.home, timeout=DEADLINE
        )
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def script(self, text: str, name: str = "job.sh") -> Path:
        path = self.home / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        return path

    def try_submit(self, text: str, n: int = 1, **resources: int) -> CommandResult:
        job = JobRequest("test", "as:test:1", Resources(**resources), str(self.logs))
        return self.run(self.scheduler.submit_command(job, self.script(text), n))

    def submit(self, text: str, n: int = 1, **resources: int) -> list[JobId]:
        return self.scheduler.parse_submit(self.try_submit(text, n, **resources), n)

    def queue(self) -> list[ListedJob]:
        return self.scheduler.parse_queue(self.run(self.scheduler.queue_command()))

    def state(self, job: JobId) -> str:
        return next((one.native_state for one in self.queue() if one.id == job), "gone")

    def cancel(self, *jobs: JobId) -> None:
        for argv in self.scheduler.cancel_commands(jobs):
            self.scheduler.parse_cancel(self.run(argv))

    def command(self, *words: str) -> CommandResult:
        return self.run(self.scheduler._command(*words))

    def endings(self, *jobs: JobId) -> list[Ending]:
        argv = self.scheduler.history_command(jobs)
        return self.scheduler.parse_history(self.run(argv))

    def causes(self, *jobs: JobId) -> list[str]:
        wait_for(lambda: len(self.endings(*jobs)) == len(jobs), f"the end of {jobs}")
        return [ending.cause for ending in self.endings(*jobs)]

    def output(self, job: JobId) -> str:
        path = self.logs / f"{job}.out"
        return path.read_text() if path.exists() else ""

    def says(self, job: JobId, word: str) -> None:
        wait_for(lambda: word in self.output(job), f"{word!r} in the output of {job}")

    def server(self) -> int | None:
        """The pid of the server that holds the lock, if there is one."""
        words = {b"serve", b"--state", os.fsencode(self.folder.path)}
        for process in processes.find_processes(self.folder):
            with suppress(OSError):  # it has ended since it was found
                if words <= set(Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")):
                    return process.pid
        return None

    def kill_server(self) -> None:
        pid = self.server()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(self._server_is_gone, "the death of the server")

    def _server_is_gone(self) -> bool:
        lock = try_lock(self.folder.server_lock)
        if lock is None:
            return False
        os.close(lock)
        return True

    def members(self) -> list[int]:
        return [p.pid for p in processes.find_processes(self.folder) if p.job_id is not None]

    def close(self) -> None:
        if not Path(self.folder.path).exists():
            return
        ids = [job.id for job in self.queue()]
        if ids:
            self.cancel(*ids)
        wait_for(lambda: not self.queue(), "an empty queue")
        wait_for(self._server_is_gone, "the end of the idle server")
        assert self.members() == []
        assert list(Path(self.folder.path, "running").iterdir()) == []


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    made: list[Cluster] = []

    def make(name: str = "cluster", **options: float) -> Cluster:
        home = tmp_path / name
        home.mkdir(parents=True)
        made.append(Cluster(home, **options))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(clusters: Callable[..., Cluster]) -> Cluster:
    return clusters()


# -------------------------------------------------------------------- one job


def test_a_job_runs_and_its_end_is_known(cluster: Cluster) -> None:
    cluster.environ |= {"SLURM_JOB_ID": "9", "MY VARIABLE": "a\nb"}
    (job,) = cluster.submit('echo "$LOCALBATCH_JOB_ID/$LOCALBATCH_RESTART"; env -0 >env; exit 3')
    assert cluster.causes(job) == ["failed"]
    assert "exit code 3" in cluster.endings(job)[0].detail
    assert cluster.output(job) == f"{job}/0\n"
    environ = dict(
        line.split("=", 1) for line in (cluster.home / "env").read_text().split("\0")[:-1]
    )
    assert "SLURM_JOB_ID" not in environ
    assert environ["ADAPTIVE_SCHEDULER_LOCALBATCH"] == cluster.folder.path
    assert cluster.scheduler.own_id(environ) == (job, 0)


def test_own_id_script_says_what_own_id_says(cluster: Cluster) -> None:
    lines = "\n".join(cluster.scheduler.own_id_script())
    text = f"{lines}\nbash -c 'echo \"$ADAPTIVE_SCHEDULER_JOB $ADAPTIVE_SCHEDULER_RESTART\"'"
    (job,) = cluster.submit(text)
    cluster.says(job, f"{job} 0\n")


def test_a_script_runs_as_it_was_at_the_submit(cluster: Cluster) -> None:
    (blocker,) = cluster.submit("sleep 60", cores=4)
    (job,) = cluster.submit("echo old")
    cluster.script("echo new")
    cluster.cancel(blocker)
    assert cluster.causes(job) == ["completed"]
    assert cluster.output(job) == "old\n"


def test_time_left(cluster: Cluster) -> None:
    (limited,) = cluster.submit("sleep 60", walltime=50)
    (free,) = cluster.submit("sleep 60")
    wait_for(lambda: cluster.state(free) == "running", "the start")

    def left(job: JobId) -> float | None:
        argv = cluster.scheduler.time_left_command(job)
        assert argv is not None
        return cluster.scheduler.parse_time_left(cluster.run(argv))

    assert 50 - DEADLINE < (left(limited) or 0) < 50
    assert left(free) is None
    assert cluster.command("time-left", "999").rc == 3


def test_a_job_that_cannot_be_started_says_why(cluster: Cluster) -> None:
    cluster.logs.write_text("a file where the folder should be")
    (job,) = cluster.submit("true")
    assert cluster.causes(job) == ["failed"]
    assert "could not be started" in cluster.endings(job)[0].detail


# ---------------------------------------------------------------------- queue


def test_an_array_shares_the_slots_in_order(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(slots=2)
    order = cluster.home / "order"
    # each waits for a file of its own: what has begun by then does not depend on how fast a shell starts
    jobs = cluster.submit(
        'echo "$LOCALBATCH_JOB_ID" >>order; until [ -e "go-$LOCALBATCH_JOB_ID" ]; do sleep 0.05; done',
        5,
    )
    assert [job.split("_")[1] for job in jobs] == ["0", "1", "2", "3", "4"]
    for n, job in enumerate(jobs):
        begun = set(jobs[: n + 2])
        wait_for(
            lambda begun=begun: order.exists() and set(order.read_text().split()) >= begun,
            f"the start of {begun}",
        )
        assert sorted(order.read_text().split()) == sorted(begun)
        waiting = [one.id for one in cluster.queue() if one.state is JobState.PENDING]
        assert waiting == jobs[n + 2 :]
        (cluster.home / f"go-{job}").touch()
    assert set(cluster.causes(*jobs)) == {"completed"}
    assert sorted(order.read_text().split()) == jobs


def test_a_listing_has_tag_and_state(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(slots=1)
    first, second = cluster.submit("sleep 60", 2)
    wait_for(lambda: cluster.state(first) == "running", "the start")
    one, two = cluster.queue()
    assert (one.id, one.state, one.comment) == (first, JobState.RUNNING, "as:test:1")
    assert one.nodes == (os.uname().nodename,)
    assert (two.id, two.state, two.nodes) == (second, JobState.PENDING, ())
    assert two.reason == "waits for free cores"


def test_a_job_that_can_never_start_is_refused(cluster: Cluster) -> None:
    refused = cluster.try_submit("true", cores=5)
    assert cluster.scheduler.refusal(refused) is Refusal.IMPOSSIBLE
    assert "5 cores can never start: this batch system has 4" in refused.stderr
    assert cluster.queue() == []


def test_two_hundred_jobs(cluster: Cluster) -> None:
    begun = time.monotonic()
    jobs = cluster.submit("true", 200)
    wait_for(lambda: not cluster.queue(), "200 jobs of true", seconds=240)
    print(f"200 jobs: {time.monotonic() - begun:.1f} s")
    assert set(cluster.causes(*jobs)) == {"completed"}


def test_many_submit_at_once(cluster: Cluster) -> None:
    job = JobRequest("test", "t", Resources(), str(cluster.logs))
    argv = cluster.scheduler.submit_command(job, cluster.script("true"), 3)
    started = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=cluster.environ)
        for _ in range(12)
    ]
    ids = [JobId(word) for one in started for word in one.communicate(timeout=200)[0].split()]
    assert [one.returncode for one in started] == [0] * 12
    assert len(set(ids)) == 36
    assert set(cluster.causes(*ids)) == {"completed"}


# --------------------------------------------------------------------- ending


def test_a_job_gets_sigterm_at_its_walltime(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=60)
    text = 'trap "echo told; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    (job,) = cluster.submit(text, walltime=3)
    assert cluster.causes(job) == ["timeout"]
    # a busy machine may take as long to start the shell: then the signal has come before the trap
    assert "told" in cluster.output(job) or "ready" not in cluster.output(job)


def test_a_job_that_ignores_sigterm_is_killed(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=0.5)
    (job,) = cluster.submit("trap '' TERM; echo ready; while :; do sleep 0.05; done")
    cluster.says(job, "ready")
    cluster.cancel(job)
    assert cluster.causes(job) == ["cancelled"]
    assert cluster.members() == []


def test_cancel(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(slots=1)
    first, second, third = cluster.submit("echo ready; sleep 60", 3)
    cluster.says(first, "ready")
    cluster.cancel(second, JobId("999"), JobId("no-id"))
    assert cluster.causes(second) == ["cancelled"]
    assert cluster.output(second) == ""
    cluster.cancel(first)
    assert cluster.causes(first) == ["cancelled"]
    cluster.says(third, "ready")
    cluster.cancel(JobId(third.split("_")[0]))  # the whole array
    assert cluster.causes(third) == ["cancelled"]


def test_all_processes_of_a_job_are_signalled(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=60)
    text = """
    setsid bash -c 'trap "echo far told; exit" TERM; echo far; while :; do sleep 0.05; done' &
    env -i bash -c 'trap "echo near told; exit" TERM; echo near; while :; do sleep 0.05; done' &
    wait; wait
    """
    (job,) = cluster.submit(text)
    cluster.says(job, "far\n")
    cluster.says(job, "near\n")
    cluster.cancel(job)
    assert cluster.causes(job) == ["cancelled"]
    assert "far told" in cluster.output(job)
    assert "near told" in cluster.output(job)


@pytest.mark.mpi
def test_an_mpi_world_is_ended_whole(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=1.0)
    rank = "import time; from mpi4py import MPI; print('rank', flush=True); time.sleep(600)"
    launch = shlex.join(cluster.scheduler.launcher(Resources(cores=2)))
    (job,) = cluster.submit(
        f"{launch} {shlex.quote(sys.executable)} -c {shlex.quote(rank)}", cores=2
    )
    wait_for(lambda: cluster.output(job).count("rank") == 2, "two ranks")
    cluster.cancel(job)
    assert cluster.causes(job) == ["cancelled"]
    assert cluster.members() == []


def test_a_damaged_database_is_named(cluster: Cluster) -> None:
    cluster.queue()
    Path(cluster.folder.database).write_bytes(b"no database" * 1000)
    refused = cluster.command("queue")
    assert refused.rc == 3
    assert "jobs.sqlite is damaged" in refused.stderr
    shutil.rmtree(cluster.folder.path)


def test_a_stopped_process_is_ended_too(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=60)
    (job,) = cluster.submit("trap 'echo told; exit' TERM; echo ready; kill -STOP $$; sleep 60")
    cluster.says(job, "ready")
    cluster.cancel(job)
    assert cluster.causes(job) == ["cancelled"]
    assert "told" in cluster.output(job)


def test_a_job_leaves_no_process_behind(cluster: Cluster) -> None:
    (job,) = cluster.submit("setsid sleep 600 & sleep 601 & echo done")
    assert cluster.causes(job) == ["completed"]
    assert cluster.members() == []


def test_a_killed_watcher_ends_its_job(cluster: Cluster) -> None:
    (job,) = cluster.submit("echo $PPID; sleep 600")
    cluster.says(job, "\n")
    os.kill(int(cluster.output(job)), signal.SIGKILL)
    assert cluster.causes(job) == ["failed"]
    assert cluster.members() == []


def test_requeue_starts_the_job_again(cluster: Cluster) -> None:
    text = 'echo "start $LOCALBATCH_RESTART"; [ $LOCALBATCH_RESTART = 1 ] || sleep 60'
    (job,) = cluster.submit(text)
    cluster.says(job, "start 0")
    assert cluster.command("requeue", job).rc == 0
    assert cluster.causes(job) == ["completed"]
    # the shell may tell in between that its sleep was ended, if it is ended later than that
    said = [line for line in cluster.output(job).splitlines() if line.startswith("start")]
    assert said == ["start 0", "start 1"]


def test_a_cancel_wins_over_a_requeue(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(kill_wait=60)
    stays = "trap 'until [ -e go ]; do sleep 0.05; done; exit' TERM"
    (job,) = cluster.submit(f"{stays}; echo ready; sleep 60 & wait")
    cluster.says(job, "ready")
    cluster.command("requeue", job)
    wait_for(lambda: cluster.state(job) == "completing", "the requeue")
    cluster.cancel(job)
    (cluster.home / "go").touch()
    assert cluster.causes(job) == ["cancelled"]
    assert cluster.output(job).count("ready") == 1


# --------------------------------------------------------------------- server


def test_jobs_survive_the_server(cluster: Cluster) -> None:
    (job,) = cluster.submit("echo ready; until [ -e go ]; do sleep 0.05; done; exit 5")
    cluster.says(job, "ready")
    cluster.kill_server()
    assert len(cluster.members()) >= 2
    assert cluster.state(job) == "running"  # and this look started another server
    wait_for(cluster.server, "another server")
    (cluster.home / "go").touch()
    assert cluster.causes(job) == ["failed"]
    assert "exit code 5" in cluster.endings(job)[0].detail


def test_an_end_without_a_server_is_found_later(cluster: Cluster) -> None:
    (job,) = cluster.submit("echo ready; until [ -e go ]; do sleep 0.05; done; exit 5")
    cluster.says(job, "ready")
    cluster.kill_server()
    (cluster.home / "go").touch()
    wait_for(lambda: not cluster.members(), "the end of the job")
    assert cluster.state(job) == "running"
    assert cluster.causes(job) == ["failed"]
    assert "exit code 5" in cluster.endings(job)[0].detail


def test_the_walltime_of_an_adopted_job_began_at_its_start(cluster: Cluster) -> None:
    (job,) = cluster.submit("echo ready; sleep 60", walltime=5)
    cluster.says(job, "ready")
    begun = time.time()
    with suppress(ProcessLookupError):  # a busy machine may come to this when the job is over
        if (pid := cluster.server()) is not None:
            os.kill(pid, signal.SIGKILL)
    wait_for(cluster._server_is_gone, "the death of the server")
    wait_for(lambda: time.time() - begun > 4, "most of the walltime")
    cluster.queue()
    left: float | None = 0.0
    with suppress(NoObservation):  # a busy machine answers after the end
        told = cluster.run(cluster.scheduler.time_left_command(job))
        left = cluster.scheduler.parse_time_left(told)
    wait_for(lambda: not cluster.members(), "the end by walltime")
    assert cluster.causes(job) == ["timeout"]
    store = Store(cluster.folder)
    (noted,) = store.find(job)
    store.close()
    assert noted.signalled is not None
    assert noted.started is not None
    assert noted.signalled - noted.started >= 5
    assert left is not None
    assert left <= 1.5, "it has not begun anew"


def test_every_job_runs_once_though_the_server_is_killed(cluster: Cluster) -> None:
    jobs = cluster.submit('echo "$LOCALBATCH_JOB_ID" >>ledger; sleep 0.05', 60)
    dice = random.Random(1)
    kills = 0
    while True:
        if not cluster.queue():  # the look starts a server
            if kills > 3:
                break
            jobs += cluster.submit('echo "$LOCALBATCH_JOB_ID" >>ledger; sleep 0.05', 60)
        time.sleep(dice.uniform(0.0, 0.4))
        pid = cluster.server()
        if pid is not None and kills < 15:
            with suppress(ProcessLookupError):  # it had nothing to do any more
                os.kill(pid, signal.SIGKILL)
                kills += 1
    assert set(cluster.causes(*jobs)) == {"completed"}
    ledger = (cluster.home / "ledger").read_text().split()
    assert sorted(ledger) == sorted(jobs)


def test_records_left_by_a_killed_server_are_deleted(
    cluster: Cluster,
) -> None:
    """The job was noted as ended, and its record still there."""
    (first,) = cluster.submit("true", 1)
    wait_for(lambda: not cluster.queue(), "its end")
    wait_for(cluster._server_is_gone, "the end of the idle server")
    left = Path(cluster.folder.record(first, 0))
    left.touch()
    cluster.submit("true", 1)
    wait_for(lambda: not left.exists(), "the end of what was left")


def test_no_submit_is_lost_when_the_server_retires(cluster: Cluster) -> None:
    cluster.environ["ADAPTIVE_SCHEDULER_LOCALBATCH_IDLE"] = "0.02"
    dice = random.Random(2)
    jobs = []
    for _ in range(25):
        jobs += cluster.submit("true")
        time.sleep(dice.uniform(0.0, 0.15))

    def ended() -> bool:
        # not by a command: that would start a server that is missing
        store = Store(cluster.folder)
        left = store.count_active()
        store.close()
        return left == 0

    wait_for(ended, "the end of all jobs")
    log = Path(cluster.folder.server_log).read_text()
    print(f"{log.count('serving')} servers")
    assert log.count("serving") > 1
    assert set(cluster.causes(*jobs)) == {"completed"}


def test_an_idle_server_ends(cluster: Cluster) -> None:
    (job,) = cluster.submit("true")
    assert cluster.causes(job) == ["completed"]
    wait_for(lambda: cluster.server() is None, "the end of the idle server")


def test_a_removed_folder_takes_its_jobs_with_it(cluster: Cluster) -> None:
    (job,) = cluster.submit("echo ready; sleep 600")
    cluster.says(job, "ready")
    pid = cluster.server()
    shutil.rmtree(cluster.folder.path)
    wait_for(lambda: not cluster.members(), "the end of the jobs")
    wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or _is_zombie(pid), "the end")


def test_the_jobs_of_a_removed_folder_end_although_their_server_stands_still_then(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had a second for that, on a machine so busy that it did not run in that second."""
    (job,) = cluster.submit("echo ready; sleep 600")
    cluster.says(job, "ready")
    cluster.kill_server()
    shutil.rmtree(cluster.folder.path)
    clock = itertools.count(0, 100)
    late = SimpleNamespace(monotonic=clock.__next__, sleep=time.sleep, strftime=time.strftime)
    monkeypatch.setattr(server, "time", late)
    one = server.BatchServer.__new__(server.BatchServer)
    one.folder = cluster.folder
    one._end_with_folder()
    wait_for(lambda: not cluster.members(), "the end of the jobs")


def _is_zombie(pid: int | None) -> bool:
    try:
        return b") Z" in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True


# ---------------------------------------------------------------- names, folders


ODD = "a b$HOME 'q' \"d\" `x` \n%j ünï -;&|"


def test_odd_names_and_folders(clusters: Callable[..., Cluster]) -> None:
    cluster = clusters(ODD)
    request = JobRequest(ODD, f"-tag {ODD}", Resources(), str(cluster.home / ODD))
    script = cluster.script("pwd; echo ready; sleep 60", f"-{ODD}.sh")
    argv = cluster.scheduler.submit_command(request, script, 1)
    (job,) = cluster.scheduler.parse_submit(cluster.run(argv), 1)
    output = cluster.home / ODD / f"{job}.out"
    wait_for(lambda: output.exists() and "ready" in output.read_text(), "the output")
    assert output.read_text() == f"{cluster.home}\nready\n"
    (listed,) = cluster.queue()
    assert (listed.name, listed.comment) == (ODD, f"-tag {ODD}")
    cluster.cancel(job)
    assert cluster.causes(job) == ["cancelled"]


def test_names_that_are_not_utf8(cluster: Cluster) -> None:
    name = os.fsdecode(b"a\xff")
    request = JobRequest(name, "t", Resources(), str(cluster.logs))
    argv = cluster.scheduler.submit_command(request, cluster.script("sleep 60"), 1)
    cluster.scheduler.parse_submit(cluster.run(argv), 1)
    assert cluster.queue()[0].name == name


def test_two_folders_are_two_clusters(clusters: Callable[..., Cluster]) -> None:
    one, two = clusters("one", slots=1), clusters("two", slots=1)
    (first,), (second,) = one.submit("echo one; sleep 60"), two.submit("echo two; sleep 60")
    assert first == second
    one.says(first, "one")
    two.says(second, "two")
    one.cancel(first)
    assert one.causes(first) == ["cancelled"]
    assert two.state(second) == "running"


def test_a_folder_open_to_others_is_refused(cluster: Cluster) -> None:
    Path(cluster.folder.path).mkdir(mode=0o755)
    refused = cluster.command("queue")
    assert refused.rc == 3
    assert "chmod 700" in refused.stderr
    Path(cluster.folder.path).chmod(0o700)


def test_a_folder_of_another_host_is_refused(cluster: Cluster) -> None:
    assert cluster.queue() == []
    host = Path(cluster.folder.host)
    host.unlink()
    host.symlink_to("other-host")
    refused = cluster.command("queue")
    assert refused.rc == 3
    assert "belongs to other-host" in refused.stderr
    host.unlink()


def test_the_state_is_private_and_output_follows_the_umask(cluster: Cluster) -> None:
    (job,) = cluster.submit("umask; touch made")
    assert cluster.causes(job) == ["completed"]
    for path in (cluster.folder.path, cluster.folder.database, cluster.folder.server_log):
        assert Path(path).stat().st_mode & 0o077 == 0, path
    umask = os.umask(0)
    os.umask(umask)
    assert int(cluster.output(job), 8) == umask
    assert (cluster.logs / f"{job}.out").stat().st_mode & 0o777 == 0o666 & ~umask
