"""Write the table of causes of docs/explain.md, from the code: ``python -m docs.causes``."""

from __future__ import annotations

import sys
from pathlib import Path

from adaptive_scheduler.core.reasons.table import CAUSES

BEGIN, END = "<!-- causes -->", "<!-- end of causes -->"
DOCUMENT = Path(__file__).with_name("explain.md")


def table() -> str:
    """The table as Markdown, the most important cause first."""
    rows = [f"| `{cause.name}` | {cause.when} | {cause.remedy} |" for cause in CAUSES]
    return "\n".join(["| cause | when | what to do |", "|---|---|---|", *rows])


def inserted(text: str) -> str:
    """The document with the table of today between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(inserted(DOCUMENT.read_text()))
    sys.stdout.write(f"{DOCUMENT} is up to date.\n")
