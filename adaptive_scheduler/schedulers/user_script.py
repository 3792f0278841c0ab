"""Job scripts that are written by a user's function (`manage_jobs(job_script_function=...)`)."""

from __future__ import annotations

import inspect
import shlex
import traceback
from collections.abc import Callable
from typing import Any

from adaptive_scheduler.core.config import RunConfig
from adaptive_scheduler.core.jobs.batch_jobs import JobRequest
from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.errors import USER_RAISES, UserCodeError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.job_script import ScriptWriter, exports


def script_writer(function: Callable[..., str]) -> ScriptWriter:
    """Make a `ScriptWriter` from a user's function.

    Parameters
    ----------
    function : callable
        Returns the text. It is given those keyword arguments of `arguments` that it accepts.
    """

    def write(
        scheduler: Scheduler, job: JobRequest, config: RunConfig, folder: RunFolder, number: int
    ) -> str:
        text = _call(function, arguments(scheduler, job, config))
        lines = [*scheduler.output_script(job), *exports(scheduler, job, folder, number)]
        return with_exports(text, lines)

    return write


def arguments(scheduler: Scheduler, job: JobRequest, config: RunConfig) -> dict[str, Any]:
    """Return the keyword arguments that a user's function may accept.

    Returns
    -------
    dict
        ``name`` (of the job), ``cores``, ``run_script``, ``python_executable``,
        ``mpiexec_executable`` (a text for the shell, without the number of ranks),
        ``executor_type``, ``num_threads``, ``walltime`` (seconds or None), ``log_folder``,
        ``header`` (the batch system's directives, a list of lines), ``setup`` (a list of lines).
    """
    resources = job.resources
    return {
        "name": job.name,
        "job_name": job.name,
        "cores": resources.cores,
        "run_script": config.run_script,
        "python_executable": scheduler.python_executable,
        "mpiexec_executable": shlex.join(scheduler.launcher(resources)[:-2]),
        "executor_type": resources.executor_type,
        "num_threads": resources.num_threads,
        "walltime": resources.walltime,
        "log_folder": job.log_folder,
        "header": scheduler.header(job),
        "setup": list(scheduler.setup),
    }


def _call(function: Callable[..., str], given: dict[str, Any]) -> str:
    try:
        parameters = inspect.signature(function).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            names = {parameter.name for parameter in parameters}
            given = {name: value for name, value in given.items() if name in names}
        text = function(**given)
        if not isinstance(text, str):
            raise TypeError(f"it returned a {type(text).__name__}, not the text of a script")
    except USER_RAISES as error:  # the border to the user's code
        shown = "".join(traceback.format_exception(error))
        reason = f"{type(error).__name__}: {error}"
        raise UserCodeError("job_script_function", reason, shown) from error
    return text


def with_exports(text: str, lines: list[str]) -> str:
    """Insert lines after the shebang and the directives, which must come before any command."""
    rows = text.split("\n")
    first = next(
        (n for n, row in enumerate(rows) if row.strip() and not row.startswith("#")), len(rows)
    )
    shebang = [] if text.startswith("#!") else ["#!/bin/bash -l"]
    return "\n".join([*shebang, *rows[:first], *lines, *rows[first:]]).rstrip("\n") + "\n"
