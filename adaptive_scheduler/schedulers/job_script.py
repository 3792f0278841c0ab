"""The text of a job script: except for its header, it is the same for every batch system."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from adaptive_scheduler.core.config import Environment, RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import Host, JobRequest
from adaptive_scheduler.core.jobs.records import tag
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

if TYPE_CHECKING:
    from adaptive_scheduler.schedulers.base import Scheduler

#: Writes the text of a job script for (scheduler, job, config, folder, number of the submit).
ScriptWriter = Callable[["Scheduler", JobRequest, RunConfig, RunFolder, int], str]

#: Job output is cut after so many bytes: a loop that prints must not fill a disk.
OUTPUT_LIMIT = 100 * 2**20
#: Seconds that a job waits at its end until its output has been written.
OUTPUT_PATIENCE = 5
#: Times that one job starts the client (or its MPI world). Without a limit, clients that always
#: die would be restarted for ever if each time another learner is blamed (see `max_crashes`).
MAX_TRIES = 100
#: Starts in a row after which the client was given no learner, so that no learner's budget counts
#: them: Python, a module or MPI is missing on the node, and the job must end to make that known.
#: The second number is for a job whose client was given a learner before.
MAX_VAIN_TRIES, MAX_LATER_VAIN_TRIES = 3, 20

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

#: Runs the client until it ends with exit status 0. When one MPI rank dies, all others are
#: killed, so the client is started again in the same allocation. The batch system sends its
#: signals to the client, too; the script only has to wait for it. When an MPI world is killed,
#: the script removes the shared memory that it left on this node (on other nodes it stays). A
#: client that was given a learner is restarted at once: that learner's `max_crashes` is the
#: limit. After others, each pause is longer than the last, and after a few the job ends.
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
# a client that cannot write its output would die at its first line: if the file cannot be
# opened, or its disk is full, the output goes to the batch system's own file, or is dropped
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
                # it may belong to another MPI world that is just starting
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
# processes that a function left running may keep the output open; the job must end all the same
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
        Name, tag and resources of the jobs.
    config : RunConfig
    folder : RunFolder
        The script names only this folder: no address and no key.
    number : int
        Number of the submit.

    Returns
    -------
    str
        A ``bash`` script. Every name and value in it is quoted.
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


#: Stands in a preview for a run that does not exist yet.
UNKNOWN_RUN = RunConfig(
    run="RUN", shapes=[], job_names=["adaptive-scheduler"], log_folder="/RUN_FOLDER/logs",
    environment=Environment(cwd="/WORKING_DIRECTORY", sys_path=[], python="", versions={}),
)  # fmt: skip


def preview(
    scheduler: Scheduler,
    shapes: Sequence[Resources],
    shape_of: Sequence[int],
    config: RunConfig = UNKNOWN_RUN,
    folder: RunFolder | None = None,
    hosts_for: Callable[[Resources], tuple[Host, ...]] = lambda _: (),
) -> str:
    """Write the script of the first submit of each shape, as one text to be read.

    Parameters
    ----------
    scheduler : Scheduler
    shapes : sequence of Resources
    shape_of : sequence of int
        For each learner, its place in `shapes`.
    config : RunConfig
        Default: placeholders in capitals.
    folder : RunFolder, optional
        Default: a placeholder.
    hosts_for : callable
        Returns the cluster's hosts, for a request that depends on their size.
    """
    where = folder or RunFolder("/RUN_FOLDER")
    texts = []
    for number, (_, text) in enumerate(first_submits(scheduler, shapes, config, where, hosts_for)):
        if len(shapes) > 1:
            learners = [str(place) for place, one in enumerate(shape_of) if one == number]
            more = ", …" if len(learners) > 10 else ""
            text = f"##### learners {', '.join(learners[:10])}{more}:\n{text}"
        texts.append(text)
    return "\n".join(texts)


def first_submits(
    scheduler: Scheduler,
    shapes: Sequence[Resources],
    config: RunConfig,
    folder: RunFolder,
    hosts_for: Callable[[Resources], tuple[Host, ...]],
) -> Iterator[tuple[JobRequest, str]]:
    """What is submitted first of each shape, and its script."""
    for number, shape in enumerate(shapes, 1):
        job = JobRequest(
            config.job_names[0], tag(config.run, number), shape, config.log_folder,
            hosts=hosts_for(shape),
        )  # fmt: skip
        yield job, job_script(scheduler, job, config, folder, number)


def exports(scheduler: Scheduler, job: JobRequest, folder: RunFolder, number: int) -> list[str]:
    """Return the shell lines that export what a job must know: the run, the submit, its own id."""
    literal = {
        RUN_VARIABLE: os.fspath(folder),
        SUBMIT_VARIABLE: str(number),
        CORES_VARIABLE: str(job.resources.cores),
        EXECUTOR_VARIABLE: job.resources.executor_type,
        WALLTIME_VARIABLE: str(job.resources.walltime or ""),
        LOGS_VARIABLE: job.log_folder,
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",  # whatever the locale of a node is; otherwise it cannot open a file named ä
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
    """Return the command that starts a client on the cores of one job."""
    target: Sequence[str] = ["-m", "adaptive_scheduler.client"]
    if config.run_script is not None:
        target = [config.run_script]
    executor = launcher_for(resources.executor_type, scheduler.executor_callables)
    return executor.command(scheduler.launcher(resources), scheduler.python_executable, target)
