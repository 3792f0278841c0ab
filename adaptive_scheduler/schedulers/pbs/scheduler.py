"""OpenPBS and PBS Professional; the commands are ``qsub``, ``qstat`` and ``qdel``.

Sources: the "PBS Professional 2022.1" User's Guide (chapter 2 submitting,
chapter 4 select and place) and Reference Guide (chapter 8 "States", chapter 13
"Error Codes"), OpenPBS's ``src/include/pbs_error.h`` and ``job.h``, and what a real
OpenPBS 23.06 printed (``tests/data/pbs``). Torque is not supported: its commands differ.
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
    as_int,
    ending,
    error_text,
    hosts,
    listed_job,
    parse_jobs,
    time_left,
)

#: "destination" of PBS Professional Reference Guide, "List of Formats": QUEUE, @SERVER, QUEUE@SERVER.
_QUEUE = re.compile(r"[\w.@][\w.@:-]*", re.ASCII)
_ID = re.compile(r"(?P<number>\d+)(?P<array>\[\])?(?P<server>\.\S+)")

# The exit status of a command is the error's number (pbs_error.h) & 255.
_UNKNOWN_ID, _FINISHED, _NO_HISTORY = 153, 35, 36
#: Unknown, in history, already exiting, delete under way, history gone, finished subjob.
_GONE = frozenset({_UNKNOWN_ID, _FINISHED, 168, 202, 237, 54, 55})
#: A reply that cannot be trusted (PROTOCOL, DISPROTO), or our own time limit (124).
_UNCERTAIN = frozenset({183, 208, 124})
_LIMIT = frozenset({38, 39, 198})  # ENTLIMCT, ENTLIMRESC, MAXQUED
#: TOOMANY, SYSTEM (no connection), INTERNAL, QUNOENB (a disabled queue: maintenance ends),
#: OBJBUSY, NOCONNECTS, NOSERVER, RESCUNAV, SVRDOWN, licences, NOSCHEDULER, CONNFULL,
#: FORCE_QSUB_UPDATE, SAVE_ERR, TRYAGAIN.
_BUSY = _UNCERTAIN | {158, 162, 163, 173, 179, 185, 186, 196, 212, 242, 250, 251} | {255}
_BUSY |= {13, 17, 56, 57, 104}
_BUSY_WORDS = re.compile(r"cannot connect|reserved ports|timed? ?out|try again", re.IGNORECASE)
_TOO_LONG_ARRAY = 3  # MaxArraySize

#: Hydra (MPICH's mpiexec) starts its proxies on a job's other hosts with ssh, which many sites
#: forbid between nodes. PBS's own program for it is ``pbs_tmrsh``. That runs no shell which
#: would remove the quotes from the proxy's path, hence this wrapper. Only hydra reads these
#: variables. They are set in jobs of one host too: hydra forks there only if it knows the host
#: by the name that PBS uses. Hydra does not quote the wrapper's path, so it must not contain
#: blanks. It is in $TMPDIR, which PBS removes with the job; a login profile may have set another
#: $TMPDIR, so mktemp makes a name that no other user can take, and the shell removes it at its end.
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

    - ``cores`` alone: they are put on one host if the cluster has one of that size
      (``pbsnodes``), else PBS spreads them as it likes. With ``nodes`` they are divided among
      that many hosts; with ``cores_per_node`` so many are put on each host.
    - ``memory`` is on each node. If PBS spreads the cores as it likes, the number of nodes is
      not known, and each core gets its share of the memory.
    - ``gpus`` without ``nodes`` puts the whole job on one node.
    - ``extra_scheduler`` becomes ``#PBS`` lines. ``-v`` has no effect there, because it is
      also on the command line: use ``extra_env_vars``.

    Notes
    -----
    PBS cannot exclude hosts: `JobRequest.excluded_nodes` has no effect. Mails are switched off,
    because PBS would send one for each deleted job; ``extra_scheduler=["-m a"]`` asks for them.
    """

    name = "pbs"
    programs = ("qsub", "qstat", "qdel")
    #: About 512 commands a minute use up the host's reserved ports, which all its users share.
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
        #: Jobs of other users are left out here: ``qstat`` cannot select by user and print JSON.
        self.user = _own_user()

    def _row(self, row: int) -> Resources:
        resources = super()._row(row)
        if resources.partition is not None and not _QUEUE.fullmatch(resources.partition):
            raise InputError(
                f"{self._typed_name('partition')}={resources.partition!r} is not the name of a queue: give letters, digits, "
                "'_', '-', '.', and '@' before a server."
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
        """Submit an array for two or more jobs; PBS has no array of one job.

        The script writes its output itself (`output_script`): ``-o`` refuses paths that are not
        printable ASCII, and PBS copies the output at the job's end; if it cannot, the job keeps
        its cores for half a minute and more.
        """
        array = ["-J", f"0-{n - 1}"] if n > 1 else []
        nowhere = ["-o", os.devnull, "-e", os.devnull]
        return ["qsub", *array, "-v", f"{TAG}={job.tag}", *nowhere, str(script)]

    def held_command(self, job: JobRequest, script: Path) -> list[str] | None:
        """The limits of a queue are tried at submission alone (captured: ``qsub_over_walltime_max``)."""
        program, *arguments = self.submit_command(job, script, 1)
        return [program, "-h", *arguments]

    def output_script(self, job: JobRequest) -> list[str]:
        """Output from this line on; what the login profile prints before it is lost."""
        folder = shlex.quote(job.log_folder)
        output = f'{folder}/"$PBS_JOBID".out'
        return [
            f"mkdir -p -- {folder}",
            f"if true >> {output}; then exec >> {output} 2>&1; fi",
        ]

    def spread_script(self) -> list[str]:
        """Reach other hosts with ``pbs_tmrsh``, unless the user has set $HYDRA_LAUNCHER."""
        return _SPREAD.strip().splitlines()

    def hosts_command(self, resources: Resources) -> list[str] | None:
        """Needed for ``cores`` alone, which may all fit on one host."""
        return ["pbsnodes", "-a", "-F", "json"] if requests.is_free(resources) else None

    def parse_hosts(self, result: CommandResult) -> list[Host]:
        """Hosts that are up."""
        if result.rc != 0:
            raise NoObservation(error_text(result))
        return hosts(result)

    def parse_submit(self, result: CommandResult, n: int) -> list[JobId]:
        """The jobs of an array are numbered from 0."""
        if result.rc < 0 or result.rc in _UNCERTAIN:
            raise NoObservation(f"{error_text(result)}: the jobs may or may not be in the queue")
        if result.rc != 0:
            remedy = ""
            if result.rc == _TOO_LONG_ARRAY:
                remedy = f" {n} jobs in one array: set scheduler.max_array to a smaller number."
            raise SubmitRefusedError(error_text(result) + remedy)
        lines = result.stdout.split()
        match = _ID.fullmatch(lines[-1]) if lines else None
        if match is None or bool(match["array"]) != (n > 1):
            raise NoObservation(
                f"{error_text(result)}: {result.stdout!r} is not the id of {n} jobs"
            )
        if n == 1:
            return [JobId(match[0])]
        return [JobId(f"{match['number']}[{index}]{match['server']}") for index in range(n)]

    def refusal(self, result: CommandResult) -> Refusal:
        """By exit status. An unknown one is shown to the user, not tried again for ever."""
        if result.rc in _LIMIT:
            return Refusal.LIMIT
        if result.rc == _TOO_LONG_ARRAY or "Array job exceeds" in result.stderr:
            return Refusal.TOO_LONG
        if result.rc < 0 or result.rc in _BUSY or _BUSY_WORDS.search(result.stderr):
            return Refusal.BUSY
        return Refusal.IMPOSSIBLE

    # ------------------------------------------------------------- the queue

    def queue_command(self) -> list[str]:
        """All jobs of all users, subjobs too: ``-u`` cannot be combined with ``-f``."""
        return ["qstat", "-t", "-f", "-F", "json"]

    def parse_queue(self, result: CommandResult) -> list[ListedJob]:
        """Jobs of this user; an array is listed as its subjobs."""
        if result.rc != 0:  # 255: no server; 153 and 35 are about ids, and none was given
            raise NoObservation(error_text(result))
        jobs = parse_jobs(result)
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
        """One ``qdel`` for each id; neighbours in an array are one id, ``1007[2-9].vm``.

        If one of several ids is unknown, ``qdel`` drops the others silently, or the server
        crashes (OpenPBS of April 2026).
        """
        return [["qdel", one] for one in requests.ranges(jobs)]

    def parse_cancel(self, result: CommandResult) -> None:
        """Raise SchedulerError unless the job is ending or gone."""
        if result.rc != 0 and result.rc not in _GONE:
            raise SchedulerError(f"{error_text(result)}: the job may still be there.")

    # ------------------------------------------------------------ one job

    def history_command(self, jobs: Sequence[JobId]) -> list[str]:
        """``-E``: without it only the first of several ids is printed (OpenPBS of April 2026)."""
        return ["qstat", "-x", "-E", "-f", "-F", "json", *jobs]

    def parse_history(self, result: CommandResult) -> list[Ending]:
        """PBS remembers ended jobs for two weeks by default; a site may switch that off."""
        if result.rc == _NO_HISTORY:
            return []
        if result.rc not in (0, _UNKNOWN_ID, _FINISHED):
            raise NoObservation(error_text(result))
        jobs = parse_jobs(result).items()
        endings = [ending(name, job) for name, job in jobs if "[]" not in name]
        return [known for known in endings if known is not None]

    def time_left_command(self, job: JobId) -> list[str]:
        """Ask the server: the walltime is not in a job's environment."""
        return ["qstat", "-f", "-F", "json", job]

    def parse_time_left(self, result: CommandResult) -> float | None:
        """Exact to about a second, also between two updates of PBS's own figures."""
        jobs = parse_jobs(result)
        if result.rc != 0 or len(jobs) != 1:
            raise NoObservation(error_text(result))
        (job,) = jobs.values()
        return time_left(result, job)

    def own_id(self, environ: Mapping[str, str]) -> tuple[JobId, int] | None:
        """The restart count is not in PBS's environment: `own_id_script` asks the server for it."""
        job = environ.get("PBS_JOBID")
        if not job:
            return None
        is_known = environ.get("ADAPTIVE_SCHEDULER_JOB") == job
        restart = as_int(environ.get("ADAPTIVE_SCHEDULER_RESTART")) if is_known else None
        return JobId(job), restart or 0

    def own_id_script(self) -> list[str]:
        """The count is 0 if the node cannot reach the server; qstat's error is in the job's output."""
        run_count = r"sed -n 's/^    run_count = \([1-9][0-9]*\)$/\1/p'"
        return [
            'export ADAPTIVE_SCHEDULER_JOB="$PBS_JOBID"',
            f'ADAPTIVE_SCHEDULER_RESTART=$(timeout 75 qstat -f "$PBS_JOBID" | {run_count} || true)',
            "export ADAPTIVE_SCHEDULER_RESTART=$(( ${ADAPTIVE_SCHEDULER_RESTART:-1} - 1 ))",
        ]


def _own_user() -> str:
    """Return the user name that PBS sees: that of our uid, which may differ from $LOGNAME."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container without a passwd entry
        return getpass.getuser()
