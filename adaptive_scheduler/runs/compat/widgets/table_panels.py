"""Panels with a table: the queue, the database, the results."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.runs.compat.frame_files import load_dataframes
from adaptive_scheduler.runs.compat.widgets.parts import button, check_box, framed, ipywidgets, said
from adaptive_scheduler.runs.load_data import import_pandas

#: Most rows that a panel shows.
MOST_ROWS = 1000


def table_html(frame: Any) -> str:
    """Return a table as HTML; of one that is very long, the begin."""
    text: str = frame.to_html(max_rows=MOST_ROWS) if len(frame.columns) else "<p>nothing</p>"
    return f'<div style="max-height: 30em; overflow: auto">{text}</div>'


def table_panel(
    title: str, button_text: str, load: Callable[[], Any], controls: Callable[[Any], Sequence[Any]]
) -> Any:
    """Return a panel that shows a table, and loads it anew at the press of a button.

    Parameters
    ----------
    title, button_text : str
    load : callable
        Returns the table.
    controls : callable
        Given the function that loads anew, returns more widgets.
    """
    shown = ipywidgets().HTML()

    def update() -> None:
        said(shown, lambda: table_html(load()))

    again = button(button_text, update, "info", "refresh")
    panel = framed(title, [*controls(update), again, shown])
    update()
    return panel


def queue_widget(scheduler: Any) -> Any:
    """Return a panel that shows the batch system's queue.

    Parameters
    ----------
    scheduler : PublicScheduler
    """
    chosen = {"me_only": True}

    def controls(update: Callable[[], None]) -> list[Any]:
        def changed() -> None:
            chosen["me_only"] = box.value
            update()

        box = check_box("only my jobs", changed, value=True)
        return [box]

    def load() -> Any:
        queue = scheduler.queue(me_only=chosen["me_only"])
        return import_pandas().DataFrame(queue).transpose()

    return table_panel("queue", "update queue", load, controls)


def database_widget(run_manager: Any) -> Any:
    """Return a panel that shows the database of a run.

    Parameters
    ----------
    run_manager : RunManager
    """
    return table_panel("database", "update database", run_manager.get_database, lambda _: [])


def results_widget(fnames: Sequence[Any], dataframe_format: str) -> Any:
    """Return a panel that shows the tables of learners (see ``save_dataframe=`` of `RunManager`).

    Parameters
    ----------
    fnames : sequence of path-like
        Of the learners' data.
    dataframe_format : str
    """
    widgets = ipywidgets()
    names = [(_name(one), place) for place, one in enumerate(fnames)]
    which = widgets.Dropdown(options=names, description="learner")
    together = widgets.Checkbox(description="all in one table", indent=False)
    most = widgets.IntText(value=300, description="most rows")

    def load() -> Any:
        wanted = list(fnames) if together.value else [fnames[which.value]] if fnames else []
        frame = load_dataframes(wanted, format=dataframe_format)  # type: ignore[arg-type]
        return thinned(frame, most.value)

    def controls(update: Callable[[], None]) -> list[Any]:
        for one in (which, together, most):
            one.observe(lambda _: update(), names="value")
        return [which, together, most]

    return table_panel("results", "update results", load, controls)


def _name(fname: Any) -> str:
    return str(fname if isinstance(fname, (str, os.PathLike)) else fname[0])


def thinned(frame: Any, most: int) -> Any:
    """Return at most so many rows, evenly spread over all."""
    n = len(frame)
    if n <= max(1, most):
        return frame
    return frame.iloc[
        [round(place * (n - 1) / (most - 1)) if most > 1 else 0 for place in range(most)]
    ]
