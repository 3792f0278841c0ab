"""Write the schema of what ``--json`` prints: ``python -m docs.json_schemas``.

What is a record of the package is taken from that; the rest is said here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from adaptive_scheduler.core.wire.pools import PoolState
from adaptive_scheduler.core.wire.snapshot import Snapshot
from adaptive_scheduler.runs.reading.summaries import RunSummary

#: Within a version fields are only added.
VERSION = 1
DOCUMENT = Path(__file__).with_name(f"json-schema-{VERSION}.json")

TEXT, NUMBER, WHOLE, YES = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
MAYBE_TEXT = {"type": ["string", "null"]}
ANY: dict[str, Any] = {}


def record(needed: dict[str, Any], **others: Any) -> dict[str, Any]:
    """An object with these fields, and perhaps others."""
    return {"type": "object", "properties": {**needed, **others}, "required": list(needed)}


def many(one: dict[str, Any]) -> dict[str, Any]:
    """A list of such values."""
    return {"type": "array", "items": one}


def schemas() -> dict[str, Any]:
    """The schema of one line of each command, by the command's words."""
    (status, pool, summary), known = msgspec.json.schema_components(
        [Snapshot, PoolState, RunSummary], ref_template="#/$defs/{name}"
    )
    sums = record({"total": WHOLE, "over": YES, "remaining": {"type": ["number", "null"]}})
    commands = {
        "status": {"allOf": [status, sums]},
        "list": record({"folder": TEXT, "runs": many(summary)}),
        "logs": record(
            {"entries": many(record({})), "learners": many({"$ref": "#/$defs/ItemView"}),
             "output": MAYBE_TEXT, "output_tail": TEXT}
        ),
        "tasks": record({"task": WHOLE, "state": TEXT, "name": TEXT, "tag": TEXT, "reason": TEXT}),
        "task": record({"task": WHOLE, "state": TEXT, "reason": TEXT, "traceback": ANY, "output_tail": ANY}),
        "results": record({"task": TEXT}),
        "pool list": many(pool),
        "explain": record({}),
        "doctor": ANY,
        "check": ANY,
        "report": ANY,
        "help": ANY,
    }  # fmt: skip
    return {"commands": commands, "known": known}


def document() -> str:
    """The whole file."""
    found = schemas()
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by python -m docs.json_schemas. One line of each command is a value of "
        "properties/COMMAND.",
        "title": f"adaptive-scheduler COMMAND --json, version {VERSION}",
        "type": "object",
        "properties": found["commands"],
        "$defs": found["known"],
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
