"""The options that have the names of Python's arguments, and how a command gets them.

An option is its argument with dashes: ``max_jobs`` is ``--max-jobs``. Other names are in `parsing.aliases`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from adaptive_scheduler.core.options.run_options import Limits, Network, RunOptions, Saving
from adaptive_scheduler.core.times import length_text, number_or_text


def as_typed(value: Any) -> Any:
    """Return what was typed."""
    return value


@dataclass(frozen=True)
class TypedOption:
    """One option.

    Attributes
    ----------
    name : str
        Of the argument in Python.
    kind : type
        What typer turns the text into.
    help : str
    default : object
        Shown in the help; None: the option is left out unless it is typed.
    least : int, optional
        The smallest number that is accepted.
    read : callable
        Turns that into the argument's value.
    """

    name: str
    kind: Any
    help: str
    default: Any = None
    least: int | None = None
    read: Callable[[Any], Any] = as_typed

    @property
    def metavar(self) -> str | None:
        """What stands for its value in the help."""
        if self.kind is bool:
            return None
        return "TIME" if self.read is number_or_text else "N" if self.kind is int else "TEXT"

    def value(self, typed: Any) -> Any:
        """What was typed; a flag that is on by default is typed as ``--no-...``."""
        return not typed if self.default is True else typed

    def parameter(self, panel: str) -> inspect.Parameter:
        """As a parameter of a function that typer reads."""
        shown = "--" + self.name.replace("_", "-")
        option = typer.Option(
            f"--no{shown[1:]}" if self.default is True else shown, show_default=self.kind is not bool,
            help=self.help, min=self.least, rich_help_panel=panel, metavar=self.metavar,
        )  # fmt: skip
        kind = self.kind | None if self.default is None else self.kind
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY,
            default=self.default is not True and self.default, annotation=Annotated[kind, option],
        )  # fmt: skip


SCHEDULER_OPTIONS = (
    TypedOption("scheduler", str, "slurm, pbs, local, or one that a package adds. Default: that of "
                "the run if it was started before, else the one that is installed here."),
    TypedOption("cores", int, "Cores of each job: MPI ranks, or worker processes.", least=1),
    TypedOption("nodes", int, "Nodes of each job, over which its cores are spread.", least=1),
    TypedOption("cores_per_node", int, "With --nodes, in place of --cores.", least=1),
    TypedOption("memory", str, "Memory on each node, e.g. 4GB."),
    TypedOption("walltime", str, "How long each job may run: 30m, 12h, 1h30m, 12:00:00, or 2-12:00 "
                "(days-hours:minutes)."),
    TypedOption("queue", str, "SLURM's partition, PBS's queue."),
    TypedOption("gpus", int, "GPUs on each node.", least=1),
    TypedOption("exclusive", bool, "Jobs have whole nodes, shared with nobody.", False),
    TypedOption("executor_type", str, "How a job uses its cores: mpi4py (default), process-pool, loky, sequential, dask or ipyparallel."),
    TypedOption("num_threads", int, "Threads of each worker.", least=1),
    TypedOption("setup", list[str], "A line at the top of each job script, e.g. 'module load mpi'. "
                "May be given several times."),
    TypedOption("extra_scheduler", list[str], "An option for the batch system itself: "
                "--extra-scheduler=--account=x. May be given several times."),
    TypedOption("extra_env_vars", list[str], "An environment variable of the jobs, KEY=VALUE. "
                "May be given several times."),
    TypedOption("python_executable", str, "The jobs' Python. Default: the one that runs this."),
    TypedOption("mpiexec_executable", str, "What starts MPI, e.g. 'srun --mpi=pmi2'."),
    TypedOption("log_folder", str, "Where the jobs' output goes. Default: logs in the run's folder."),
    TypedOption("max_cores", int, "Only with --scheduler local: cores that all jobs share. Default: "
                "those of this machine.", least=1),
)  # fmt: skip

#: Options of a run that are Python objects, or that the command `run` describes itself.
_NOT_TYPED = ("goal", "folder", "dependencies", "runner_kwargs", "initializers")
#: What is added to a description: where the command line has a default of its own.
_DEFAULTS = {
    "name": "Default: the learners file's name.",
    "point_timeout": "Default: no limit.",
}
#: Descriptions of flags that switch something off.
_OFF = {"check_goal_on_start": "Do not look first whether saved data meet the goal."}


def run_options() -> tuple[TypedOption, ...]:
    """The options of a run, from the record that has them for Python, too."""
    fields = [field for field in dataclasses.fields(RunOptions) if field.name not in _NOT_TYPED]
    groups = (Limits, Saving, Network)
    last = {field.name: n for n, group in enumerate(groups) for field in dataclasses.fields(group)}
    return tuple(
        _typed_option(field) for field in sorted(fields, key=lambda f: last.get(f.name, -1))
    )


def _typed_option(field: dataclasses.Field[Any]) -> TypedOption:
    """An option of the command line for a field of `RunOptions`."""
    about = _OFF.get(field.name, field.metadata["about"])
    help_text = " ".join(filter(None, [about, _DEFAULTS.get(field.name)]))
    default = None if field.name in _DEFAULTS else field.default
    if field.metadata["unit"] == "seconds":
        length = length_text(default) if isinstance(default, float) else None
        return TypedOption(field.name, str, help_text, length, read=number_or_text)
    kind = type(default) if isinstance(default, int) else str
    return TypedOption(field.name, kind, help_text, default)


RUN_OPTIONS = run_options()

#: Arguments of Python that are options of some command.
OPTION_NAMES = frozenset(
    {"goal", "folder", "timeout", "learners_file"}
    | {option.name for option in (*SCHEDULER_OPTIONS, *RUN_OPTIONS)}
)


def takes_options(
    keyword: str, options: tuple[TypedOption, ...], panel: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command more options.

    Parameters
    ----------
    keyword : str
        The parameter of the command that receives what was typed, as a dict: name to value,
        without those that were left out and have no default.
    options : tuple of TypedOption
    panel : str
        Their heading in the help.
    """

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(command, eval_str=True).parameters.values()
        kept = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own
            if parameter.name != keyword
        ]

        @functools.wraps(command)
        def full(**given: Any) -> Any:
            typed = {option.name: option.value(given.pop(option.name)) for option in options}
            chosen = {
                option.name: option.read(typed[option.name])
                for option in options
                if typed[option.name] not in (None, option.default, [])
            }
            return command(**{keyword: chosen}, **given)

        signature = inspect.Signature([*kept, *(option.parameter(panel) for option in options)])
        full.__signature__ = signature  # type: ignore[attr-defined]
        full.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
        del full.__wrapped__
        return full

    return with_options
