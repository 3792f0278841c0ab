"""Write the table of all faults that `adaptive-scheduler doctor` finds: ``python -m docs.doctor``."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from adaptive_scheduler.core.doctor.table import CHECKS, FAULTS, Fault

BEGIN, END = "<!-- faults of doctor -->", "<!-- end of faults of doctor -->"
DOCUMENT = Path(__file__).with_name("doctor.md")
_WHERE = {
    "here": "On this machine",
    "job": "By the job, on a node",
    "run": "In the folder of a run (`doctor RUN`)",
}


class _Capitals(defaultdict[str, object]):
    """Fills in each fact of a sentence its own name in capitals."""

    def __missing__(self, key: str) -> object:
        return _Word(key.upper())


class _Word(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def tables() -> str:
    """Return the tables as Markdown: one for each place, one line for each fault."""
    parts = []
    for where, title in _WHERE.items():
        lines = [f"### {title}", "", "| name | what is wrong | what to do |", "|---|---|---|"]
        for name, fault in FAULTS.items():
            if CHECKS[fault.check].where == where:
                lines.append(
                    f"| `{name}`{_mark(fault)} | {_cell(fault.sentence)} | {_cell(fault.remedy)} |"
                )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def looked_at() -> str:
    """Return what is looked at, as Markdown."""
    lines = ["| | check | what it looks at |", "|---|---|---|"]
    for name, check in CHECKS.items():
        lines.append(f"| `{name}` | {check.what} | {_cell(check.looks_at)} |")
    return "\n".join(lines)


def _mark(fault: Fault) -> str:
    return " (warning)" if fault.level == "warning" else ""


def _cell(text: str) -> str:
    filled = text.replace("{text!r}", "{text}").format_map(_Capitals())
    return filled.replace("|", "\\|").replace("*", "\\*").replace("$", "\\$")


def inserted(text: str) -> str:
    """Return the document with the tables of today between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{looked_at()}\n\n{tables()}\n\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(inserted(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
