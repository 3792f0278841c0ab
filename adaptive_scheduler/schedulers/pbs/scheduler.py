"""OpenPBS, also known as PBS Professional, spoken to by qsub, qstat, qdel.

Sources: the "PBS Professional 2022.1" User's Guide (chapter 2 submitting,
chapter 4 select and place) and Reference Guide (chapter 8 "States", chapter 13
"Error Codes"), OpenPBS's ``src/include/pbs_error.h`` and ``job.h``, and what a real
OpenPBS 23.06 printed (``tests/data/pbs``). Torque's dialect is another one.
"""

from __future__ import annotations

import getpass
import os
import pwd
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    Host,
    JobId,
    JobRequest,
    ListedJob,
    Refusal,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.times import TimeLike
from adaptive_scheduler.errors import (
    InputError,
    NoObservation,
    SchedulerError,
    SubmitRefusedError,
)
from adaptive_scheduler.schedulers.base import EnvVars, ExecutorType, Scheduler
from adaptive_scheduler.schedulers.options import named_options
from adaptive_scheduler.schedulers.pbs import requests
from adaptive_scheduler.schedulers.pbs.listing import (
    TAG,
    ending,
    hosts,
    listed_job,
    time_left,
    told_jobs,
    whole,
    words,
)

#: "destination" of PBS Professional Reference Guide, "List of Formats": QUEUE, @SERVER, QUEUE@SERVER.
_QUEUE = re.compile(r"[\w.@][\w.@:-]*", re.ASCII)
_ID = re.compile(r"(?P<number>\d+)(?P<array>\[\])?(?P<server>\.\S+)")

# Exit statuses of the commands are the error's number (pbs_error.h) & 255.
_UNKNOWN_ID, _FINISHED, _NO_HISTORY = 153, 35, 36
#: Unknown, in history, already exiting, delete under way, history gone, finished subjob.
_GONE = frozenset({_UNKNOWN_ID, _FINISHED, 168, 202, 237, 54, 55})
#: No reply to be trusted (PROTOCOL, DISPROTO), killed by our own time limit (124).
_UNCERTAIN = frozenset({183, 208, 124})
_LIMIT = frozenset({38, 39, 198})  # ENTLIMCT, ENTLIMRESC, MAXQUED
#: TOOMANY, SYSTEM (no connection), INTERNAL, QUNOENB (a disabled queue: maintenance ends),
#: OBJBUSY, NOCONNECTS, NOSERVER, RESCUNAV, SVRDOWN, licences, NOSCHEDULER, CONNFULL,
#: FORCE_QSUB_UPDATE, SAVE_ERR, TRYAGAIN.
_BUSY = _UNCERTAIN | {158, 162, 163, 173, 179, 185, 186, 196, 212, 242, 250, 251} | {255}
_BUSY |= {13, 17, 56, 57, 104}
_BUSY_WORDS = re.compile(r"cannot connect|reserved ports|timed? ?out|try again", re.IGNORECASE)
_TOO_LONG_ARRAY = 3  # MaxArraySize

#: Hydra (MPICH's mpiexec) starts its proxies on a job's other hosts by ssh, which many sites
#: forbid between nodes; PBS's own way is ``pbs_tmrsh``, which has no shell that takes the
#: quotes off the proxy's path: hence the wrapper. Hydra reads these variables, other launchers
#: do not. On its own host hydra forks, if it knows it by the name that PBS uses; so this is set
#: in jobs of one host too. Hydra hands the wrapper's path on without quotes, so there must be no
#: blank in it. It is in $TMPDIR, which PBS removes with the job; but profiles set another one,
#: so it has a name that no other user of the node can guess and take, and goes with the job's shell.
_SPREAD = r"""
if [ -z "${HYDRA_LAUNCHER-}${HYDRA_LAUNCHER_EXEC-}${HYDRA_BOOTSTRAP-}" ] &&
    tmrsh=$(command -v pbs_tmrsh) && tmrsh_wrapper=$(
        case ${TMPDIR-} in *[[:space:]]*) TMPDIR=/tmp ;; esac
        name=adaptive-scheduler-tmrsh.XXXXXXXX
        mktemp -t $name 2> /dev/null || TMPDIR=/tmp mktemp -t $name
    ); then
    printf '#!/bin/sh
host=$1; shift
exec "%s" "$host" /bin/sh -c "$*"
' "$tmrsh" > "$tmrsh_wrapper"
    chmod 700 "$tmrsh_wrapper"
    trap 'rm -f -- "$tmrsh_wrapper"' EXIT
    export HYDRA_LAUNCHER=rsh HYDRA_LAUNCHER_EXEC="$tmrsh_wrapper"
fi
"""


class PBS(Scheduler):
    """OpenPBS and PBS Professional.

    Its options are described at `Scheduler`; ``partition`` is called ``queue`` here, PBS's own
    word. What PBS makes of them:

    - ``cores`` alone are put on one host, if the cluster has one of that size
      (``pbsnodes``); more than that, PBS spreads as it likes. ``nodes`` or
      ``cores_per_node`` ask for that many ranks on each of different hosts.
    - ``memory`` is on each node; where PBS spreads ``cores`` as it likes, nobody knows
      the nodes, so each core gets its share of it.
    - ``gpus`` without ``nodes`` puts the whole job on one node.
    - ``extra_scheduler`` becomes ``#PBS`` lines. ``-v`` there has no effect, as it is
      given on the command line: use ``extra_env_vars``.

    Notes
    -----
    PBS can name hosts to use, but none to avoid: `JobRequest.excluded_nodes` has no
    effect. Ask for a mail by ``extra_scheduler=["-m a"]``; by default there is none,
    because PBS would send one for each deleted job.
    """

    name = "pbs"
    programs = ("qsub", "qstat", "qdel")
    #: About 512 calls a minute use up the host's reserved ports, which all its users share.
    max_commands_per_minute = 200
    kill_wait = 10.0  # kill_delay's default: PBS Professional Administrator's Guide, "kill_delay"

    option_names = MappingProxyType({"partition": "queue"})

    @named_options
    def __init__(
        self,
        cores: int | tuple[int, ...] | None = None,
        *,
        nodes: int | tuple[int | None, ...] | None = None,
        cores_per_node: int | tuple[int | None, ...] | None = None,
        memory: int | str | tuple[int | str | None, ...] | None = None,
        walltime: TimeLike | tuple[TimeLike | None, ...] | None = None,
        queue: str | tuple[str | None, ...] | None = None,
        gpus: int | tuple[int | None, ...] | None = None,
        exclusive: bool | tuple[bool, ...] = False,
        executor_type: ExecutorType | tuple[ExecutorType, ...] = "mpi4py",
        num_threads: int | tuple[int, ...] = 1,
        extra_scheduler: str | Sequence[str] | tuple[Sequence[str], ...] | None = None,
        extra_env_vars: EnvVars | tuple[EnvVars, ...] | None = None,
        extra_script: str | tuple[str, ...] = "",
        setup: str | Sequence[str] = (),
        python_executable: str | None = None,
        mpiexec_executable: str | Sequence[str] | None = None,
        log_folder: str | os.PathLike[str] | None = None,
        kill_wait: TimeLike | None = None,
    ) -> None:
        super().__init__(
            cores, nodes=nodes, cores_per_node=cores_per_node, memory=memory, walltime=walltime,
            partition=queue, gpus=gpus, exclusive=exclusive, executor_type=executor_type,
            num_threads=num_threads, extra_scheduler=extra_scheduler, extra_env_vars=extra_env_vars,
            extra_script=extra_script, setup=setup, python_executable=python_executable,
            mpiexec_executable=mpiexec_executable, log_folder=log_folder, kill_wait=kill_wait,
        )  # fmt: skip
        #: Whose jobs are ours: ``qstat`` cannot select by user and print JSON.
        self.user = _own_user()

    def _row(self, row: int) -> Resources:
        resources = super()._row(row)
        if resources.partition is not None and not _QUEUE.fullmatch(resources.partition):
            raise InputError(
                f"{self._typed_name('partition')}={resources.partition!r} is no name of a queue: letters, digits, '_', '-', "
                "'.', and '@' before a server."
            )
        return resources

    # ------------------------------------------------------------------ submit

    def header(self, job: JobRequest) -> list[str]:
        """``#PBS`` lines; the tag is in `submit_command`, where nothing needs quotes."""
        resources = job.resources
        options = [
            f"-N {requests.name(job.name)}",
            f"-l select={requests.select(resources, job.hosts)}",
            f"-l place={requests.place(resources, job.hosts)}",
        ]
        if resources.walltime is not None:
            options.append(f"-l walltime={requests.clock(resources.walltime)}")
        if resources.partition is not None:
            options.append(f"-q {resources.partition}")
        options += ["-j oe", "-r y", "-m n", *resources.extra_scheduler]
        return [f"#PBS {option}" for option in options]

    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        """An array for two or more; PBS has none of one job.

        The script writes its output itself (`output_script`): ``-o`` refuses every path
        that is not printable ASCII, and PBS copies at the job's end, which keeps the job's
        cores for half a minute and more where it cannot.
        """
        array = ["-J", f"0-{n - 1}"] if n > 1 else []
        nowhere = ["-o", os.devnull, "-e", os.devnull]
        return ["qsub", *array, "-v", f"{TAG}={job.tag}", *nowhere, str(script)]

    def output_script(self, job: JobRequest) -> list[str]:
        """From its first line on; what the login profile prints before is lost."""
        folder = shlex.quote(job.log_folder)
        output = f'{folder}/"$PBS_JOBID".out'
        return [
            f"mkdir -p -- {folder}",
            f"if true >> {output}; then exec >> {output} 2>&1; fi",
        ]

    def spread_script(self) -> list[str]:
        """Reach other hosts by ``pbs_tmrsh``, unless the user has set $HYDRA_LAUNCHER."""
        return _SPREAD.strip().splitlines()

    def hosts_command(self, resources: Resources) -> list[str] | None:
        """For ``cores`` alone: a host may hold them all."""
        return ["pbsnodes", "-a", "-F", "json"] if requests.is_free(resources) else None

    def parse_hosts(self, result: CommandResult) -> list[Host]:
        """Those that are up."""
        if result.rc != 0:
            raise NoObservation(words(result))
        return hosts(result)

    def parse_submit(self, result: CommandResult, n: int) -> list[JobId]:
        """Subjobs of an array are counted from 0."""
        if result.rc < 0 or result.rc in _UNCERTAIN:
            raise NoObservation(f"{words(result)}: the jobs may or may not be in the queue")
        if result.rc != 0:
            remedy = ""
            if result.rc == _TOO_LONG_ARRAY:
                remedy = f" {n} jobs in one array: set scheduler.max_array to a smaller number."
            raise SubmitRefusedError(words(result) + remedy)
        lines = result.stdout.split()
        match = _ID.fullmatch(lines[-1]) if lines else None
        if match is None or bool(match["array"]) != (n > 1):
            raise NoObservation(f"{words(result)}: {result.stdout!r} is no id of {n} jobs")
        if n == 1:
            return [JobId(match[0])]
        return [JobId(f"{match['number']}[{index}]{match['server']}") for index in range(n)]

    def refusal(self, result: CommandResult) -> Refusal:
        """By exit status; an unknown one is for the user to read, not to be repeated for ever."""
        if result.rc in _LIMIT:
            return Refusal.LIMIT
        if result.rc == _TOO_LONG_ARRAY or "Array job exceeds" in result.stderr:
            return Refusal.TOO_LONG
        if result.rc < 0 or result.rc in _BUSY or _BUSY_WORDS.search(result.stderr):
            return Refusal.BUSY
        return Refusal.IMPOSSIBLE

    # ------------------------------------------------------------- the queue

    def queue_command(self) -> list[str]:
        """All jobs of all users, subjobs too: ``-u`` does not go with ``-f``."""
        return ["qstat", "-t", "-f", "-F", "json"]

    def parse_queue(self, result: CommandResult) -> list[ListedJob]:
        """Our user's jobs; an array is listed as its subjobs."""
        if result.rc != 0:  # 255: no server. 153 and 35 speak of ids, and none was asked for.
            raise NoObservation(words(result))
        jobs = told_jobs(result)
        listed = []
        for name, job in jobs.items():
            if "[]" in name:
                continue
            parent = jobs.get(re.sub(r"\[\d+\]", "[]", name), {})
            held = parent.get("job_state") == "H"
            job = {**parent, **job}
            if str(job.get("Job_Owner")).rpartition("@")[0] == self.user:
                listed.append(listed_job(name, job, held))
        return listed

    def cancel_commands(self, jobs: Sequence[JobId]) -> list[list[str]]:
        """One id for each ``qdel``; neighbours in an array are one id, ``1007[2-9].vm``.

        Of several ids, one that is unknown makes ``qdel`` drop the others silently,
        or the server crash (OpenPBS of April 2026).
        """
        return [["qdel", one] for one in requests.ranges(jobs)]

    def parse_cancel(self, result: CommandResult) -> None:
        """Raise SchedulerError unless the job ends or is gone."""
        if result.rc != 0 and result.rc not in _GONE:
            raise SchedulerError(f"{words(result)}: the job may still be there.")

    # ------------------------------------------------------------ one job

    def history_command(self, jobs: Sequence[JobId]) -> list[str]:
        """``-E``: without it only the first of several ids is printed (OpenPBS of April 2026)."""
        return ["qstat", "-x", "-E", "-f", "-F", "json", *jobs]

    def parse_history(self, result: CommandResult) -> list[Ending]:
        """PBS keeps it for two weeks by default, or, if the site says so, not at all."""
        if result.rc == _NO_HISTORY:
            return []
        if result.rc not in (0, _UNKNOWN_ID, _FINISHED):
            raise NoObservation(words(result))
        jobs = told_jobs(result).items()
        endings = [ending(name, job) for name, job in jobs if "[]" not in name]
        return [known for known in endings if known is not None]

    def time_left_command(self, job: JobId) -> list[str]:
        """Ask the server; a job's environment does not tell its walltime."""
        return ["qstat", "-f", "-F", "json", job]

    def parse_time_left(self, result: CommandResult) -> float | None:
        """To about a second, also between PBS's own looks at the job."""
        jobs = told_jobs(result)
        if result.rc != 0 or len(jobs) != 1:
            raise NoObservation(words(result))
        (job,) = jobs.values()
        return time_left(result, job)

    def own_id(self, environ: Mapping[str, str]) -> tuple[JobId, int] | None:
        """The restart count is not in PBS's environment: `own_id_script` asks the server for it."""
        job = environ.get("PBS_JOBID")
        if not job:
            return None
        told = environ.get("ADAPTIVE_SCHEDULER_JOB") == job
        restart = whole(environ.get("ADAPTIVE_SCHEDULER_RESTART")) if told else None
        return JobId(job), restart or 0

    def own_id_script(self) -> list[str]:
        """0 where the nodes cannot reach the server; qstat then says why in the job's output."""
        run_count = r"sed -n 's/^    run_count = \([1-9][0-9]*\)$/\1/p'"
        return [
            'export ADAPTIVE_SCHEDULER_JOB="$PBS_JOBID"',
            f'ADAPTIVE_SCHEDULER_RESTART=$(timeout 75 qstat -f "$PBS_JOBID" | {run_count} || true)',
            "export ADAPTIVE_SCHEDULER_RESTART=$(( ${ADAPTIVE_SCHEDULER_RESTART:-1} - 1 ))",
        ]


def _own_user() -> str:
    """Who PBS takes us for: the name of our uid, also after ``su``, where $LOGNAME may differ."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without a passwd entry
        return getpass.getuser()
