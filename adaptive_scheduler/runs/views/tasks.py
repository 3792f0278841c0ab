"""Shows tasks: many as a table, one with all that is known of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.runs.task_history import MOST_FILES
from adaptive_scheduler.runs.views.render import STYLES
from adaptive_scheduler.runs.views.tables import FittedTable, duration, table

_ENDED = ("done", "failed", "cancelled")
#: Ends of tries that count, and what they are called.
_COUNTS = (
    ("fails", "failed"), ("crashes", "died"), ("cuts", "cut by a walltime"), ("losses", "lost with its node"),
)  # fmt: skip
#: What is known of one task, by name.
Facts = Mapping[str, Any]


def tasks_table(tasks: Sequence[Facts]) -> FittedTable:
    """One line for each task."""
    names = ("id", "state", "tag", "name", "priority", "tries", "seconds", "job", "reason")
    return table("", names, [_cells(task) for task in tasks])


def _cells(task: Facts) -> list[Text]:
    return [
        Text(str(task["task"])), _state(task), Text(task["tag"]),
        Text(task["name"]), Text(f"{task['priority']:g}" if task["priority"] else ""),
        Text(str(task["attempts"]) if task["attempts"] > 1 else ""),
        Text(f"{task['seconds']:.3g}" if task["seconds"] else ""), Text(task["job"] or ""),
        Text(_short(task["reason"])),
    ]  # fmt: skip


def _state(task: Facts) -> Text:
    """Its state; of one that waits in its job for a core, that."""
    state = str(task["state"])
    return Text("handed out" if task.get("waits_in_job") else state, STYLES[Phase(state)])


def _short(text: str, length: int = 100) -> str:
    """The first line of a text, cut."""
    line = text.strip().split("\n", 1)[0]
    return line if len(line) <= length else f"{line[: length - 1]}…"


def task_lines(task: Facts) -> list[Text]:
    """All that is known of one task, a line each; what is empty is left out."""
    title = Text.assemble((f"task {task['task']}", "bold"), "  ", _state(task))
    if task["name"]:
        title.append(f"  {task['name']}")
    shown = task_facts(task)
    width = max(len(name) for name in shown)
    lines = [
        Text.assemble((f"{name:<{width}}  ", "dim"), text) for name, text in shown.items() if text
    ]
    return [title, *lines, *_listed("Why it waits", task["waits"]), *_history(task)]


def task_facts(task: Facts) -> dict[str, str]:
    """What is known of one task, by name; "" where nothing is."""
    state = str(task["state"])
    return {
        "why": task["reason"] if task["reason"] != state else "",
        "what": task["what"],
        "needs": task["resources"],
        "tag": task["tag"],
        "key": task["key"],
        "priority": f"{task['priority']:g}" if task["priority"] else "",
        "waits for": ", ".join(f"task {one}" for one in task["after"]),
        "tries": _tries(task),
        "times": _times(task),
        "where": _where(task),
        "exit code": str(task["code"]) if task["code"] else "",
        "memory": f"{task['peak'] / 2**20:,.0f} MiB at most" if task.get("peak") else "",
        "folder": task["folder"],
        "files": _files(task),
        "output": task["log"],
        "value": task["value"],
    }


def _files(task: Facts) -> str:
    names = [one["name"] for one in task["files"]]
    return ", ".join([*names, *(["..."] if len(names) >= MOST_FILES else [])])


def _listed(title: str, texts: Sequence[str]) -> list[Text]:
    """A title and a line for each text; nothing if there is none."""
    return [Text(f"{title}:", "bold"), *(Text(f"  {text}") for text in texts)] if texts else []


def _history(task: Facts) -> list[Text]:
    """What happened to it, a line each; of one that was tried once `times` says it all."""
    if len(task["history"]) <= 5:
        return []
    lines = [
        f"{_clock(one['at'])}  {one['what']}" + (f" (job {one['job']})" if one.get("job") else "")
        for one in task["history"]
    ]
    return _listed("History", lines)


def _tries(task: Facts) -> str:
    """How often it was begun; a try that is under way is counted when it ends."""
    if not task["attempts"]:
        return ""
    counts = [f"{task[name]} {text}" for name, text in _COUNTS if task[name]]
    n = str(task["attempts"])
    allowed = (
        f"{task['retries']} more allowed" if task["retries"] and task["state"] not in _ENDED else ""
    )
    more = ", ".join(filter(None, [*counts, allowed]))
    return f"{n} ({more})" if more else n


def _times(task: Facts) -> str:
    names = (("created", "submitted"), ("handed_out", "handed out"), ("begun", "begun"),
             ("ended", "ended"), ("collected", "told to a driver"))  # fmt: skip
    parts = [f"{text} {_clock(task[name])}" for name, text in names if task.get(name)]
    if task["seconds"]:
        parts.append(f"ran {_seconds(task['seconds'])}")
    if task["attempts"] > 1 and task["worked"]:
        parts.append(f"{_seconds(task['worked'])} with earlier tries")
    return ", ".join(parts)


def _seconds(seconds: float) -> str:
    return duration(seconds) if seconds >= 10 else f"{seconds:.3g} s"


def _clock(when: float) -> str:
    moment = dt.datetime.fromtimestamp(when).astimezone()
    form = (
        "%H:%M:%S"
        if moment.date() == dt.datetime.now().astimezone().date()
        else "%Y-%m-%d %H:%M:%S"
    )
    return f"{moment:{form}}"


def _where(task: Facts) -> str:
    parts = (("job", "job"), ("node", "node"), ("pid", "process"))
    return ", ".join(f"{text} {task[name]}" for name, text in parts if task.get(name))
