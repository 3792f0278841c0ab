"""The PBS scheduler with a fake PBS that runs real jobs; the shell steps are as in a job script."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.jobs import CommandResult, JobId, JobRequest, JobState, Refusal
from adaptive_scheduler.errors import NoObservation, SubmitRefusedError
from adaptive_scheduler.schedulers.pbs import PBS
from tests.clusters.pbs import PrivatePBS

TAG = "as:run1:1"


class Site:
    """Submits real scripts, as the job manager will."""

    def __init__(self, cluster: PrivatePBS, folder: Path, **options: Any) -> None:
        self.cluster = cluster
        self.folder = folder
        self.scheduler = PBS(**({"cores": 1} | options))
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def run(self, argv: list[str]) -> CommandResult:
        done = self.cluster.run(*argv, check=False, cwd=self.folder)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def try_submit(self, *lines: str, n: int = 1, name: str = "job") -> CommandResult:
        (resources,), _ = self.scheduler.shapes(1)
        logs = shlex.quote(str(self.folder / "logs"))
        job = JobRequest(name, TAG, resources, str(self.folder / "logs"))
        text = [
            "#!/bin/bash -l",
            *self.scheduler.header(job),
            *self.scheduler.own_id_script(),
            f'exec >> {logs}/"$ADAPTIVE_SCHEDULER_JOB".out 2>&1',
            *lines,
        ]
        script = self.folder / "a job.sh"
        script.write_text("\n".join(text) + "\n")
        return self.run(self.scheduler.submit_command(job, script, n))

    def submit(self, *lines: str, n: int = 1, name: str = "job") -> list[JobId]:
        return self.scheduler.parse_submit(self.try_submit(*lines, n=n, name=name), n)

    def queue(self) -> dict[JobId, JobState]:
        jobs = self.scheduler.parse_queue(self.run(self.scheduler.queue_command()))
        return {job.id: job.state for job in jobs}

    def cancel(self, *jobs: JobId) -> None:
        for argv in self.scheduler.cancel_commands(jobs):
            self.scheduler.parse_cancel(self.run(argv))

    def causes(self, *jobs: JobId) -> dict[JobId, str]:
        result = self.run(self.scheduler.history_command(jobs))
        return {ending.id: ending.cause for ending in self.scheduler.parse_history(result)}

    def wait_for(self, text: str, job: JobId) -> None:
        self.cluster.wait(lambda: text in self.output(job), f"{text!r} from {job}")

    def output(self, job: JobId) -> str:
        path = self.folder / "logs" / f"{job}.out"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def site(pbs: PrivatePBS, tmp_path: Path) -> Site:
    """A folder whose name would break what is not quoted."""
    return Site(pbs, tmp_path / "a b $HOME é")


def test_one_job_from_submit_to_its_ending(site: Site) -> None:
    (job,) = site.submit("echo here; sleep 30", name="odd name: ü/1")
    assert site.queue() == {job: JobState.RUNNING}
    (listed,) = site.scheduler.parse_queue(site.run(site.scheduler.queue_command()))
    assert (listed.comment, listed.name) == (TAG, "odd_name____1")
    site.wait_for("here", job)
    site.cancel(job)
    site.cluster.wait_until_over(job)
    assert site.queue() == {}
    assert site.causes(job, JobId("99.vm")) == {job: "cancelled"}
    assert site.cluster.processes_of(job) == []
    assert (site.folder / "logs" / f"{job}.OU").stat().st_mode & 0o777 == 0o600


def test_an_array_from_submit_to_its_endings(site: Site) -> None:
    jobs = site.submit('test "$PBS_ARRAY_INDEX" -ne 1 || exit 3; sleep 30', n=5)
    site.cluster.wait(lambda: site.queue().get(jobs[1]) is JobState.ENDED, "the end of subjob 1")
    alive = [job for job in jobs if job != jobs[1]]
    assert site.queue() == {jobs[1]: JobState.ENDED} | dict.fromkeys(alive, JobState.RUNNING)
    # the one that has ended is asked for as well: its end may not have been seen yet
    site.cancel(*jobs[:3])
    site.cluster.wait_until_over(*jobs[:3])
    assert {site.queue()[job] for job in jobs[3:]} == {JobState.RUNNING}
    site.cancel(jobs[1], *jobs[3:])
    site.cluster.wait_until_over()
    causes = site.causes(*jobs)
    assert {causes[job] for job in alive} == {"cancelled"}


def test_a_job_knows_itself_as_the_listing_does(site: Site) -> None:
    show = (
        "from adaptive_scheduler.schedulers.pbs import PBS; import os; "
        "print('own', PBS(cores=1).own_id(os.environ), flush=True)"
    )
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(show)}"
    jobs = site.submit(python, "sleep 30", n=2)
    assert list(site.queue()) == jobs
    for job in jobs:
        site.wait_for(f"own ('{job}', 0)", job)
    site.cluster.rerun(jobs[0])
    site.wait_for(f"own ('{jobs[0]}', 1)", jobs[0])
    assert site.queue()[jobs[0]] is JobState.RUNNING


def test_environment_of_a_job(pbs: PrivatePBS, tmp_path: Path) -> None:
    site = Site(pbs, tmp_path, cores=3, nodes=1, num_threads=2)
    (job,) = site.submit('echo "$OMP_NUM_THREADS" $(wc -l < "$PBS_NODEFILE") "$PWD"; umask')
    pbs.wait_until_over(job)
    assert site.output(job).splitlines() == [f"2 3 {pbs.env['HOME']}", "0077"]
    site = Site(pbs, tmp_path, cores=3)
    (job,) = site.submit('wc -l < "$PBS_NODEFILE"')
    pbs.wait_until_over(job)
    assert site.output(job).split() == ["3"]


def test_walltime_ends_a_job_and_is_told(pbs: PrivatePBS, tmp_path: Path) -> None:
    site = Site(pbs, tmp_path, walltime=2)
    trap = "trap 'echo asked to end' TERM; echo ready; for i in $(seq 300); do sleep 0.1; done"
    pbs.change(kill_delay=1.0)
    (job,) = site.submit(trap)
    site.wait_for("ready", job)
    left = site.scheduler.parse_time_left(site.run(site.scheduler.time_left_command(job)))
    assert left is not None
    assert 0 <= left <= 2
    pbs.wait_until_over(job)
    assert "asked to end" in site.output(job)
    assert site.causes(job) == {job: "timeout"}
    told = (tmp_path / "logs" / f"{job}.OU").read_text()
    assert "=>> PBS: job killed: walltime" in told
    assert "exceeded limit 2" in told


def test_a_cancelled_job_may_finish_its_work(site: Site) -> None:
    """SIGTERM reaches every process at once; SIGKILL comes after kill_delay."""
    site.cluster.change(kill_delay=20.0)
    child = "(trap 'echo child saved; exit' TERM; echo ready; while :; do sleep 0.05; done) &"
    (job,) = site.submit("trap 'wait; echo saved; exit 0' TERM", child, "wait")
    site.wait_for("ready", job)
    started = time.monotonic()
    site.cancel(job)
    site.cluster.wait_until_over(job)
    assert time.monotonic() - started < 10
    assert "child saved" in site.output(job)
    assert "\nsaved" in site.output(job)
    assert site.causes(job) == {job: "cancelled"}


def test_queued_jobs_say_why_and_start_when_there_is_room(pbs: PrivatePBS, tmp_path: Path) -> None:
    pbs.change(cores=2)
    site = Site(pbs, tmp_path, cores=2)
    first, second = site.submit("sleep 30"), site.submit("sleep 30")
    result = site.run(site.scheduler.queue_command())
    waiting = [job for job in site.scheduler.parse_queue(result) if job.state is JobState.PENDING]
    assert [job.id for job in waiting] == second
    assert waiting[0].reason.startswith("Not Running: Insufficient amount of resource: ncpus")
    site.cancel(*first)
    pbs.wait(lambda: site.queue().get(second[0]) is JobState.RUNNING, "the second job's start")
    (never,) = Site(pbs, tmp_path, cores=3).submit("true")
    pbs.wait(lambda: "Can Never Run" in pbs.jobs()[never].get("comment", ""), "a reason")
    site.cancel(never)
    assert site.causes(never) == {never: "cancelled"}


def test_limits_and_a_disabled_queue(site: Site) -> None:
    site.cluster.change(max_queued=2)
    refused = site.try_submit("true", n=3)
    assert site.scheduler.refusal(refused) is Refusal.LIMIT
    with pytest.raises(SubmitRefusedError, match="would exceed complex's per-user limit"):
        site.scheduler.parse_submit(refused, 3)
    assert len(site.submit("sleep 30", n=2)) == 2
    site.cluster.change(max_queued=None, queue_enabled=False)
    assert site.scheduler.refusal(site.try_submit("true")) is Refusal.BUSY


def test_impossible_requests_are_told_in_the_words_of_pbs(pbs: PrivatePBS, tmp_path: Path) -> None:
    pbs.change(max_walltime=60)
    for options, said in (
        ({"gpus": 1}, "Unknown resource: ngpus"),
        ({"queue": "none"}, "Unknown queue"),
        ({"walltime": 61}, "violates queue and/or server resource limits"),
    ):
        site = Site(pbs, tmp_path, **options)
        refused = site.try_submit("true")
        assert site.scheduler.refusal(refused) is Refusal.IMPOSSIBLE
        with pytest.raises(SubmitRefusedError, match=said):
            site.scheduler.parse_submit(refused, 1)


def test_a_server_that_is_down_is_no_observation_and_jobs_go_on(site: Site) -> None:
    (job,) = site.submit("echo up; sleep 30")
    site.wait_for("up", job)
    site.cluster.server_down()
    with pytest.raises(NoObservation):
        site.queue()
    result = site.run(site.scheduler.queue_command())
    assert "Jobs" not in json.loads(result.stdout)  # valid JSON without jobs: the trap
    with pytest.raises(NoObservation):
        site.causes(job)
    assert site.scheduler.refusal(site.try_submit("true")) is Refusal.BUSY
    site.cluster.server_up()
    assert site.queue() == {job: JobState.RUNNING}


def test_a_missing_log_folder_holds_the_job_up(site: Site) -> None:
    """Why the log folder is made before the submit."""
    (job,) = site.submit("true")
    site.cluster.wait_until_over(job)
    (site.folder / "logs").rename(site.folder / "gone")
    site.cluster.change(stage_delay=1.0)
    (job,) = site.submit("true")
    site.cluster.wait(lambda: site.cluster.state(job) == "E", "state E")
    assert site.queue() == {job: JobState.ALIVE}
    site.cluster.wait_until_over(job)


def test_several_ids_at_once_are_traps(site: Site) -> None:
    """Why there is one id for each qdel, and ``-E`` for qstat."""
    jobs = site.submit("sleep 30") + site.submit("sleep 30")
    shown = site.run(["qstat", "-f", "-F", "json", *jobs])
    assert list(json.loads(shown.stdout)["Jobs"]) == jobs[:1]
    assert site.run(["qdel", jobs[0], "99.vm"]).rc == 0
    assert site.queue() == dict.fromkeys(jobs, JobState.RUNNING)
    site.cancel(*jobs)
    site.cluster.wait_until_over()
    assert site.causes(*jobs) == dict.fromkeys(jobs, "cancelled")


def test_stop_leaves_no_process_behind(tmp_path: Path) -> None:
    with PrivatePBS(tmp_path / "pbs") as cluster:
        site = Site(cluster, tmp_path)
        (job,) = site.submit("setsid sleep 300 &", "trap '' TERM", "echo up", "wait")
        site.wait_for("up", job)
        assert len(cluster.processes_of(job)) >= 2
    mark = f"FAKEPBS={cluster.folder}".encode()
    left = [entry for entry in Path("/proc").glob("[0-9]*") if mark in _environ(entry)]
    assert left == []


def _environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.mark.mpi
def test_an_mpi_world_of_three(site: Site, pbs: PrivatePBS) -> None:
    site = Site(pbs, site.folder, cores=3)
    program = site.folder / "world.py"
    program.write_text(
        "from mpi4py import MPI\n"
        "from mpi4py.futures import MPIPoolExecutor\n"
        "if __name__ == '__main__':\n"
        "    with MPIPoolExecutor() as pool:\n"
        "        print('world', MPI.COMM_WORLD.size, sorted(pool.map(abs, [-2, 1])), flush=True)\n"
    )
    (resources,), _ = site.scheduler.shapes(1)
    launcher = site.scheduler.launcher(resources)
    argv = [*launcher, site.scheduler.python_executable, "-m", "mpi4py.futures", str(program)]
    (job,) = site.submit(shlex.join(argv))
    pbs.wait_until_over(job)
    assert "world 3 [1, 2]" in site.output(job)
    assert site.causes(job) == {job: "completed"}
