"""Write the table of an item's transitions, from the code: ``python -m docs.transitions``."""

from __future__ import annotations

import sys
from pathlib import Path

from adaptive_scheduler.core.rows.items import TRANSITIONS
from adaptive_scheduler.core.rows.row import Phase

BEGIN, END = "<!-- transitions -->", "<!-- end of transitions -->"
DOCUMENT = Path(__file__).with_name("architecture.md")


def table() -> str:
    """The table as Markdown: one line for each phase and event."""
    lines = ["| an item that is | and | becomes |", "|---|---|---|"]
    for phase in Phase:
        for (before, event), (_, after) in TRANSITIONS.items():
            if before is phase:
                says = " ".join((event.__doc__ or "").split("\n\n")[0].split())
                becomes = " or ".join(one.name for one in after)
                lines.append(f"| {before.name} | `{event.__name__}`: {says} | {becomes} |")
    return "\n".join(lines)


def inserted(text: str) -> str:
    """The document with the table of today between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(inserted(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
