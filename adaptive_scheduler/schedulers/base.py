"""The base class of schedulers, which translate between jobs and a batch system's commands.

A scheduler runs no command and reads no file. It builds argument lists, and parses the
`CommandResult` of commands that the manager has run. A ``parse_*`` method raises
`NoObservation` when the answer cannot be trusted: an empty listing means that all jobs are
gone, which must never be concluded from the answer of a busy server.
"""

from __future__ import annotations

import abc
import inspect
import os
import reprlib
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from adaptive_scheduler.core.jobs.batch_jobs import (
    CommandResult,
    Ending,
    Host,
    JobId,
    JobRequest,
    ListedJob,
    Refusal,
)
from adaptive_scheduler.core.options.checks import path
from adaptive_scheduler.core.resources import Resources
from adaptive_scheduler.core.times import TimeLike, seconds
from adaptive_scheduler.errors import InputError
from adaptive_scheduler.schedulers.options import PER_LEARNER, named_options, spread, text

#: Values in a `repr`: long texts and tuples are cut.
_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 40

ExecutorType = str | Callable[[int], Any]
EnvVars = Mapping[str, object]


class Scheduler(abc.ABC):
    """Base of all schedulers: the options that they share, and the methods that each must have.

    A new scheduler is one file with one class: inherit from this class, write its abstract
    methods, and add a line to `adaptive_scheduler.schedulers.registry.BUILT_IN`
    (CONTRIBUTING.md, "Add a scheduler").
    """

    #: The name in the registry, on the command line and in ``$ADAPTIVE_SCHEDULER_SYSTEM``.
    name: ClassVar[str]
    #: Programs that must be on PATH.
    programs: ClassVar[tuple[str, ...]]
    #: Options that this scheduler calls otherwise than `Resources` does.
    option_names: ClassVar[Mapping[str, str]] = {}
    #: Options that were given under an alias, and that alias: errors name what was typed.
    typed_names: Mapping[str, str] = {}

    @named_options
    def __init__(
        self,
        cores: int | tuple[int, ...] | None = None,
        *,
        nodes: int | tuple[int | None, ...] | None = None,
        cores_per_node: int | tuple[int | None, ...] | None = None,
        memory: int | str | tuple[int | str | None, ...] | None = None,
        walltime: TimeLike | tuple[TimeLike | None, ...] | None = None,
        partition: str | tuple[str | None, ...] | None = None,
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
        """Describe the jobs.

        Parameters
        ----------
        cores : int or tuple of int
            Cores of each job: it starts as many MPI ranks, or worker processes. Must be given,
            unless `nodes` and `cores_per_node` are. This and the other options of a job, up to
            `extra_script`, may be a tuple with one value for each learner.
        nodes : int or tuple of int, optional
            Nodes of each job. The cores are divided among them; with `cores_per_node`, leave out
            `cores`. Default: the batch system chooses.
        cores_per_node : int or tuple of int, optional
            Cores on each node: with `nodes` in place of `cores`; with `cores`, as many nodes as
            that takes.
        memory : int or str or tuple, optional
            Memory on each node: a text such as ``"4GB"``, or a number of MiB. Default: the
            site's.
        walltime : int, str, timedelta or tuple, optional
            How long each job may run; work that is not done goes on in the next job.
            Default: the site's. Texts: ``"12h"``, ``"90m"``, ``"1h30m"``, ``"HH:MM:SS"``, and
            ``"MM:SS"``, ``"D-HH"``, ``"D-HH:MM"``, ``"D-HH:MM:SS"`` as SLURM reads them; a
            number is seconds.
        partition : str or tuple, optional
            SLURM's partition in which jobs run. Default: the site's. `PBS` calls it ``queue``,
            and `LocalScheduler` has none.
        gpus : int or tuple, optional
            GPUs on each node; `LocalScheduler` has none.
        exclusive : bool or tuple
            Whether jobs have whole nodes, shared with nobody.
        executor_type : str, callable or tuple
            How a job uses its cores: ``"mpi4py"`` (also over several nodes),
            ``"process-pool"``, ``"loky"``, ``"sequential"``, ``"dask"``, ``"ipyparallel"`` (one
            node, no MPI), or a callable that takes the number of workers and returns a
            ``concurrent.futures.Executor``.
        num_threads : int or tuple
            Threads that libraries may use in each worker (``OMP_NUM_THREADS`` and the like).
        extra_scheduler : list of str or tuple of lists, optional
            Options passed to the batch system as they are: ``["--account=x"]`` (SLURM),
            ``["-A x"]`` (PBS).
        extra_env_vars : mapping or tuple of mappings, optional
            Environment variables of the jobs, ``{"NAME": "value"}``. A ``$`` in a value stays.
        extra_script : str or tuple
            Shell lines that each job runs, after `setup`, before it begins to work.
        setup : str or list of str
            Shell lines at the top of each job script, such as ``"module load mpich"``.
        python_executable : str, optional
            The jobs' Python, which must have this package. Default: the one that runs this.
        mpiexec_executable : str or list of str, optional
            What starts MPI: ``"srun --mpi=pmi2"``, or a list of words. Default: the ``mpiexec``
            beside the jobs' Python, else the one on ``PATH``.
        log_folder : str or path, optional
            Where the jobs' output goes. Default: ``logs`` in the run's folder.
        kill_wait : float, str or timedelta, optional
            Time between SIGTERM and SIGKILL, if this site's is not the usual one
            (SLURM's KillWait: 30 s; PBS's kill_delay: 10 s).

        Raises
        ------
        InputError
            An option is unknown, or its value is wrong.
        """
        options: dict[str, Any] = {
            "cores": cores, "nodes": nodes, "cores_per_node": cores_per_node, "memory": memory,
            "walltime": walltime, "partition": partition, "gpus": gpus, "exclusive": exclusive,
            "executor_type": executor_type, "num_threads": num_threads,
            "extra_scheduler": extra_scheduler, "extra_env_vars": extra_env_vars,
            "extra_script": extra_script,
        }  # fmt: skip
        self._options = {key: given for key, given in options.items() if given is not None}
        #: User functions given as ``executor_type``; resources have ``callable:INDEX``.
        self.executor_callables: list[Callable[[int], Any]] = []
        self.setup = _lines(setup, "setup")
        python = text(python_executable or sys.executable, "python_executable")
        self.python_executable = os.path.expanduser(python)
        self.mpiexec_executable = _launcher(mpiexec_executable)
        self.log_folder = None
        if log_folder is not None:
            self.log_folder = os.path.expanduser(text(path(log_folder, "log_folder"), "log_folder"))
        if kill_wait is not None:
            self.kill_wait = seconds(kill_wait, "kill_wait", zero=True)
        self._check()

    # ---------------------------------------------------------------- resources

    def _check(self) -> None:
        """Check every option now, so that the error shows the line with the mistake."""
        for row in range(self._tuple_length() or 1):
            self._row(row)

    def _tuple_length(self) -> int | None:
        lengths = {
            self._typed_name(key): len(given)
            for key, given in self._options.items()
            if isinstance(given, tuple)
        }
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{key} has {n}" for key, n in lengths.items())
            raise InputError(
                f"A tuple means one value per learner, but their lengths differ: {found}."
            )
        if 0 in lengths.values():
            raise InputError(
                f"{next(iter(lengths))}=() is empty: a tuple means one value per learner."
            )
        return next(iter(lengths.values()), None)

    def _row(self, row: int) -> Resources:
        values: dict[str, Any] = {}
        for key, value in self._options.items():
            one = value[row] if isinstance(value, tuple) else value
            name = self._typed_name(key)
            where = f"{name}[{row}]" if isinstance(value, tuple) else name
            if key == "executor_type" and callable(one):
                one = self._callable_name(one)
            if one is not None:
                values[key] = PER_LEARNER[key](one, where)
        return spread(values)

    def __repr__(self) -> str:
        """The options that are not as by default, on one line."""
        usual = inspect.signature(type(self)).parameters
        given = [
            f"{name}={_brief.repr(value)}"
            for name, value in self._described().items()
            if name not in usual or value != usual[name].default
        ]
        return f"{type(self).__name__}({', '.join(given)})"

    def _described(self) -> dict[str, Any]:
        """The options that `repr` shows, by name."""
        return {self.option_names.get(key, key): given for key, given in self._options.items()}

    def _typed_name(self, option: str) -> str:
        """Return an option's name as the user gave it."""
        name = self.option_names.get(option, option)
        return self.typed_names.get(name, name)

    def _callable_name(self, function: Callable[[int], Any]) -> str:
        """Return ``callable:0``, ...: resources are plain data, so they hold a function's index."""
        if function not in self.executor_callables:
            self.executor_callables.append(function)
        return f"callable:{self.executor_callables.index(function)}"

    def shapes(self, n: int) -> tuple[list[Resources], list[int]]:
        """Resources of n learners.

        Parameters
        ----------
        n : int
            Number of learners.

        Returns
        -------
        shapes : list of Resources
            Each different one once.
        index : list of int
            For each learner, its place in `shapes`; length n.

        Raises
        ------
        InputError
            A tuple's length is not n.
        """
        length = self._tuple_length()
        if length is None:
            return [self._row(0)], [0] * n
        if length != n:
            raise InputError(
                f"{type(self).__name__} was given tuples of {length} values for {n} learners: "
                "a tuple means one value per learner."
            )
        shapes: dict[Resources, int] = {}
        index = [shapes.setdefault(self._row(row), len(shapes)) for row in range(n)]
        return list(shapes), index

    def job_script(self) -> str:
        """Return the job script that a run would submit; nothing is submitted or written.

        What only a run knows stands there in capitals (``/RUN_FOLDER``, ``/WORKING_DIRECTORY``);
        `RunManager.job_script` fills it in, and asks PBS for its hosts, on which ``cores`` alone
        depend. If learners differ in their resources there is one
        script for each different shape, below a line that names its learners. Show it with
        ``print(scheduler.job_script())``.
        """
        from adaptive_scheduler.schedulers.job_script import preview  # with all executors

        return preview(self, *self.shapes(self._tuple_length() or 1))

    # ------------------------------------------------- commands of the batch system

    @abc.abstractmethod
    def header(self, job: JobRequest) -> list[str]:
        """Directive lines of the job script, e.g. ``#SBATCH --ntasks=32``."""

    @abc.abstractmethod
    def submit_command(self, job: JobRequest, script: Path, n: int) -> list[str]:
        """Submit n jobs, as an array where the system has them (at most `max_array`)."""

    @abc.abstractmethod
    def parse_submit(self, result: CommandResult, n: int) -> list[JobId]:
        """Ids of the n submitted jobs; SubmitRefusedError or NoObservation otherwise."""

    @abc.abstractmethod
    def refusal(self, result: CommandResult) -> Refusal:
        """What a failed submit means for the next try."""

    @abc.abstractmethod
    def queue_command(self) -> list[str]:
        """One command that lists all jobs of this user."""

    @abc.abstractmethod
    def parse_queue(self, result: CommandResult) -> list[ListedJob]:
        """All jobs of this user, of any run; NoObservation if the answer cannot be trusted."""

    @abc.abstractmethod
    def cancel_commands(self, jobs: Sequence[JobId]) -> list[list[str]]:
        """Commands that cancel these jobs: SLURM's takes many at once, PBS's one id each."""

    @abc.abstractmethod
    def parse_cancel(self, result: CommandResult) -> None:
        """Raise SchedulerError if jobs may still be there; one that is gone already is no error."""

    @abc.abstractmethod
    def history_command(self, jobs: Sequence[JobId]) -> list[str] | None:
        """Ask how jobs ended; None if the batch system does not remember it."""

    @abc.abstractmethod
    def parse_history(self, result: CommandResult) -> list[Ending]:
        """How jobs ended; those that are alive or unknown are left out."""

    @abc.abstractmethod
    def time_left_command(self, job: JobId) -> list[str] | None:
        """Ask for the seconds until the walltime; run in the job itself."""

    @abc.abstractmethod
    def parse_time_left(self, result: CommandResult) -> float | None:
        """Seconds, or None for no limit; NoObservation if the answer has neither."""

    @abc.abstractmethod
    def own_id(self, environ: Mapping[str, str]) -> tuple[JobId, int] | None:
        """Id and restart count of the job with this environment; None outside of a job."""

    @abc.abstractmethod
    def own_id_script(self) -> list[str]:
        """Shell lines that set ``ADAPTIVE_SCHEDULER_JOB`` and ``ADAPTIVE_SCHEDULER_RESTART``,
        the same values as `own_id` gives.
        """

    def trial_command(self, job: JobRequest, script: Path) -> list[str] | None:  # noqa: ARG002
        """Ask whether a job would be accepted, without submitting it; None if that cannot be asked."""
        return None

    def held_command(self, job: JobRequest, script: Path) -> list[str] | None:  # noqa: ARG002
        """Submit one job that does not start, where `trial_command` is None; None if there is no such."""
        return None

    def hosts_command(self, resources: Resources) -> list[str] | None:  # noqa: ARG002
        """Ask for the cluster's hosts, if a request depends on their size; else None."""
        return None

    def parse_hosts(self, result: CommandResult) -> list[Host]:
        """Hosts that may run jobs now; NoObservation if the answer cannot be trusted."""
        raise NotImplementedError(f"{self.name} asks for no hosts: {result.argv}")

    def output_script(self, job: JobRequest) -> list[str]:  # noqa: ARG002
        """Shell lines that send a job's output to `job.log_folder`, if the system does not."""
        return []

    def spread_script(self) -> list[str]:
        """Shell lines that let an MPI launcher reach the other hosts of a job."""
        return []

    #: Seconds between SIGTERM and SIGKILL.
    kill_wait: float = 30.0
    #: The most jobs one submit may make.
    max_array: int = 1000
    #: Whether jobs stay in the listing for a while after their end. Then a listing without a job
    #: proves nothing at first: it may be empty, or cut, by a fault.
    shows_ended: bool = False
    #: Commands a minute that the batch system can bear.
    max_commands_per_minute: int = 600

    def launcher(self, resources: Resources) -> list[str]:
        """The MPI launcher with the number of ranks, as an argument list."""
        argv = list(self.mpiexec_executable or default_mpiexec(self.python_executable))
        if Path(argv[0]).name == "srun" and not any("kill-on-bad-exit" in word for word in argv):
            # without it, rank 0 waits for ever when another rank has died
            argv.append("--kill-on-bad-exit=1")
        return [*argv, "-n", str(resources.cores)]


def check_scheduler(given: Any) -> Scheduler:
    """Return a scheduler that a user gave; InputError if it is none."""
    if not isinstance(given, Scheduler):
        raise InputError(
            f"scheduler={given!r} is no scheduler. Give for example "
            "adaptive_scheduler.scheduler.SLURM(cores=10)."
        )
    return given


def default_mpiexec(python_executable: str) -> list[str]:
    """Return the ``mpiexec`` that was installed with this Python, else the one on PATH."""
    beside = Path(python_executable).parent / "mpiexec"
    return [str(beside) if beside.exists() else shutil.which("mpiexec") or "mpiexec"]


def _lines(value: object, name: str) -> tuple[str, ...]:
    """Return shell lines; a single text is a list of one."""
    if isinstance(value, str) or not value:
        return (text(value, name),) if value else ()
    if not isinstance(value, Sequence):
        raise InputError(f"{name}={value!r} must be a text or a list of texts.")
    return tuple(text(one, name) for one in value)


def _launcher(value: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    try:
        argv = shlex.split(value) if isinstance(value, str) else [str(word) for word in value]
    except (ValueError, TypeError) as error:
        raise InputError(
            f"mpiexec_executable={value!r} cannot be split into words ({error}). Quote it as for a "
            "shell, or give a list."
        ) from error
    if not argv:
        raise InputError("mpiexec_executable is empty; leave it out to use the default.")
    argv = [text(word, "mpiexec_executable") for word in argv]
    return (os.path.expanduser(argv[0]), *argv[1:])
