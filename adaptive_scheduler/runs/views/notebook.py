"""Shows a run: in a notebook as tables that update themselves, in a terminal once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.views import render

#: asyncio keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def show(draw: Callable[[], Snapshot], interval: float) -> None:
    """Show a run.

    Parameters
    ----------
    draw : callable
        Returns a snapshot; called in a thread.
    interval : float
        Seconds between two updates in a notebook.
    """
    snapshot = draw()
    if not in_notebook():
        Console().print(render.overview(snapshot))
        return
    from IPython.display import HTML, display

    handle = display(HTML(render.as_html(render.overview(snapshot))), display_id=True)
    task = asyncio.get_running_loop().create_task(_update(handle, draw, interval, snapshot))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _update(
    handle: Any, draw: Callable[[], Snapshot], interval: float, snapshot: Snapshot
) -> None:
    """Show the run again and again until it has ended; errors are shown in its place."""
    from IPython.display import HTML

    while snapshot.alive or not snapshot.over:
        await asyncio.sleep(interval)
        try:
            snapshot = await asyncio.to_thread(draw)
            html = render.as_html(render.overview(snapshot))
        except AdaptiveSchedulerError as error:
            html = render.as_html(str(error))
        handle.update(HTML(html))
