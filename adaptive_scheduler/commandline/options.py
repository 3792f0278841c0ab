"""The options that describe a scheduler, shared by the commands that need one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.values import parse_pairs
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.schedulers.base import Scheduler

_PANEL = "What each job asks for"


def _option(name: str, help_text: str, **more: Any) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=_PANEL, **more)


#: Name of the keyword, its annotation, its default.
_OPTIONS: list[tuple[str, Any, Any]] = [
    ("scheduler", Annotated[str | None, _option(
        "--scheduler", "slurm, pbs, local, or one that a package adds. Default: what is here.")], None),
    ("cores", Annotated[int | None, _option("--cores", "MPI ranks (or worker processes).", min=1)], None),
    ("nodes", Annotated[int | None, _option("--nodes", "Nodes.", min=1)], None),
    ("cores_per_node", Annotated[int | None, _option(
        "--cores-per-node", "With --nodes: instead of --cores.", min=1)], None),
    ("memory", Annotated[str | None, _option("--memory", "On each node, e.g. 4GB.")], None),
    ("walltime", Annotated[str | None, _option("--walltime", "30m, 12h, 1h30m, 12:00:00, or 2-12:00 (D-HH:MM).")], None),
    ("queue", Annotated[str | None, _option("--queue", "SLURM's partition, PBS's queue.")], None),
    ("gpus", Annotated[int | None, _option("--gpus", "On each node.", min=1)], None),
    ("exclusive", Annotated[bool, _option("--exclusive", "Whole nodes.")], False),
    ("executor_type", Annotated[str | None, _option(
        "--executor", "mpi4py (default), process-pool, loky or sequential.")], None),
    ("num_threads", Annotated[int | None, _option("--threads", "Threads of each worker.", min=1)], None),
    ("setup", Annotated[list[str] | None, _option(
        "--setup", "A line at the top of each job script ('module load …'); may be repeated.")], None),
    ("extra_scheduler", Annotated[list[str] | None, _option(
        "--extra-scheduler", "Passed on as it is (--extra-scheduler=--account=x); may be repeated.")], None),
    ("extra_env_vars", Annotated[list[str] | None, _option(
        "--env", "KEY=VALUE for the jobs, literally; may be repeated.")], None),
    ("python_executable", Annotated[str | None, _option("--python", "Python of the jobs.")], None),
    ("mpiexec_executable", Annotated[str | None, _option(
        "--mpiexec", "The MPI launcher, e.g. 'srun --mpi=pmi2'.")], None),
    ("log_folder", Annotated[str | None, _option("--log-folder", "Where job output goes.")], None),
    ("max_cores", Annotated[int | None, _option(
        "--max-cores", "Only local: slots of this machine. Default: its processors.", min=1)], None),
]  # fmt: skip


def with_scheduler(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a scheduler; it receives the `Scheduler` as ``scheduler``."""
    own = [
        parameter
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        if name != "scheduler"
    ]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, kind, default in _OPTIONS
    ]
    names = [name for name, _, _ in _OPTIONS]

    @functools.wraps(command)
    def full(**given: Any) -> Any:
        options = {name: given.pop(name) for name in names}
        return command(scheduler=make_scheduler(options), **given)

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    signature = inspect.Signature([*own, *added])
    full.__signature__ = signature  # type: ignore[attr-defined]
    full.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    del full.__wrapped__
    return full


def make_scheduler(options: dict[str, Any]) -> Scheduler:
    """Make the scheduler that the options describe.

    Raises
    ------
    InputError
        An option is wrong, or no batch system is found.
    """
    import os

    from adaptive_scheduler.schedulers.registry import detect, scheduler_class

    chosen = {key: value for key, value in options.items() if value not in (None, False, [])}
    name = chosen.pop("scheduler", None) or detect(os.environ)
    if "max_cores" in chosen and name != "local":
        raise InputError("--max-cores is only for --scheduler local; see run --max-jobs.")
    if "extra_env_vars" in chosen:
        chosen["extra_env_vars"] = parse_pairs(chosen["extra_env_vars"], "--env")
    return scheduler_class(name)(**chosen)
