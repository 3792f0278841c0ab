"""The command ``report``: what happened in a run, as one file that opens anywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.arguments import OptionalRun
from adaptive_scheduler.commandline.input.find_run import find_run
from adaptive_scheduler.commandline.output.errors import reports_errors
from adaptive_scheduler.commandline.output.json_lines import print_json_text
from adaptive_scheduler.commandline.output.terminal import print_line
from adaptive_scheduler.errors import InputError


@reports_errors
def report(
    run: OptionalRun = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file; one that exists is replaced. Default: report.html; "
            "with --json or --markdown it is printed.", metavar="FILE",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same numbers for programs: one JSON object.")
    ] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The same as text, for a letter.")
    ] = False,
) -> None:  # fmt: skip
    """Write a report of a run: what ran when, where the time went, what failed and why.

    One HTML file that opens anywhere, without a network. The run may still go on, or have no manager;
    nothing of it is changed.

    Example: `adaptive-scheduler report -o report.html`
    """
    from adaptive_scheduler.runs.report.write import Form, check_target, report_text, write_report

    if as_json and markdown:
        raise InputError("--json and --markdown are two forms: give one of them.")
    form: Form | None = "json" if as_json else "markdown" if markdown else None
    target = output if output is not None or form else Path("report.html")
    if target is not None:
        check_target(target)
    folder = find_run(run)
    if target is None:
        text = report_text(folder, form or "html")
        print_json_text(text) if form == "json" else sys.stdout.write(text)
        return
    written = f"Written: {write_report(folder, target, form)}"
    if as_json:  # standard output is for programs
        sys.stderr.write(written + "\n")
    else:
        print_line(written)
