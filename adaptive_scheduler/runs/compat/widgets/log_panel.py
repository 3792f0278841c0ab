"""A panel with the logs of a run's jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from adaptive_scheduler.errors import EnvironmentMismatchError
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.read_logs import last_events, tail
from adaptive_scheduler.runs.compat.widgets.log_choice import ORDERS, LogFile, chosen
from adaptive_scheduler.runs.compat.widgets.parts import button, check_box, framed, ipywidgets

#: Seconds between two looks at a file that is followed.
PAUSE = 2.0


def log_explorer(run_manager: Any) -> Any:
    """Return a panel that shows the logs and the output of a run's jobs.

    Parameters
    ----------
    run_manager : RunManager
        ``max_log_lines=`` of it are shown of a file, from its end.
    """
    widgets = ipywidgets()
    lines = int(getattr(run_manager, "max_log_lines", 500))
    which = widgets.Dropdown(description="file")
    contains = widgets.Text(description="has text")
    order = widgets.Dropdown(options=list(ORDERS), description="sort by")
    text = widgets.Textarea(rows=20, layout=widgets.Layout(width="auto"))

    def show() -> None:
        text.value = (tail(Path(which.value), lines) or "") if which.value else ""

    def update() -> None:
        before = which.value
        found = chosen(
            logs_of(run_manager, lines), only_running=running.value, only_failed=failed.value,
            contains=contains.value.strip(), order=order.value,
        )  # fmt: skip
        which.options = found
        if before in [path for _, path in found]:
            which.value = before
        show()

    running = check_box("only files of jobs that run", update)
    failed = check_box("only files of jobs whose learner failed", update)
    for one in (contains, order):
        one.observe(lambda _: update(), names="value")
    which.observe(lambda _: show(), names="value")
    again = button("update file list", update, "info", "refresh")
    update()
    parts = [running, failed, order, contains, again, which, follow_button(show), text]
    return framed("logs", parts)


def follow_button(show: Callable[[], None]) -> Any:
    """Return a button that shows a file anew every two seconds, until it is pressed again."""
    task: asyncio.Task[None] | None = None

    async def follow() -> None:
        while True:
            show()
            await asyncio.sleep(PAUSE)

    def press() -> None:
        nonlocal task
        if task is not None:
            task.cancel()
            task = None
        else:
            with suppress(RuntimeError):  # no event loop: shown once
                task = asyncio.get_running_loop().create_task(follow())
            show()
        made.description = "tail log" if task is None else "stop tail log"

    made = button("tail log", press, "info")
    return made


def logs_of(run_manager: Any, lines: int) -> list[LogFile]:
    """Return the files that the jobs of a run have written."""
    if not run_manager.is_started:
        return []
    folder = Path(read_config(run_manager.folder).log_folder)
    running = {row["job_id"] for row in run_manager.database_manager.as_dicts() if row["job_id"]}
    figures = _figures(run_manager)
    return [
        LogFile(
            path=str(path), job=path.stem, text=tail(path, lines) or "", runs=path.stem in running,
            failed=_has_failed(path.with_suffix(".log"), lines), figures=figures.get(path.stem, {}),
        )
        for path in (sorted(folder.iterdir()) if folder.is_dir() else [])
        if path.suffix in (".log", ".out") and path.is_file()
    ]  # fmt: skip


def _has_failed(log: Path, lines: int) -> bool:
    """Whether a learner failed in a job, or its client, as the end of its log says."""
    return any(
        event.get("event") == "client_failed" or event.get("reason") == "error"
        for event in last_events(log, lines)
    )


def _figures(run_manager: Any) -> dict[str, dict[str, Any]]:
    """What each log says last, by its job."""
    try:
        frame = run_manager.parse_log_files()
    except EnvironmentMismatchError:  # without pandas
        return {}
    return {
        Path(row["log_fname"]).stem: row
        for row in frame.to_dict("records")
        if isinstance(row.get("log_fname"), str)
    }
