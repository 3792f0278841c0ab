"""Shows a run: in a notebook as tables that update themselves, in a terminal once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.errors import AdaptiveSchedulerError
from adaptive_scheduler.runs.views import render

if TYPE_CHECKING:
    from adaptive_scheduler.runs.views.page.session import RunViews

#: asyncio keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def show(open_views: Callable[[], RunViews], draw: Callable[[], Snapshot], interval: float) -> None:
    """Show a run: in a notebook by a widget, or as tables if anywidget is missing; else as text.

    Parameters
    ----------
    open_views : callable
        Returns what opens conversations with the widget; called in a notebook.
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

    bundle = widget_of(open_views, interval)
    if bundle is not None:
        text = render.as_html(render.overview(snapshot))  # for who shows the file without a kernel
        plain = f"{render.line(snapshot)}"
        display({**bundle, "text/html": text, "text/plain": plain}, raw=True)
        return

    handle = display(HTML(render.as_html(render.overview(snapshot))), display_id=True)
    task = asyncio.get_running_loop().create_task(_update(handle, draw, interval, snapshot))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def widget_bundle(folder: RunFolder, interval: float = 2.0) -> dict[str, Any] | None:
    """Return what makes a notebook show the widget of a run; None if it cannot, or there is no run."""
    if not in_notebook() or not folder.config.exists():
        return None
    return widget_of(lambda: local_views(folder, interval), interval)


def local_views(folder: RunFolder, interval: float) -> RunViews:
    """Return what opens views of a run whose folder is here."""
    from adaptive_scheduler.runs.views.page.session import LocalViews  # with what draws

    return LocalViews(folder, interval, may_change=True)


def widget_of(open_views: Callable[[], RunViews], interval: float) -> dict[str, Any] | None:
    """Return what makes a notebook show a widget; None if it cannot."""
    if not in_notebook():
        return None
    try:
        from adaptive_scheduler.runs.views.widget import MIME, RunWidget
    except ImportError:
        return None
    widget = RunWidget(open_views(), interval)
    return {MIME: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}}


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
