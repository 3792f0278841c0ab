"""The command ``check``: try with one small job what a run will need."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.input.options import SCHEDULER_OPTIONS, takes_options
from adaptive_scheduler.commandline.output import exit_codes
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import plain, print_json
from adaptive_scheduler.commandline.output.option_names import in_option_names
from adaptive_scheduler.commandline.output.terminal import console, exit_with, print_line
from adaptive_scheduler.core.check_results import CheckResult


@reports_errors
@takes_options("scheduler", SCHEDULER_OPTIONS, "What each job asks for")
def check(
    folder: Annotated[
        Path, typer.Option(help="Where the run's folder and its data would be.")
    ] = Path(),
    timeout: Annotated[str, typer.Option(help="How long to wait for the job.")] = "10m",
    tasks: Annotated[
        bool, typer.Option("--tasks", help="What a pool's jobs need, in place of MPI.")
    ] = False,
    as_json: AsJson = False,
    *,
    scheduler: dict[str, Any],
) -> None:
    """Try with one small job all that a run needs.

    Prints what to do about each thing that fails. It tries Python and its packages, MPI (or, with
    --tasks, what a pool's jobs have for tasks), the network between jobs and this host, and
    writing and locking in the folder.

    Example: `adaptive-scheduler check --scheduler slurm --cores 4`
    """
    from adaptive_scheduler.commandline.input.scheduler import make_scheduler
    from adaptive_scheduler.commandline.input.values import seconds
    from adaptive_scheduler.core.rows.row import LEARNER, TASK
    from adaptive_scheduler.runs import check as checking

    made = make_scheduler(scheduler)
    folder = folder.absolute()
    results = checking.check(
        checking.ClusterCheck(
            made, made.shapes(1)[0][0], folder, folder, seconds(timeout, "--timeout"),
            report=_ignore if as_json else _print_dim, kind=TASK if tasks else LEARNER,
        )
    )  # fmt: skip
    if as_json:
        print_json(plain(results))
    else:
        _print_results(results)
    exit_with(exit_codes.DONE if all(result.ok for result in results) else exit_codes.FAILED)


def _print_dim(text: str) -> None:
    print_line(text, "dim")


def _ignore(_: str) -> None:
    return None


def _print_results(results: list[CheckResult]) -> None:
    for result in results:
        mark = Text("ok    ", "green") if result.ok else Text("FAILED", "bold red")
        console.print(Text.assemble(mark, f" {result.what}: {result.found}"), soft_wrap=True)
        if result.remedy and not result.ok:
            remedy = in_option_names(result.remedy)
            console.print(Text(f"       -> {remedy}", "yellow"), soft_wrap=True)
