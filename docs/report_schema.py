"""Writes `report.schema.json`, the JSON schema of ``adaptive-scheduler report --json``.

``python -m docs.report_schema``, after a change of `runs/report/figures.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from adaptive_scheduler.runs.report.figures import SCHEMA_VERSION, RunReport

DOCUMENT = Path(__file__).with_name("report.schema.json")


def schema() -> str:
    """The text of the file."""
    found = msgspec.json.schema(RunReport)
    about = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"adaptive-scheduler report --json, version {SCHEMA_VERSION}",
    }
    return json.dumps({**about, **found}, indent=1) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(schema())
