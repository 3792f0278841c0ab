"""The command line ``adaptive-scheduler``: its commands, in the order of the help.

Each command is a module of `commandline`. It imports what it needs when it is called: ``--help``
must not wait for the scientific packages.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from adaptive_scheduler.commandline.about.help import help_on
from adaptive_scheduler.commandline.about.list_runs import list_runs
from adaptive_scheduler.commandline.cancel import cancel
from adaptive_scheduler.commandline.diagnosis.explain import explain
from adaptive_scheduler.commandline.doctor import doctor
from adaptive_scheduler.commandline.faces.report import report
from adaptive_scheduler.commandline.faces.web import web
from adaptive_scheduler.commandline.far_command import names_far_run, run_command_there
from adaptive_scheduler.commandline.input.options import CommandWithAliases
from adaptive_scheduler.commandline.input.parsing.plain_help import HELP_NAMES, GroupWithPlainHelp
from adaptive_scheduler.commandline.input.word_lists import CommandWithLists
from adaptive_scheduler.commandline.logs import logs
from adaptive_scheduler.commandline.manager import manager
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.results import results
from adaptive_scheduler.commandline.resume import resume
from adaptive_scheduler.commandline.retry import retry
from adaptive_scheduler.commandline.run import run
from adaptive_scheduler.commandline.status import status
from adaptive_scheduler.commandline.sweep import sweep
from adaptive_scheduler.commandline.tasks.pool import pool
from adaptive_scheduler.commandline.tasks.prioritise import CommandWithNegatives, prioritise
from adaptive_scheduler.commandline.tasks.search import search
from adaptive_scheduler.commandline.tasks.task import task
from adaptive_scheduler.commandline.tasks.tasks import tasks

app = typer.Typer(
    name="adaptive-scheduler",
    cls=GroupWithPlainHelp,
    context_settings=HELP_NAMES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=exit_codes.TEXT,
)
for command in (run, status):
    app.command(cls=CommandWithAliases)(command)
app.command("list", cls=CommandWithAliases)(list_runs)
for command in (explain, web, logs, report, cancel, resume, retry, doctor, manager):
    app.command(cls=CommandWithAliases)(command)
app.command("check", cls=CommandWithAliases, short_help="The other name of `doctor`.")(doctor)
app.command("help", cls=CommandWithAliases)(help_on)
for command in (tasks, task):
    app.command(cls=CommandWithAliases, rich_help_panel="Tasks")(command)
app.command(cls=CommandWithNegatives, rich_help_panel="Tasks")(prioritise)
app.command(cls=CommandWithAliases, rich_help_panel="Tasks")(search)
app.command(cls=CommandWithLists, rich_help_panel="Tasks")(sweep)
app.command(cls=CommandWithLists, rich_help_panel="Tasks")(results)
app.add_typer(pool, name="pool", rich_help_panel="Tasks")


def _print_version(wanted: bool) -> None:
    if wanted:
        from adaptive_scheduler import __version__

        typer.echo(f"adaptive-scheduler {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Run many `adaptive` learners on many cores of a SLURM or PBS cluster, or of this machine.

    A *learners file* is a Python file that defines `learners`, `fnames` (where the data of each
    go) and perhaps `goal`. For example:

        adaptive-scheduler doctor --scheduler slurm --cores 4
        adaptive-scheduler run learners_file.py --cores 32 --goal 200 --detach
        adaptive-scheduler status --watch

    The data go to `fnames`; database, logs and job scripts go to the run's folder. A learner that
    is done stays done: `run` and `resume` on the same folder carry on.

    A run of *tasks*, single calls and shell commands, is started from Python, by an `Executor`, or by
    `sweep` or `search`; `tasks`, `task`, `prioritise` and `pool` are for such runs, `results` for sweeps, the
    others for both kinds.
    """


def main() -> None:
    """Run the command line; the entry point of the package."""
    words = sys.argv[1:]
    if names_far_run(words):
        try:
            run_command_there(words)
        except typer.Exit as end:
            sys.exit(end.exit_code)
        return
    try:
        app(prog_name="adaptive-scheduler")
    except KeyboardInterrupt:  # before a command had begun: each has its own way to end
        sys.exit(exit_codes.INTERRUPTED)


if __name__ == "__main__":
    main()
