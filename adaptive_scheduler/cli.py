"""The command line ``adaptive-scheduler``: its commands, in the order of the help.

Each command is a module of `commandline`, which is imported when the command is called, and imports
what it needs when it needs it: `status` must not wait for the options of `run`, nor ``--help`` for
the scientific packages.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from adaptive_scheduler.commandline.far_command import names_far_run, run_command_there
from adaptive_scheduler.commandline.input.parsing.lazy_commands import CommandPlace, lazy_group
from adaptive_scheduler.commandline.input.parsing.plain_help import HELP_NAMES
from adaptive_scheduler.commandline.input.parsing.zsh_script import complete_at_first_tab
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.streams import safe_streams

_LISTS = "input.word_lists:CommandWithLists"
_NEGATIVES = "tasks.prioritise:CommandWithNegatives"
#: In the order of the help.
COMMANDS = {
    "run": CommandPlace("run:run"),
    "status": CommandPlace("status:status"),
    "list": CommandPlace("about.list_runs:list_runs"),
    "explain": CommandPlace("diagnosis.explain:explain"),
    "web": CommandPlace("faces.web:web"),
    "logs": CommandPlace("logs:logs"),
    "report": CommandPlace("faces.report:report"),
    "cancel": CommandPlace("cancel:cancel"),
    "resume": CommandPlace("resume:resume"),
    "retry": CommandPlace("retry:retry"),
    "doctor": CommandPlace("doctor:doctor"),
    "manager": CommandPlace("manager:manager"),
    "check": CommandPlace("doctor:doctor", short_help="The other name of `doctor`."),
    "help": CommandPlace("about.help:help_on"),
    "tasks": CommandPlace("tasks.tasks:tasks", panel="Tasks"),
    "task": CommandPlace("tasks.task:task", panel="Tasks"),
    "prioritise": CommandPlace("tasks.prioritise:prioritise", _NEGATIVES, "Tasks"),
    "search": CommandPlace("tasks.search:search", panel="Tasks"),
    "sweep": CommandPlace("sweep:sweep", _LISTS, "Tasks"),
    "results": CommandPlace("results:results", _LISTS, "Tasks"),
    "pool": CommandPlace("tasks.pool:pool", panel="Tasks"),
}

app = typer.Typer(
    name="adaptive-scheduler",
    cls=lazy_group(COMMANDS),
    context_settings=HELP_NAMES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog=exit_codes.TEXT,
)


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
    with safe_streams():
        _run(sys.argv[1:])


def _run(words: list[str]) -> None:
    if names_far_run(words):
        try:
            run_command_there(words, as_json="--json" in words)
        except typer.Exit as end:
            sys.exit(end.exit_code)
        return
    if any(word.startswith(("--install-completion", "--show-completion")) for word in words):
        complete_at_first_tab()
    try:
        app(prog_name="adaptive-scheduler")
    except KeyboardInterrupt:  # before a command had begun: each has its own way to end
        sys.exit(exit_codes.INTERRUPTED)


if __name__ == "__main__":
    main()
