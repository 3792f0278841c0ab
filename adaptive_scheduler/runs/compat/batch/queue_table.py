"""The batch system's queue as a dict, as adaptive-scheduler 2 returns it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from adaptive_scheduler.core.jobs.batch_jobs import CommandResult, JobState
from adaptive_scheduler.errors import NoObservation
from adaptive_scheduler.io.system.submit import run_command
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.pbs.listing import parse_jobs

#: Job id to what is known of it.
Queue = dict[str, dict[str, str]]

#: Between rows and fields: names of jobs may contain anything else, newlines too.
ROW, FIELD = "\x1e", "\x1f"
#: squeue(1), --format, and what adaptive-scheduler 2 calls each.
SLURM_COLUMNS: Mapping[str, str] = {
    "job_id": "%i", "state": "%T", "NumNodes": "%D", "NumTasks": "%C", "ReasonList": "%R",
    "SubmitTime": "%V", "StartTime": "%S", "UserName": "%u", "Partition": "%P", "job_name": "%j",
}  # fmt: skip
#: Those that wait or run.
SLURM_STATES = ("PENDING", "RUNNING", "CONFIGURING")
#: PBS's attributes, and what they are called here.
PBS_COLUMNS: Mapping[str, str] = {
    "state": "job_state", "job_name": "Job_Name", "Partition": "queue", "UserName": "Job_Owner",
    "SubmitTime": "qtime", "StartTime": "stime",
}  # fmt: skip
PBS_STATES = ("Q", "R", "H", "W", "B")


def slurm_queue(me_only: bool = True) -> Queue:
    """Return the jobs that wait or run, by id.

    Raises
    ------
    NoObservation
        Slurm does not answer.
    """
    form = ROW + FIELD.join(SLURM_COLUMNS.values()) + FIELD
    mine = ["--me"] if me_only else []
    answer = run_command(["squeue", "--noheader", "--array", *mine, f"--format={form}"])
    return parse_slurm(answer)


def parse_slurm(answer: CommandResult) -> Queue:
    """Return the jobs of squeue's answer."""
    if answer.rc != 0:
        said = " ".join(answer.stderr.split())
        raise NoObservation(f"Slurm does not answer: squeue (exit status {answer.rc}): {said}")
    queue: Queue = {}
    for row in answer.stdout.split(ROW)[1:]:
        job = dict(zip(SLURM_COLUMNS, row.split(FIELD), strict=False))
        if job["state"] in SLURM_STATES:
            queue[job.pop("job_id")] = job
    return queue


def pbs_queue(me_only: bool = True) -> Queue:
    """Return the jobs that wait or run, by id; raises NoObservation if PBS does not answer."""
    import getpass

    answer = run_command(["qstat", "-t", "-f", "-F", "json"])
    if answer.rc != 0:
        raise NoObservation(f"PBS does not answer: qstat (exit status {answer.rc})")
    queue: Queue = {}
    for job, attributes in parse_jobs(answer).items():
        owner = str(attributes.get("Job_Owner", "")).partition("@")[0]
        is_alive = str(attributes.get("job_state")) in PBS_STATES
        if is_alive and "[]" not in job and (not me_only or owner == getpass.getuser()):
            queue[job] = {name: str(attributes.get(key, "")) for name, key in PBS_COLUMNS.items()}
    return queue


def listed_queue(scheduler: Scheduler) -> Queue:
    """Return the jobs that wait or run, by id, of any batch system; as its listing has them."""
    listed = scheduler.parse_queue(run_command(scheduler.queue_command()))
    return {
        str(job.id): {
            "job_name": job.name, "state": job.native_state, "ReasonList": job.reason,
            "nodes": ",".join(job.nodes),
        }
        for job in listed
        if job.state is not JobState.ENDED
    }  # fmt: skip


def jobs_named(queue: Queue, names: Sequence[str]) -> list[str]:
    """Return the ids of the jobs with these names."""
    wanted = set(names)
    return [job for job, facts in queue.items() if facts["job_name"] in wanted]


def parts_of(name: str) -> Callable[[str], bool]:
    """Return a test for the names ``NAME-0``, ``NAME-1``, ... and for the name itself."""

    def is_one(job_name: str) -> bool:
        head, dash, number = job_name.rpartition("-")
        return job_name == name or (dash == "-" and head == name and number.isdigit())

    return is_one
