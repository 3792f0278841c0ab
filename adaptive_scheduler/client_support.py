"""What a script on a node calls: ask for a learner, say that it is done."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.client.job_environment import JobEnvironment
    from adaptive_scheduler.client.scripts.script import Script
    from adaptive_scheduler.core.config import RunConfig
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.times import TimeLike

__all__ = ["get_learner", "is_done", "run", "tell_done"]

_script: Script | None = None


def get_learner(
    url: str | None, learners: Sequence[Any], fnames_or_combos: Sequence[Any]
) -> tuple[Any, Any]:
    """Ask the database manager for a learner, and keep the right to it alive.

    A script that then ends without `is_done` fails its learner, with the
    traceback if it raised. One learner per process. Where nothing is left to
    do the script ends here, with exit code 0.

    Parameters
    ----------
    url : str or None
        What `server_support.get_allowed_url` gave; None finds the run by the job.
    learners : sequence of adaptive.BaseLearner
        All learners.
    fnames_or_combos : sequence
        Their fnames, or their combos if the database was made with them.

    Returns
    -------
    learner, fname
        Its data are not loaded; a list of fnames for a `BalancingLearner`.

    Raises
    ------
    InputError
        No run is found, or no learner here is the one of the database's row.
    ManagerUnreachableError, RequestRefusedError, EnvironmentMismatchError
    """
    global _script
    from adaptive_scheduler.client.scripts.match import find_learner
    from adaptive_scheduler.client.scripts.script import Script
    from adaptive_scheduler.errors import InputError

    if _script is not None:
        raise InputError(
            "get_learner was called twice: such a script runs one learner. "
            "Use client_support.run(url, learners, fnames, goal=...) to run many."
        )
    folder = _folder(url)
    _script = Script(folder, _config(folder).timing)
    assigned = _script.claim()
    learner = find_learner(assigned, learners, fnames_or_combos)
    _script.watch(learner)
    return learner, assigned.fname


def is_done(url: str | None, fname: Any) -> None:  # noqa: ARG001  the process knows its run
    """Save the learner that `get_learner` gave to this process, then report that it is done.

    Parameters
    ----------
    url : str or None
        As given to `get_learner`.
    fname : str or list of str
        As `get_learner` returned it.

    Raises
    ------
    InputError
        It is not the fname of this process.
    DataFileError
        The data could not be saved; nothing was reported.
    RequestRefusedError
        The learner belongs to another job by now.
    """
    from adaptive_scheduler.errors import InputError

    if _script is None:
        raise InputError("is_done: call get_learner(url, learners, fnames) in this process first.")
    _script.finish(fname)


tell_done = is_done


def run(
    url: str | None,
    learners: Sequence[Any],
    fnames: Sequence[Any],
    *,
    goal: Any,
    save_interval: TimeLike = 300.0,
    points_interval: TimeLike = 1.0,
    log_interval: TimeLike = 30.0,
    point_timeout: TimeLike | None = None,
    point_retries: int = 2,
    initializers: Sequence[Any] = (),
    runner_kwargs: Mapping[str, Any] | None = None,
) -> None:
    """Run learners until none is left or the job's time is over: all that the package's client has.

    Many learners per job, the point journal, verified saves, the deadline, signals.

    Parameters
    ----------
    url : str or None
        As in `get_learner`.
    learners, fnames : sequence
        All learners, and their fnames or combos. Copies of them are run: these stay as they
        are, so that a job holds the data of one learner at a time.
    goal : callable, int, float, timedelta, datetime or None
        When a learner is done.
    save_interval, points_interval, log_interval : float, str or timedelta
        Time (seconds, ``"5m"``) between two saves, two writes of the point journal (a killed job
        loses the points that returned after the last one), and two lines of progress in the log.
    point_timeout : float, str or timedelta, optional
        Time that one evaluation may take; one that takes longer counts as a failure of its
        learner, and the script is started again in its job.
    point_retries : int
        Times that a point whose evaluation raised is tried again before its learner has failed.
    initializers : list
        Of functions: all run once in each worker before its first point. Or, with a list or
        None in it, one entry for each learner: see `RunManager`.
    runner_kwargs : mapping, optional
        ``retries``, ``raise_if_retries_exceeded``, ...

    Raises
    ------
    InputError
        No run is found, or an interval is no length of time.
    SystemExit
        With 1, so that the job script starts anew, when a worker died or hangs.
    """
    import msgspec

    from adaptive_scheduler.client.job_environment import JobEnvironment
    from adaptive_scheduler.client.learners.tools import Recipe
    from adaptive_scheduler.client.main import Client
    from adaptive_scheduler.client.scripts.match import copy_learner, find_learner
    from adaptive_scheduler.core.config import check_count
    from adaptive_scheduler.core.goals import parse_goal
    from adaptive_scheduler.core.initializers import check, of_learner
    from adaptive_scheduler.core.times import optional_seconds, seconds
    from adaptive_scheduler.io.system.logs import job_log

    intervals = {"save_interval": save_interval, "points_interval": points_interval,
                 "log_interval": log_interval}  # fmt: skip
    check(initializers, len(learners))
    check_count("point_retries", point_retries)
    lengths = {name: seconds(value, name) for name, value in intervals.items()}
    folder = _folder(url)
    config = msgspec.structs.replace(_config(folder), **lengths)
    recipe = Recipe(
        learner=lambda assigned: copy_learner(find_learner(assigned, learners, fnames)),
        goal=parse_goal(goal),
        goal_function=goal if callable(goal) else None,
        initializers=lambda assigned: of_learner(
            initializers, find_learner(assigned, range(len(learners)), fnames)
        ),
        runner_kwargs=dict(runner_kwargs or {}),
        point_timeout=optional_seconds(point_timeout, "point_timeout"),
        point_retries=point_retries,
    )
    job = _with_world(JobEnvironment.of(os.environ))
    log = job_log(job.logs, job.owner.job)
    code = Client(job, folder, config, lambda: recipe, log).run()
    if code:
        raise SystemExit(code)


def _with_world(job: JobEnvironment) -> JobEnvironment:
    """By hand, the MPI world is as large as it is."""
    from adaptive_scheduler.client.scripts.script import world_size

    return job if job.is_batch else replace(job, cores=world_size())


def _folder(url: str | None) -> RunFolder:
    from adaptive_scheduler.client.job_environment import run_folder
    from adaptive_scheduler.errors import InputError
    from adaptive_scheduler.io.transport.url_registry import find

    folder = run_folder(os.environ)
    if folder is None and url is None:
        raise InputError(
            "url=None finds the run through its job, but this process runs in none "
            "($ADAPTIVE_SCHEDULER_RUN is not set). Give the url that get_allowed_url() gave."
        )
    folder = folder or find(str(url))
    if folder is None:
        raise InputError(
            f"url={url!r}: no manager of yours has listened there, as far as this home directory "
            "knows. Give the url of a manager that runs, or set $ADAPTIVE_SCHEDULER_RUN to the "
            "run folder (DATABASE.run)."
        )
    return folder


def _config(folder: RunFolder) -> RunConfig:
    from adaptive_scheduler.core.config import RunConfig
    from adaptive_scheduler.core.resources import Resources
    from adaptive_scheduler.io.storage.run_config import read_config

    if folder.config.exists():
        return read_config(folder)
    return RunConfig(run="", shapes=[Resources()], job_names=[], log_folder="")
