"""A run shown until it ends: live in a terminal, as lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.views import render

#: Seconds between two updates of the live view, and between two lines where there is no terminal.
REFRESH, LINES = 1.0, 15.0


def watch(
    get_snapshot: Callable[[], Snapshot], console: Console, is_end: Callable[[Snapshot], bool]
) -> Snapshot:
    """Show a run until `is_end` is true: live in a terminal, as lines elsewhere.

    Parameters
    ----------
    get_snapshot : callable
        Returns the run's present snapshot.
    console : rich.console.Console
    is_end : callable

    Returns
    -------
    Snapshot
        The last one.
    """
    return (
        _live(get_snapshot, console, is_end)
        if console.is_terminal
        else _lines(get_snapshot, console, is_end)
    )


def _live(
    get_snapshot: Callable[[], Snapshot], console: Console, is_end: Callable[[Snapshot], bool]
) -> Snapshot:
    from rich.live import Live

    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            snapshot = get_snapshot()
            live.update(render.overview(snapshot, rows=_rows(console)), refresh=True)
            if is_end(snapshot):
                return snapshot
            time.sleep(REFRESH)


def _rows(console: Console) -> int:
    """Lines for each of the two tables, so that all fits on the screen."""
    return max(3, (console.height - 12) // 2)


def _lines(
    get_snapshot: Callable[[], Snapshot], console: Console, is_end: Callable[[Snapshot], bool]
) -> Snapshot:
    shown, due = "", 0.0
    while True:
        snapshot = get_snapshot()
        state = f"{snapshot.phases} {snapshot.notes}"
        end = is_end(snapshot)
        if (
            end
            or (state != shown and time.monotonic() >= due - LINES + REFRESH)
            or time.monotonic() >= due
        ):
            shown, due = state, time.monotonic() + LINES
            for text in [render.line(snapshot), *(note.plain for note in render.notes(snapshot))]:
                console.print(text, markup=False, highlight=False, soft_wrap=True)
        if end:
            return snapshot
        time.sleep(REFRESH)


class NothingLeft:
    """Whether there is nothing left to watch.

    Parameters
    ----------
    patience : float
        Seconds that jobs have to leave after the last learner has ended.
    """

    def __init__(self, patience: float = 60.0) -> None:
        self._patience = patience
        self._over_since: float | None = None

    def __call__(self, snapshot: Snapshot) -> bool:
        """Whether the run is over and its jobs are gone, or it needs its user to go on."""
        if not snapshot.alive:
            return True
        if snapshot.is_held and not snapshot.jobs:
            return True
        if not snapshot.over:
            self._over_since = None
            return False
        if self._over_since is None:
            self._over_since = time.monotonic()
        return not snapshot.jobs or time.monotonic() - self._over_since > self._patience
