"""A panel that shows a run, with buttons for what can be done about it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

from adaptive_scheduler.runs.compat.widgets.log_panel import log_explorer
from adaptive_scheduler.runs.compat.widgets.parts import (
    button,
    check_box,
    confirmed,
    ipywidgets,
    said,
)
from adaptive_scheduler.runs.compat.widgets.run_info import RunManagerInfo
from adaptive_scheduler.runs.compat.widgets.table_panels import (
    database_widget,
    queue_widget,
    results_widget,
)


def info(
    run_manager: Any,
    *,
    display_widget: bool = True,
    disable_widgets_output_scrollbar: bool = True,
) -> Any:
    """Show a run, with buttons. `RunManager.info` shows it as it goes on, without any.

    Parameters
    ----------
    run_manager : RunManager
    display_widget : bool
        Show it here; else it is only returned.
    disable_widgets_output_scrollbar : bool
        Ignored: there is none.

    Returns
    -------
    ipywidgets.VBox
    """
    del disable_widgets_output_scrollbar
    box, _ = run_panel(run_manager)
    if display_widget:
        from IPython.display import display

        display(box)
    return box


def runs_panel(run_managers: Mapping[str, Any]) -> Any:
    """Return a panel with a tab for each of several runs."""
    widgets = ipywidgets()
    tabs = [run_panel(one) for one in run_managers.values()]
    tab = widgets.Tab([box for box, _ in tabs], titles=list(run_managers))

    def update() -> None:
        for _, again in tabs:
            again()

    return widgets.VBox([button("update all", update, "info", "refresh"), tab])


def run_panel(run_manager: Any) -> tuple[Any, Callable[[], None]]:
    """Return the panel of one run, and what shows it as it stands."""
    widgets = ipywidgets()
    shown, answer = widgets.HTML(), widgets.HTML()

    def update() -> None:
        said(shown, lambda: info_html(RunManagerInfo.from_run_manager(run_manager)))

    def act(what: Callable[[], Any], word: str) -> Callable[[], None]:
        def do() -> None:
            said(answer, lambda: (what(), f"<pre>{word}</pre>")[1])
            update()

        return do

    buttons = [
        button("update info", update, icon="refresh"),
        confirmed("cancel jobs", act(run_manager.cancel, "cancelled")),
        confirmed("cleanup files", act(run_manager.cleanup, "removed")),
        button("load learners", act(run_manager.load_learners, "loaded"), "info", "download"),
    ]
    panels = widgets.VBox()
    switches = [switch(title, make, panels) for title, make in panels_of(run_manager).items()]
    update()
    top = widgets.HBox([shown, widgets.VBox([*buttons, *switches])])
    return widgets.VBox([top, answer, panels]), update


def panels_of(run_manager: Any) -> dict[str, Callable[[], Any]]:
    """Return what makes each panel, by its title."""
    return {
        "logs": lambda: log_explorer(run_manager),
        "queue": lambda: queue_widget(run_manager.scheduler),
        "database": lambda: database_widget(run_manager),
        "results": lambda: results_widget(run_manager.fnames, run_manager.dataframe_format),
    }


def switch(title: str, make: Callable[[], Any], panels: Any) -> Any:
    """Return a box to be ticked that shows a panel among others, and hides it."""
    panel: Any = None

    def turn() -> None:
        nonlocal panel
        if box.value:
            panel = make()
            panels.children = (*panels.children, panel)
        else:
            panels.children = tuple(one for one in panels.children if one is not panel)

    box = check_box(f"show {title}", turn)
    return box


def info_html(found: RunManagerInfo) -> str:
    """Return a table of how a run stands."""
    cells = "".join(
        f"<tr><th style='text-align: left'>{html.escape(title)}</th><td>{html.escape(text)}</td></tr>"
        for title, text in found.rows()
    )
    return f"<table>{cells}</table>"
