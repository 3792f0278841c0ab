"""The command ``sweep``: many shell commands from one YAML file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.options import (
    SCHEDULER_OPTIONS,
    TypedOption,
    takes_options,
)
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, plain, print_result
from adaptive_scheduler.commandline.output.terminal import console, exit_with, print_line, quoted

if TYPE_CHECKING:
    from adaptive_scheduler.runs.sweep.places import Place
    from adaptive_scheduler.runs.sweep.plan import Plan
    from adaptive_scheduler.runs.sweep.progress import Progress
    from adaptive_scheduler.runs.sweep.start import Sweep

#: What jobs of a sweep may be told.
_OF_JOBS = ("scheduler", "cores", "memory", "walltime", "queue", "gpus", "exclusive", "setup",
            "extra_scheduler", "extra_env_vars", "python_executable", "log_folder", "max_cores")  # fmt: skip
JOB_OPTIONS = (
    *(option for option in SCHEDULER_OPTIONS if option.name in _OF_JOBS and option.name != "scheduler"),
    TypedOption("scheduler", str, "slurm, pbs, local, or one that a package adds. Default: this "
                "machine, and no jobs."),
    TypedOption("max_jobs", int, "Most jobs at a time. Default: 1.", least=1),
)  # fmt: skip
#: Failures that are shown at the end, and lines of each of their logs.
FAILURES, TAIL = 20, 5
#: Remarks that are shown before.
REMARKS = 10


@reports_errors
@has_result
@takes_options("job", JOB_OPTIONS, "On a cluster")
def sweep(
    yaml: Annotated[str, typer.Option("--yaml", "-y", help="The sweep's file.")] = "params.yaml",
    output: Annotated[
        str, typer.Option("--output", "-o", help="The folder for all that comes out.")
    ] = "output",
    title: Annotated[
        str | None,
        typer.Option("--title", "-t", help="Only documents with this _title.", metavar="TITLE"),
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Option("--command", "-c", help="Only these commands.", metavar="COMMAND ..."),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", "-d", help="The first task only, shown here.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Also what has succeeded before.")
    ] = False,
    sample: Annotated[
        int | None, typer.Option(help="Draw so many tasks of each document.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="The same one draws the same tasks.")] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands, and run nothing.")
    ] = False,
    resource: Annotated[
        list[str] | None,
        typer.Option("--resource", "-r", help="In place of the file's, e.g. 0 1 or 0,1 2,3.",
                     metavar="RESOURCE ..."),
    ] = None,
    no_param_dir: Annotated[
        bool, typer.Option("--no-param-dir", "--no-subdir", help="No folder for each task.")
    ] = False,
    join: Annotated[
        str | None,
        typer.Option(help="Add this machine to the sweep that runs in this folder.", metavar="OUTPUT"),
    ] = None,
    *,
    job: dict[str, Any],
) -> None:  # fmt: skip
    """Run many shell commands: all combinations of the parameters in a YAML file.

    What has succeeded is not run again. Ctrl-C ends what runs and keeps what is done. The file is
    that of mlrunner: see docs/sweep.md.

    Example: `adaptive-scheduler sweep -y params.yaml -o output -r 0 1`
    """
    from adaptive_scheduler.core.sweeps.tasks import Selection
    from adaptive_scheduler.runs.sweep.start import Sweep, SweepOptions

    if join is not None:
        exit_with(_join(join, title, resource or [], dry_run=dry_run))
        return
    selection = Selection(title, command or [], sample, seed)
    made = Sweep(
        SweepOptions(yaml, output, selection, debug, force, not no_param_dir, resource or [])
    )
    place = _place(made, job)
    if dry_run:
        plan = made.plan(place)
        _print_plan(made, plan)
        _print_commands(plan)
        _print_planned(made, plan)
        return
    exit_with(_run(made, place))


def _print_planned(made: Sweep, plan: Plan) -> None:
    """Print for programs what would be run."""
    from adaptive_scheduler.core.sweeps.templates import shown
    from adaptive_scheduler.runs.sweep.decisions import Action

    commands = [
        {"task": one.task.name, "command": name, "text": shown(one.texts[name]),
         "is_done": decision.action in (Action.SKIP, Action.NOTE)}
        for one in plan.tasks
        for name, decision in one.decisions.items()
    ]  # fmt: skip
    print_result(
        "sweep", dry_run=True, folder=made.folder.output, is_joined=False, total=len(commands),
        commands=commands, progress=None,
    )  # fmt: skip


def _place(made: Sweep, options: dict[str, Any]) -> Place:
    from adaptive_scheduler.commandline.input.scheduler import make_scheduler
    from adaptive_scheduler.commandline.input.sweep_jobs import job_settings
    from adaptive_scheduler.runs.sweep import places

    resource = made.resource
    job = job_settings(made.file.job, options, [one.name for one in JOB_OPTIONS])
    if "scheduler" not in job:
        return places.on_this_machine(resource)
    shape = places.job_shape(resource, job)
    max_jobs = job.pop("max_jobs", 1)
    job["cores"] = shape.cores * shape.nodes
    if shape.nodes > 1:
        job["nodes"] = shape.nodes
    if shape.gpus_per_node:
        job["gpus"] = shape.gpus_per_node
    return places.in_jobs(make_scheduler(job), shape, max_jobs)


def _print_plan(made: Sweep, plan: Plan) -> None:
    from adaptive_scheduler.core.sweeps.tasks import unused
    from adaptive_scheduler.core.texts import counted
    from adaptive_scheduler.runs.sweep.decisions import Action

    before = plan.count(Action.SKIP, Action.NOTE)
    print_line(
        f"{counted(len(plan.tasks), 'task')}: {counted(plan.count(Action.RUN, Action.FOLLOW), 'command')} "
        f"to run{f', {before} have succeeded before' if before else ''}; in {made.folder.output}"
    )
    chosen = made.options.selection
    if chosen.sample is not None:
        print_line(f"At most {chosen.sample} of each document, drawn by --seed {chosen.seed}.")
    if names := unused(made.file, made.tasks):
        print_line(f"No template has these parameters: {', '.join(names)}.", "yellow")
    for remark in plan.remarks[:REMARKS]:
        print_line(remark, "yellow")
    if len(plan.remarks) > REMARKS:
        print_line(f"and {len(plan.remarks) - REMARKS} more remarks of this kind", "yellow")


def _print_commands(plan: Plan) -> None:
    from adaptive_scheduler.core.sweeps.templates import shown
    from adaptive_scheduler.runs.sweep.decisions import Action

    for one in plan.tasks:
        for name, decision in one.decisions.items():
            is_done = decision.action in (Action.SKIP, Action.NOTE)
            print_line(f"{'SKIP' if is_done else 'RUN '} {name} of {one.task.name}")
            print_line(f"     {shown(one.texts[name])}")


def _run(made: Sweep, place: Place) -> int:
    from adaptive_scheduler.commandline.output.sweeping import shown

    with shown(console, is_debug=made.options.is_debug) as show:
        progress = made.run(place, partial(_print_plan, made), show)
    print_result(
        "sweep", folder=made.folder.output, is_joined=False, total=progress.total, commands=[],
        progress=_sums(progress),
    )  # fmt: skip
    return _print_end(made, progress)


def _sums(progress: Progress) -> dict[str, Any]:
    """All but the logs, of which there may be many thousands."""
    return {
        name: plain(getattr(progress, name))
        for name in progress.__struct_fields__
        if name != "logs"
    }


def _print_end(made: Sweep, progress: Progress) -> int:
    from adaptive_scheduler.io.system.read_logs import tail
    from adaptive_scheduler.runs.views import sweep as views

    last = [(one, tail(one.log, TAIL) or "") for one in progress.failures[:FAILURES]]
    last += [(one, "") for one in progress.failures[FAILURES:]]
    if not progress.is_interrupted:
        for text in views.failures(last, FAILURES):
            console.print(text, highlight=False, soft_wrap=True)
    print_line(views.end_line(progress))
    if progress.is_interrupted:
        print_line("Interrupted: what ran was ended. To go on, run the same command again.")
        return exit_codes.INTERRUPTED
    if progress.problem:
        print_line(f"{progress.problem}. Mend that, and run the same command again.", "bold red")
        return exit_codes.FAILED
    if not progress.has_succeeded:
        print_line("To run again what has not succeeded, run the same command again.")
        run = quoted(made.folder.run)
        print_line(f"More about each: adaptive-scheduler tasks {run} --state failed")
        return exit_codes.FAILED
    return exit_codes.DONE


def _join(output: str, title: str | None, typed: list[str], *, dry_run: bool) -> int:
    from adaptive_scheduler.commandline.output.dry_run import would
    from adaptive_scheduler.core.texts import counted
    from adaptive_scheduler.runs.driver.pools import serve_run
    from adaptive_scheduler.runs.sweep.join import find_sweep, place_of_joiner
    from adaptive_scheduler.schedulers.here import Here

    folder = find_sweep(output, title)
    place = place_of_joiner(folder, typed)
    print_line(
        f"{would(dry_run)}Commands of {folder.output} run here too, in {counted(place.slots, 'slot')}. Ctrl-C "
        "leaves; the sweep goes on."
    )
    assert isinstance(place.where, Here), place
    code = exit_codes.DONE if dry_run else serve_run(folder.run, place.where)
    print_result(
        "sweep", dry_run=dry_run, folder=folder.output, is_joined=True, total=0, commands=[],
        progress=None,
    )  # fmt: skip
    return code
