"""What a notebook shows of a run in widgets: its state, queue, database, results and logs.

Each is in a room of `adaptive_scheduler.runs.compat.widgets`, and is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptive_scheduler.runs.compat.frame_files import load_dataframes
    from adaptive_scheduler.runs.compat.widgets.log_panel import log_explorer
    from adaptive_scheduler.runs.compat.widgets.run_info import RunManagerInfo
    from adaptive_scheduler.runs.compat.widgets.run_panel import info
    from adaptive_scheduler.runs.compat.widgets.table_panels import (
        database_widget,
        queue_widget,
        results_widget,
    )

__all__ = [
    "RunManagerInfo",
    "database_widget",
    "info",
    "load_dataframes",
    "log_explorer",
    "queue_widget",
    "results_widget",
]

_HOMES = {
    "RunManagerInfo": "widgets.run_info",
    "database_widget": "widgets.table_panels",
    "info": "widgets.run_panel",
    "load_dataframes": "frame_files",
    "log_explorer": "widgets.log_panel",
    "queue_widget": "widgets.table_panels",
    "results_widget": "widgets.table_panels",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module = importlib.import_module(f"adaptive_scheduler.runs.compat.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
