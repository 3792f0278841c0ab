"""Parts that all panels are made of."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from adaptive_scheduler.errors import AdaptiveSchedulerError, EnvironmentMismatchError


def ipywidgets() -> Any:
    """Return the module; EnvironmentMismatchError if it is not installed."""
    try:
        import ipywidgets as found
    except ModuleNotFoundError as error:
        raise EnvironmentMismatchError(
            "ipywidgets is not installed: pip install 'adaptive-scheduler[notebook]'"
        ) from error
    return found


def button(text: str, press: Callable[[], None], style: str = "", icon: str = "") -> Any:
    """Return a button that calls a function."""
    made = ipywidgets().Button(description=text, button_style=style, icon=icon)
    made.layout.width = "220px"
    made.on_click(lambda _: press())
    return made


def check_box(text: str, changed: Callable[[], None], value: bool = False) -> Any:
    """Return a box to be ticked."""
    made = ipywidgets().Checkbox(description=text, indent=False, value=value)
    made.observe(lambda _: changed(), names="value")
    return made


def confirmed(text: str, act: Callable[[], None], more: Sequence[Any] = ()) -> Any:
    """Return a button that asks before it acts.

    Parameters
    ----------
    text : str
    act : callable
    more : sequence of widgets
        Shown beside the question.
    """
    box = ipywidgets().HBox()

    def ask() -> None:
        box.children = (yes, no, *more)

    def back() -> None:
        box.children = (first,)

    def go() -> None:
        back()
        act()

    first = button(text, ask, "danger")
    yes, no = button(f"yes, {text}", go, "success"), button("no", back, "danger")
    back()
    return box


def framed(title: str, children: Sequence[Any]) -> Any:
    """Return a panel with a title and a border."""
    widgets = ipywidgets()
    head = widgets.HTML(f"<b>{html.escape(title)}</b>")
    return widgets.VBox([head, *children], layout=widgets.Layout(border="1px solid gray"))


def said(answer: Any, act: Callable[[], Any]) -> None:
    """Do something; an error is shown in the place of an answer."""
    try:
        result = act()
    except (AdaptiveSchedulerError, TimeoutError, OSError) as error:
        answer.value = f"<pre>{html.escape(f'{type(error).__name__}: {error}')}</pre>"
    else:
        if isinstance(result, str):
            answer.value = result
