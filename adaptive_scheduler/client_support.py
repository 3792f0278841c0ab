"""What a script in a job calls: get a learner, report that it is done; or run all of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from adaptive_scheduler.core.options.keywords import accept_aliases

if TYPE_CHECKING:
    from adaptive_scheduler.client.job_environment import JobEnvironment
    from adaptive_scheduler.client.scripts.script import Script
    from adaptive_scheduler.core.config import RunConfig
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.times import TimeLike
    from adaptive_scheduler.core.wire.messages import Assigned
    from adaptive_scheduler.runs.compat.logs.job_log import (
        add_log_file_handler,
        args_to_env,
        log,
        log_exception,
        log_info,
        log_now,
    )
    from adaptive_scheduler.runs.compat.objects.learner_pickles import fname_to_learner
    from adaptive_scheduler.runs.compat.waiting import sleep_unless_task_is_done

__all__ = [
    "add_log_file_handler",
    "args_to_env",
    "fname_to_learner",
    "get_learner",
    "is_done",
    "log",
    "log_exception",
    "log_info",
    "log_now",
    "run",
    "sleep_unless_task_is_done",
    "tell_done",
]

#: Where each name that is made elsewhere has its home.
_HOMES = {
    "add_log_file_handler": "logs.job_log",
    "args_to_env": "logs.job_log",
    "fname_to_learner": "objects.learner_pickles",
    "log": "logs.job_log",
    "log_exception": "logs.job_log",
    "log_info": "logs.job_log",
    "log_now": "logs.job_log",
    "sleep_unless_task_is_done": "waiting",
}

_script: Script | None = None
#: Options of `run` that go before those of ``run.json``.
_KEPT = ("save_interval", "points_interval", "log_interval", "point_timeout", "point_retries")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"adaptive_scheduler.runs.compat.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def get_learner(
    url: str | None,
    learners: Any = None,
    fnames_or_combos: Any = None,
    job_name: str | None = None,  # noqa: ARG001  of adaptive-scheduler 2
    *,
    log_fname: str | None = None,  # noqa: ARG001
    job_id: str | None = None,  # noqa: ARG001
) -> Any:
    """Get a learner from the database manager, and send heartbeats for it from now on.

    If the script ends without `is_done`, that is a failure of its learner, with the traceback
    if it raised. One learner per process. If no learner is left, the script ends here, with
    exit code 0.

    Scripts for adaptive-scheduler 2 call ``get_learner(url, log_fname, job_id, job_name)``: they give no
    learners, and get that of the run's own pickles.

    Parameters
    ----------
    url : str or None
        From `server_support.get_allowed_url`; None: that of the job's run.
    learners : sequence of adaptive.BaseLearner
        All learners.
    fnames_or_combos : sequence
        Their fnames, or their combos if the database was made with them.
    job_name, log_fname, job_id : str, optional
        Of adaptive-scheduler 2. They have no effect: a job knows its name, id and log.

    Returns
    -------
    learner, fname
        The learner without its data, and its fname; a `BalancingLearner` may have a list of them.
        Without `learners` a third: the run's initializer for this learner, to be called; or None.

    Raises
    ------
    InputError
        No run is found, or the learner of the database's row is not in `learners`.
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
    has_own = learners is not None and not isinstance(learners, (str, os.PathLike))
    folder = _folder(url)
    config = _config(folder)
    _script = Script(folder, config.timing, config.run)
    assigned = _script.claim()
    if has_own:
        learner = find_learner(assigned, learners, fnames_or_combos)
        _script.watch(learner)
        return learner, assigned.fname
    learner, initializer = _of_run(folder, assigned)
    _script.watch(learner)
    return learner, assigned.fname, initializer


def _of_run(folder: RunFolder, assigned: Assigned) -> tuple[Any, Any]:
    """Return the learner of an item, and one function that calls its initializers, from the run's folder."""
    from adaptive_scheduler.core.initializers import call_all, of_learner
    from adaptive_scheduler.errors import InputError
    from adaptive_scheduler.io.pickling.callables_file import read_callable
    from adaptive_scheduler.io.pickling.learner_file import LearnerFile

    if not folder.learners.exists():
        raise InputError(
            "get_learner was given no learners, and this run's folder has none: its database was made by "
            "create_empty_db. Give get_learner(url, learners, fnames)."
        )
    with closing(LearnerFile(folder.learners)) as file:
        learner = file.read(assigned.item)
    functions = of_learner(read_callable(folder.callables, "initializers"), assigned.item)
    return learner, partial(call_all, functions) if functions else None


def is_done(url: str | None, fname: Any) -> None:  # noqa: ARG001  the process knows its run
    """Save the learner of `get_learner`, then report that it is done.

    Parameters
    ----------
    url : str or None
        As given to `get_learner`.
    fname : str or list of str
        As returned by `get_learner`.

    Raises
    ------
    InputError
        It is not the fname of this process's learner.
    DataFileError
        The data could not be saved; nothing was reported.
    RequestRefusedError
        The learner has been given to another job.
    """
    from adaptive_scheduler.errors import InputError

    if _script is None:
        raise InputError("is_done: call get_learner(url, learners, fnames) in this process first.")
    _script.finish(fname)


tell_done = is_done


@accept_aliases()
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
    """Run learners until none is left or the job's walltime is near, as the package's client does.

    With many learners per job, the point journal, verified saves, the deadline, and signals.

    Parameters
    ----------
    url : str or None
        Address of the manager, as `get_allowed_url` gave it; None: found through the job.
    learners : sequence
        All learners of the run. Copies are run, so that a job has the data of only one in memory.
    fnames : sequence
        Their data files, or the combos with which the database was made.
    goal : callable, int, float, timedelta, datetime or None
        When a learner is done.
    save_interval : float, str or timedelta
        Time between two saves of the data file.
    points_interval : float, str or timedelta
        Time between two writes of the point journal: a killed job loses the points that returned
        after the last one.
    log_interval : float, str or timedelta
        Time between two lines of progress in the job's log.
    point_timeout : float, str or timedelta, optional
        Time that one evaluation may take; one that takes longer counts as a failure of its
        learner, and the script is started again in its job.
    point_retries : int
        Times that a point whose evaluation raised is tried again before its learner has failed.
    initializers : list
        As in `RunManager`: functions that each worker calls before its first point; or, with a
        list or None in it, one entry for each learner.
    runner_kwargs : mapping, optional
        Settings of the runner, as in `RunManager`: ``retries``, ``raise_if_retries_exceeded``, ...

    Raises
    ------
    InputError
        No run is found, or an argument is wrong.
    SystemExit
        With 1, so that the job script starts it again, if a worker died or hangs.
    """
    given = dict(locals())  # before an import adds names

    import msgspec

    from adaptive_scheduler.client.job_environment import JobEnvironment
    from adaptive_scheduler.client.learners.payload import LearnerPayload
    from adaptive_scheduler.client.learners.recipe import Recipe
    from adaptive_scheduler.client.main import Client
    from adaptive_scheduler.client.scripts.match import copy_learner, find_learner
    from adaptive_scheduler.core.goals import parse_goal
    from adaptive_scheduler.core.initializers import check, of_learner
    from adaptive_scheduler.core.options.run_options import from_arguments
    from adaptive_scheduler.io.system.logs import job_log

    options = from_arguments(given)
    check(options.initializers, len(learners))
    folder = _folder(url)
    own = {name: getattr(options, name) for name in _KEPT}
    config = msgspec.structs.replace(_config(folder), **own)
    recipe = Recipe(
        learner=lambda assigned: copy_learner(find_learner(assigned, learners, fnames)),
        goal=parse_goal(goal),
        goal_function=goal if callable(goal) else None,
        initializers=lambda assigned: of_learner(
            initializers, find_learner(assigned, range(len(learners)), fnames)
        ),
        runner_kwargs=dict(runner_kwargs or {}),
        point_timeout=config.point_timeout,
        point_retries=config.point_retries,
    )
    job = _with_world(JobEnvironment.of(os.environ))
    log = job_log(job.logs, job.owner.job)
    payloads = {"learner": LearnerPayload(lambda: recipe, config)}
    code = Client(job, folder, config, payloads, log).run()
    if code:
        raise SystemExit(code)


def _with_world(job: JobEnvironment) -> JobEnvironment:
    """Return the job's environment; outside of a batch job, with the cores of the MPI world."""
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
