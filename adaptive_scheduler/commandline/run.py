"""The command ``run``: start the run of a learners file, or carry it on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptive_scheduler.commandline.input.options import (
    RUN_OPTIONS,
    SCHEDULER_OPTIONS,
    takes_options,
)
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import prints_option_names, reports_errors
from adaptive_scheduler.commandline.output.json_lines import has_result, print_result
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.output.terminal import console, exit_with, print_line, quoted
from adaptive_scheduler.core.texts import counted

if TYPE_CHECKING:
    from adaptive_scheduler.commandline.input.learners_file import LearnersFile
    from adaptive_scheduler.core.paths import RunFolder
    from adaptive_scheduler.runs.run_manager import RunManager


@reports_errors
@has_result
@takes_options("scheduler", SCHEDULER_OPTIONS, "What each job asks for")
@takes_options("options", RUN_OPTIONS, "How the run goes")
def run(
    learners_file: Annotated[
        Path,
        typer.Argument(
            help="A Python file that defines learners, fnames and perhaps goal.",
            metavar="LEARNERS_FILE",
        ),
    ],
    goal: Annotated[
        str | None,
        typer.Option(
            help="200: points. 0.01: loss. 10m, 2h: time worked on each learner. 2030-12-01T08:00: "
            "a moment. NAME or MODULE:NAME: a function of the learner. Default: the file's goal."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder. Default: the file's name without .py; if that holds a run of "
            "other learners, the same with -2, -3, ..."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the run and return; it goes on by itself.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the job script, ask the batch system whether it would take it, and start nothing.",
        ),
    ] = False,
    *,
    options: dict[str, Any],
    scheduler: dict[str, Any],
) -> None:
    """Run all learners of a file until each reaches its goal.

    Shows the progress until the end; Ctrl-C **cancels** the run. With `--detach` it goes on by
    itself: `status` shows it, `cancel` ends it. Run again, it carries on: what is done stays done.

    Example: `adaptive-scheduler run learners_file.py --cores 32 --goal 200`
    """
    from adaptive_scheduler.commandline.input.learners_file import goal_of, load_learners_file
    from adaptive_scheduler.commandline.input.scheduler import scheduler_of_run
    from adaptive_scheduler.core.options.run_options import RunOptions
    from adaptive_scheduler.runs.run_manager import RunManager, run_folder

    options.setdefault("name", learners_file.stem)
    RunOptions(**options)  # a wrong one is reported before the learners are made
    file = load_learners_file(learners_file)
    chosen = goal_of(file, goal)
    if goal is not None:
        _refuse_passed(chosen)
    beside = folder is None and "overwrite" not in options
    home = folder or Path(learners_file.stem)
    where = _free_folder(home, file) if beside else run_folder(home, options["name"])
    made, remark = scheduler_of_run(where, scheduler)
    if remark:
        print_line(remark)
    manager = RunManager(
        made, file.learners, file.fnames, goal=chosen, folder=where.home, **options
    )
    exit_with(_print_plan(manager) if dry_run else start_and_watch(manager, detach))


def _print_plan(manager: RunManager) -> int:
    """Print what would be submitted, and whether the batch system would take it."""
    from adaptive_scheduler.commandline.output.dry_run import print_trials, trials_as_json

    print_line(manager.job_script())
    print_line(
        f"Nothing is submitted. Without --dry-run: {counted(len(manager.fnames), 'learner')}, "
        f"in {manager.folder.home}"
    )
    trials = manager.trial_submit()
    _print_for_programs(manager, script=manager.job_script(), trials=trials_as_json(trials))
    return print_trials(trials)


def _print_for_programs(
    manager: RunManager,
    phases: dict[str, int] | None = None,
    script: str | None = None,
    trials: Sequence[dict[str, object]] = (),
) -> None:
    """Print what was started, how it ended if that was watched, or what would be submitted."""
    print_result(
        "run", dry_run=script is not None, folder=manager.folder.home, learners=len(manager.fnames),
        phases=phases, job_script=script, trials=list(trials),
    )  # fmt: skip


def _refuse_passed(goal: Any) -> None:
    """Refuse a typed moment in the past, although a run may be carried on without one.

    Learners that are not done would end with the data they have, and failed ones count as done.
    """
    from adaptive_scheduler.core.goals import parse_goal, refuse_passed

    refuse_passed(parse_goal(goal), time.time())


def _free_folder(wanted: Path, file: LearnersFile) -> RunFolder:
    """The default folder, or one beside it if that holds a run of other learners."""
    from adaptive_scheduler.runs.run_manager import run_folder
    from adaptive_scheduler.runs.start.fnames import absolute_fnames
    from adaptive_scheduler.runs.start.own_folder import folder_of, moved
    from adaptive_scheduler.runs.start.plan import check_learners

    default = run_folder(wanted, wanted.name)
    found = folder_of(default, absolute_fnames(file.fnames, check_learners(file.learners)))
    if found.home != default.home:
        print_line(in_option_names(moved(default, found)))
    return found


def start_and_watch(manager: RunManager, detach: bool) -> int:
    """Start a run; show it until it ends, unless detached; returns the exit code.

    Ctrl-C cancels the run: its jobs save and leave the queue, its manager ends.
    """
    from adaptive_scheduler.commandline.output.ending import print_end
    from adaptive_scheduler.commandline.output.watching import NothingLeft, watch

    try:
        with prints_option_names():
            manager.start()
        if detach:
            print_line(
                "The run goes on by itself. Watch it with: adaptive-scheduler status --watch "
                f"{quoted(manager.folder)}"
            )
            _print_for_programs(manager)
            return exit_codes.DONE
        print_line(
            "Ctrl-C cancels the run; its data are kept. To start a run that goes on by itself, "
            "use --detach.", "dim",
        )  # fmt: skip
        last = watch(manager.snapshot, console, NothingLeft())
        code, phases = print_end(last, manager.folder), last.phases
    except KeyboardInterrupt:
        code, has_begun = _cancel(manager), manager.folder.config.exists()
        phases = manager.snapshot("none").phases if has_begun else {}
    _print_for_programs(manager, phases)
    return code


def _cancel(manager: RunManager) -> int:
    """Cancel a run whose start or watching was interrupted; returns the exit code."""
    from adaptive_scheduler.commandline.output.ending import wait_for_jobs

    print_line(
        "\nCancelling: the jobs save their data and end. Ctrl-C again stops waiting for them."
    )
    try:
        if manager.folder.config.exists():
            manager.cancel()
            wait_for_jobs(manager)
            print_line(f"To go on: adaptive-scheduler resume {quoted(manager.folder)}")
    except KeyboardInterrupt:
        again = f"adaptive-scheduler cancel {quoted(manager.folder)}"
        print_line(f"Jobs may be left. To be sure: {again}", "bold red")
    return exit_codes.INTERRUPTED
