"""The PBS scheduler with a fake PBS that runs real jobs; the shell steps are as in a job script."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    JobId,
    JobRequest,
    JobState,
    Refusal,
)
from adaptive_scheduler.errors import NoObservation, SubmitRefusedError
from adaptive_scheduler.io.system.hosts import Hosts
from adaptive_scheduler.schedulers.pbs import PBS
from tests.clusters.pbs import PrivatePBS
from tests.clusters.pbs_captures import DATA

TAG = "as:run1:1"


class Site:
    """Submits real scripts, as the job manager will."""

    def __init__(self, cluster: PrivatePBS, folder: Path, **options: Any) -> None:
        self.cluster = cluster
        self.folder = folder
        self.scheduler = PBS(**({"cores": 1} | options))
        (folder / "logs").mkdir(parents=True, exist_ok=True)

    def run(self, argv: Sequence[str]) -> CommandResult:
        done = self.cluster.run(*argv, check=False, cwd=self.folder)
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def try_submit(self, *lines: str, n: int = 1, name: str = "job") -> CommandResult:
        (resources,), _ = self.scheduler.shapes(1)
        hosts = Hosts(self.scheduler, self.run).of(resources)
        job = JobRequest(name, TAG, resources, str(self.folder / "logs"), hosts=hosts)
        text = [
            "#!/bin/bash -l",
            *self.scheduler.header(job),
            *self.scheduler.output_script(job),
            *self.scheduler.own_id_script(),
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
    (job,) = site.submit("echo here; sleep 300", name="odd name: ü/1")
    assert site.queue() == {job: JobState.RUNNING}
    (listed,) = site.scheduler.parse_queue(site.run(site.scheduler.queue_command()))
    assert (listed.comment, listed.name) == (TAG, "odd_name____1")
    site.wait_for("here", job)
    site.cancel(job)
    site.cluster.wait_until_over(job)
    assert site.queue() == {}
    assert site.causes(job, JobId("99.vm")) == {job: "cancelled"}
    assert site.cluster.processes_of(job) == []
    assert [path.name for path in (site.folder / "logs").iterdir()] == [f"{job}.out"]
    assert (site.folder / "logs" / f"{job}.out").stat().st_mode & 0o777 == 0o600


def test_an_array_from_submit_to_its_endings(site: Site) -> None:
    jobs = site.submit('test "$PBS_ARRAY_INDEX" -ne 1 || exit 3; sleep 300', n=5)
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
        "from adaptive_scheduler.schedulers.pbs.scheduler import PBS; import os; "
        "print('own', PBS(cores=1).own_id(os.environ), flush=True)"
    )
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(show)}"
    jobs = site.submit(python, "sleep 300", n=2)
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
    long = Site(pbs, tmp_path, walltime=600)
    (job,) = long.submit("sleep 300")
    left = long.scheduler.parse_time_left(long.run(long.scheduler.time_left_command(job)))
    assert left is not None
    assert 300 <= left <= 600
    site = Site(pbs, tmp_path, walltime=6)  # a busy machine takes seconds to set the trap
    trap = "trap 'echo asked to end' TERM; echo ready; for i in $(seq 300); do sleep 0.1; done"
    pbs.change(kill_delay=1.0)
    (job,) = site.submit(trap)
    pbs.wait_until_over(job)
    assert "ready" in site.output(job)
    assert "asked to end" in site.output(job)
    assert site.causes(job) == {job: "timeout"}


def test_a_cancelled_job_may_finish_its_work(site: Site) -> None:
    """SIGTERM reaches every process at once; SIGKILL comes after kill_delay."""
    site.cluster.change(kill_delay=100.0)
    child = "(trap 'echo child saved; exit' TERM; echo ready; while :; do sleep 0.05; done) &"
    (job,) = site.submit("trap 'wait; echo saved; exit 0' TERM", child, "wait")
    site.wait_for("ready", job)
    started = time.monotonic()
    site.cancel(job)
    site.cluster.wait_until_over(job)
    assert time.monotonic() - started < 80
    assert "child saved" in site.output(job)
    assert "\nsaved" in site.output(job)
    assert site.causes(job) == {job: "cancelled"}


def test_queued_jobs_say_why_and_start_when_there_is_room(pbs: PrivatePBS, tmp_path: Path) -> None:
    pbs.change(cores=2)
    site = Site(pbs, tmp_path, cores=2)
    first, second = site.submit("sleep 300"), site.submit("sleep 300")
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
    assert len(site.submit("sleep 300", n=2)) == 2
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
    (job,) = site.submit("echo up; sleep 300")
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


def test_a_log_folder_that_goes_away_does_not_hold_the_jobs_cores(site: Site) -> None:
    """PBS copies nothing, so there is nothing that it tries again for a minute."""
    site.cluster.change(stage_delay=200.0)
    (job,) = site.submit("echo up; while [ ! -e done ]; do sleep 0.05; done")
    site.wait_for("up", job)
    (site.folder / "logs").rename(site.folder / "gone")
    (Path(site.cluster.env["HOME"]) / "done").touch()
    site.cluster.wait_until_over(job, seconds=100)
    (never_there,) = site.submit("true")  # the script makes it, where nobody has
    site.cluster.wait_until_over(never_there, seconds=100)
    assert site.output(never_there) == ""
    assert (site.folder / "logs" / f"{never_there}.out").exists()


@pytest.mark.parametrize("name", ["ä, with a blank", "a\tb \x7f 数据"])
def test_the_output_of_a_job_is_in_its_folder_whatever_that_is_called(
    name: str, pbs: PrivatePBS, tmp_path: Path
) -> None:
    """Also what the shell itself says, of each subjob, and of one that is killed."""
    site = Site(pbs, tmp_path / name)
    pbs.change(kill_delay=0.5)
    jobs = site.submit('echo "part $PBS_ARRAY_INDEX"', "no-such-program", n=2)
    timed = Site(pbs, tmp_path / name, walltime=6)  # in which it is up, also on a busy machine
    (killed,) = timed.submit("trap '' TERM; echo up; while :; do sleep 0.1; done")
    pbs.wait_until_over(*jobs, killed)
    for index, job in enumerate(jobs):
        assert f"part {index}" in site.output(job)
        assert "no-such-program: command not found" in site.output(job)
    assert "up" in site.output(killed)
    assert site.causes(killed) == {killed: "timeout"}


@pytest.mark.parametrize("option", ["-o", "-e"])
@pytest.mark.parametrize("path", ["/tmp/ä/", "/tmp/a\tb", "/tmp/数"])
def test_the_fake_qsub_refuses_the_paths_that_the_real_one_refuses(
    option: str, path: str, site: Site
) -> None:
    (site.folder / "s.sh").write_text("true\n")
    result = site.run(["qsub", option, path, "s.sh"])
    real = (DATA / "qsub_illegal_o_value.err").read_text().replace("-o value", f"{option} value")
    assert (result.rc, result.stderr.split()) == (2, real.split())
    with pytest.raises(SubmitRefusedError) as error:
        site.scheduler.parse_submit(result, 1)
    assert str(error.value) == f"qsub: illegal {option} value (exit status 2)"


# ---------------------------------------------------------------- several hosts


def _exec_hosts(pbs: PrivatePBS, job: str) -> list[str]:
    return [part.partition("/")[0] for part in pbs.jobs()[job]["exec_host"].split("+")]


def test_cores_alone_are_put_on_one_host_where_one_is_large_enough(
    pbs: PrivatePBS, tmp_path: Path
) -> None:
    pbs.change(hosts={"pbs1": 3, "pbs2": 4}, hosts_away=[])
    (job,) = Site(pbs, tmp_path, cores=2).submit("sleep 300")
    (packed,) = Site(pbs, tmp_path, cores=3).submit("sleep 300")
    (waiting,) = Site(pbs, tmp_path, cores=2).submit("sleep 300")
    pbs.wait(lambda: pbs.state(packed) == "R", "the packed job")
    assert (_exec_hosts(pbs, job), _exec_hosts(pbs, packed)) == (["pbs1"], ["pbs2"])
    assert pbs.state(waiting) == "Q", "two cores of one host, not one here and one there"
    site = Site(pbs, tmp_path, cores=6)  # larger than any host
    (large,) = site.submit("sort -u $PBS_NODEFILE | tr '\\n' ' '")
    site.cancel(job, packed, waiting)
    pbs.wait_until_over(large)
    assert site.output(large).split() == ["pbs1", "pbs2"]
    pbs.change(hosts_away=["pbs2"])  # a host that is down holds nothing
    site = Site(pbs, tmp_path, cores=4)
    (never,) = site.submit("true")
    pbs.wait(lambda: "Can Never Run" in pbs.jobs()[never].get("comment", ""), "a reason")
    (listed,) = site.scheduler.parse_queue(site.run(site.scheduler.queue_command()))
    assert "fewer cores=" in listed.remedy


def test_held_suspended_and_begun_jobs_tell_a_reason_or_none(
    pbs: PrivatePBS, tmp_path: Path
) -> None:
    pbs.change(cores=2)
    site = Site(pbs, tmp_path, extra_scheduler=["-h"])
    held = site.submit("true", n=2)
    site = Site(pbs, tmp_path)
    begun = site.submit("sleep 300", n=3)
    pbs.wait(lambda: pbs.jobs()[begun[2]].get("comment", "").startswith("Job Array Began"), "it")

    def told() -> dict[str, tuple[str, str]]:
        rows = site.scheduler.parse_queue(site.run(site.scheduler.queue_command()))
        return {row.id: (row.native_state, row.reason) for row in rows}

    assert {told()[job] for job in held} == {("H", "held by its owner")}
    assert told()[begun[2]] == ("Q", "")
    pbs.suspend(begun[0])
    assert told()[begun[0]] == ("S", "suspended")
    site.cancel(*begun)
    pbs.release(f"{held[0].partition('[')[0]}[].vm")
    pbs.wait_until_over(*held)


def test_several_ids_at_once_are_traps(site: Site) -> None:
    """Why there is one id for each qdel, and ``-E`` for qstat."""
    jobs = site.submit("sleep 300") + site.submit("sleep 300")
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
        # one that is just being executed shows no environment, by which they are known
        cluster.wait(lambda: len(cluster.processes_of(job)) >= 2, "a second process")
    mark = f"FAKEPBS={cluster.folder}".encode()
    left = [entry for entry in Path("/proc").glob("[0-9]*") if mark in _environ(entry)]
    assert left == []


def _environ(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


@pytest.mark.mpi
@pytest.mark.parametrize("hosts", [{"pbs1": 3}, {"pbs1": 2, "pbs2": 1}], ids=["one", "two"])
def test_an_mpi_world_of_three(site: Site, pbs: PrivatePBS, hosts: dict[str, int]) -> None:
    """On one host, and over two between which there is no ssh."""
    pbs.change(hosts=hosts)
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
    (job,) = site.submit(*site.scheduler.spread_script(), shlex.join(argv))
    pbs.wait_until_over(job)
    assert "world 3 [1, 2]" in site.output(job), site.output(job)
    log = pbs.folder / "tmrsh.log"
    reached = {line.split()[1] for line in log.read_text().splitlines()} if log.exists() else set()
    assert reached == set(hosts), "none of them is known by the name of this host"
    assert site.causes(job) == {job: "completed"}


def _check(pbs: PrivatePBS, folder: Path, *options: str) -> tuple[int, str]:
    """What the command line's ``check`` says."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "adaptive_scheduler.cli", "check", "--scheduler", "pbs", *options],
        cwd=folder, env={**os.environ, **pbs.env, "COLUMNS": "160"}, timeout=150, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, " ".join(done.stdout.split())


@pytest.mark.mpi
def test_check_tries_a_job_over_two_hosts_as_a_run_will(pbs: PrivatePBS, tmp_path: Path) -> None:
    """In a folder that qsub does not take for -o."""
    pbs.change(hosts={"pbs1": 2, "pbs2": 1})
    rc, said = _check(pbs, tmp_path / "ä\tb c", "--cores", "3", "--timeout", "100s")
    assert (rc, "fault " in said) == (0, False), said
    # before it one that was held, and deleted: whether PBS takes such a request
    *_, job = pbs.jobs().values()
    assert job["Resource_List"]["place"] == "free"
    assert set((pbs.folder / "tmrsh.log").read_text().split()) >= {"pbs1", "pbs2"}
    pbs.change(hosts={"pbs1": 2, "pbs2": 4})
    started = time.monotonic()
    rc, said = _check(pbs, tmp_path, "--cores", "9", "--timeout", "100s")
    assert rc != 0
    assert "will not start: Q Can Never Run" in said
    assert "fewer --cores" in said
    assert time.monotonic() - started < 60, "it does not wait for what will never be"


@pytest.mark.parametrize("folder", ["a b", "plain", "missing", None])
def test_the_wrapper_is_nobody_elses_and_goes_with_the_job(
    tmp_path: Path, folder: str | None
) -> None:
    """Where a profile sets $TMPDIR, PBS does not remove it; in /tmp others may guess its name."""
    for name in ("a b", "plain", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "pbs_tmrsh").write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n")
    (tmp_path / "bin" / "pbs_tmrsh").chmod(0o755)
    script = "\n".join([
        *PBS(1).spread_script(),
        'stat -c %a "$HYDRA_LAUNCHER_EXEC"; printf "%s\\n" "$HYDRA_LAUNCHER_EXEC"',
        '$HYDRA_LAUNCHER_EXEC n2 \'"/x/proxy"\' --one',
    ])  # fmt: skip
    env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PBS_JOBID": "7.vm"}
    if folder is not None:
        env["TMPDIR"] = str(tmp_path / folder)
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)  # fmt: skip
    mode, wrapper, said = done.stdout.splitlines()
    assert (mode, said) == ("700", 'n2|/bin/sh|-c|"/x/proxy" --one|')
    where = str(tmp_path / "plain") if folder == "plain" else "/tmp"
    assert Path(wrapper).parent == Path(where)
    assert "7.vm" not in wrapper
    assert not Path(wrapper).exists()


def test_who_is_killed_while_it_asks_does_not_end_the_server(pbs: PrivatePBS) -> None:
    """As a task's `pbs_tmrsh` is, where the task is ended as it begins."""
    for said in 20 * [b'{"program": "control"}\n', b'{"program', b""]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(pbs.folder / "server.sock"))
            asking.sendall(said)
    assert pbs.jobs() == {}
