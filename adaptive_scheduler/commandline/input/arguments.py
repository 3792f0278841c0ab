"""Arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adaptive_scheduler.commandline.input.parsing.completion import (
    complete_run,
    complete_run_and_items,
)

#: A run; the only one below the current folder if it is left out.
OptionalRun = Annotated[
    Path | None,
    typer.Argument(
        help="The run: its folder, its database or its .run folder. Default: the only run below "
        "the current folder.",
        metavar="RUN",
        autocompletion=complete_run,
        readable=False,  # find_run says whose it is
    ),
]
#: A run, which may be left out, and some of its learners or tasks: see `split_run`.
RunAndItems = Annotated[
    list[str] | None,
    typer.Argument(
        help="The run, which may be left out if there is only one below the current folder; and "
        "learners (numbers, fnames or their ends) or tasks (ids, ranges such as 20-29, names).",
        metavar="[RUN] [LEARNER|TASK ...]",
        autocompletion=complete_run_and_items,
        show_default=False,
    ),
]
#: A run, which may be left out, and one name.
RunAndName = Annotated[
    list[str],
    typer.Argument(
        help="The run, which may be left out if there is only one below the current folder; and "
        "the pool's name.",
        metavar="[RUN] NAME",
        autocompletion=complete_run,
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Stay, and show the progress until the end.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")
]
Tag = Annotated[
    str | None, typer.Option("--tag", help="The tasks that were submitted with this tag.")
]
