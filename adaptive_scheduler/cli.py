"""The command line ``adaptive-scheduler``.

What a command needs is imported when it is called: ``--help`` and shell
completion must not wait for the scientific packages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from adaptive_scheduler.commandline import exits
from adaptive_scheduler.commandline.exits import answers
from adaptive_scheduler.commandline.options import with_scheduler

app = typer.Typer(
    name="adaptive-scheduler",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Run many `adaptive` learners on many cores of a SLURM or PBS cluster, or of this machine.

A *learners file* is a Python file that defines `learners` and `fnames` (where the data
of each go), and perhaps `goal`. For example:

    adaptive-scheduler check --scheduler slurm --cores 4
    adaptive-scheduler run learners_file.py --scheduler slurm --cores 32 --goal 200 --detach
    adaptive-scheduler status --watch

The data go to `fnames`; everything else (database, logs, job scripts) into the run's folder.
A learner that is done stays done: `run` and `resume` on the same folder carry on.
""",
    epilog=exits.TEXT.replace("\n", " "),
)

Run = Annotated[
    Path | None,
    typer.Argument(
        help="The run: its folder, its database or its .run folder. Default: the one run below "
        "the current folder.",
        metavar="[RUN]",
        readable=False,  # whose it is, we say ourselves
    ),
]
NamedRun = Annotated[
    Path,
    typer.Argument(
        help="The run: its folder, database or .run folder.", metavar="RUN", readable=False
    ),
]


@app.command()
@answers
@with_scheduler
def run(
    learners_file: Annotated[
        Path, typer.Argument(help="Defines learners, fnames and perhaps goal.")
    ],
    goal: Annotated[
        str | None,
        typer.Option(
            help="200: points. 0.01: loss. 10m, 2h: time worked on each. A moment: 2026-12-01T08:00. "
            "NAME or MODULE:NAME: a function of the learner. Default: the file's goal."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="The run's folder. Default: the file's name without .py, and with -2 behind it if "
            "that holds a run of other learners."
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start and return; the run goes on by itself.")
    ] = False,
    max_jobs: Annotated[int, typer.Option(help="Most jobs in the queue at a time.", min=1)] = 100,
    name: Annotated[str | None, typer.Option(help="Name of the jobs in the queue.")] = None,
    save_interval: Annotated[str, typer.Option(help="Time between two saves.")] = "5m",
    points_interval: Annotated[
        str,
        typer.Option(help="Finished points are on disk, beside the data, after this time."),
    ] = "1s",
    point_timeout: Annotated[
        str | None,
        typer.Option(help="One evaluation may take this long, else its learner has failed."),
    ] = None,
    point_retries: Annotated[
        int, typer.Option(help="An evaluation that raised is tried so often again.", min=0)
    ] = 2,
    max_fails: Annotated[
        int,
        typer.Option(help="A learner may fail so often without getting on.", min=0),
    ] = 3,
    client_patience: Annotated[
        str,
        typer.Option(help="Jobs without a manager go on computing this long, then save and leave."),
    ] = "24h",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Forget what the folder's database says; data are kept."),
    ] = False,
    check_first: Annotated[
        bool, typer.Option("--check", help="Do what `check` does first.")
    ] = False,
    *,
    scheduler: Any,
) -> None:
    """Run all learners of a file to their goal.

    Stays and shows the progress; Ctrl-C then **cancels** the run. With `--detach` it
    goes on without you: `status` shows it, `cancel` ends it.
    """
    from adaptive_scheduler.commandline.loading import goal_of, load_learners_file
    from adaptive_scheduler.commandline.running import leave, start_and_stay
    from adaptive_scheduler.commandline.values import seconds
    from adaptive_scheduler.runs.run_manager import RunManager

    file = load_learners_file(learners_file)
    manager = RunManager(
        scheduler,
        file.learners,
        file.fnames,
        goal=goal_of(file, goal),
        folder=folder or Path(learners_file.stem),
        name=name or learners_file.stem,
        max_jobs=max_jobs,
        save_interval=seconds(save_interval, "--save-interval"),
        points_interval=seconds(points_interval, "--points-interval"),
        point_timeout=None if point_timeout is None else seconds(point_timeout, "--point-timeout"),
        point_retries=point_retries,
        max_fails=max_fails,
        client_patience=seconds(client_patience, "--client-patience"),
        overwrite=overwrite,
        check=check_first,
    )
    if folder is None and not overwrite:
        manager.step_aside()
    leave(start_and_stay(manager, detach))


@app.command()
@answers
def status(
    run: Run = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay until the run is over.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All learners and all jobs.")] = False,
) -> None:
    """Show how a run stands. Changes nothing; Ctrl-C ends the watching only."""
    from adaptive_scheduler.commandline import showing
    from adaptive_scheduler.commandline.finding import find_run
    from adaptive_scheduler.commandline.running import leave

    leave(showing.status(find_run(run), watch, as_json, everything))


@app.command()
@answers
def logs(
    run: NamedRun,
    learner: Annotated[
        str | None, typer.Argument(help="Its number, its fname, or the end of its fname.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Most lines.", min=1)] = 100,
) -> None:
    """Tell what happened: to one learner, with its traceback, or in the whole run."""
    from adaptive_scheduler.commandline import showing
    from adaptive_scheduler.commandline.finding import find_run

    folder = find_run(run)
    if learner is None:
        showing.run_logs(folder, lines)
    else:
        showing.learner_logs(folder, learner, lines)


@app.command()
@answers
def cancel(run: NamedRun) -> None:
    """End a run: its jobs save, release their learners and leave the queue."""
    from adaptive_scheduler.commandline import changing
    from adaptive_scheduler.commandline.finding import find_run

    changing.cancel(find_run(run))


@app.command()
@answers
def resume(
    run: Run = None,
    if_dead: Annotated[
        bool,
        typer.Option(
            "--if-dead", help="Only if its manager has died (for cron): never after a cancel."
        ),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay and show the progress.")
    ] = False,
) -> None:
    """Go on with a run whose manager died, that is held, or that was cancelled.

    Learners that are done stay done; jobs that still run are taken over.
    """
    from adaptive_scheduler.commandline import changing
    from adaptive_scheduler.commandline.finding import find_run
    from adaptive_scheduler.commandline.running import leave

    leave(changing.resume(find_run(run), if_dead, watch))


@app.command()
@answers
def retry(
    run: NamedRun,
    learners: Annotated[
        list[str] | None,
        typer.Argument(help="Numbers or fnames. Default: all that failed.", metavar="[LEARNER]..."),
    ] = None,
    learners_file: Annotated[
        Path | None, typer.Option(help="Take functions and goal anew from this file.")
    ] = None,
    goal: Annotated[
        str | None, typer.Option(help="A new goal, as in `run`; opens DONE learners that miss it.")
    ] = None,
) -> None:
    """Run learners again: budgets start anew, data are kept."""
    from adaptive_scheduler.commandline import changing
    from adaptive_scheduler.commandline.finding import find_run

    changing.retry(find_run(run), changing.Again(learners or [], learners_file, goal))


@app.command()
@answers
@with_scheduler
def check(
    folder: Annotated[
        Path, typer.Option(help="Where a run's folder and its data would be.")
    ] = Path(),
    timeout: Annotated[str, typer.Option(help="How long to wait for the job.")] = "10m",
    *,
    scheduler: Any,
) -> None:
    """Try everything with one small job, and say for each thing what to do if it fails.

    Python and its packages, the MPI world, the way back to this host on each address,
    writing and locking in the folder.
    """
    from adaptive_scheduler.commandline import showing
    from adaptive_scheduler.commandline.running import leave
    from adaptive_scheduler.commandline.values import seconds

    leave(showing.check(scheduler, folder, seconds(timeout, "--timeout")))


@app.command()
@answers
def manager(
    run: Run = None,
    as_job: Annotated[
        bool,
        typer.Option("--as-job", help="In an allocation of its own, of the run's batch system."),
    ] = False,
    walltime: Annotated[
        str | None, typer.Option(help="With --as-job: of that allocation, e.g. 7d.")
    ] = None,
) -> None:
    """Be the manager of a run, in the foreground: for tmux or systemd.

    Ctrl-C ends the manager only: jobs go on, and wait for the next one.
    """
    from adaptive_scheduler.commandline import managing
    from adaptive_scheduler.commandline.finding import find_run
    from adaptive_scheduler.commandline.running import leave

    folder = find_run(run)
    leave(managing.submit(folder, walltime) if as_job else managing.serve(folder))


def main() -> None:
    """Run the command line; the entry point of the package."""
    app(prog_name="adaptive-scheduler")


if __name__ == "__main__":
    main()
