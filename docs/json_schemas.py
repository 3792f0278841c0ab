"""Write the schema of what ``--json`` prints: ``python -m docs.json_schemas``.

What is a record of the package is taken from that; the rest is said here.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.commandline.output.json_lines import SCHEMA_VERSION
from adaptive_scheduler.core.doctor.findings import Level
from adaptive_scheduler.core.reasons.error_help import ErrorHelp
from adaptive_scheduler.core.reasons.explanation import Reason
from adaptive_scheduler.core.rows.row import Phase
from adaptive_scheduler.core.tasks.pools import Pool
from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import ItemView, JobRow, Snapshot
from adaptive_scheduler.runs.reading.summaries import RunSummary
from adaptive_scheduler.runs.report.figures import RunReport
from adaptive_scheduler.runs.sweep.progress import FailedCommand

#: Within a version fields are only added.
VERSION = SCHEMA_VERSION
DOCUMENT = Path(__file__).with_name(f"json-schema-{VERSION}.json")
#: Records of the package that are printed, or are part of what is.
RECORDS = (ErrorHelp, FailedCommand, ItemView, JobRow, Phase, Pool, PoolState, Reason, RunReport, RunSummary,
           Snapshot)  # fmt: skip

TEXT, NUMBER, WHOLE, YES = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
MAYBE_TEXT, MAYBE_NUMBER, MAYBE_WHOLE = (
    {"type": [kind, "null"]} for kind in ("string", "number", "integer")
)
NOTHING = {"type": "null"}
THIS_VERSION = {"const": VERSION}
COUNTS = {"type": "object", "additionalProperties": WHOLE}
ANY_FIELDS = {"type": "object"}


def ref(kind: type) -> dict[str, Any]:
    """One of the `RECORDS`."""
    assert kind in RECORDS, kind
    return {"$ref": f"#/$defs/{kind.__name__}"}


def record(needed: dict[str, Any], **others: Any) -> dict[str, Any]:
    """An object with these fields, perhaps some of the others, and no more."""
    properties = {**needed, **others}
    return {
        "type": "object",
        "properties": properties,
        "required": list(needed),
        "additionalProperties": False,
    }


def many(one: dict[str, Any]) -> dict[str, Any]:
    """A list of such values."""
    return {"type": "array", "items": one}


def maybe(one: dict[str, Any]) -> dict[str, Any]:
    """Such a value, or null."""
    return {"anyOf": [one, NOTHING]}


TRIALS = many(
    record({"resources": TEXT, "is_accepted": {"type": ["boolean", "null"]}, "answer": TEXT})
)
WORD = {"enum": ["learner", "task"]}
EXPLANATION = record(
    {"schema_version": THIS_VERSION, "kind": {"enum": ["learner", "task", "job"]}, "id": TEXT, "name": TEXT,
     "state": TEXT, "cause": TEXT, "text": TEXT, "reasons": many(ref(Reason))}
)  # fmt: skip
ERROR = record(
    {"schema_version": THIS_VERSION,
     "error": record({"class": TEXT, "text": TEXT, "exit_status": WHOLE, "traceback": TEXT})}
)  # fmt: skip
#: Of a task, in `tasks` and in `task`.
TASK = {
    "task": WHOLE, "state": ref(Phase), "tag": TEXT, "name": TEXT, "key": TEXT, "priority": NUMBER,
    "attempts": WHOLE, "created": MAYBE_NUMBER, "job": TEXT, "node": TEXT, "pid": MAYBE_WHOLE,
    "handed_out": MAYBE_NUMBER, "begun": MAYBE_NUMBER, "ended": MAYBE_NUMBER, "seconds": MAYBE_NUMBER,
    "collected": MAYBE_NUMBER, "reason": TEXT,
}  # fmt: skip
DETAILS = {
    "fails": WHOLE, "crashes": WHOLE, "cuts": WHOLE, "losses": WHOLE, "retries": WHOLE, "max_crashes": WHOLE,
    "delay": NUMBER, "timeout": MAYBE_NUMBER, "after": many(WHOLE), "code": MAYBE_WHOLE, "worked": NUMBER,
    "peak": MAYBE_NUMBER, "how": TEXT, "what": TEXT, "folder": TEXT, "files": many(record({"name": TEXT, "bytes": WHOLE})),
    "history": many(record({"what": TEXT, "at": MAYBE_NUMBER}, job=MAYBE_TEXT, node=TEXT)),
    "log": TEXT, "value": TEXT, "traceback": TEXT, "output_tail": TEXT, "resources": TEXT, "waits": many(TEXT),
    "explanation": EXPLANATION,
}  # fmt: skip


def done(command: str, **fields: Any) -> dict[str, Any]:
    """What a command prints that does something, or would do it."""
    return record(
        {"schema_version": THIS_VERSION, "command": {"const": command}, "dry_run": YES, **fields}
    )


def actions() -> dict[str, Any]:
    """Of the commands that do something."""
    found = {
        "run": {"folder": TEXT, "learners": WHOLE, "phases": maybe(COUNTS), "job_script": MAYBE_TEXT,
                "trials": TRIALS},
        "cancel": {"folder": TEXT, "kind": WORD, "cancelled": WHOLE, "ended_before": WHOLE, "jobs": MAYBE_WHOLE},
        "resume": {"folder": TEXT, "kind": WORD, "to_do": WHOLE, "nothing_because": TEXT, "phases": COUNTS},
        "retry": {"folder": TEXT, "kind": WORD, "queued_again": WHOLE},
        "manager": {"folder": TEXT, "log": TEXT, "job": MAYBE_TEXT, "job_script": MAYBE_TEXT, "trials": TRIALS},
        "prioritise": {"folder": TEXT, "priority": NUMBER, "changed": WHOLE, "ended_before": WHOLE},
        "search": {"folder": TEXT, "output": TEXT, "tasks": WHOLE, "done": WHOLE, "failed": WHOLE,
                   "best": maybe(record({"parameters": ANY_FIELDS, "value": NUMBER}))},
        "sweep": {"folder": TEXT, "is_joined": YES, "total": WHOLE, "commands": many(
                      record({"task": TEXT, "command": TEXT, "text": TEXT, "is_done": YES})),
                  "progress": maybe(sweep_progress())},
        "web": {"runs": maybe(many(TEXT)), "allow_changes": YES, "url": MAYBE_TEXT, "port": MAYBE_WHOLE,
                "socket": MAYBE_TEXT, "ways": many(record({"when": TEXT, "command": TEXT}))},
        "pool add": {"folder": TEXT, "pool": ref(Pool), "is_new": YES},
        "pool remove": {"folder": TEXT, "pool": TEXT, "jobs": WHOLE},
        "pool join": {"folder": TEXT, "host": TEXT, "slots": MAYBE_WHOLE, "gpus": many(TEXT)},
    }  # fmt: skip
    return {command: done(command, **fields) for command, fields in found.items()}


def sweep_progress() -> dict[str, Any]:
    """How a sweep has ended."""
    counts = ("total", "skipped", "slots", "done", "failed", "left_out", "running", "jobs")
    return record(
        {**dict.fromkeys(counts, WHOLE), "failures": many(ref(FailedCommand)), "seconds": NUMBER,
         "notes": many(TEXT), "problem": TEXT, "is_interrupted": YES}
    )  # fmt: skip


def shown(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Of the commands that show something."""
    checks = record({"check": TEXT, "what": TEXT, "level": {"enum": [level.value for level in Level]}, "ok": YES,
                     "fault": TEXT, "found": TEXT, "remedy": TEXT})  # fmt: skip
    findings = record({"schema_version": THIS_VERSION, "ok": YES, "checks": many(checks)})
    option = record({"names": many(TEXT), "help": TEXT, "takes": MAYBE_TEXT})
    usage = record({"schema_version": THIS_VERSION, "command": TEXT, "help": TEXT, "usage": TEXT,
                    "commands": many(TEXT), "options": many(option)})  # fmt: skip
    entry = record({"time": TEXT, "source": TEXT, "event": TEXT, "facts": ANY_FIELDS})
    return {
        "status": record({"schema_version": THIS_VERSION, **snapshot, "total": WHOLE, "over": YES,
                          "remaining": MAYBE_NUMBER}),
        "list": record({"schema_version": THIS_VERSION, "folder": TEXT, "runs": many(ref(RunSummary))}),
        "logs": {"anyOf": [
            record({"schema_version": THIS_VERSION, "entries": many(entry), "learners": many(ref(ItemView)),
                    "output": MAYBE_TEXT, "output_tail": TEXT}),
            record({**TASK, **DETAILS}, waits_in_job=YES),
        ]},
        "tasks": record({**TASK, "waits_in_job": YES}),
        "task": record({**TASK, **DETAILS}, waits_in_job=YES),
        "results": {"type": "object", "properties": {"task": TEXT}, "required": ["task"]},
        "pool list": record({"schema_version": THIS_VERSION, "folder": TEXT, "pools": many(ref(PoolState)),
                             "joined": many(ref(JobRow))}),
        "explain": EXPLANATION,
        "doctor": findings,
        "check": findings,
        "report": ref(RunReport),
        "help": {"anyOf": [ref(ErrorHelp), usage]},
    }  # fmt: skip


def schemas() -> dict[str, Any]:
    """The schema of one line of each command, by the command's words."""
    _, known = msgspec.json.schema_components(
        RECORDS, ref_template="#/$defs/{name}", schema_hook=lambda _path: TEXT
    )
    for one in known.values():
        if "properties" in one:
            one["additionalProperties"] = False
        if "description" in one:  # msgspec cleans it from 0.23 on
            one["description"] = inspect.cleandoc(one["description"])
    snapshot = known.pop("Snapshot")["properties"]
    return {"commands": {**shown(snapshot), **actions()}, "known": known}


def document() -> str:
    """The whole file."""
    found = schemas()
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by python -m docs.json_schemas. One line of each command is a value of "
        "properties/COMMAND, or of $defs/Error.",
        "title": f"adaptive-scheduler COMMAND --json, version {VERSION}",
        "type": "object",
        "properties": found["commands"],
        "$defs": {**found["known"], "Error": ERROR},
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
