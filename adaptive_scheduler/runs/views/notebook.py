"""The live picture of a run: in a notebook it updates itself, in a terminal it is printed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rich.console import Console

from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.views import render as views

#: Tasks live only as long as somebody holds them.
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
        Makes a snapshot; called in a thread.
    interval : float
        Seconds between two updates in a notebook.
    """
    picture = draw()
    if not in_notebook():
        Console().print(views.overview(picture))
        return
    from IPython.display import HTML, display

    handle = display(HTML(views.as_html(views.overview(picture))), display_id=True)
    task = asyncio.get_running_loop().create_task(_update(handle, draw, interval, picture))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _update(
    handle: Any, draw: Callable[[], Snapshot], interval: float, picture: Snapshot
) -> None:
    """Redraw until all is over; a manager that is away is shown as such."""
    from IPython.display import HTML

    while picture.alive or not picture.over:
        await asyncio.sleep(interval)
        try:
            picture = await asyncio.to_thread(draw)
            html = views.as_html(views.overview(picture))
        except AdaptiveSchedulerError as error:
            html = views.as_html(str(error))
        handle.update(HTML(html))
