"""What the public `SLURM` and `PBS` do besides translating: they list and cancel jobs.

The classes in `adaptive_scheduler.schedulers` translate, and touch nothing. `public_class` adds to
one of them what notebooks for adaptive-scheduler 2 call, and what they give: callables in tuples,
and ``extra_env_vars`` as a list of shell assignments.
"""

from __future__ import annotations

import copy
import functools
import inspect
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from adaptive_scheduler.core.jobs.batch_jobs import JobId
from adaptive_scheduler.core.options.checks import path
from adaptive_scheduler.core.paths import SYSTEM_VARIABLE
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import SchedulerError
from adaptive_scheduler.runs.compat.batch.given_values import (
    are_assignments,
    is_deferred,
    of_place,
    with_exports,
)
from adaptive_scheduler.runs.compat.batch.job_files import JobFiles
from adaptive_scheduler.runs.compat.learners.accepted import say_once
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.registry import scheduler_class

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.runs.compat.batch.queue_table import Queue

#: Seconds between two looks whether cancelled jobs have gone.
PAUSE = 0.5


class PublicScheduler(JobFiles):
    """Base of the schedulers that users name: each also lists and cancels jobs.

    A class for another batch system has the abstract methods of `adaptive_scheduler.schedulers.base.Scheduler`
    (CONTRIBUTING.md, "Add a scheduler").
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        self._take_former(given)
        super().__init__(*args, **with_exports(given))

    def _take_former(self, given: dict[str, Any]) -> None:
        """Keep what only scripts by hand need; `given` loses what the translator does not know."""
        folder = given.pop("batch_folder", None)
        if folder:
            self.batch_folder = Path(path(folder, "batch_folder")).expanduser().absolute()
            say_once("batch_folder", _SCRIPTS)
        self._script = given.get("extra_script") or ""
        if are_assignments(given.get("extra_env_vars")):
            self._assignments = given["extra_env_vars"]

    def __init_subclass__(cls, **given: Any) -> None:
        """Say which methods of a user's class a run never calls."""
        super().__init_subclass__(**given)
        vain = sorted(_NEVER_CALLED & vars(cls).keys())
        if vain and not cls.__module__.startswith("adaptive_scheduler."):
            warnings.warn(
                f"{cls.__name__} has its own {', '.join(vain)}, which a run does not call: it writes and submits "
                "its job scripts itself. Give extra_scheduler=, extra_script= or setup=, or override header(). "
                "See docs/migrating.md.",
                stacklevel=2,
            )

    # ------------------------------------------------------------- one value per learner

    def _check(self) -> None:
        """Check what is known now: callables give their values when the run starts."""
        if not self.has_callables:
            super()._check()

    @property
    def has_callables(self) -> bool:
        """Whether some value is given by a callable, when the run starts."""
        return any(
            is_deferred(key, one)
            for key, value in self._options.items()
            if isinstance(value, tuple)
            for one in value
        )

    def shapes(self, n: int) -> tuple[list[Resources], list[int]]:
        """Resources of n learners, with the values that callables give now; see `Scheduler.shapes`."""
        if not self.has_callables:
            return super().shapes(n)
        return self.resolved().shapes(n)

    def resolved(self) -> PublicScheduler:
        """Return the same with a value in the place of each callable, which is called."""
        made = copy.copy(self)
        vars(made)["_options"] = {
            key: tuple(of_place(key, one) for one in value) if isinstance(value, tuple) else value
            for key, value in self._options.items()
        }
        PublicScheduler._check(made)
        return made

    def of_learner(self, index: int) -> PublicScheduler:
        """Return the same for one learner alone, with the values that callables give now."""
        made = copy.copy(self)
        vars(made)["_options"] = {
            key: of_place(key, value[index]) if isinstance(value, tuple) else value
            for key, value in self._options.items()
        }
        return made

    @property
    def single_job_script(self) -> bool:
        """Whether all learners have the same resources."""
        return self._tuple_length() is None

    def __getattr__(self, name: str) -> Any:
        """The options as they were given, by their names (``scheduler.cores``)."""
        options = self.__dict__.get("_options", {})
        key = {their: our for our, their in self.option_names.items()}.get(name, name)
        if key in options:
            return options[key]
        if key in _OPTIONS:
            return inspect.signature(Scheduler).parameters[key].default
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ----------------------------------------------------------------------- scripts

    def job_script(
        self, options: Mapping[str, Any] | None = None, *, index: int | None = None
    ) -> str:
        """Return the job script that a run would submit; nothing is submitted or written.

        Parameters
        ----------
        options : mapping, optional
            Ignored: what jobs need is in the run's folder.
        index : int, optional
            That of one learner alone.
        """
        if options:
            say_once("options", "what jobs need is in the run's folder")
        chosen = self if index is None or self.single_job_script else self.of_learner(index)
        return super(PublicScheduler, chosen).job_script()

    def _script_text(self, options: Mapping[str, Any] | None, index: int | None) -> str:
        return self.job_script(options, index=index)

    @property
    def submit_cmd(self) -> str:
        """The program that submits a script."""
        return self.programs[0]

    # ------------------------------------------------------------------------ queue

    def queue(self, *, me_only: bool = True) -> Queue:
        """Return the jobs that wait or run: job id to ``job_name``, ``state`` and more.

        Parameters
        ----------
        me_only : bool
            Ignored: a batch system of which nothing else is known is asked for your own.

        Raises
        ------
        NoObservation
            The batch system does not answer.
        """
        del me_only
        from adaptive_scheduler.runs.compat.batch.queue_table import listed_queue

        return listed_queue(self)

    def queue_df(self) -> pd.DataFrame:
        """Return the queue as a table, with a row for each job."""
        from adaptive_scheduler.runs.load_data import import_pandas

        return import_pandas().DataFrame(self.queue()).transpose()

    def job_names_to_job_ids(self, *job_names: str) -> list[str]:
        """Return the ids of your jobs in the queue that have these names."""
        from adaptive_scheduler.runs.compat.batch.queue_table import jobs_named

        return jobs_named(self.queue(), job_names)

    def cancel(
        self, job_names: Sequence[str], *, with_progress_bar: bool = True, max_tries: int = 5
    ) -> None:
        """Cancel all of your jobs with these names; returns when they have left the queue.

        A run of this package submits jobs until it is cancelled itself: `RunManager.cancel`.

        Parameters
        ----------
        job_names : sequence of str
        with_progress_bar : bool
            Ignored: many jobs are cancelled by one command.
        max_tries : int
            Times that jobs which are still there are cancelled again.

        Raises
        ------
        SchedulerError
            The batch system refused.
        """
        del with_progress_bar
        names = [job_names] if isinstance(job_names, str) else list(job_names)
        self._cancel_until_gone(lambda: self.job_names_to_job_ids(*names), max_tries)

    def cancel_ids(self, jobs: Sequence[str], max_tries: int = 5) -> None:
        """Cancel jobs by their ids, as `cancel` does by their names."""
        wanted = set(jobs)
        self._cancel_until_gone(lambda: sorted(wanted & self.queue().keys()), max_tries)

    def _cancel_until_gone(self, still_there: Callable[[], Sequence[str]], tries: int) -> None:
        for _ in range(tries):
            jobs = still_there()
            if not jobs:
                return
            _cancel(self, jobs)
            time.sleep(PAUSE)

    @classmethod
    def cancel_jobs(cls, name: str, *, dry: bool = False) -> None:
        """Cancel your jobs that are called `name` or ``NAME-0``, ``NAME-1``, ...

        Parameters
        ----------
        name : str
        dry : bool
            Only print which.
        """
        from adaptive_scheduler.runs.compat.batch.queue_table import parts_of

        is_one = parts_of(name)
        queue: Queue = cls(cores=1).queue()
        jobs = [job for job, facts in queue.items() if is_one(facts["job_name"])]
        if not jobs:
            print(f"No job in the queue is called {name!r} or '{name}-NUMBER'.")
        elif dry:
            print(f"Would cancel {', '.join(jobs)}.")
        else:
            _cancel(cls(cores=1), jobs)


# its signature is shown, and completed
functools.update_wrapper(PublicScheduler.__init__, Scheduler.__init__)


def _cancel(scheduler: Scheduler, jobs: Sequence[str]) -> None:
    from adaptive_scheduler.io.system.submit import run_command

    faults = []
    for command in scheduler.cancel_commands([JobId(job) for job in jobs]):
        try:
            scheduler.parse_cancel(run_command(command))
        except SchedulerError as error:
            faults.append(str(error))
    if faults:
        raise SchedulerError("; ".join(dict.fromkeys(faults)))


#: The public classes by their names, which pickles have.
PUBLIC = {"SLURM": "slurm", "PBS": "pbs", "LocalScheduler": "local"}
#: Options that can be read as attributes.
_OPTIONS = frozenset(inspect.signature(Scheduler).parameters)
#: Why ``batch_folder`` has no effect on runs.
_SCRIPTS = "job scripts of runs are in the run's folder; write_job_script() writes to it"
#: What adaptive-scheduler 2 calls for each job, and a run of this package does not.
_NEVER_CALLED = frozenset(
    [
        "batch_fname", "cancel", "extra_env_vars", "extra_scheduler", "extra_script", "job_script",
        "log_fname", "output_fnames", "queue", "start_job", "write_job_script",
    ]
)  # fmt: skip


@cache
def public_class(name: str) -> type[PublicScheduler]:
    """Return the public class of ``"slurm"``, ``"pbs"`` or ``"local"``."""
    translator = scheduler_class(name)

    @functools.wraps(translator.__init__)
    def init(self: Any, *args: Any, **given: Any) -> None:
        PublicScheduler.__init__(self, *args, **given)

    body = {
        "__init__": init, "__module__": __name__, "__doc__": translator.__doc__,
        "__qualname__": translator.__name__, **_extra(name),
    }  # fmt: skip
    return cast(
        "type[PublicScheduler]", type(translator.__name__, (PublicScheduler, translator), body)
    )


def __getattr__(name: str) -> Any:
    """The public classes by their names: pickles have them from here."""
    if name in PUBLIC:
        return public_class(PUBLIC[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def is_stranger(given: Any) -> bool:
    """Whether it is no scheduler of this package, but lists a queue: tests of other packages give such."""
    return not isinstance(given, Scheduler) and callable(getattr(given, "queue", None))


def stand_in() -> PublicScheduler:
    """Return what a run with a stranger is described with; it cannot be started."""
    return public_class("slurm")(cores=1)


def detected() -> type[PublicScheduler]:
    """Return the class of this machine's batch system; without PBS it is `SLURM`."""
    import os
    import shutil

    found = os.environ.get(SYSTEM_VARIABLE)
    has_pbs_alone = bool(shutil.which("qsub")) and not shutil.which("sbatch")
    return public_class("pbs" if found == "pbs" or (has_pbs_alone and not found) else "slurm")


def _queue_of(name: str) -> Callable[..., Queue]:
    def queue(*, me_only: bool = True) -> Queue:
        """Return the jobs that wait or run: job id to ``job_name``, ``state`` and more.

        Parameters
        ----------
        me_only : bool
            Only your own.

        Raises
        ------
        NoObservation
            The batch system does not answer.
        """
        from adaptive_scheduler.runs.compat.batch import queue_table

        return (queue_table.slurm_queue if name == "slurm" else queue_table.pbs_queue)(me_only)

    return queue


def _partitions(_: Any) -> dict[str, int | None]:
    """The partitions of this cluster, with the cores of their nodes."""
    from adaptive_scheduler.runs.compat.batch.partitions import slurm_partitions

    found = slurm_partitions()
    assert isinstance(found, dict)
    return found


def _without_server(job_id: str) -> str:
    """Return a job's id without the server's name: ``91722.hpc05`` is ``91722``."""
    return job_id.partition(".")[0]


def _extra(name: str) -> dict[str, Any]:
    """What each has besides: the end of a script's name, the shell's variable of a job's id, ..."""
    if name == "slurm":
        return {
            "ext": ".sbatch", "_JOB_ID_VARIABLE": "${SLURM_JOB_ID}", "queue": staticmethod(_queue_of(name)),
            "partitions": property(_partitions),
        }  # fmt: skip
    if name == "pbs":
        return {
            "ext": ".batch", "_JOB_ID_VARIABLE": "${PBS_JOBID}", "queue": staticmethod(_queue_of(name)),
            "sanatize_job_id": staticmethod(_without_server),
        }  # fmt: skip
    return {}
