"""All that is known of one task: its row, its facts, what it was asked, its value, its output."""

from __future__ import annotations

import pickle
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.paths import RunFolder
from adaptive_scheduler.core.rows.row import DONE, FAILED, RUNNING, TaskItem
from adaptive_scheduler.core.rows.task_results import collected, may_have_raised
from adaptive_scheduler.core.tasks.command_spec import CommandSpec
from adaptive_scheduler.core.wire.tasks import LastTry, TaskView
from adaptive_scheduler.errors import USER_RAISES
from adaptive_scheduler.io.storage.run_config import read_config
from adaptive_scheduler.io.system.read_logs import tail
from adaptive_scheduler.runs.driver.commands.command import read_command
from adaptive_scheduler.runs.sites.local import LocalSite
from adaptive_scheduler.runs.task_history import history, own_files

#: Letters of a value's, or an argument's, repr that are shown.
LONGEST_REPR = 2000
LONGEST_ARGUMENTS = 300


def details(
    folder: RunFolder, row: TaskItem, facts: Mapping[str, bytes], view: TaskView | None, lines: int
) -> dict[str, Any]:
    """Return what is known of one task; times are seconds since 1970.

    Parameters
    ----------
    folder : RunFolder
    row : TaskItem
    facts : mapping of str to bytes
        By the names of `io.storage.fact_line.TABLES`.
    view : TaskView, optional
        What the manager knows of it, if it runs.
    lines : int
        Of its output, from the end.
    """
    found = {**_of_row(row), **_last_try(row, facts, view)}
    found["collected"] = collected(facts.get("told"), row)
    spec = facts.get("spec", b"")
    command = None if row.function else msgspec.msgpack.decode(spec, type=CommandSpec)
    found["what"] = _call(folder, row.function, spec) if command is None else _steps(command)
    found["folder"] = "" if command is None else command.folder
    found["files"] = own_files(folder, found["folder"])
    found["history"] = history(row, facts)
    found["log"] = _log(folder, found["job"], command)
    found["value"], found["traceback"] = "", ""
    if row.phase is DONE and command is None:
        found["value"] = _shown(lambda: _value(facts))
    elif row.phase is DONE and command is not None and command.rule:
        found["value"] = _shown(lambda: read_command(LocalSite(folder), spec)[0].value(row.code))
    elif row.phase is FAILED and facts.get("error") and may_have_raised(facts.get("times", b"")):
        name, message, text, _ = pickle.loads(facts["error"])
        found["traceback"] = text
        found["reason"] = found["reason"] or f"{name}: {message}"
    found["output_tail"] = (tail(Path(found["log"]), lines) if found["log"] else None) or ""
    return found


def _of_row(row: TaskItem) -> dict[str, Any]:
    return {
        "task": row.id, "state": row.phase.value, "tag": row.tag, "name": row.name, "key": row.key,
        "priority": row.priority, "attempts": row.attempts, "fails": row.fails,
        "crashes": row.crashes, "cuts": row.cuts, "losses": row.losses, "retries": row.policy.retries,
        "max_crashes": row.policy.crashes_allowed, "delay": row.policy.delay, "timeout": row.timeout,
        "after": list(row.depends_on), "reason": row.reason, "code": row.code,
        "worked": row.worked, "created": row.created or None,
    }  # fmt: skip


def _last_try(row: TaskItem, facts: Mapping[str, bytes], view: TaskView | None) -> dict[str, Any]:
    """Where and when it was tried last, or is tried now."""
    names = ("job", "node", "pid", "handed_out", "begun", "ended", "seconds", "peak")
    nothing: dict[str, Any] = {**dict.fromkeys(names), "job": "", "node": "", "how": ""}
    if row.phase is RUNNING:
        now = {"job": row.job or "", "handed_out": row.changed, "waits_in_job": False}
        if view is not None and view.phase == row.phase:
            now |= {"node": view.node, "pid": view.pid, "waits_in_job": not view.has_place}
        return {**nothing, **now}
    if not (last := facts.get("times")):
        return nothing
    found = msgspec.msgpack.decode(last, type=LastTry)
    return {name: getattr(found, name) for name in names} | {"how": found.kind.name.lower()}


def _steps(command: CommandSpec) -> str:
    texts = [step.text or shlex.join(step.argv) for step in command.steps]
    return " ; ".join(texts)


def _log(folder: RunFolder, job: str, command: CommandSpec | None) -> str:
    """Where its output goes; "" for a call on a machine that has joined by hand."""
    if command is not None:
        return command.log
    path = Path(read_config(folder).log_folder, f"{job}.out")
    return str(path) if job and path.exists() else ""


def _call(folder: RunFolder, function: str, spec: bytes) -> str:
    """``f(1, x=2)``, as far as function and arguments can be loaded here."""
    name = _function_name(folder, function)
    try:  # the border to the user's code: classes of arguments
        args, kwargs = pickle.loads(spec)
        parts = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    except USER_RAISES as error:
        return f"{name}(...), whose arguments cannot be shown here: {type(error).__name__}: {error}"
    return f"{name}({_cut(', '.join(parts), LONGEST_ARGUMENTS)})"


def _function_name(folder: RunFolder, key: str) -> str:
    try:  # the border to the user's code: what the function's module does when it is imported
        program = pickle.loads(folder.function(key).read_bytes())
        function = pickle.loads(program.function)
    except USER_RAISES:
        return "call"
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _value(facts: Mapping[str, bytes]) -> Any:
    path = facts.get("path", b"").decode()
    data = Path(path).read_bytes() if path else facts.get("value", b"")
    return pickle.loads(data) if data else None


def _shown(make: Callable[[], Any]) -> str:
    try:  # the border to the user's code: the class of the value, the rule of a command
        return _cut(repr(make()), LONGEST_REPR)
    except USER_RAISES as error:
        return f"cannot be shown here: {type(error).__name__}: {error}"


def _cut(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return f"{text[:length]}… ({len(text) - length:,} letters more)"
