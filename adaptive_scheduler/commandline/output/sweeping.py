"""A sweep shown: live in a terminal, as lines elsewhere, and what the first task prints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live

from adaptive_scheduler.runs.sweep.progress import Progress
from adaptive_scheduler.runs.views import sweep as views

#: Seconds between two lines where there is no terminal.
LINES = 15.0

Show = Callable[[Progress], None]


@contextmanager
def shown(console: Console, *, is_debug: bool) -> Iterator[Show]:
    """Within it, what is given a progress shows it."""
    if is_debug:
        outputs = _Outputs()
        yield outputs.show
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda progress: live.update(views.overview(progress), refresh=True)
    else:
        yield _Lines(console).show


class _Lines:
    """A line now and then, and one for each failure and each new note."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._failures = 0
        self._notes: list[str] = []
        self._due = 0.0

    def show(self, progress: Progress) -> None:
        """Print what is new."""
        lines = [views.failure_line(one) for one in progress.failures[self._failures :]]
        self._failures = len(progress.failures)
        lines += [note for note in progress.notes if note not in self._notes]
        self._notes = list(progress.notes)
        if time.monotonic() >= self._due and progress.ended < progress.total:
            lines.append(views.line(progress))
            self._due = time.monotonic() + LINES
        for line in lines:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Outputs:
    """What commands print, as they print it."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def show(self, progress: Progress) -> None:
        """Copy what is new in their logs."""
        for path in progress.logs:
            self._copy(path)

    def _copy(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
        except FileNotFoundError:  # it has not begun
            return
        self._read[path] = self._read.get(path, 0) + len(data)
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), data)
