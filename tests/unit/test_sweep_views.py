"""How a sweep looks while it runs."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from adaptive_scheduler.runs.sweep.progress import FailedCommand, Progress
from adaptive_scheduler.runs.views import sweep as views


def test_the_bar_has_a_line_of_its_own_so_that_80_columns_show_all() -> None:
    failed = FailedCommand("X_[red]1", "train", "ended with\nstatus 1", Path("log"))
    progress = Progress(20, slots=2, done=5, failed=1, running=2, seconds=4.0, failures=[failed])
    printed = io.StringIO()
    Console(file=printed, width=80).print(views.overview(progress))
    bar, line, failure = printed.getvalue().splitlines()
    assert set(bar.strip()) <= {"\u2501", "\u2578"}
    assert line.strip() == "running 2, done 5, failed 1 of 20; 1.5/s, 9 s left; 2 slots"
    assert failure.strip() == "FAILED train of X_[red]1: ended with status 1"
