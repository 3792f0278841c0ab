"""The progress of a run while a script waits for it, on stderr: what the script prints stays alone."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import render

#: Seconds between two lines where there is no terminal.
LINES = 15.0


class WaitView:
    """Shows a run: one that moves in a terminal, elsewhere a line now and then.

    Parameters
    ----------
    console : rich.console.Console, optional
        Default: stderr.
    lines : float
        Seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console | None = None, lines: float = LINES) -> None:
        self._console = console or Console(file=sys.stderr)
        self._lines = lines
        self._live: Live | None = None
        self._last = ""
        self._due = 0.0

    def __enter__(self) -> WaitView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show how the run stands now."""
        # Colours that are forced, as in CI, make no terminal.
        if self._console.is_terminal and self._console.file.isatty():
            self._show_live(snapshot)
        else:
            self._print(snapshot)

    def end(self, snapshot: Snapshot) -> None:
        """Show how it ended; nothing if nothing was shown before: it had ended already."""
        if self._live is not None:
            self._show_live(snapshot)
        elif self._last:
            self._due = 0.0
            self._print(snapshot)

    def _show_live(self, snapshot: Snapshot) -> None:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(render.in_short(snapshot), refresh=True)

    def _print(self, snapshot: Snapshot) -> None:
        text = "\n".join([render.line(snapshot), *(one.plain for one in render.notes(snapshot))])
        if text == self._last or time.monotonic() < self._due:
            return
        self._last, self._due = text, time.monotonic() + self._lines
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
