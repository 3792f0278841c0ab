"""The command ``search``: an optimiser asks, a program answers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.arguments import DryRun
from adaptive_scheduler.commandline.input.options import (
    SCHEDULER_OPTIONS,
    TypedOption,
    takes_options,
)
from adaptive_scheduler.commandline.output.dry_run import would
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.terminal import exit_with, print_line, quoted
from adaptive_scheduler.core.options.checks import count, optional
from adaptive_scheduler.core.suggestions import keys_instead
from adaptive_scheduler.errors import InputError

if TYPE_CHECKING:
    from adaptive_scheduler.commandline.input.search_file import SearchFile
    from adaptive_scheduler.core.searches.flow import Flow
    from adaptive_scheduler.core.tasks.resources import TaskResources
    from adaptive_scheduler.optimizers.learner import OptimizerLearner
    from adaptive_scheduler.runs.driver.executor import Executor
    from adaptive_scheduler.runs.search.search import SearchOutcome
    from adaptive_scheduler.schedulers.here import Here

#: What jobs of a search may be told.
_OF_JOBS = ("cores", "memory", "walltime", "queue", "gpus", "exclusive", "setup", "extra_scheduler",
            "extra_env_vars", "python_executable", "log_folder", "max_cores")  # fmt: skip
JOB_OPTIONS = (
    TypedOption("scheduler", str, "slurm, pbs, local, or one that a package adds. Default: this machine or "
                "allocation, and no jobs."),
    *(option for option in SCHEDULER_OPTIONS if option.name in _OF_JOBS),
    TypedOption("max_jobs", int, "Most jobs at a time. Default: 1.", least=1),
)  # fmt: skip
SEARCH_OPTIONS = (
    TypedOption("max_tasks", int, "Tasks in all (points_max).", least=1),
    TypedOption("initial", int, "Tasks at once in the beginning (points_init).", least=1),
    TypedOption("concurrency", int, "Tasks at a time later. Default: NODES / PARALLELISM, else --initial.",
                least=1),
    TypedOption("nodes", int, "Nodes of the allocation. Default: $NODES.", least=1),
    TypedOption("parallelism", int, "Nodes of each task. Default: $PARALLELISM.", least=1),
    TypedOption("on_failure", str, "drain: issue no more and wait; continue; abort: cancel what runs."),
    TypedOption("output", str, "Where tasks write. Default: $OUTPUT, else the current folder."),
    TypedOption("method", str, "random, skopt:RF, skopt:GP, optuna:tpe."),
    TypedOption("seed", int, "The same one asks for the same points."),
    TypedOption("slots", int, "Cores for tasks on this machine.", least=1),
)  # fmt: skip
#: Options whose default is in the environment, as a batch script sets it.
_OF_ENVIRONMENT = ("nodes", "parallelism", "concurrency")


@reports_errors
@has_result
@takes_options("typed", SEARCH_OPTIONS, "In place of what the file says")
@takes_options("job", JOB_OPTIONS, "On a cluster, in jobs of its own")
def search(
    search_file: Annotated[
        Path, typer.Argument(help="The file of the search.", metavar="SEARCH_YAML")
    ],
    folder: Annotated[
        str | None,
        typer.Option(help="The run's folder. Default: .adaptive-scheduler/NAME in the output."),
    ] = None,
    dry_run: DryRun = False,
    *,
    typed: dict[str, Any],
    job: dict[str, Any],
) -> None:
    """Let an optimiser ask for parameters, and a program or function answer.

    Run again it goes on: what has ended is not run again. Ctrl-C ends what runs, and keeps what is done.
    See docs/search.md for the file.

    Example: `adaptive-scheduler search search.yaml --nodes 8 --parallelism 2`
    """
    from adaptive_scheduler.commandline.input.search_file import read_search_file

    file, jobs_of_file = read_search_file(search_file)
    file = replace(file, **{**_of_environment(os.environ), **typed})
    _refuse_far(folder)
    exit_with(_run(file, search_file, folder, {**jobs_of_file, **job}, dry_run=dry_run))


def _of_environment(environment: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for name in _OF_ENVIRONMENT:
        text = environment.get(name.upper(), "")
        if text and not (text.isdigit() and int(text) > 0):
            raise InputError(f"${name.upper()} is {text!r}, which is no number of at least 1.")
        if text:
            found[name] = int(text)
    return found


def _refuse_far(folder: str | None) -> None:
    from adaptive_scheduler.io.ssh.far_place import is_far

    if is_far(folder):
        raise InputError(
            f"--folder {folder}: a search runs where its run is. Start it there: log in by ssh, and give a "
            "path. From here `adaptive-scheduler tasks` and `status` take such a url."
        )


def _run(
    file: SearchFile, path: Path, folder: str | None, job: dict[str, Any], *, dry_run: bool
) -> int:
    """Check all that can be checked, and only then begin."""
    from adaptive_scheduler.commandline.input.search_file import resources_of, starts_own_ranks
    from adaptive_scheduler.commandline.output.searching import SearchLines
    from adaptive_scheduler.runs.driver.executor import Executor
    from adaptive_scheduler.runs.search.search import Search, flow_of
    from adaptive_scheduler.runs.search.tasks import names_of, refuse_wrong_task
    from adaptive_scheduler.schedulers.here import Here

    has_own_ranks = starts_own_ranks(file, job)
    learner = _learner(file, path, launch_ranks=not has_own_ranks)
    flow = flow_of(
        file.max_tasks, (file.initial, _concurrency(file)), file.on_failure, file.penalty
    )
    names = names_of(file.name or re.sub(r"[^\w.-]", "_", path.stem), file.output, file.log)
    refuse_wrong_task(learner)
    resources = resources_of(file, path, (file.parallelism or 1) if has_own_ranks else 1)
    settings = _settings(file, resources)
    where, most = _place(file, job, flow.concurrency * resources.cores_per_node)
    if isinstance(where, Here):
        _refuse_too_large(where, resources)
    home = Path(folder) if folder else names.output / ".adaptive-scheduler" / names.search
    how = _how(flow, file.method)
    print_line(f"{would(dry_run)}search start: {how}; output in {names.output}, run in {home}")
    if dry_run:
        _print_for_programs(home, names.output, flow.max_tasks)
        return 0
    with (
        Executor(where, folder=home, name=names.search, **most) as executor,
        SearchLines() as lines,
    ):
        outcome = Search(
            learner, executor.options(**settings), flow.max_tasks, initial=flow.initial,
            concurrency=flow.concurrency, on_failure=file.on_failure, penalty=file.penalty,
            output=names.output, name=names.search, log=file.log, ahead=file.ahead,
            parallelism=file.parallelism, on_event=lines,
        ).run()  # fmt: skip
    _print_end(outcome, executor)
    _print_for_programs(home, names.output, flow.max_tasks, outcome)
    return 0


def _settings(file: SearchFile, resources: TaskResources) -> dict[str, Any]:
    """What tasks are told, checked."""
    from adaptive_scheduler.runs.driver.settings import Settings

    found = {"resources": resources, "retries": file.retries, "timeout": file.timeout}
    Settings().with_options({key: one for key, one in found.items() if one is not None})
    return found


def _how(flow: Flow, method: str) -> str:
    return f"{flow.max_tasks} tasks by {method}, {flow.initial} at once, then {flow.concurrency}"


def _print_for_programs(
    home: Path, output: Path, tasks: int, outcome: SearchOutcome | None = None
) -> None:
    """Print what a search has found; without an outcome, what it would do."""
    best = outcome and outcome.best
    print_result(
        "search", dry_run=outcome is None, folder=home, output=output, tasks=tasks,
        done=outcome.done if outcome else 0, failed=len(outcome.failures) if outcome else 0,
        best=best and {"parameters": best[0], "value": best[1]},
    )  # fmt: skip


def _learner(file: SearchFile, path: Path, *, launch_ranks: bool) -> OptimizerLearner:
    from adaptive_scheduler.commandline.input.search_file import space_of, task_of
    from adaptive_scheduler.optimizers.learner import OptimizerLearner

    options = file.options or {}
    if not isinstance(options, dict) or not all(isinstance(name, str) for name in options):
        raise InputError(
            f"{path}: options={options!r} must be a mapping, such as {{acq_func: LCB}}."
        )
    if not isinstance(file.method, str):
        raise InputError(f"{path}: method={file.method!r} must be a text, such as skopt:RF.")
    ours = {"function", "space", "method", "seed", "initial", "maximize"} & set(options)
    if ours:
        raise InputError(
            f"{path}: {ours.pop()} is a key of its own, and no option of the optimiser."
        )
    return OptimizerLearner(
        task_of(file, path, launch_ranks=launch_ranks), space_of(file, path), file.method, seed=file.seed,
        initial=file.initial, maximize=file.maximize, **options,
    )  # fmt: skip


def _concurrency(file: SearchFile) -> int | None:
    """Return how many tasks may be out: as was said, else as the nodes allow."""
    if file.concurrency is not None or file.nodes is None:
        return _positive(file.concurrency, "concurrency")
    nodes = _positive(file.nodes, "nodes") or 1
    each = _positive(file.parallelism, "parallelism") or 1
    if each > nodes:
        raise InputError(
            f"parallelism={each}: each task has more nodes than there are (nodes={nodes})."
        )
    return nodes // each


def _positive(value: Any, name: str) -> int | None:
    checked: int | None = optional(count(least=1))(value, name)
    return checked


def _place(file: SearchFile, job: dict[str, Any], cores: int) -> tuple[Any, dict[str, Any]]:
    """Return where tasks run, and what else the executor is told."""
    from adaptive_scheduler.commandline.input.scheduler import make_scheduler
    from adaptive_scheduler.schedulers.here import Here

    known = [*(option.name for option in JOB_OPTIONS), "nodes"]
    for key in job:
        if key not in known:
            raise InputError(f"job has no {key!r}.{keys_instead(str(key), known)}")
    if "scheduler" not in job:
        if job:
            raise InputError(f"{next(iter(job))}: this is for jobs: give scheduler, too.")
        gpus = [file.gpus] if isinstance(file.gpus, str) else file.gpus
        return Here(slots=file.slots or cores, gpus=gpus), {}
    if (nodes := _positive(job.get("nodes", file.nodes), "nodes")) is not None:
        job["nodes"] = nodes
    most = {"max_jobs": count(least=1)(job.pop("max_jobs", 1), "max_jobs")}
    return make_scheduler(job), most


def _refuse_too_large(where: Here, resources: TaskResources) -> None:
    """Refuse tasks that this machine could never hold; submitted, they would have failed for ever."""
    from adaptive_scheduler.client.tasks.head.allocation import of_allocation
    from adaptive_scheduler.core.tasks.place import Inventory

    there = Inventory([of_allocation(os.environ, where.slots, list(where.gpus))])
    if not there.could_ever_hold(resources):
        raise InputError(
            f"resources: a task needs {resources}, but here one node has {there} for tasks, so that none could "
            "ever begin. Ask for less, give more `slots` or `gpus`, or jobs: --scheduler."
        )


def _print_end(outcome: Any, executor: Executor) -> None:
    print_line(f"search complete: {outcome.done} tasks done, {len(outcome.failures)} failed")
    for failure in outcome.failures[:5]:
        print_line(str(failure), "yellow")
    if outcome.best is not None:
        parameters, value = outcome.best
        given = " ".join(f"{name}={one!r}" for name, one in parameters.items())
        print_line(f"best: {value:.12g} with {given}")
    print_line(f"all tasks: adaptive-scheduler tasks {quoted(executor.folder)}", "dim")
