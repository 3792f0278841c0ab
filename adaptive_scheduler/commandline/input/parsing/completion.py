"""What a shell offers after TAB: runs, learners, tasks, pools.

Whatever goes wrong, nothing is offered and nothing is printed: a message would land in the middle of the line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adaptive_scheduler.errors import AdaptiveSchedulerError

if TYPE_CHECKING:
    from adaptive_scheduler.core.paths import RunFolder

#: Most words that are offered.
MOST = 200
#: What a shell would read as something else; bash inserts what it is offered as it is.
_SPECIAL = re.compile(r"([^\w@%+=:,./~-])")
#: Set by the script that `--install-completion` writes.
_SHELL = "_ADAPTIVE_SCHEDULER_COMPLETE"


def complete_run(incomplete: str) -> list[str]:
    """Return the runs below the current folder, or below the folder that is typed."""
    try:
        return _offered(_runs(incomplete), incomplete)
    except (AdaptiveSchedulerError, OSError):
        return []


def complete_run_and_items(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return runs, and learners or tasks of the run that is typed, or of the only one."""
    try:
        return _run_and_items(list(ctx.params.get("words") or []), incomplete)
    except (AdaptiveSchedulerError, OSError):
        return []


def _run_and_items(words: list[str], incomplete: str) -> list[str]:
    from adaptive_scheduler.commandline.input.find_run import split_run

    found = [] if words else _runs(incomplete)
    try:
        folder, _ = split_run(words)
    except AdaptiveSchedulerError:  # there are several, and none is named yet
        return _offered(found, incomplete)
    return _offered([*found, *_items(folder)], incomplete)


def _runs(incomplete: str) -> list[str]:
    from adaptive_scheduler.commandline.input.find_run import runs_below

    where = os.path.dirname(incomplete)  # noqa: PTH120  stays as it was typed
    start = Path(where or ".").expanduser()
    if not start.is_dir():
        return []
    base = start.absolute()
    homes = [os.path.relpath(run.home, base) for run in runs_below(base).runs]
    return [os.path.join(where, home) for home in homes]  # noqa: PTH118


def _items(folder: RunFolder) -> list[str]:
    """Numbers of learners or tasks, and the ends of fnames, or names."""
    from adaptive_scheduler.io.storage import row_codec
    from adaptive_scheduler.io.storage.read_only import read_tables

    rows = row_codec.read_items(read_tables(folder, undecoded=True), folder)
    names = [getattr(row, "name", "") or row.fname for row in rows]
    ends = {Path(name).name: None for name in names if isinstance(name, str) and name}
    return [*(str(row.id) for row in rows), *ends]


def _offered(words: Iterable[str], incomplete: str) -> list[str]:
    fitting = [word for word in words if word.startswith(incomplete)][:MOST]
    if not os.environ.get(_SHELL, "").endswith("_bash"):
        return fitting  # other shells quote by themselves
    return [_SPECIAL.sub(r"\\\1", word) for word in fitting]
