"""The text of a job script: the same for every batch system but for its header."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import (
    CORES_VARIABLE,
    END_VARIABLE,
    EXECUTOR_VARIABLE,
    JOB_VARIABLE,
    LOGS_VARIABLE,
    RESTART_VARIABLE,
    RUN_VARIABLE,
    STARTED_VARIABLE,
    SUBMIT_VARIABLE,
    TRY_VARIABLE,
    WALLTIME_VARIABLE,
    RunFolder,
)
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.executors.registry import launcher_for
from adaptive_scheduler.schedulers.base import Scheduler

#: Writes the text of a job script for (scheduler, job, config, folder, number of the submit).
ScriptWriter = Callable[[Scheduler, JobRequest, RunConfig, RunFolder, int], str]

#: Job output beyond this many bytes is cut: a loop that prints must not fill a disk.
OUTPUT_LIMIT = 100 * 2**20
#: Seconds that the job waits for the end of its output.
OUTPUT_PATIENCE = 5
#: MPI worlds that one job starts: worlds that always die must not do so for ever, also where
#: each time another learner (which has its `max_crashes`) is blamed.
MAX_TRIES = 100
#: Tries in a row of a job to which no learner was given, so that no learner's budget counts them:
#: Python, a module or MPI is missing there, and only the end of the job makes that known. A job
#: that once was given one is worth more patience.
MAX_VAIN_TRIES, MAX_LATER_VAIN_TRIES = 3, 20

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

#: Runs the client until it ends in good order. A dead MPI rank takes its world with
#: it, so the world is started again in the same allocation. A signal of the batch
#: system reaches the client by itself: the script only has to outlive it. What MPI keeps in
#: the node's shared memory nobody else removes when a world is killed; on the other nodes of
#: the job it stays. A client that was given a learner is followed by the next one at once: the
#: learner that kills it has `max_crashes`. After others each pause is longer, and soon no try follows.
_BODY = r"""
mkdir -p -- "${logs}"
limit() {{
    trap '' TERM INT HUP USR1 USR2 PIPE
    stdbuf -o0 head -c {limit}
    if [ "$(head -c 1 | wc -c)" -gt 0 ]; then
        echo
        echo "[adaptive_scheduler] The output is cut here, at {limit} bytes."
        exec cat > /dev/null
    fi
}}
stopped=
trap 'stopped=1; interrupted=1' TERM INT
trap 'interrupted=1' HUP USR1 USR2
# a client whose output nobody takes would die of its first line: where the file cannot be
# opened, or is on a full disk, the rest goes to the batch system's own output, or is dropped
if true >> "${logs}/${job}.out"; then
    exec > >(limit >> "${logs}/${job}.out") 2>&1
else
    exec > >(limit) 2>&1
fi
limiter=$!
vain=0
most={vain_tries}
for (( attempt = 0; attempt < {tries}; attempt++ )); do
    export {try_variable}=$attempt
    {command} < /dev/null &
    client=$!
    while interrupted=; wait "$client"; status=$?; [ -n "$interrupted" ]; do :; done
    if [ -e "${end}.memory" ]; then
        while IFS= read -r segment; do
            case "$segment" in
                # it may be of another world, which needs it while it starts
                /tmp/hydra_hwloc_xmlfile_*) find "$segment" -maxdepth 0 -type f -mmin +2 -delete ;;
                *) rm -f -- "$segment" ;;
            esac
        done < "${end}.memory"
        rm -f -- "${end}.memory"
    fi
    if [ "$status" -eq 0 ] || [ -n "$stopped" ] || [ -e "${end}" ]; then break; fi
    if [ -e "${end}.begun" ]; then vain=0 most={later_vain_tries}; else vain=$(( vain + 1 )); fi
    rm -f -- "${end}.begun"
    if [ "$vain" -ge "$most" ]; then
        echo "[adaptive_scheduler] The client ended with status $status; the last $vain were given no learner."
        break
    fi
    echo "[adaptive_scheduler] The client ended with status $status; it is started again in this job."
    if [ "$vain" -gt 0 ]; then sleep $(( vain < 10 ? vain : 10 )) & wait $!; fi
    if [ -n "$stopped" ]; then break; fi
done
rm -f -- "${end}" "${end}.begun"
exec > /dev/null 2>&1
# what a function has left running may hold the output for ever; it must not hold the job
for (( i = 0; i < {patience}; i++ )); do
    kill -0 "$limiter" || break
    sleep 0.1
done
exit "$status"
"""


def job_script(
    scheduler: Scheduler, job: JobRequest, config: RunConfig, folder: RunFolder, number: int
) -> str:
    """Write the script of one submit.

    Parameters
    ----------
    scheduler : Scheduler
        Whose jobs they are.
    job : JobRequest
        What is asked of it.
    config : RunConfig
    folder : RunFolder
        The only thing that jobs are told of the run: no address, no key.
    number : int
        Of the submit.

    Returns
    -------
    str
        For ``bash``. Every name and value in it is quoted.
    """
    command = client_command(scheduler, job.resources, config)
    lines = [
        "#!/bin/bash -l",
        *scheduler.header(job),
        *scheduler.output_script(job),
        *scheduler.setup,
        *exports(scheduler, job, folder, number),
    ]
    if config.environment is not None:
        lines.append(f"cd -- {shlex.quote(config.environment.cwd)} || exit 1")
    if job.resources.extra_script:
        lines.append(job.resources.extra_script)
    body = _BODY.format(
        logs=LOGS_VARIABLE, job=JOB_VARIABLE, end=END_VARIABLE, try_variable=TRY_VARIABLE,
        limit=OUTPUT_LIMIT, tries=MAX_TRIES, command=shlex.join(command),
        vain_tries=MAX_VAIN_TRIES, later_vain_tries=MAX_LATER_VAIN_TRIES, patience=OUTPUT_PATIENCE * 10,
    )  # fmt: skip
    return "\n".join(lines) + body


def exports(scheduler: Scheduler, job: JobRequest, folder: RunFolder, number: int) -> list[str]:
    """Lines of the shell that tell a job all that it is told: the run, the submit, its own id."""
    literal = {
        RUN_VARIABLE: os.fspath(folder),
        SUBMIT_VARIABLE: str(number),
        CORES_VARIABLE: str(job.resources.cores),
        EXECUTOR_VARIABLE: job.resources.executor_type,
        WALLTIME_VARIABLE: str(job.resources.walltime or ""),
        LOGS_VARIABLE: job.log_folder,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",  # whatever a node's locale is: else it knows no file named ä
        **dict.fromkeys(_THREAD_VARIABLES, str(job.resources.num_threads)),
        **dict(job.resources.extra_env_vars),
    }
    return [
        *(f"export {key}={shlex.quote(value)}" for key, value in literal.items()),
        *scheduler.own_id_script(),
        f"export {JOB_VARIABLE} {RESTART_VARIABLE}",
        f"export {STARTED_VARIABLE}=$(date +%s)",
        f'export {END_VARIABLE}="${RUN_VARIABLE}/ends/${JOB_VARIABLE}.${RESTART_VARIABLE}"',
        *scheduler.spread_script(),
    ]


def client_command(scheduler: Scheduler, resources: Resources, config: RunConfig) -> list[str]:
    """How a client is started on the cores of one job."""
    target: Sequence[str] = ["-m", "adaptive_scheduler.client"]
    if config.run_script is not None:
        target = [config.run_script]
    executor = launcher_for(resources.executor_type, scheduler.executor_callables)
    return executor.command(scheduler.launcher(resources), scheduler.python_executable, target)
