"""The commands ``pool``: list, add and remove the pools of a run, and join it from a machine."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson, DryRun, OptionalRun, RunAndName
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.input.options import (
    SCHEDULER_OPTIONS,
    TypedOption,
    takes_options,
)
from adaptive_scheduler.commandline.input.parsing.aliases import CommandWithAliases
from adaptive_scheduler.commandline.input.parsing.plain_help import GroupWithPlainHelp
from adaptive_scheduler.commandline.input.suggestions import close_names, did_you_mean
from adaptive_scheduler.commandline.input.values import seconds
from adaptive_scheduler.commandline.output.dry_run import would
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import (
    SCHEMA_VERSION,
    has_result,
    plain,
    print_json,
    print_result,
)
from adaptive_scheduler.commandline.output.terminal import console, exit_with, print_line, quoted
from adaptive_scheduler.core.texts import counted
from adaptive_scheduler.errors import InputError, RunError

if TYPE_CHECKING:
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.core.wire.pools import PoolState
    from adaptive_scheduler.core.wire.snapshot import Snapshot
    from adaptive_scheduler.runs.task_run import TaskRun

#: What a pool may have of its own; the rest is the run's.
_OF_POOLS = ("memory", "walltime", "queue", "gpus", "exclusive", "setup", "extra_scheduler",
             "extra_env_vars")  # fmt: skip
POOL_OPTIONS = (
    TypedOption("cores", int, "Cores for tasks of each job.", least=1),
    *(option for option in SCHEDULER_OPTIONS if option.name in _OF_POOLS),
)
SETTINGS = (
    TypedOption("max_jobs", int, "Most jobs at a time. Default: 1.", least=1),
    TypedOption("min_jobs", int, "Jobs that stay although there is nothing to do. Default: 0."),
    TypedOption("accepts", list[str], "A tag: it runs only tasks that have it. May be given several "
                "times."),
    TypedOption("idle", str, "How long a job without tasks stays, e.g. 10m. Default: 1m."),
)  # fmt: skip


class PoolCommands(GroupWithPlainHelp):
    """The commands ``pool ...``; what is none of them is a run, whose pools are listed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a word, list the pools of the only run."""
        is_completed = ctx.resilient_parsing  # TAB offers the commands
        is_list = args in ([], ["--json"]) and not is_completed
        return super().parse_args(ctx, ["list", *args] if is_list else args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command of the first word."""
        word = args[0]
        is_run = word not in self.commands and (
            os.path.exists(word) or not close_names(word, self.commands)  # noqa: PTH110  raises nothing
        )
        return super().resolve_command(ctx, ["list", *args] if is_run else args)


pool = typer.Typer(
    rich_markup_mode="markdown",
    cls=PoolCommands,
    help="The pools of a run of tasks: jobs of one shape in which tasks run. "
    "`pool RUN` lists them.",
)


@pool.command("list", cls=CommandWithAliases)
@reports_errors
def list_pools(run: OptionalRun = None, as_json: AsJson = False) -> None:
    """List the pools of a run, with their jobs and the cores in use.

    Example: `adaptive-scheduler pool list RUN`
    """
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.task_run import TaskRun
    from adaptive_scheduler.runs.views.pools import pools_table

    folder = find_run(run)
    pools = TaskRun(folder).pools()
    with ManagerClient(folder) as client:
        snapshot = client.snapshot("none")
    if as_json:
        print_json(_for_programs(folder, pools, snapshot))
        return
    tables = pools_table(snapshot)
    for table in tables:
        console.print(table)
    if not tables:
        print_line("No pools, and no machine has joined.")


def _for_programs(
    folder: RunFolder, pools: list[PoolState], snapshot: Snapshot
) -> dict[str, object]:
    """The pools, and the machines and allocations that have joined the run by hand."""
    from adaptive_scheduler.core.jobs.records import is_external

    joined = [job for job in snapshot.jobs if is_external(job.id)]
    return {
        "schema_version": SCHEMA_VERSION, "folder": str(folder.home), "pools": plain(pools),
        "joined": plain(joined),
    }  # fmt: skip


@pool.command("add", cls=CommandWithAliases)
@reports_errors
@has_result
@takes_options("scheduler", POOL_OPTIONS, "What each job asks for")
@takes_options("settings", SETTINGS, "How many jobs, and for what")
def add(
    words: RunAndName,
    dry_run: DryRun = False,
    *,
    settings: dict[str, Any],
    scheduler: dict[str, Any],
) -> None:
    """Add a pool: jobs are submitted when there are tasks for them.

    If there is a pool of this name, its other settings are changed; what its jobs ask for cannot be.

    Example: `adaptive-scheduler pool add RUN big --cores 64 --max-jobs 4`
    """
    from adaptive_scheduler.core.tasks.pools import Pool
    from adaptive_scheduler.runs.task_run import TaskRun

    folder, name = _run_and_name(words)
    found = TaskRun(folder)
    if "idle" in settings:
        settings["idle"] = seconds(settings["idle"], "--idle")
    made = Pool(name=name, resources=_resources(folder, scheduler), **settings)
    is_new = name not in _names(found.pools())
    if not dry_run:
        found.add_pool(made)
    verb = "added" if is_new else "changed"
    print_line(
        f"{would(dry_run)}Pool {made} {verb}: at most {counted(made.max_jobs, 'job')} at a time."
    )
    print_result("pool add", dry_run=dry_run, folder=folder.home, pool=plain(made), is_new=is_new)


def _run_and_name(words: list[str]) -> tuple[RunFolder, str]:
    """The run, or the only one, and the pool's name."""
    if len(words) > 2:
        raise InputError(f"{' '.join(words)}: give one run and one name.")
    return find_run(words[0] if len(words) == 2 else None), words[-1]


def _resources(folder: RunFolder, typed: dict[str, Any]) -> Any:
    from adaptive_scheduler.commandline.input.scheduler import make_scheduler
    from adaptive_scheduler.io.pickling.callables_file import read_callable

    own = read_callable(folder.callables, "scheduler")
    if own is None:
        raise RunError(
            f"{folder.home} submits no jobs: it was started on scheduler.Here(). Other machines "
            f"join it with: adaptive-scheduler pool join {quoted(folder)}"
        )
    if "cores" not in typed:
        raise InputError("--cores is missing: how many cores does each job have?")
    return make_scheduler({"scheduler": own.name, **typed}).shapes(1)[0][0]


@pool.command("remove", cls=CommandWithAliases)
@reports_errors
@has_result
def remove(words: RunAndName, dry_run: DryRun = False) -> None:
    """Let a pool end: its jobs get nothing more, and leave when what runs in them has ended.

    Tasks that no other pool can hold fail, with the numbers.

    Example: `adaptive-scheduler pool remove RUN big`
    """
    from adaptive_scheduler.runs.task_run import TaskRun

    folder, name = _run_and_name(words)
    found = TaskRun(folder)
    pools = found.pools()
    names = _names(pools)
    if name not in names:
        raise InputError(_no_pool(name, names, found))
    if not dry_run:
        found.remove_pool(name)
    left = sum(one.running + one.waiting for one in pools if one.pool.name == name)
    verb = "ends" if left == 1 else "end"
    rest = f"; its {counted(left, 'job')} {verb} when what runs in them has ended" if left else ""
    print_line(f"{would(dry_run)}Pool {name} removed{rest}.")
    print_result("pool remove", dry_run=dry_run, folder=folder.home, pool=name, jobs=left)


def _no_pool(name: str, names: list[str], run: TaskRun) -> str:
    if not names:
        return f"There is no pool {name}: {run.folder.home} has no pools."
    return f"There is no pool {name}.{did_you_mean(name, names)} There are: {', '.join(names)}."


def _names(pools: list[PoolState]) -> list[str]:
    return [one.pool.name for one in pools if not one.pool.is_removed]


@pool.command("join", cls=CommandWithAliases)
@reports_errors
@has_result
def join(
    run: OptionalRun = None,
    slots: Annotated[
        int | None, typer.Option(help="Cores for tasks. Default: all that may be used.", min=1)
    ] = None,
    gpus: Annotated[
        str | None, typer.Option(help="Numbers of GPUs, such as 0,1. Default: none.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run tasks on this machine, or in this allocation, until the run is over.

    Any number of hosts that see the run's folder may join. Ctrl-C leaves: what runs here is ended
    and given back, and other machines go on.

    Example: `adaptive-scheduler pool join RUN --slots 8`
    """
    from adaptive_scheduler.runs.driver.pools import join_run
    from adaptive_scheduler.runs.manager_client import ManagerClient
    from adaptive_scheduler.runs.task_run import TaskRun

    folder = find_run(run)
    if not TaskRun(folder).lives():
        with ManagerClient(folder) as client:
            over = client.snapshot("none").over
        raise RunError(
            f"{folder.home}: this run has ended, so there is nothing to join."
            if over
            else f"{folder.home}: this run has no manager. Start one with: "
            f"adaptive-scheduler resume {quoted(folder)}"
        )
    numbers = _gpus(gpus)
    print_result(
        "pool join", dry_run=dry_run, folder=folder.home, host=socket.gethostname(),
        slots=slots, gpus=numbers,
    )  # fmt: skip
    if dry_run:
        there = counted(slots, "slot") if slots else "all cores that may be used"
        print_line(f"{would(dry_run)}tasks of {folder.home} run here, in {there}.")
        return
    print_line(f"Tasks of {folder.home} run here now. Ctrl-C leaves; the run goes on.")
    exit_with(join_run(folder.database, slots, numbers))


def _gpus(typed: str | None) -> list[str]:
    if typed is None:
        return []
    names = [one.strip() for one in typed.split(",")]
    if not all(names):
        raise InputError(f"--gpus {typed}: give the numbers with commas between them, such as 0,1.")
    return names
