"""The command ``list``: all runs below a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import AsJson
from adaptive_scheduler.commandline.input.find_run import runs_below
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import SCHEMA_VERSION, plain, print_json
from adaptive_scheduler.commandline.output.terminal import console, print_line
from adaptive_scheduler.errors import InputError


@reports_errors
def list_runs(
    folder: Annotated[
        Path, typer.Argument(help="Where to look. Default: the current folder.", metavar="FOLDER",
                             show_default=False, readable=False)
    ] = Path(),
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """List all runs below a folder: state, progress, age, host of the manager.

    Read from disk, so that runs whose managers are on other hosts are there, too. Four folders deep.

    Example: `adaptive-scheduler list ~/studies`
    """
    from adaptive_scheduler.runs.reading.summaries import summaries
    from adaptive_scheduler.runs.views.run_list import runs_table

    if not folder.is_dir():
        raise InputError(f"{folder} is no folder.")
    found = runs_below(folder.absolute())
    runs = summaries(found.runs)
    if as_json:
        print_json(
            {
                "schema_version": SCHEMA_VERSION,
                "folder": str(folder.absolute()),
                "runs": plain(runs),
            }
        )
        return
    if runs:
        console.print(runs_table(runs, str(folder.absolute()), time.time()))
    else:
        print_line(f"There is no run below {folder.absolute()}.")
    if found.passed_over:
        print_line(found.passed_over.lstrip("\n"), "dim")
