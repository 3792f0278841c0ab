"""SLURM 22.05 and later; the commands are ``sbatch``, ``squeue`` and ``scancel``.

How Slurm 22.05.8 ends a job (measured by ``tests/integration/test_slurm_cluster.py``):

- ``scancel JOB`` and the walltime send SIGCONT and SIGTERM to *every* process of every step and
  of the batch script, two or three times within 0.1 s, and SIGKILL after KillWait (30 s by
  default). If workers ignore SIGTERM, and the batch script traps it and waits again, rank 0 can
  go on until KillWait, and its exit status 0 is reported. This holds under ``mpiexec`` (which
  starts its proxies with ``srun``), ``mpiexec -launcher fork`` and ``srun``.
- ``--signal=USR1@S`` reaches all ranks of a step, but never the batch script, and no process
  under ``-launcher fork`` or without a launcher; it comes up to a minute early. So it is only a
  hint to look at the clock.
- Only zero or not zero can be relied on in the launcher's exit status: ``exit(3)`` of rank 0 is
  reported as 3 by ``mpiexec`` but as 137 by ``srun``; a killed rank as 255 or 9 by ``mpiexec``
  and 137 by ``srun``.
- With ``srun --kill-on-bad-exit=1``, when one rank dies, the others get SIGTERM and, after
  KillWait, SIGKILL. Nothing shortens that wait once it has begun. Therefore each rank runs under
  a line of shell (`RANK`) that kills the step *before* srun notices the end of the rank: that
  takes 0.2 s instead of KillWait.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

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
from adaptive_scheduler.errors import NoObservation, SchedulerError, SubmitRefusedError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.slurm.states import (
    ENDINGS,
    REFUSALS,
    RESULT_UNKNOWN,
    STATES,
    expand_nodes,
    never_starts,
    queue_cause,
)

# Rows and fields are separated by control characters: job names and comments may contain
# blanks, bars and even newlines.
ROW, FIELD = "\x1e", "\x1f"
#: squeue(1), --format: array or job id, array task, state, nodes, reason, comment, name.
COLUMNS = ("%F", "%K", "%T", "%N", "%r", "%k", "%j")
FORMAT = ROW + FIELD.join(COLUMNS) + FIELD

#: Runs one rank under srun; ``"$@"`` is the rank's command. When it fails, the whole
#: step is killed before srun notices (see the module's docstring).
RANK = (
    'trap : TERM INT HUP USR1 USR2; "$@"; status=$?; [ "$status" -eq 0 ] || '
    'scancel --signal=KILL "$SLURM_JOB_ID.$SLURM_STEP_ID"; exit "$status"'
)

#: Seconds. With a shorter walltime there is no early signal: it might come at once.
SHORTEST_WALLTIME_WITH_SIGNAL = 600
LONGEST_SIGNAL_TIME = 300

#: Printed before the rows, whatever the format, if ``SLURM_CLUSTERS`` is set; see squeue(1).
_CLUSTER = re.compile(r"CLUSTER: \S+")
_SUBMITTED = re.compile(r"^(\d+)(;\S+)?$", re.MULTILINE)
_TIME_LEFT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)")


class SLURM(Scheduler):
    """SLURM 22.05 and later. Its options are described at `Scheduler`.

    Notes
    -----
    ``cores`` with ``nodes`` asks for so many tasks on exactly so many nodes; SLURM chooses how
    many go on each. Walltimes are rounded up to whole minutes, because Slurm counts in minutes;
    a job may live up to half a minute longer than its limit and, after SIGTERM,
    KillWait seconds (30 by default). Every core gets `num_threads` CPUs.
    """

    name = "slurm"
    programs = ("sbatch", "squeue", "scancel")
    #: For MinJobAge seconds (300 by default, see slurm.conf(5)), because of ``--states=all``.
    shows_ended = True
    #: One less than the default of MaxArraySize, see slurm.conf(5).
    max_array = 1000

    # ------------------------------------------------------------------ submit

    def header(self, job: JobRequest) -> list[str]:
        return [f"#SBATCH {option}" for option in _options(job)]

    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        # sbatch(1), filename pattern: %% is a percent sign, %A_%a the array's id and index
        folder = job.log_folder.replace("%", "%%")
        array = [f"--array=0-{n - 1}"] if n > 1 else []
        return [
            "sbatch",
            "--parsable",
            *array,
            f"--job-name={job.name}",
            f"--comment={job.tag}",
            f"--output={folder}/{'%A_%a' if n > 1 else '%j'}.out",
            *_arguments(job),
            str(script),
        ]

    def trial_command(self, job: JobRequest, script: Path) -> list[str] | None:
        """Ask with ``--test-only``, which also says when the job would start."""
        program, *arguments = self.submit_command(job, script, 1)
        return [program, "--test-only", *arguments]

    def parse_submit(self, result: CommandResult, n: int) -> list[JobId]:
        message = f"sbatch (exit status {result.rc}): {_message(result)}"
        if result.rc != 0:
            if RESULT_UNKNOWN.search(result.stderr):
                raise NoObservation(f"{message}: the job may have been submitted all the same")
            raise SubmitRefusedError(message)
        match = _SUBMITTED.search(result.stdout)
        if match is None:
            raise NoObservation(f"{message}: no job id in it")
        if n == 1:
            return [JobId(match[1])]
        return [JobId(f"{match[1]}_{index}") for index in range(n)]

    def refusal(self, result: CommandResult) -> Refusal:
        """A message that is not in the tables means BUSY: it is shown, and tried again later."""
        for refusal, words in REFUSALS:
            if words.search(result.stderr):
                return refusal
        return Refusal.BUSY

    # ------------------------------------------------------------------ the queue

    def queue_command(self) -> list[str]:
        # --states=all: without it squeue leaves out jobs in REQUEUE_HOLD, STAGE_OUT and other
        # states that are alive; with it, ended jobs are listed for MinJobAge seconds.
        return ["squeue", "--noheader", "--array", "--me", "--states=all", f"--format={FORMAT}"]

    def parse_queue(self, result: CommandResult) -> list[ListedJob]:
        if result.rc != 0:
            raise NoObservation(f"squeue (exit status {result.rc}): {_message(result)}")
        if not result.stdout.strip() and result.stderr.strip():
            raise NoObservation(f"squeue listed nothing, and printed: {_message(result)}")
        before, *rows = result.stdout.split(ROW)
        if before.strip() and not _CLUSTER.fullmatch(before.strip()):
            raise NoObservation(f"squeue's answer is not understood: {before.strip()[:200]!r}")
        return [_listed(row) for row in rows]

    def history_command(self, jobs: Sequence[JobId]) -> list[str] | None:
        """Ask squeue, which lists an ended job for MinJobAge seconds (300 by default).

        ``sacct`` remembers longer, but many sites have no accounting; ``scontrol show job``
        takes only one job at a time.
        """
        command = [word for word in self.queue_command() if word != "--me"]
        # whole arrays: tasks that never started may be listed together in one row
        asked = dict.fromkeys(job.partition("_")[0] for job in jobs)
        return [*command, f"--jobs={','.join(asked)}"]

    def parse_history(self, result: CommandResult) -> list[Ending]:
        if result.rc != 0 and "Invalid job id specified" in result.stderr:
            return []  # one job was asked for, and Slurm has forgotten it
        listed = self.parse_queue(result)
        prefixes = {
            job.array_prefix for job in listed if job.array_prefix and job.state is JobState.ENDED
        }
        return [
            Ending(
                job.id, ENDINGS.get(job.native_state, ""), job.reason, job.nodes, job.array_prefix
            )
            for job in listed
            if job.state is JobState.ENDED or job.id[: job.id.rfind("_") + 1] in prefixes
        ]

    # ------------------------------------------------------------------ cancel

    def cancel_commands(self, jobs: Sequence[JobId]) -> list[list[str]]:
        starts = range(0, len(jobs), self.max_array)
        return [["scancel", *jobs[start : start + self.max_array]] for start in starts]

    def parse_cancel(self, result: CommandResult) -> None:
        gone = r"Invalid job id specified|already completing or completed|already finished"
        rest = [line for line in result.stderr.splitlines() if not re.search(gone, line)]
        if result.rc != 0 and (any(rest) or not result.stderr.strip()):
            raise SchedulerError(f"scancel (exit status {result.rc}): {_message(result)}")

    # ------------------------------------------------------------------ inside a job

    def time_left_command(self, job: JobId) -> list[str] | None:
        return ["squeue", "--noheader", f"--jobs={job}", "--format=%L"]

    def parse_time_left(self, result: CommandResult) -> float | None:
        text = result.stdout.strip().rpartition("\n")[2]  # a line before it names the cluster
        if result.rc == 0 and text in {"UNLIMITED", "NOT_SET"}:
            return None
        match = _TIME_LEFT.fullmatch(text)
        if result.rc != 0 or match is None:
            raise NoObservation(f"squeue prints no time left: {_message(result)}")
        days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)

    def own_id(self, environ: Mapping[str, str]) -> tuple[JobId, int] | None:
        array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
        job = f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID")
        if not job:
            return None
        return JobId(job), int(environ.get("SLURM_RESTART_COUNT") or 0)

    def own_id_script(self) -> list[str]:
        array, task = (
            "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}",
            "${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}",
        )
        return [
            f'ADAPTIVE_SCHEDULER_JOB="{array}{task}"',
            'ADAPTIVE_SCHEDULER_RESTART="${SLURM_RESTART_COUNT:-0}"',
            "export ADAPTIVE_SCHEDULER_JOB ADAPTIVE_SCHEDULER_RESTART",
            # with --export=NONE (SBATCH_EXPORT), srun would pass on none of these variables
            "export SLURM_EXPORT_ENV=ALL",
        ]

    def launcher(self, resources: Resources) -> list[str]:
        argv = super().launcher(resources)
        if Path(argv[0]).name != "srun":
            return argv
        # since 22.05 srun does not inherit the job's --cpus-per-task, see srun(1)
        threads = [f"--cpus-per-task={resources.num_threads}"] if resources.num_threads > 1 else []
        return [*argv, *threads, "sh", "-c", RANK, "rank"]


def _options(job: JobRequest) -> list[str]:
    """Return the options of a job, each as an ``#SBATCH`` line has it."""
    resources = job.resources
    options = [*_shape(resources), "--open-mode=append", "--requeue"]
    if resources.memory:
        options.append(f"--mem={resources.memory}M")
    if resources.walltime:
        options.append(f"--time={_walltime(resources.walltime)}")
        if resources.walltime >= SHORTEST_WALLTIME_WITH_SIGNAL:
            early = min(LONGEST_SIGNAL_TIME, resources.walltime // 4)
            options.append(f"--signal=USR1@{early}")
    if resources.partition:
        options.append(f"--partition={shlex.quote(resources.partition)}")
    if resources.gpus:
        options.append(f"--gpus-per-node={resources.gpus}")
    if resources.exclusive:
        options.append("--exclusive")
    if job.excluded_nodes:
        options.append(f"--exclude={','.join(job.excluded_nodes)}")
    return [*options, *resources.extra_scheduler]


def _arguments(job: JobRequest) -> list[str]:
    """Return the same options as arguments of sbatch.

    ``SBATCH_PARTITION`` and the like in a user's profile override the script, but not these.
    """
    arguments: list[str] = []
    for option in _options(job):
        with suppress(ValueError):  # a quote is not closed: sbatch reports it for the script
            arguments += shlex.split(option.partition(" #")[0])
    return arguments


def _shape(resources: Resources) -> list[str]:
    """One task for each MPI rank; a single-process executor is one task with all CPUs.

    Of a pool's job with several nodes it is one on each; it goes on when one of them fails.
    """
    if resources.is_single_process:
        nodes = resources.nodes or 1
        cpus = resources.cores_on_each * resources.num_threads
        spread = ["--ntasks-per-node=1", "--no-kill"] if nodes > 1 else []
        return [f"--nodes={nodes}", f"--ntasks={nodes}", f"--cpus-per-task={cpus}", *spread]
    options = [f"--ntasks={resources.cores}"]
    if resources.nodes:
        options.append(f"--nodes={resources.nodes}")
    if resources.cores_per_node:
        options.append(f"--ntasks-per-node={resources.cores_per_node}")
    if resources.num_threads > 1:
        options.append(f"--cpus-per-task={resources.num_threads}")
    return options


def _walltime(seconds: int) -> str:
    """Return ``D-HH:MM:SS``, rounded up to a whole minute."""
    hours, minutes = divmod(-(-seconds // 60), 60)
    return f"{hours // 24}-{hours % 24:02}:{minutes:02}:00"


def _listed(row: str) -> ListedJob:
    fields = row.rstrip("\n").split(FIELD, len(COLUMNS) - 1)
    if len(fields) < len(COLUMNS) or not fields[-1].endswith(FIELD) or not fields[0].isdigit():
        raise NoObservation(
            f"squeue printed a row that is cut or has another format: {row[:200]!r}"
        )
    job, task, state, nodes, reason, comment, name = fields
    is_task = task.isdigit()
    return ListedJob(
        id=JobId(f"{job}_{task}" if is_task else job),
        state=STATES.get(state, JobState.ALIVE),
        native_state=state,
        name=name.removesuffix(FIELD),
        comment="" if comment == "(null)" else comment,
        nodes=expand_nodes(nodes),
        reason="" if reason == "None" else reason,
        remedy=never_starts(reason) if state == "PENDING" else "",
        cause=queue_cause(reason),
        array_prefix="" if is_task else f"{job}_",
    )


def _message(result: CommandResult) -> str:
    """Return what a command printed, on one line."""
    return " ".join((result.stderr.strip() or result.stdout.strip() or "(nothing)").split())[:1000]
