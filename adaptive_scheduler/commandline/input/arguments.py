"""Arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: A run; the only one below the current folder if it is left out.
OptionalRun = Annotated[
    Path | None,
    typer.Argument(
        help="The run: its folder, its database or its .run folder. Default: the only run below "
        "the current folder.",
        metavar="RUN",
        readable=False,  # find_run says whose it is
    ),
]
#: A run that must be named.
NamedRun = Annotated[
    Path,
    typer.Argument(
        help="The run: its folder, its database or its .run folder.", metavar="RUN", readable=False
    ),
]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Stay, and show the progress until the end.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Tag = Annotated[
    str | None, typer.Option("--tag", help="The tasks that were submitted with this tag.")
]
