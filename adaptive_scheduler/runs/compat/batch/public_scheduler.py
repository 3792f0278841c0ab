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
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from adaptive_scheduler.core.jobs.batch_jobs import JobId
from adaptive_scheduler.core.paths import SYSTEM_VARIABLE
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.errors import InputError, SchedulerError
from adaptive_scheduler.schedulers.base import Scheduler
from adaptive_scheduler.schedulers.registry import scheduler_class

if TYPE_CHECKING:
    import pandas as pd

    from adaptive_scheduler.runs.compat.batch.queue_table import Queue

#: Seconds between two looks whether cancelled jobs have gone.
PAUSE = 0.5


class PublicScheduler(Scheduler):
    """A scheduler that also lists and cancels jobs; see `public_class`.

    Its static method ``queue(me_only=True)`` returns the jobs that wait or run: job id to ``job_name``, ``state`` and more.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        _refuse_ignored(given)
        super().__init__(*args, **_with_exports(given))

    # ------------------------------------------------------------- one value per learner

    def _check(self) -> None:
        """Check what is known now: callables give their values when the run starts."""
        if not self.has_callables:
            super()._check()

    @property
    def has_callables(self) -> bool:
        """Whether some value is given by a callable, when the run starts."""
        return any(
            _is_deferred(key, one)
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
            key: tuple(_of_place(key, one) for one in value) if isinstance(value, tuple) else value
            for key, value in self._options.items()
        }
        PublicScheduler._check(made)
        return made

    def of_learner(self, index: int) -> PublicScheduler:
        """Return the same for one learner alone, with the values that callables give now."""
        made = copy.copy(self)
        vars(made)["_options"] = {
            key: _of_place(key, value[index]) if isinstance(value, tuple) else value
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
        del options
        chosen = self if index is None or self.single_job_script else self.of_learner(index)
        return super(PublicScheduler, chosen).job_script()

    # ------------------------------------------------------------------------ queue

    def queue_df(self) -> pd.DataFrame:
        """Return the queue as a table, with a row for each job."""
        from adaptive_scheduler.runs.load_data import import_pandas

        return import_pandas().DataFrame(self._jobs()).transpose()

    def _jobs(self) -> Queue:
        return cast("Queue", type(self).queue())  # type: ignore[attr-defined]

    def job_names_to_job_ids(self, *job_names: str) -> list[str]:
        """Return the ids of your jobs in the queue that have these names."""
        from adaptive_scheduler.runs.compat.batch.queue_table import jobs_named

        return jobs_named(self._jobs(), job_names)

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
        for _ in range(max_tries):
            jobs = self.job_names_to_job_ids(*names)
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
        queue: Queue = cls.queue()  # type: ignore[attr-defined]
        jobs = [job for job, facts in queue.items() if is_one(facts["job_name"])]
        if not jobs:
            print(f"No job in the queue is called {name!r} or '{name}-NUMBER'.")
        elif dry:
            print(f"Would cancel {', '.join(jobs)}.")
        else:
            _cancel(cls(cores=1), jobs)


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


#: Options that can be read as attributes.
_OPTIONS = frozenset(inspect.signature(Scheduler).parameters)
#: Options of adaptive-scheduler 2 that are accepted without effect.
_IGNORED = {"batch_folder": "job scripts are in the run's folder"}


@cache
def public_class(name: str) -> type[PublicScheduler]:
    """Return the public class of ``"slurm"`` or ``"pbs"``."""
    translator = scheduler_class(name)

    @functools.wraps(translator.__init__)
    def init(self: Any, *args: Any, **given: Any) -> None:
        PublicScheduler.__init__(self, *args, **given)

    body = {
        "__init__": init, "__module__": __name__, "__doc__": translator.__doc__,
        "__qualname__": translator.__name__, "queue": staticmethod(_queue_of(name)),
        **_EXTRA[name],
    }  # fmt: skip
    return cast(
        "type[PublicScheduler]", type(translator.__name__, (PublicScheduler, translator), body)
    )


def __getattr__(name: str) -> Any:
    """The public classes by their names: pickles have them from here."""
    if name in ("SLURM", "PBS"):
        return public_class(name.lower())
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


#: What each has besides: the end of a script's name, and the command that submits it.
_EXTRA: Mapping[str, Mapping[str, Any]] = {
    "slurm": {"ext": ".sbatch", "submit_cmd": "sbatch", "partitions": property(_partitions)},
    "pbs": {"ext": ".batch", "submit_cmd": "qsub"},
}


def _is_deferred(option: str, value: Any) -> bool:
    """Whether a value is a callable that gives it; one that takes the number of workers is an executor."""
    if not callable(value):
        return False
    if option != "executor_type":
        return True
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


def _of_place(option: str, value: Any) -> Any:
    return value() if _is_deferred(option, value) else value


def _refuse_ignored(given: dict[str, Any]) -> None:
    from adaptive_scheduler.runs.compat.learners.accepted import say_once

    for name in _IGNORED.keys() & given.keys():
        if given.pop(name):
            say_once(name, _IGNORED[name])


def _with_exports(given: dict[str, Any]) -> dict[str, Any]:
    """Move ``extra_env_vars=["NAME=value"]`` to `extra_script`: the job's shell expands it."""
    exports = given.get("extra_env_vars")
    if not _are_assignments(exports):
        return given
    kept = {key: value for key, value in given.items() if key != "extra_env_vars"}
    script = kept.get("extra_script") or ""
    if not isinstance(exports, tuple) and not isinstance(script, tuple):
        return {**kept, "extra_script": _exporting(exports, script)}
    n = len(exports) if isinstance(exports, tuple) else len(script)
    several = exports if isinstance(exports, tuple) else (exports,) * n
    scripts = script if isinstance(script, tuple) else (script,) * n
    pairs = zip(several, scripts, strict=True)
    return {**kept, "extra_script": tuple(_exporting(one, text) for one, text in pairs)}


def _are_assignments(value: Any) -> bool:
    some = value if isinstance(value, tuple) else (value,)
    return any(callable(one) or isinstance(one, list) for one in some)


def _exporting(assignments: Any, script: Any) -> Any:
    """Return shell lines that export, before those of `script`; later if one of both is a callable."""
    if callable(assignments) or callable(script):
        return lambda: _exporting(_value(assignments), _value(script))
    for one in assignments or ():
        if not isinstance(one, str) or "=" not in one:
            raise InputError(
                f"extra_env_vars: {one!r} must be a text such as 'NAME=value', which the job's shell "
                "expands, or give a dict of literal values."
            )
    return "\n".join(
        [*(f"export {one}" for one in assignments or ()), *([script] if script else [])]
    )


def _value(given: Any) -> Any:
    return given() if callable(given) else given
